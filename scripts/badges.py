"""The "Open in Colab" badge of each tutorial and of the index, the cell that sets Colab up, and the index's list of tutorials: `python scripts/badges.py [folder]`

The first two follow from `user`, `repo` and `branch` in settings.ini. They stand after the title, and are put there or renewed; run twice, nothing changes.
On Colab the install cell fetches the repository, because tutorials read experiments/ and results/, installs the package from it, and goes to the notebook's folder.
Anywhere else (Colab's notebooks start in /content, which nobody else has) it does nothing."""
import sys
from pathlib import Path

import nbformat

from repository import ROOT, repository

BADGE, INSTALL, LIST = 'colab-badge', 'colab-install', 'tutorial-list'


def with_badges(root: Path) -> list:
    "The notebooks that people run by themselves"
    return [root/'nbs'/'index.ipynb', *sorted((root/'nbs'/'tutorials').glob('*.ipynb'))]


def cells(root: Path, notebook: Path) -> list:
    "Badge and install cell of a notebook"
    at, path = repository(root), notebook.relative_to(root).as_posix()
    checkout = f'/content/{at["repo"]}'
    badge = f'[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({at["colab"]}{path})'
    install = f'''#| hide
import os
if os.path.exists('/content'): # on Colab: the package, and the files that lie beside this notebook
    !test -e {checkout} || git clone -q --depth 1 -b {at["branch"]} {at["url"]} {checkout}
    %pip install -q {checkout}
    os.chdir('{checkout}/{Path(path).parent.as_posix()}')'''
    return [nbformat.v4.new_markdown_cell(badge, id=BADGE), nbformat.v4.new_code_cell(install, id=INSTALL)]


def tutorials(root: Path) -> str:
    "A line for each tutorial: its title, and the line below that"
    def line(path):
        title, about = (next((l[2:] for l in nbformat.read(path, as_version=4).cells[0].source.split('\n') if l.startswith(mark)), '') for mark in ('# ', '> '))
        return f'{int(path.stem.split("_")[0])}. [{title}](tutorials/{path.name}): {about}'
    return '\n'.join(line(p) for p in sorted((root/'nbs'/'tutorials').glob('*.ipynb')))


def renew(root: Path, notebook: Path) -> bool:
    "Put the cells of `notebook` where they belong; did that change it?"
    nb = nbformat.read(notebook, as_version=4)
    before = [(c.cell_type, c.get('id'), c.source) for c in nb.cells]
    rest = [c for c in nb.cells if c.get('id') not in (BADGE, INSTALL)]
    nb.cells = rest[:1] + cells(root, notebook) + rest[1:]
    for c in rest:
        if c.get('id') == LIST: c.source = tutorials(root)
    changed = before != [(c.cell_type, c.get('id'), c.source) for c in nb.cells]
    if changed: nbformat.write(nb, notebook)
    return changed


def renew_all(root: Path) -> list:
    "Renew all; the notebooks that changed"
    return [nb for nb in with_badges(root) if renew(root, nb)]


if __name__ == '__main__':
    root = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT
    for nb in renew_all(root): print('renewed', nb.relative_to(root))
