"""The documentation as a site in _docs/: `python scripts/make_docs.py`

The pages are the executed notebooks with their stored outputs; nothing runs. Here they are prepared (in _proc/): hidden cells and directives go, an exported
cell becomes descriptions of what it defines (docs/signatures.py) with the source folded below, and names of our API become links to these. Links to files that
are no page go to the repository; while it has no public home, the site has copies of them. A link to a file that does not exist ends it.
Sphinx makes HTML of the pages (docs/conf.py) with the lists of docs/sitemap.py, and fails on what it cannot resolve. At last, links in the HTML are checked."""
# Why Sphinx with myst-nb and furo: tried beside mkdocs with mkdocs-jupyter and mkdocs-material, without quarto, on the same notebooks. Both fold, search and
# have a dark side. mkdocs-jupyter hands notebooks through nbconvert, so links in them are not checked, formulas need MathJax from a CDN, and each page brings
# 0.8 MB of styles; and material is at the end of its life. Sphinx reads notebooks as text: it checks their links, and docutils writes formulas as MathML.
import re, shutil, subprocess, sys
from collections import Counter
from copy import deepcopy
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import nbformat

from course import HOW
from make_readme import DIRECTIVE, shown_cells
from repository import ROOT, repository

sys.path.insert(0, str(ROOT/'docs'))
from links import broken_links
from signatures import described, methods, public
from sitemap import llms_txt, navigation, pages, solutions

EXPORTED = re.compile(r'^#\|\s*export', re.M)
LISTED = re.compile(r'^#\|\s*export\s*$', re.M)
MODULE = re.compile(r'^#\|\s*default_exp\s+(\S+)', re.M)
FENCE = re.compile(r'(^```.*?^```[ ]*$)', re.M | re.S)
LINK = re.compile(r'(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^)\s]+)\)')
FILES = 'files' # where the site has files of the repository that are no page


def heading(text: str) -> tuple:
    "Title of a page, and the line below it that says what it is about"
    return tuple(m[1].strip() if (m := re.search(p, text, re.M)) else '' for p in (r'^# (.+)$', r'^> (.+)$'))


def exported(nb) -> list:
    "Sources of the exported cells, without directives"
    return [DIRECTIVE.sub('', c.source) for c in nb.cells if c.cell_type == 'code' and EXPORTED.search(c.source)]


class Site:
    "The pages, what their links may lead to, and the files that they led to"
    def __init__(self, root: Path):
        self.root, self.pages, self.described = root.resolve(), pages(root), set()
        self.files, self.pictures, self.broken = set(), set(), []
        self.home = repository(root)['blob']
        self.books = {p: nbformat.read(root/p, as_version=4) for p in self.pages if p.endswith('.ipynb')}
        count = Counter(n for nb in self.books.values() for source in exported(nb) for n in public(source))
        self.names = {n for n, times in count.items() if times == 1} # not what several classes were patched with
        self.methods = {n: path for path, nb in self.books.items() for source in exported(nb) for n in methods(source)}

    def link(self, here: str, mark: str, text: str, to: str) -> str | None:
        "A link of the file `here` as the site has it; None for what stays as it is"
        link = urlsplit(to)
        if link.scheme or link.netloc or not link.path: return None
        there = (self.root/here).parent.joinpath(unquote(link.path)).resolve()
        if not there.is_relative_to(self.root) or not there.exists():
            self.broken.append(f'{here}: {mark}[{text}]({to})')
            return None
        path, up = there.relative_to(self.root).as_posix(), '../'*self.pages[here].count('/')
        if path in self.pages: return f'{mark}[{text}]({up}{self.pages[path]}' + (f'#{link.fragment})' if link.fragment else ')')
        if mark:
            self.pictures.add(path)
            return f'![{text}]({up}{FILES}/{path})'
        if self.home: return f'[{text}]({self.home}{path})'
        if there.is_dir(): return text
        self.files.add(path)
        return f'<a href="{up}{FILES}/{quote(path)}">{text}</a>'

    def prose(self, text: str, here: str) -> str:
        "Links to pages and files as the site has them; and `name` in backticks becomes a link to its description"
        def is_ours(name): return name in self.names and self.methods.get(name, here) == here # elsewhere `median` may be anybody's
        def named(m): return f'[`{m[1]}`](#api-{m[1].lower()})' if is_ours(m[1]) else m[0]
        text = LINK.sub(lambda m: self.link(here, *m.groups()) or m[0], text)
        return '\n'.join(l if l.startswith('#') else re.sub(r'(?<![\[`\w>])`(\w+)`(?![`\]<])', named, l) for l in text.split('\n'))

    def relink(self, text: str, here: str) -> str:
        "The same, but for fenced code"
        return ''.join(p if p.startswith('```') else self.prose(p, here) for p in FENCE.split(text))

    def copy_files(self, out: Path):
        "Put the files that are linked where the links lead: pictures beside the pages, as Sphinx looks for them; the others into the site as they are"
        for files, folder in ((self.pictures, out/FILES), (self.files, out/'_extra'/FILES)):
            for path in files:
                (folder/path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(self.root/path, folder/path)


def api(cell, site: Site, here: str, module: str) -> list:
    "What an exported cell offers, as a cell before its source"
    text = described(DIRECTIVE.sub('', cell.source), module, bool(LISTED.search(cell.source)), site.described)
    if not text: return []
    anchors = [f'(api-{n.lower()})=' for n in public(DIRECTIVE.sub('', cell.source)) if n in site.names]
    return [nbformat.v4.new_markdown_cell('\n'.join([*anchors, site.prose(text, here)]), metadata={'api': True})]


def folded(cell, label: str):
    "Fold the source of a cell below `label`"
    cell.metadata['tags'] = ['hide-input']
    cell.metadata['mystnb'] = {**cell.metadata.get('mystnb', {}), 'code_prompt_show': label, 'code_prompt_hide': label}


def prepare(here: str, site: Site):
    "The notebook at `here` as a page"
    nb, cells = deepcopy(site.books[here]), []
    sources = {c.id: c.copy() for c in nb.cells if c.cell_type == 'code'}
    module = 'fastai_softlabels.' + next((m[1] for c in sources.values() if (m := MODULE.search(c.source))), '')
    for c in shown_cells(nb, None).cells:
        if c.cell_type == 'markdown':
            if c.get('id') == HOW: c.source = re.sub(r'\[!\[([^\]]*)\]\([^)]*\)\]', r'[\1]', c.source) # a link that loads nothing from elsewhere
            c.source = site.relink(c.source, here)
        elif not c.source and not c.outputs: continue
        elif not c.source: c.source, c.metadata['tags'] = '...', ['remove-input'] # myst-nb leaves out a cell without a source, outputs and all
        if c.cell_type == 'code':
            if c.metadata['alt']: c.metadata['mystnb'] = {'image': {'alt': c.metadata['alt']}}
            if EXPORTED.search(sources[c.id].source):
                cells += api(sources[c.id], site, here, module)
                folded(c, 'Source')
            elif c.metadata['folded']: folded(c, 'Check')
        cells.append(c)
    nb.cells = cells
    nb.metadata['language_info'] = {'name': 'python'} # cleaning drops it
    return nb


def for_reading(text: str) -> str:
    "The Markdown of a page without what only Sphinx reads; links lead to pages as Markdown"
    text = re.sub(r'^\([\w-]+\)=\n', '', re.sub(r'\[(`\w+`)\]\(#api-\w+\)', r'\1', text), flags=re.M)
    text = re.sub(r'\]\((?![a-z]+:)([^)#\s]+)\.(?:ipynb|md)(#[^)\s]*)?\)', r'](\1.html.md)', text)
    return re.sub(r'<a href="([^"]+)">(.*?)</a>', r'[\2](\1)', text, flags=re.S)


def markdown(nb) -> str:
    "The notebook as Markdown, with its outputs as text"
    out = []
    for c in nb.cells:
        if c.metadata.get('api'): continue # the source below says it
        if c.cell_type == 'markdown': out.append(for_reading(c.source))
        else:
            shown = [o.get('text') or o['data'].get('text/plain', '') for o in c.outputs if 'text' in o or 'text/plain' in o.get('data', {})]
            out += [] if 'remove-input' in c.metadata.get('tags', []) else [f'```python\n{c.source}\n```']
            out += ['```\n' + s.rstrip('\n') + '\n```' for s in shown if not s.startswith('<Figure')]
            if c.metadata['alt']: out.append(f'Picture: {c.metadata["alt"]}')
    return '\n\n'.join(out) + '\n'


def write_source(root: Path, out: Path) -> Site:
    "Prepare all pages below `out`"
    shutil.rmtree(out, ignore_errors=True)
    site = Site(root)
    texts = {p: site.books[p].cells[0].source if p in site.books else (root/p).read_text() for p in site.pages}
    titles, lines = ({p: heading(t)[i] for p, t in texts.items()} for i in (0, 1))
    for path, name in site.pages.items():
        target, extra = out/name, out/'_extra'/Path(name).with_suffix('.html.md')
        for file in (target, extra): file.parent.mkdir(parents=True, exist_ok=True)
        if path in site.books:
            nb = prepare(path, site)
            extra.write_text(markdown(nb))
            lists = [navigation(site.pages, titles)] if path == 'nbs/index.ipynb' else solutions(path, site.pages)
            nb.cells += map(nbformat.v4.new_markdown_cell, lists)
            nbformat.write(nb, target)
        else:
            text = site.relink(texts[path], path)
            target.write_text(text)
            extra.write_text(for_reading(text))
    (out/'_extra'/'llms.txt').write_text(llms_txt(site.pages, titles, lines))
    site.copy_files(out)
    return site


def sphinx(source: Path, work: Path) -> Path:
    "Make HTML of the pages in `source`, where myst-nb puts a folder of its own beside it"
    options = ['-c', ROOT/'docs', '-d', work/'doctrees', '-D', f'html_extra_path={source/"_extra"}', '-b', 'html', '-W', '--keep-going', '-q']
    if subprocess.run([sys.executable, '-m', 'sphinx', *options, source, work/'html']).returncode: sys.exit('Sphinx found what it names above.')
    return work/'html'


def main(root: Path = ROOT):
    source, built = root/'_proc', root/'_docs'
    site = write_source(root, source)
    if site.broken: sys.exit('Links to files that do not exist:\n  ' + '\n  '.join(site.broken))
    html = sphinx(source, source/'.built')
    shutil.rmtree(built, ignore_errors=True)
    shutil.move(html, built)
    broken = broken_links(built)
    if broken: sys.exit('Links that lead nowhere:\n  ' + '\n  '.join(broken))
    print(f'{len(site.pages)} pages in _docs/, no broken link: open _docs/index.html')


if __name__ == '__main__': main()
