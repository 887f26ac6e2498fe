"""What every tutorial has in the same form: how to run it, the way to its neighbours, and its line in the index: `python scripts/course.py [folder]`

All of it follows from the order and the titles of the notebooks, and from `user`, `repo` and `branch` in settings.ini. Run twice, nothing changes.
While settings.ini names no `user`, the project has no public home, and a notebook says how to run it from a checkout. With a home it has "Open in Colab", too:
on Colab the first cell fetches the repository, because tutorials read experiments/ and results/, installs the package from it, and goes to the notebook's folder.
Anywhere else (Colab's notebooks start in /content, which nobody else has) it only says whether there is a GPU."""
import re, sys
from pathlib import Path

import nbformat

from repository import ROOT, repository

HOW, SETUP, NEXT, LIST = 'how-to-run', 'setup', 'next', 'tutorial-list'
FOLDED = re.compile(r'^#\|\s*code-fold:\s*true', re.M)
GPU = '''import torch
if torch.cuda.is_available(): print(f'A GPU is there ({torch.cuda.get_device_name()}), and fastai uses it. Numbers may differ a little from those in the text.')'''


def tutorials(root: Path) -> list:
    "The tutorials in their order"
    return sorted((root/'nbs'/'tutorials').glob('*.ipynb'))


def solutions(root: Path) -> list:
    "The notebooks with the exercises' solutions; each has the name of its tutorial"
    return sorted((root/'nbs'/'solutions').glob('*.ipynb'))


def heading(path: Path) -> tuple:
    "Title of a notebook, and the line below it that says what it is about"
    lines = nbformat.read(path, as_version=4).cells[0].source.split('\n')
    return tuple(next((l[2:] for l in lines if l.startswith(mark)), '') for mark in ('# ', '> '))


def beside(path: Path, step: int) -> Path | None:
    "The tutorial before (-1) or after (1)"
    every = tutorials(path.parents[2])
    i = every.index(path) + step
    return every[i] if 0 <= i < len(every) else None


def way(root: Path, path: Path) -> str:
    "Links to the tutorial before, to the list of all, and to the tutorial after; of a solution, to its tutorial"
    parts = ['[all tutorials](../index.ipynb#tutorials)']
    if path.parent.name == 'solutions':
        tutorial = root/'nbs'/'tutorials'/path.name
        return ' · '.join([f'← [{heading(tutorial)[0]}](../tutorials/{path.name}#exercises)', *parts])
    before, after = beside(path, -1), beside(path, 1)
    if before: parts.insert(0, f'← [{heading(before)[0]}]({before.name})')
    if after: parts.append(f'[{heading(after)[0]}]({after.name}) →')
    return ' · '.join(parts)


def what_to_install(path: Path) -> str:
    "The package, with the extra that a notebook needs"
    return "'.[crowd]'" if any('dawid_skene(' in c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == 'code') else '.'


def how_to_run(root: Path, path: Path) -> str:
    "What stands below a notebook's title"
    at, name = repository(root), path.relative_to(root).as_posix()
    badge = f'[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({at["colab"]}{name})' if at['url'] else ''
    if path.parent.name == 'nbs': return badge
    run = f'To run this notebook: in a checkout of the project, `pip install {what_to_install(path)} jupyterlab`, then `jupyter lab {name}`. It needs no GPU, and no network.'
    return '\n\n'.join(part for part in (way(root, path), badge, run) if part)


def setup(root: Path, path: Path) -> str:
    "The first cell: it sets Colab up, if the project has a home, and says whether there is a GPU"
    at = repository(root)
    checkout = f'/content/{at["repo"]}'
    colab = f'''import os
if os.path.exists('/content'): # on Colab: the package, and the files that lie beside this notebook
    !test -e {checkout} || git clone -q --depth 1 -b {at["branch"]} {at["url"]} {checkout}
    %pip install -q {checkout}
    os.chdir('{checkout}/{path.relative_to(root).parent.as_posix()}')
''' if at['url'] else ''
    return f'#| hide\n{colab}{GPU}'


def what_is_next(path: Path) -> str:
    "The last line of a tutorial"
    after = beside(path, 1)
    if not after: return '**That was the last tutorial.** [All of them](../index.ipynb#tutorials).'
    title, about = heading(after)
    return f'**Next**: [{title}]({after.name}). {about}'


def listed(root: Path) -> str:
    "A line for each tutorial: its title, and the line below that"
    return '\n'.join('- {} [{}](tutorials/{}): {}'.format(int(p.stem.split('_')[0]), heading(p)[0], p.name, heading(p)[1]) for p in tutorials(root))


def fold(cell):
    "Hide the source of a cell that says `#| code-fold: true` in Jupyter, too"
    cell.metadata.pop('jupyter', None)
    if FOLDED.search(cell.source): cell.metadata['jupyter'] = {'source_hidden': True}


def kept(nb) -> list:
    "What `renew` may change of a notebook"
    return [(c.cell_type, c.get('id'), c.source, bool(c.metadata.get('jupyter'))) for c in nb.cells]


def renew(root: Path, path: Path) -> bool:
    "Put the cells of a notebook where they belong; did that change it?"
    nb = nbformat.read(path, as_version=4)
    before = kept(nb)
    title, *rest = [c for c in nb.cells if c.get('id') not in (HOW, SETUP, NEXT)]
    how, index = how_to_run(root, path), path.parent.name == 'nbs'
    top = [nbformat.v4.new_markdown_cell(how, id=HOW)] if how else []
    if top: top.append(nbformat.v4.new_code_cell(setup(root, path), id=SETUP))
    end = [nbformat.v4.new_markdown_cell(what_is_next(path), id=NEXT)] if path.parent.name == 'tutorials' else []
    nb.cells = [title, *top, *rest, *end]
    for c in rest:
        if index and c.get('id') == LIST: c.source = listed(root)
    for c in nb.cells:
        if c.cell_type == 'code': fold(c)
    changed = before != kept(nb)
    if changed: nbformat.write(nb, path)
    return changed


def renew_all(root: Path) -> list:
    "Renew the notebooks that people run by themselves; those that changed"
    return [p for p in [root/'nbs'/'index.ipynb', *tutorials(root), *solutions(root)] if renew(root, p)]


if __name__ == '__main__':
    root = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT
    for path in renew_all(root): print('renewed', path.relative_to(root))
