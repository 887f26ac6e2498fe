"""README.md from nbs/index.ipynb, with the stored outputs, without quarto: `python scripts/make_readme.py [folder]`

Hidden cells (`#| hide`) stay out, of others only the output is shown (`#| hide_input`), directives go, and pictures become files in README_files/,
with `#| fig-alt:` as the text for those who do not see them."""
import os, re, shutil, sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

DIRECTIVE = re.compile(r'^#\|.*\n?', re.M)
PICTURE = re.compile(r'!\[png\]\((README_files/README_(\d+)_\d+\.png)\)') # with the number of its cell
PROGRESS = '<IPython.core.display.HTML object>|<div><table class="fastprogress">' # bars, and the table of epochs with its times


def option(source: str, name: str) -> str:
    "What a directive like `#| fig-alt: three cells` says; empty where it is not there"
    found = re.search(rf'^#\|\s*{name}:\s*(.+?)\s*$', source, re.M)
    return re.sub(r'^(["\'])(.*)\1$', r'\2', found[1]) if found else ''


def shown_cells(nb, kinds: tuple | None = ('image/png', 'text/plain')):
    """The notebook without hidden cells, directives and progress bars; of each output the first of `kinds` that it has (all for `None`)

    A cell's metadata keep what its pictures show (`alt`), and whether its source is `folded`."""
    nb.cells = [c for c in nb.cells if not re.search(r'^#\|\s*hide\s*$', c.source, re.M)]
    for c in nb.cells:
        if c.cell_type != 'code': continue
        c.metadata['alt'], c.metadata['folded'] = option(c.source, 'fig-alt'), option(c.source, 'code-fold') == 'true'
        c.source = '' if re.search(r'^#\|\s*hide_input\s*$', c.source, re.M) else DIRECTIVE.sub('', c.source)
        c.outputs = [o for o in c.outputs if not re.match(PROGRESS, o.get('data', {}).get('text/plain', ''))]
        for o in c.outputs:
            kept = next((k for k in kinds or [] if k in o.get('data', {})), None)
            if kept: o['data'] = {kept: o['data'][kept]}
    return nb


def with_alt(text: str, nb) -> str:
    "Pictures with what they show"
    def shown(m):
        alt = re.sub(r'([][])', r'\\\1', nb.cells[int(m[2])].metadata['alt'])
        return f'![{alt or "png"}]({m[1]})'
    return PICTURE.sub(shown, text)


def from_the_top(text: str) -> str:
    "Links that are relative to nbs/, relative to the repository"
    def link(m): return m[0] if re.match(r'[a-z]+:|#|README_files/', m[1]) else f']({os.path.normpath("nbs/" + m[1])})'
    return re.sub(r'\]\(([^)\s]+)\)', link, text)


def make_readme(root: Path):
    "Write README.md and README_files/ below `root`"
    nb = shown_cells(nbformat.read(root/'nbs'/'index.ipynb', as_version=4))
    nb.metadata['language_info'] = {'name': 'python'} # for the fences; cleaning drops it
    exporter = MarkdownExporter()
    text, resources = exporter.from_notebook_node(nb, resources={'output_files_dir': 'README_files', 'unique_key': 'README'})
    files = root/'README_files'
    shutil.rmtree(files, ignore_errors=True)
    for name, data in resources['outputs'].items():
        (root/name).parent.mkdir(exist_ok=True)
        (root/name).write_bytes(data)
    text = re.sub(r'^ +$', '', with_alt(text, nb).replace('```python\n\n```\n', ''), flags=re.M)
    text = from_the_top(re.sub(r'\n{3,}', '\n\n', text).strip())
    (root/'README.md').write_text(f'<!-- Generated from nbs/index.ipynb by scripts/make_readme.py: edit the notebook. -->\n\n{text}\n')


if __name__ == '__main__': make_readme(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1])
