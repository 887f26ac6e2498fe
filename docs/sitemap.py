"Which pages the site has, and the lists of them: for the sidebar, below a tutorial, and for language models."
import re
from pathlib import Path

KINDS = ['Tutorials', 'Solutions', 'Teaching', 'API', 'Project']
TEXTS = {'teach/README.md': 'teaching.md', 'teach/glossary.md': 'glossary.md', 'teach/class_votes/README.md': 'class-votes.md',
         'benchmarks/README.md': 'benchmarks.md', 'VERSIONS.md': 'versions.md', 'CHANGELOG.md': 'changelog.md', 'CONTRIBUTING.md': 'contributing.md'}


def kind(path: str) -> str:
    "The list of the navigation in which a page stands"
    folder = Path(path).parts[:-1]
    if folder == ('nbs', 'tutorials'): return 'Tutorials'
    if folder == ('nbs', 'solutions'): return 'Solutions'
    if folder == ('nbs',) and path != 'nbs/index.ipynb': return 'API'
    return 'Teaching' if folder[:1] == ('teach',) else 'Project'


def pages(root: Path) -> dict:
    "Path in the repository → path in the site's source, in the order of the navigation"
    books = [str(p.relative_to(root)) for p in sorted((root/'nbs').rglob('*.ipynb')) if '.ipynb_checkpoints' not in p.parts]
    books.sort(key=lambda p: (p != 'nbs/index.ipynb', KINDS.index(kind(p)), p))
    return {**{p: p.removeprefix('nbs/') for p in books}, **{f: page for f, page in TEXTS.items() if (root/f).exists()}}


def toctree(paths: list, caption: str = '') -> str:
    "A list of pages for the sidebar"
    return '\n'.join(['```{toctree}', ':hidden:', *([f':caption: {caption}'] if caption else []), '', *paths, '```'])


def navigation(site: dict, titles: dict) -> str:
    "The lists of pages below the index; the solutions stand below their tutorials"
    lists = {k: [] for k in KINDS}
    for path, name in site.items():
        name = str(Path(name).with_suffix(''))
        number = re.match(r'\d+', Path(name).name) if kind(path) == 'Tutorials' else None
        lists[kind(path)].append(f'{int(number[0])}. {titles[path]} <{name}>' if number else name)
    lists['API'].insert(0, 'All names <genindex>')
    return '\n\n'.join(toctree([n for n in lists[k] if n != 'index'], k) for k in KINDS if k != 'Solutions')


def solutions(path: str, site: dict) -> list:
    "The page below a tutorial that has the solutions of its exercises"
    its = path.replace('tutorials/', 'solutions/')
    return [toctree([f'Solutions <{Path("/")/Path(site[its]).with_suffix("")}>'])] if kind(path) == 'Tutorials' and its in site else []


def llms_txt(site: dict, titles: dict, lines: dict) -> str:
    "A summary for language models, as nbdev writes it: title, description, and links to the pages as Markdown"
    def link(path): return f'- [{titles[path]}]({Path(site[path]).with_suffix(".html.md")})' + (f': {lines[path]}' if lines[path] else '')
    parts = {k: [p for p in site if kind(p) == k] for k in KINDS}
    index = 'nbs/index.ipynb'
    return '\n\n'.join([f'# {titles[index]}', f'> {lines[index]}', *(f'## {k}\n\n' + '\n'.join(link(p) for p in ps) for k, ps in parts.items() if ps)]) + '\n'
