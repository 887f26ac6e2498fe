"""The documentation as a site in _docs/: `python scripts/make_docs.py`

The pages are the executed notebooks with their stored outputs; nothing runs. Here they are prepared (in _proc/): hidden cells and directives go, an exported
cell becomes its signatures with the source folded below, names of our API become links to them, and links to files that are no page go to the repository.
Sphinx makes HTML of them (docs/conf.py), and fails on a link to a page that does not exist. At last every link in the HTML is checked."""
# Why Sphinx with myst-nb and furo: tried beside mkdocs with mkdocs-jupyter and mkdocs-material, without quarto, on the same notebooks. Both fold, search and
# have a dark side. mkdocs-jupyter hands notebooks through nbconvert, so links in them are not checked, formulas need MathJax from a CDN, and each page brings
# 0.8 MB of styles; and material is at the end of its life. Sphinx reads notebooks as text: it checks their links, and docutils writes formulas as MathML.
import ast, re, shutil, subprocess, sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat

from badges import BADGE
from make_readme import shown_cells
from repository import ROOT, repository

EXPORTED = re.compile(r'^#\|\s*export', re.M)
FENCE = re.compile(r'(^```.*?^```[ ]*$)', re.M | re.S)
LINK = re.compile(r'(?<=\]\()([^)\s]+)(?=\))')


def pages(root: Path = ROOT) -> dict:
    "Path in the repository → path in the site's source, in the order of the navigation"
    books = [p for p in sorted((root/'nbs').rglob('*.ipynb')) if '.ipynb_checkpoints' not in p.parts]
    books.sort(key=lambda p: (p.stem != 'index', 'tutorials' not in p.parts, p.stem))
    found = {str(p.relative_to(root)): str(p.relative_to(root/'nbs')) for p in books}
    texts = {'benchmarks/README.md': 'benchmarks.md', 'VERSIONS.md': 'versions.md', 'CHANGELOG.md': 'changelog.md', 'CONTRIBUTING.md': 'contributing.md'}
    return {**found, **{f: page for f, page in texts.items() if (root/f).exists()}}


def heading(text: str) -> tuple:
    "Title of a page, and the line below it that says what it is about"
    return tuple(m[1].strip() if (m := re.search(p, text, re.M)) else '' for p in (r'^# (.+)$', r'^> (.+)$'))


def is_public(node) -> bool:
    "Is this a function or class for callers? Not with a leading underscore, and not a method patched into a class that has one"
    if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith('_'): return False
    first = node.args.args[0].annotation if isinstance(node, ast.FunctionDef) and node.args.args else None
    return not (first and ast.unparse(first).startswith('_'))


def signatures(source: str) -> str:
    "Of an exported cell what a caller needs: decorators, signatures with their comments, docstrings; of a class those of its public methods too"
    lines, out = source.split('\n'), []
    def head(node):
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        body = node.body[0]
        doc = isinstance(body, ast.Expr) and isinstance(getattr(body.value, 'value', None), str)
        if body.lineno == node.lineno: return [lines[first - 1]] # all in one line
        return lines[first - 1:body.end_lineno if doc else body.lineno - 1]
    for node in ast.parse(source).body:
        if not is_public(node): continue
        out += head(node)
        if isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and (method.name == '__init__' or not method.name.startswith('_')): out += head(method)
        out.append('')
    return '\n'.join(l for l in out).strip('\n')


def public(source: str) -> list:
    "Names that an exported cell defines for callers"
    return [n.name for n in ast.parse(source).body if is_public(n)]


def exported(nb) -> list:
    "Sources of the exported cells, without directives"
    return [re.sub(r'^#\|.*\n?', '', c.source, flags=re.M) for c in nb.cells if c.cell_type == 'code' and EXPORTED.search(c.source)]


def relink(text: str, here: str, site: dict, root: Path, names: set, markdown: bool = False) -> str:
    "Links of the file `here`: to pages as the site has them, to other files in the repository; and `name` in backticks becomes a link to its signature"
    def target(m):
        link = urlsplit(m[1])
        if link.scheme or link.netloc or not link.path: return m[1]
        there = (root/here).parent.joinpath(unquote(link.path)).resolve()
        if not there.is_relative_to(root.resolve()) or not there.exists(): return m[1] # Sphinx will say so
        path = str(there.relative_to(root.resolve()))
        if path not in site: return repository(root)['blob'] + path
        up = '../'*site[here].count('/')
        return up + site[path] + (f'#{link.fragment}' if link.fragment else '')
    def prose(part):
        part = LINK.sub(target, part)
        lines = [l if l.startswith('#') else re.sub(r'(?<![\[`\w])`(\w+)`(?![`\]])', lambda m: f'[`{m[1]}`](#api-{m[1].lower()})' if m[1] in names else m[0], l) for l in part.split('\n')]
        return '\n'.join(lines)
    return ''.join(p if p.startswith('```') else prose(p) for p in FENCE.split(text))


def prepare(nb, here: str, site: dict, root: Path, names: set):
    "The notebook at `here` as a page"
    cells = []
    sources = {c.id: bool(EXPORTED.search(c.source)) for c in nb.cells if c.cell_type == 'code'}
    for c in shown_cells(nb, None).cells:
        if c.cell_type == 'markdown':
            if c.get('id') == BADGE: c.source = re.sub(r'\[!\[([^\]]*)\]\([^)]*\)\]', r'[\1]', c.source) # a link that loads nothing from elsewhere
            c.source = relink(c.source, here, site, root, names)
        elif not c.source and not c.outputs: continue
        elif not c.source: c.source, c.metadata['tags'] = '...', ['remove-input'] # myst-nb leaves out a cell without a source, outputs and all
        elif sources[c.id]:
            shown = signatures(c.source)
            if shown:
                anchors = '\n'.join(f'(api-{n.lower()})=' for n in public(c.source) if n in names)
                cells.append(nbformat.v4.new_markdown_cell(f'{anchors}\n```python\n{shown}\n```'))
            c.metadata['tags'], c.metadata['mystnb'] = ['hide-input'], {'code_prompt_show': 'Source', 'code_prompt_hide': 'Source'}
        cells.append(c)
    nb.cells = cells
    nb.metadata['language_info'] = {'name': 'python'} # cleaning drops it
    return nb


def navigation(site: dict, titles: dict) -> str:
    "The lists of pages below the index"
    def tree(caption, paths): return '\n'.join(['```{toctree}', ':hidden:', f':caption: {caption}', '', *paths, '```'])
    tutorials, api, project = [], [], []
    for path, name in site.items():
        name = str(Path(name).with_suffix(''))
        if name == 'index': continue
        if name.startswith('tutorials/'): tutorials.append(f'{int(m[0])}. {titles[path]} <{name}>' if (m := re.match(r'\d+', Path(name).name)) else name)
        elif path.startswith('nbs/'): api.append(name)
        else: project.append(name)
    return '\n\n'.join(tree(c, p) for c, p in (('Tutorials', tutorials), ('API', api), ('Project', project)) if p)


def llms_txt(site: dict, titles: dict, lines: dict, root: Path) -> str:
    "A summary for language models, as nbdev writes it: title, description, and links to the pages as Markdown"
    def link(path): return f'- [{titles[path]}]({Path(site[path]).with_suffix(".html.md")})' + (f': {lines[path]}' if lines[path] else '')
    parts = {'Tutorials': [p for p in site if '/tutorials/' in p], 'API': [p for p in site if p.startswith('nbs/') and '/tutorials/' not in p and not p.endswith('index.ipynb')],
             'Project': [p for p in site if not p.startswith('nbs/') or p.endswith('index.ipynb')]}
    index = 'nbs/index.ipynb'
    return '\n\n'.join([f'# {titles[index]}', f'> {lines[index]}', *(f'## {k}\n\n' + '\n'.join(link(p) for p in ps) for k, ps in parts.items() if ps)]) + '\n'


def markdown(nb) -> str:
    "The notebook as Markdown, with its outputs as text"
    out = []
    for c in nb.cells:
        if c.cell_type == 'markdown': out.append(re.sub(r'^\(api-\w+\)=\n', '', re.sub(r'\[(`\w+`)\]\(#api-\w+\)', r'\1', c.source), flags=re.M))
        else:
            shown = [o.get('text') or o['data'].get('text/plain', '') for o in c.outputs if 'text' in o or 'text/plain' in o.get('data', {})]
            out += [] if 'remove-input' in c.metadata.get('tags', []) else [f'```python\n{c.source}\n```']
            out += ['```\n' + s.rstrip('\n') + '\n```' for s in shown if not s.startswith('<Figure')]
    return '\n\n'.join(out) + '\n'


def write_source(root: Path, out: Path) -> dict:
    "Prepare all pages below `out`"
    site = pages(root)
    shutil.rmtree(out, ignore_errors=True)
    books = {p: nbformat.read(root/p, as_version=4) for p in site if p.endswith('.ipynb')}
    count = Counter(n for nb in books.values() for source in exported(nb) for n in public(source))
    names = {n for n, times in count.items() if times == 1} # not what several classes were patched with
    texts = {p: '\n'.join(c.source for c in books[p].cells[:1]) if p in books else (root/p).read_text() for p in site}
    titles, lines = ({p: heading(t)[i] for p, t in texts.items()} for i in (0, 1))
    for path, name in site.items():
        target = out/name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path in books:
            nb = prepare(books[path], path, site, root, names)
            text = markdown(nb)
            if path == 'nbs/index.ipynb': nb.cells.append(nbformat.v4.new_markdown_cell(navigation(site, titles)))
            nbformat.write(nb, target)
        else:
            text = (root/path).read_text()
            target.write_text(relink(text, path, site, root, names))
        extra = out/'_extra'/Path(name).with_suffix('.html.md')
        extra.parent.mkdir(parents=True, exist_ok=True)
        extra.write_text(text)
    (out/'_extra'/'llms.txt').write_text(llms_txt(site, titles, lines, root))
    return site


class Links(HTMLParser):
    "The ids of a page, and where its links and pictures lead"
    def __init__(self, text):
        super().__init__()
        self.ids, self.links = set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids |= {attrs[k] for k in ('id', 'name') if attrs.get(k)}
        for key in ('href', 'src'):
            if attrs.get(key) is not None: self.links.add(attrs[key])


def broken_links(site: Path) -> list:
    "What leads nowhere in the HTML below `site`: files and anchors that are not there, and addresses elsewhere that are none (nobody asks whether they answer)"
    parsed = {p.resolve(): Links(p.read_text()) for p in sorted(site.rglob('*.html'))}
    found = []
    for page, html in parsed.items():
        for link in sorted(html.links):
            try: url = urlsplit(link)
            except ValueError: url = None
            if url and url.scheme in ('data', 'mailto'): continue
            if url and (url.scheme or url.netloc):
                ok = url.scheme in ('http', 'https', '') and re.fullmatch(r'[\w-]+(\.[\w-]+)+(:\d+)?', url.netloc) and ' ' not in link
            elif url:
                there = (page.parent/unquote(url.path)).resolve() if url.path else page
                if there.is_dir(): there = there/'index.html'
                ok = there.is_file() and (not url.fragment or there not in parsed or unquote(url.fragment) in parsed[there].ids)
            if not url or not ok: found.append(f'{page.relative_to(site.resolve())}: {link}')
    return found


def main():
    source, built = ROOT/'_proc', ROOT/'_docs'
    work = source/'.built' # myst-nb puts a folder of its own beside the HTML
    site = write_source(ROOT, source)
    sphinx = [sys.executable, '-m', 'sphinx', '-c', str(ROOT/'docs'), '-b', 'html', '-W', '--keep-going', '-q', '-d', str(work/'doctrees'), str(source), str(work/'html')]
    if subprocess.run(sphinx).returncode: sys.exit('Sphinx found what it names above.')
    shutil.rmtree(built, ignore_errors=True)
    shutil.move(work/'html', built)
    broken = broken_links(built)
    if broken: sys.exit('Links that lead nowhere:\n  ' + '\n  '.join(broken))
    print(f'{len(site)} pages in _docs/, no broken link: open _docs/index.html')


if __name__ == '__main__': main()
