"The documentation before Sphinx sees it, its links after, and what all tutorials have in common; only what builds a site needs the extra `docs`."
import ast, re, shutil, subprocess, sys
from html import unescape
from pathlib import Path

import nbformat, pytest

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT/'scripts'), str(ROOT/'docs')]
import course, links, make_docs, make_readme, signatures, sitemap
from nbformat.v4 import new_code_cell as code, new_markdown_cell as md, new_notebook, new_output
from repository import repository

EXPORT = """#| export
@dispatch
def double(
    x: int, # A number, [0,1] or *any*
    *more,
) -> int:   # Twice that
    "Twice `x`, 'as is'"
    return 2*x

@dispatch
def twin(x: str): return x + x

@dispatch
def twin(x: list): return x*2

def _half(x): return x/2

@patch
def hidden(self: _Row): return 1

@patch(as_prop=True)
def wide(self: Pair) -> bool: return self.a > 2

@ItemMetric
def both(p, y): return p*y # of each

@patch(cls_method=True)
def of(cls: Pair, a, # One
    b=None): # Another
    "Make one"

@patch
def parts(self: Pair, n: int) -> tuple: # Both, `n` times
    "Take it apart"
    return (self.a, self.b)*n

class Pair(list):
    "Two of them"
    def __init__(self, a=1, # One
        b=2): # Another
        self.a = a
    def total(self): return self.a + self.b
    @property
    def size(self) -> int: return 2
    @size.setter
    def size(self, value): self.a = value
    def _secret(self): pass

LIMIT = 3"""
PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='


def settle(root: Path, **values):
    "Change lines of settings.ini"
    for k, v in values.items():
        text = (root/'settings.ini').read_text()
        (root/'settings.ini').write_text(re.sub(rf'^{k} =.*', f'{k} = {v}', text, flags=re.M))


@pytest.fixture
def small(tmp_path) -> Path:
    "A repository without a public home: an index, two API notebooks, two tutorials, the solutions of one, and some texts"
    for folder in ('nbs/tutorials', 'nbs/solutions', 'benchmarks', 'results', 'teach'): (tmp_path/folder).mkdir(parents=True)
    for name in ('VERSIONS.md', 'CHANGELOG.md', 'CONTRIBUTING.md'): (tmp_path/name).write_text('# Some page\n\nSee [index](nbs/index.ipynb).\n')
    (tmp_path/'benchmarks/README.md').write_text('# Benchmarks\n\nOf `double`, see [index](../nbs/index.ipynb).\n')
    (tmp_path/'teach/README.md').write_text('# Teaching\n\n[Steps](../nbs/tutorials/01_first.ipynb), [sheet](sheet.html).\n\n![First, then second](needs.svg)\n')
    (tmp_path/'teach/sheet.html').write_text('<p>A sheet</p>')
    (tmp_path/'teach/needs.svg').write_text('<svg></svg>')
    (tmp_path/'results/runs.csv').write_text('a\n1\n')
    shutil.copy(ROOT/'settings.ini', tmp_path)
    settle(tmp_path, user='', repo='small', branch='main')
    text = new_output('execute_result', {'text/plain': 'a  b', 'text/html': '<table></table>'})
    picture = new_output('display_data', {'text/plain': '<Figure size>', 'image/png': PIXEL})
    write = lambda name, *cells: nbformat.write(new_notebook(cells=list(cells)), tmp_path/'nbs'/name)
    write('index.ipynb', md('# Small\n\n> A test.'),
          md('[first](tutorials/01_first.ipynb#exercises), [`a` and [b]](../results/runs.csv), [here](../results), [out](https://example.org/x), `double` and `parts`,\n\n```sh\n`double`\n```'),
          code('#| fig-alt: "Two cells: [a] and b"\nplot()', outputs=[picture]), code('plot()', outputs=[picture]), md('## Tutorials'), md('', id=course.LIST))
    write('02_core.ipynb', md('# core\n\n> The core.'), code('#| default_exp core'), code(EXPORT), code('#| hide\nsecret = 1'), code('#| hide_input\nsecret + 1', outputs=[text]),
          code('double(2)', outputs=[text]), md('`parts` of a pair'))
    write('03_more.ipynb', md('# more'), code('#| default_exp more'), code('#| exporti\ndef inner(x): return x'))
    write('tutorials/01_first.ipynb', md('# First steps\n\n> Begin here.'), code('#| code-fold: true\n#| fig-alt: A dot\nassert True', outputs=[picture]), code('1', outputs=[text]),
          md('## Exercises'))
    write('tutorials/02_second.ipynb', md('# More steps\n\n> Go on.'), code('2'))
    write('solutions/01_first.ipynb', md('# Solutions'), code('3'))
    course.renew_all(tmp_path)
    return tmp_path


def cells(small, name):
    make_docs.write_source(small, small/'_proc')
    return nbformat.read(small/'_proc'/name, as_version=4).cells


def test_directives_and_hidden_cells_are_gone(small):
    found = cells(small, '02_core.ipynb') + cells(small, 'tutorials/01_first.ipynb') + cells(small, 'index.ipynb')
    everything = '\n'.join(c.source for c in found)
    assert '#|' not in everything and 'secret' not in everything.replace('_secret', '')
    hidden_input = next(c for c in found if c.metadata.get('tags') == ['remove-input'])
    assert hidden_input.source == '...' and 'text/html' in hidden_input.outputs[0]['data']
    assert [c.source for c in found if c.cell_type == 'code'][1:3] == ['...', 'double(2)']


def test_an_exported_cell_is_described_and_its_source_folded(small):
    found = cells(small, '02_core.ipynb')
    i = next(i for i, c in enumerate(found) if c.metadata.get('tags') == ['hide-input'])
    assert found[i].source == EXPORT.removeprefix('#| export\n') and found[i].metadata['mystnb']['code_prompt_show'] == 'Source'
    assert found[i - 1].source == r"""(api-double)=
(api-wide)=
(api-both)=
(api-of)=
(api-parts)=
(api-pair)=
```{py:function} double(x: int, *more) -> int
:module: fastai_softlabels.core

Twice `x`, 'as is'

:param x: A number, \[0,1\] or \*any\*
:returns: Twice that
```

```{py:function} twin(x: str)
:module: fastai_softlabels.core


```

```{py:function} twin(x: list)
:module: fastai_softlabels.core
:no-index:


```

```{py:property} Pair.wide
:module: fastai_softlabels.core
:type: bool


```

```{py:function} both(p, y)
:module: fastai_softlabels.core

Decorated: `@ItemMetric`
```

```{py:method} Pair.of(a, b=None)
:module: fastai_softlabels.core
:classmethod:

Make one

:param a: One
:param b: Another
```

```{py:method} Pair.parts(n: int) -> tuple
:module: fastai_softlabels.core

Take it apart

:returns: Both, `n` times
```

````{py:class} Pair(a=1, b=2)
:module: fastai_softlabels.core

Bases: `list`

Two of them

:param a: One
:param b: Another

```{py:method} total()


```

```{py:property} size
:type: int


```
````

```{py:data} LIMIT
:module: fastai_softlabels.core
:value: 3


```"""


def test_what_is_no_name_for_callers_is_not_in_the_index(small):
    found = cells(small, '03_more.ipynb')
    assert found[1].source.startswith('(api-inner)=\n```{py:function} inner(x)\n:module: fastai_softlabels.more\n:no-index-entry:\n')


def test_every_public_function_is_described_with_all_its_parameters():
    "Nothing but decorators, as the first version of the site showed of short functions: each name of a module's `__all__` has its signature"
    site = make_docs.Site(ROOT)
    for path, nb in site.books.items():
        for c in nb.cells:
            if c.cell_type != 'code' or not make_docs.EXPORTED.search(c.source): continue
            for node in filter(signatures.is_public, ast.parse(c.source).body):
                text = signatures.described(ast.unparse(node), 'm', True, set())
                head = text.split('\n')[0]
                assert re.search(rf'\{{py:(function|method|class|property)\}} ([\w.]+\.)?{node.name}\b', head), (path, head)
                if isinstance(node, ast.FunctionDef) and 'py:property' not in head:
                    assert all(a.arg in head for a in node.args.args[bool(signatures.patched_class(node)):] + node.args.kwonlyargs), (path, head)


def test_folded_cells_are_checks_and_pictures_say_what_they_show(small):
    found = cells(small, 'tutorials/01_first.ipynb')
    check = next(c for c in found if c.source == 'assert True')
    assert check.metadata['tags'] == ['hide-input'] and check.outputs
    assert check.metadata['mystnb'] == {'image': {'alt': 'A dot'}, 'code_prompt_show': 'Check', 'code_prompt_hide': 'Check'}
    assert next(c for c in found if c.source == '1').metadata.get('tags') is None
    assert 'Picture: A dot' in (small/'_proc/_extra/tutorials/01_first.html.md').read_text()


def test_pictures_in_the_readme_say_what_they_show(small):
    make_readme.make_readme(small)
    text = (small/'README.md').read_text()
    assert r'![Two cells: \[a\] and b](README_files/README_2_0.png)' in text and '![png](README_files/README_3_0.png)' in text and '#|' not in text
    assert (small/'README_files/README_2_0.png').exists()


def test_links_lead_to_pages_and_names_to_the_api(small):
    text = cells(small, 'index.ipynb')[1].source
    assert '[first](tutorials/01_first.ipynb#exercises)' in text and '[out](https://example.org/x)' in text
    assert '[`double`](#api-double) and `parts`,' in text and '```sh\n`double`\n```' in text
    assert (small/'_proc/benchmarks.md').read_text() == '# Benchmarks\n\nOf [`double`](#api-double), see [index](index.ipynb).\n'
    assert cells(small, '02_core.ipynb')[-1].source == '[`parts`](#api-parts) of a pair' # a method's name is its own on its page only


def test_files_that_are_no_page_are_copied_until_the_project_has_a_home(small):
    text = cells(small, 'index.ipynb')[1].source
    assert '<a href="files/results/runs.csv">`a` and [b]</a>, here,' in text
    assert (small/'_proc/_extra/files/results/runs.csv').read_text() == 'a\n1\n'
    assert '[`a` and [b]](files/results/runs.csv)' in (small/'_proc/_extra/index.html.md').read_text()
    settle(small, user='someone')
    text = next(c.source for c in cells(small, 'index.ipynb') if 'out' in c.source)
    blob = 'https://github.com/someone/small/blob/main/'
    assert f'[`a` and [b]]({blob}results/runs.csv), [here]({blob}results),' in text and not (small/'_proc/_extra/files').exists()


def test_a_page_for_lecturers_shows_its_graph_as_a_picture(small):
    cells(small, 'index.ipynb')
    text = (small/'_proc/teaching.md').read_text()
    assert text == ('# Teaching\n\n[Steps](tutorials/01_first.ipynb), <a href="files/teach/sheet.html">sheet</a>.\n\n'
                    '![First, then second](files/teach/needs.svg)\n')
    assert (small/'_proc/files/teach/needs.svg').exists() and (small/'_proc/_extra/files/teach/sheet.html').exists()


def test_the_badge_is_a_link_and_the_setup_stays_out(small):
    def top(): return cells(small, 'tutorials/01_first.ipynb')
    assert 'Colab' not in top()[1].source and '[More steps](../tutorials/02_second.ipynb) →' in top()[1].source
    settle(small, user='someone')
    course.renew_all(small)
    assert f'\n[Open in Colab]({repository(small)["colab"]}nbs/tutorials/01_first.ipynb)\n' in top()[1].source
    assert [c.source for c in top() if c.cell_type == 'code'] == ['assert True', '1']


def test_solutions_stand_below_their_tutorial(small):
    lists = {name: '\n'.join(c.source for c in cells(small, f'{name}.ipynb') if '{toctree}' in c.source) for name in ('index', 'tutorials/01_first', 'tutorials/02_second')}
    assert lists['tutorials/01_first'] == '```{toctree}\n:hidden:\n\nSolutions </solutions/01_first>\n```' and lists['tutorials/02_second'] == ''
    assert re.findall(r'^:caption: (.*)', lists['index'], re.M) == ['Tutorials', 'Teaching', 'API', 'Project']
    assert '1. First steps <tutorials/01_first>\n2. More steps <tutorials/02_second>\n' in lists['index'] and 'All names <genindex>' in lists['index']
    assert 'solutions/' not in lists['index']


def test_every_page_is_in_the_navigation_and_in_llms_txt():
    site = sitemap.pages(ROOT)
    names = {str(p.relative_to(ROOT)) for p in (ROOT/'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts}
    assert names == {p for p in site if p.endswith('.ipynb')} and next(iter(site)) == 'nbs/index.ipynb'
    titles = {p: 'A title' for p in site}
    nav, llms = sitemap.navigation(site, titles), sitemap.llms_txt(site, titles, {p: 'A line' for p in site})
    nav += ''.join(sum((sitemap.solutions(p, site) for p in site), []))
    for path, page in site.items():
        page = page.rsplit('.', 1)[0]
        assert re.search(rf'(^|</?){re.escape(page)}>?$', nav, re.M) or page == 'index'
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
        assert links.broken_links(tmp_path) == []
    for link in ('c.html', 'b.html#nothing', '#nothing', 'https://', 'http://exa mple.org', 'htp://example.org', '../nowhere.png', 'https://localhost', 'http://['):
        (tmp_path/'a.html').write_text(page.format(link))
        assert links.broken_links(tmp_path) == [f'a.html: {link}']


def test_how_to_run_names_the_extra_that_a_lesson_needs(small):
    path = small/'nbs/tutorials/02_second.ipynb'
    def told(): return next(c.source for c in nbformat.read(path, 4).cells if c.get('id') == course.HOW)
    assert '`pip install . jupyterlab`' in told()
    nb = nbformat.read(path, 4)
    nb.cells[-2].source = "dawid_skene(votes, 'item', 'label', 'who')"
    nbformat.write(nb, path)
    course.renew_all(small)
    assert "`pip install '.[crowd]' jupyterlab`" in told()


def test_a_link_to_a_file_that_does_not_exist_ends_the_build(small):
    path = small/'nbs/tutorials/02_second.ipynb'
    nb = nbformat.read(path, 4)
    nb.cells.append(md('[Solutions](../solutions/02_second.ipynb), ![dot](dot.png), [out](https://example.org), and\n\n```\n[code](nowhere.txt)\n```'))
    nbformat.write(nb, path)
    with pytest.raises(SystemExit) as stopped: make_docs.main(small)
    where = 'nbs/tutorials/02_second.ipynb'
    assert str(stopped.value) == ('Links to files that do not exist:\n'
                                  f'  {where}: [Solutions](../solutions/02_second.ipynb)\n  {where}: ![dot](dot.png)')
    assert not (small/'_docs').exists()


def test_the_site(small):
    "From sources to HTML: what a reader sees, finds and reaches"
    for extra in ('myst_nb', 'furo'): pytest.importorskip(extra)
    make_docs.main(small)
    def page(name): return (small/'_docs'/name).read_text()
    first, core, index = page('tutorials/01_first.html'), page('02_core.html'), page('genindex.html')
    assert 'alt="A dot"' in first and '<details class="admonition hide above-input">' in first and '>Check<' in first
    assert 'href="../solutions/01_first.html">Solutions</a>' in first and 'href="../genindex.html">All names</a>' in first
    signature = re.search(r'<dt class="sig[^>]*id="fastai_softlabels.core.double">(.*?)</dt>', core, re.S)[1]
    assert re.sub(r'<[^>]+>|\s|¶', '', unescape(signature)) == 'double(x:int,*more)→int'
    assert 'href="02_core.html#fastai_softlabels.core.double">double() (in module fastai_softlabels.core)</a>' in index and 'inner()' not in index
    found = page('searchindex.js')
    assert '"double"]' in found and '"sheet":' in found # among the objects, and among the words of a page
    for name in ('index', 'tutorials/01_first', '02_core', 'genindex', 'search'):
        html = page(f'{name}.html')
        assert re.findall(r'<(?:script|img|link)\b[^>]*(?:src|href)="(?:https?:)?//[^>]*>', html) == [] and 'href=""' not in html, name


def ratio(a: str, b: str) -> float:
    "Contrast of two colours (WCAG 2.2)"
    def linear(v): return v/12.92 if v <= .04045 else ((v + .055)/1.055)**2.4
    def light(c): return sum(w*linear(int(c[i:i + 2], 16)/255) for w, i in ((.2126, 0), (.7152, 2), (.0722, 4)))
    dark, bright = sorted([light(a), light(b)])
    return (bright + .05)/(dark + .05)


STYLES = re.search(r"^pygments_style, pygments_dark_style = '([\w-]+)', '([\w-]+)'", (ROOT/'docs/conf.py').read_text(), re.M).groups()

@pytest.mark.parametrize('name', STYLES)
def test_code_and_its_comments_can_be_read(name):
    pytest.importorskip('a11y_pygments') # furo brings it
    from pygments.styles import get_style_by_name
    style = get_style_by_name(name)
    contrast = {str(token): round(ratio(t['color'], style.background_color.lstrip('#')), 2) for token, t in style if t['color']}
    assert {token: r for token, r in contrast.items() if r < 4.5} == {}


def common(path: Path) -> dict:
    "The cells of a notebook that scripts/course.py writes"
    return {c.id: c.source for c in nbformat.read(path, 4).cells if c.id in (course.HOW, course.SETUP, course.NEXT, course.LIST)}


def test_the_common_cells_are_put_once(small):
    paths = sorted((small/'nbs').rglob('*.ipynb'))
    before = {p: p.read_text() for p in paths}
    assert course.renew_all(small) == [] and {p: p.read_text() for p in paths} == before
    ids = [c.id for c in nbformat.read(small/'nbs/tutorials/01_first.ipynb', 4).cells]
    assert ids[1:3] == [course.HOW, course.SETUP] and ids[-1] == course.NEXT and len(set(ids)) == len(ids)


def test_without_a_home_a_notebook_names_no_address(small):
    for path in (small/'nbs').rglob('*.ipynb'): assert 'http' not in ''.join(common(path).values()), path
    first = common(small/'nbs/tutorials/01_first.ipynb')
    assert 'jupyter lab nbs/tutorials/01_first.ipynb' in first[course.HOW] and first[course.SETUP].startswith('#| hide\nimport torch')
    assert course.HOW not in common(small/'nbs/index.ipynb')


def test_with_a_home_badge_and_setup_follow_the_settings(small):
    notebooks = [small/'nbs'/n for n in ('index.ipynb', 'tutorials/01_first.ipynb', 'tutorials/02_second.ipynb', 'solutions/01_first.ipynb')]
    settle(small, user='someone')
    assert course.renew_all(small) == notebooks
    settle(small, branch='elsewhere')
    assert course.renew_all(small) == notebooks
    for path in notebooks:
        top = common(path)
        assert f'(https://colab.research.google.com/github/someone/small/blob/elsewhere/{path.relative_to(small)})' in top[course.HOW]
        assert '-b elsewhere https://github.com/someone/small ' in top[course.SETUP]
    settle(small, user='')
    assert course.renew_all(small) == notebooks and 'http' not in ''.join(common(notebooks[1]).values())


def test_tutorials_lead_to_their_neighbours_and_the_index_lists_them(small):
    first, second = (common(small/f'nbs/tutorials/{n}.ipynb') for n in ('01_first', '02_second'))
    everything = '[all tutorials](../index.ipynb#tutorials)'
    assert first[course.HOW].startswith(f'{everything} · [More steps](02_second.ipynb) →\n')
    assert second[course.HOW].startswith(f'← [First steps](01_first.ipynb) · {everything}\n')
    assert first[course.NEXT] == '**Next**: [More steps](02_second.ipynb). Go on.' and 'last tutorial' in second[course.NEXT]
    solution = common(small/'nbs/solutions/01_first.ipynb')
    assert solution[course.HOW].startswith('← [First steps](../tutorials/01_first.ipynb#exercises) · ') and course.NEXT not in solution
    listed = common(small/'nbs/index.ipynb')[course.LIST].split('\n')
    assert [re.search(r'\d+ \[.*', l)[0] for l in listed] == ['1 [First steps](tutorials/01_first.ipynb): Begin here.', '2 [More steps](tutorials/02_second.ipynb): Go on.']


def test_a_folded_cell_is_folded_in_jupyter_too(small):
    path = small/'nbs/tutorials/01_first.ipynb'
    nb = nbformat.read(path, 4)
    folded = {c.source.split('\n')[-1]: c.metadata.get('jupyter') for c in nb.cells if c.cell_type == 'code' and c.id != course.SETUP}
    assert folded == {'assert True': {'source_hidden': True}, '1': None}
    next(c for c in nb.cells if c.metadata.get('jupyter')).metadata.pop('jupyter')
    nbformat.write(nb, path)
    assert course.renew_all(small) == [path] and course.renew_all(small) == []


def test_owner_and_branch_stand_in_one_place():
    "Whatever else names the repository was written by scripts/course.py or scripts/make_readme.py, and nothing does while it has no home"
    at = repository()
    listed = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard'], cwd=ROOT, capture_output=True, text=True)
    files = listed.stdout.split('\n')[:-1] if listed.returncode == 0 else [str(p.relative_to(ROOT)) for p in ROOT.rglob('*') if p.suffix in ('.py', '.md', '.toml', '.yml', '.ipynb', '.cff')]
    address = re.compile(rf'(github\.com/[\w-]+|[\w-]+\.github\.io|colab\.research\.google\.com/github/[\w-]+)/{at["repo"]}\b'.encode())
    holding = {f for f in files if (ROOT/f).is_file() and not (ROOT/f).is_symlink() and address.search((ROOT/f).read_bytes())}
    written = {'README.md', 'nbs/index.ipynb', *(str(p.relative_to(ROOT)) for p in course.tutorials(ROOT) + course.solutions(ROOT))}
    assert holding <= (written if at['user'] else set())
