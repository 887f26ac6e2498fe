"The documentation before Sphinx sees it, its links after, and the badges: nothing here needs the extra `docs`."
import re, shutil, subprocess, sys
from pathlib import Path

import nbformat, pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'scripts'))
import badges, make_docs
from nbformat.v4 import new_code_cell as code, new_markdown_cell as md, new_notebook, new_output
from repository import repository

EXPORT = '''#| export
@dispatch
def double(
    x: int, # A number
) -> int:   # Twice that
    "Twice `x`"
    return 2*x

def _half(x): return x/2

@patch
def hidden(self: _Row): return 1

class Pair:
    "Two of them"
    def __init__(self, a=1, # One
        b=2): # Another
        self.a = a
    def total(self): return self.a + self.b
    def _secret(self): pass'''


@pytest.fixture
def small(tmp_path) -> Path:
    "A repository with an index, an API notebook, a tutorial, and the three files"
    for folder in ('nbs/tutorials', 'benchmarks', 'results'): (tmp_path/folder).mkdir(parents=True)
    for name in ('benchmarks/README.md', 'VERSIONS.md', 'CHANGELOG.md', 'CONTRIBUTING.md'): (tmp_path/name).write_text('# Some page\n\nSee [index](nbs/index.ipynb).\n')
    (tmp_path/'benchmarks/README.md').write_text('# Benchmarks\n\nOf `double`, see [index](../nbs/index.ipynb).\n')
    (tmp_path/'results/runs.csv').write_text('a\n1\n')
    shutil.copy(ROOT/'settings.ini', tmp_path)
    text = new_output('execute_result', {'text/plain': 'a  b', 'text/html': '<table></table>'})
    write = lambda name, *cells: nbformat.write(new_notebook(cells=list(cells)), tmp_path/'nbs'/name)
    write('index.ipynb', md('# Small\n\n> A test.'), md('[first](tutorials/01_first.ipynb#a), [runs](../results/runs.csv), [out](https://example.org/x), `double` and\n\n```python\n`double`\n```'))
    write('02_core.ipynb', md('# core\n\n> The core.'), code('#| default_exp core'), code(EXPORT), code('#| hide\nsecret = 1'), code('#| hide_input\nsecret + 1', outputs=[text]), code('double(2)', outputs=[text]))
    write('tutorials/01_first.ipynb', md('# First steps\n\n> Begin here.'), code('1', outputs=[text]))
    badges.renew_all(tmp_path)
    return tmp_path


def cells(small, name):
    make_docs.write_source(small, small/'_proc')
    return nbformat.read(small/'_proc'/name, as_version=4).cells


def test_directives_and_hidden_cells_are_gone(small):
    found = cells(small, '02_core.ipynb')
    everything = '\n'.join(c.source for c in found)
    assert '#|' not in everything and 'secret' not in everything.replace('_secret', '')
    hidden_input = next(c for c in found if c.metadata.get('tags') == ['remove-input'])
    assert hidden_input.source == '...' and 'text/html' in hidden_input.outputs[0]['data']
    assert [c.source for c in found if c.cell_type == 'code'][-1] == 'double(2)'


def test_an_exported_cell_shows_signatures_and_folds_its_source(small):
    found = cells(small, '02_core.ipynb')
    i = next(i for i, c in enumerate(found) if c.metadata.get('tags') == ['hide-input'])
    assert found[i].source == EXPORT.removeprefix('#| export\n') and found[i].metadata['mystnb']['code_prompt_show'] == 'Source'
    assert found[i - 1].source == '''(api-double)=
(api-pair)=
```python
@dispatch
def double(
    x: int, # A number
) -> int:   # Twice that
    "Twice `x`"

class Pair:
    "Two of them"
    def __init__(self, a=1, # One
        b=2): # Another
    def total(self): return self.a + self.b
```'''


def test_links_lead_to_pages_or_to_the_repository_and_names_to_the_api(small):
    text = cells(small, 'index.ipynb')[2].source
    assert '[first](tutorials/01_first.ipynb#a)' in text and '[out](https://example.org/x)' in text
    assert f'[runs]({repository(small)["blob"]}results/runs.csv)' in text
    assert '[`double`](#api-double) and' in text and '```python\n`double`\n```' in text
    assert (small/'_proc/benchmarks.md').read_text() == '# Benchmarks\n\nOf [`double`](#api-double), see [index](index.ipynb).\n'


def test_the_badge_is_a_link_and_the_install_cell_stays_out(small):
    found = cells(small, 'tutorials/01_first.ipynb')
    assert found[1].source == f'[Open in Colab]({repository(small)["colab"]}nbs/tutorials/01_first.ipynb)'
    assert [c.source for c in found if c.cell_type == 'code'] == ['1']


def test_every_notebook_is_in_the_navigation_and_in_llms_txt():
    site = make_docs.pages()
    names = {str(p.relative_to(ROOT)) for p in (ROOT/'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts}
    assert names == {p for p in site if p.endswith('.ipynb')} and next(iter(site)) == 'nbs/index.ipynb'
    titles = {p: 'A title' for p in site}
    nav, llms = make_docs.navigation(site, titles), make_docs.llms_txt(site, titles, {p: 'A line' for p in site}, ROOT)
    for path, page in site.items():
        page = page.rsplit('.', 1)[0]
        assert re.search(rf'(^|<){re.escape(page)}>?$', nav, re.M) or page == 'index'
        assert f'({page}.html.md): A line' in llms
    assert llms.startswith('# A title\n\n> A line\n\n## Tutorials\n\n- [A title](tutorials/')


def test_pages_as_markdown_hold_code_and_text(small):
    cells(small, 'index.ipynb')
    text = (small/'_proc/_extra/02_core.html.md').read_text()
    assert '```python\ndouble(2)\n```\n\n```\na  b\n```' in text and '(api-' not in text


def test_broken_links_are_found(tmp_path):
    page = '<a href="{}">x</a><img src="pic.png"><a href="#here" id="here"></a><a href="mailto:a@b.org"></a>'
    (tmp_path/'pic.png').write_bytes(b'')
    (tmp_path/'b.html').write_text('<h1 id="part">B</h1>')
    for link in ('b.html', 'b.html#part', '#here', 'https://example.org/a?b#c', './b.html', ''):
        (tmp_path/'a.html').write_text(page.format(link))
        assert make_docs.broken_links(tmp_path) == []
    for link in ('c.html', 'b.html#nothing', '#nothing', 'https://', 'http://exa mple.org', 'htp://example.org', '../nowhere.png', 'https://localhost', 'http://['):
        (tmp_path/'a.html').write_text(page.format(link))
        assert make_docs.broken_links(tmp_path) == [f'a.html: {link}']


def test_badges_are_put_once_and_follow_the_settings(small):
    tutorial = small/'nbs/tutorials/01_first.ipynb'
    assert [c.get('id') for c in nbformat.read(tutorial, 4).cells[1:3]] == [badges.BADGE, badges.INSTALL]
    before = tutorial.read_text()
    assert badges.renew_all(small) == [] and tutorial.read_text() == before
    settings = small/'settings.ini'
    settings.write_text(re.sub(r'^branch = .*', 'branch = elsewhere', settings.read_text(), flags=re.M))
    assert badges.renew_all(small) == [small/'nbs/index.ipynb', tutorial]
    badge, install = nbformat.read(tutorial, 4).cells[1:3]
    assert '/blob/elsewhere/nbs/tutorials/01_first.ipynb' in badge.source and '-b elsewhere ' in install.source


def test_owner_and_branch_stand_in_one_place():
    "Whatever else names the repository was written by scripts/badges.py or scripts/make_readme.py"
    at = repository()
    listed = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard'], cwd=ROOT, capture_output=True, text=True)
    files = listed.stdout.split('\n')[:-1] if listed.returncode == 0 else [str(p.relative_to(ROOT)) for p in ROOT.rglob('*') if p.suffix in ('.py', '.md', '.toml', '.yml', '.ipynb', '.cff')]
    holding = {f for f in files if (ROOT/f).is_file() and not (ROOT/f).is_symlink() and f'{at["user"]}/{at["repo"]}'.encode() in (ROOT/f).read_bytes()}
    assert holding <= {'README.md', *(str(p.relative_to(ROOT)) for p in badges.with_badges(ROOT))}
