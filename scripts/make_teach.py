"""What a lecturer needs, in teach/, made from the tutorials: `python scripts/make_teach.py [folder]`

- README.md: teach/plan.md with its braces filled, that is, the syllabus, and the minutes of each plan
- needs.svg: which tutorial needs which
- questionnaires.html: all questions to print, and the answers behind them
- class_votes/sheet.html: ten images on which a class votes
- clean/ and student/: copies of the tutorials (scripts/copies.py)

Goals, needs and times are read from the lines that each tutorial opens with: **You will learn**, **Before this** and **Time**."""
import base64, html, io, re, sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
from mistune import html as html_of
from PIL import Image
from sklearn.datasets import load_digits

from copies import clean, read_gaps, student
from course import heading, tutorials
from repository import ROOT

GENERATED = '<!-- Generated from teach/plan.md and the tutorials by scripts/make_teach.py: edit those. -->'
LINK = re.compile(r'\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)')


# what the tutorials say of themselves
@dataclass
class Lesson:
    "A tutorial, and what its opening says"
    path: Path
    title: str
    learn: str # Goals
    needs: set # Numbers of the tutorials that it needs
    read: int  # Minutes to read
    run: int   # Seconds to run
    asked: str # Questions of the questionnaire, in Markdown
    answers: str

    @property
    def number(self) -> int: return int(self.path.stem[:2])
    @property
    def minutes(self) -> int: return self.read + -(-self.run//60)
    @property
    def label(self) -> str: return f'{self.number}. {self.title}'

    def link(self, folder: str = '../nbs/tutorials', text: str = '') -> str: return f'[{text or self.title}]({folder}/{self.path.name})'


OPENING = [
    r'^\*\*You will learn\*\* (?P<learn>.+?)$',
    r'^\*\*Before this\*\*: (?P<before>.+?)$',
    r'^\*\*Time\*\*: about (?P<read>\d+) minutes to read, (?P<run>\d+) seconds to run',
    r'^## Questionnaire\n(?P<asked>.*?)<details>\s*<summary>Answers</summary>(?P<answers>.*?)</details>']


def read_lesson(path: Path) -> Lesson:
    "Read what a tutorial says of itself"
    text = '\n\n'.join(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == 'markdown')
    said = {}
    for pattern in OPENING:
        found = re.search(pattern, text, re.M | re.S)
        if not found: raise ValueError(f'{path.name} lacks a line that the course needs of each tutorial: nothing matches {pattern}. Another tutorial shows the form.')
        said |= found.groupdict()
    needs = {int(n) for n in re.findall(r'\((\d\d)_\w+\.ipynb[)#]', said['before'])}
    if needs and max(needs) >= int(path.stem[:2]): raise ValueError(f'{path.name} needs lesson {max(needs)}, which does not come before it.')
    return Lesson(path, heading(path)[0], said['learn'], needs, int(said['read']), int(said['run']), said['asked'], said['answers'])


# what needs what
def from_nbs(text: str) -> str: return re.sub(r'\]\((?=\w+\.ipynb)', '](../nbs/tutorials/', text.replace('](../', '](../nbs/'))


def indirect(number: int, lessons: dict) -> set:
    "What a lesson needs by way of others"
    return set().union(*(lessons[n].needs | indirect(n, lessons) for n in lessons[number].needs))


def edges(lessons: dict) -> list:
    "Pairs of what is needed and what needs it, without those that follow from others"
    return [(n, l.number) for l in lessons.values() for n in sorted(l.needs - indirect(l.number, lessons))]


ROW, LEFT = 34, 150 # height of a row, and the room for arcs


def graph(lessons: dict) -> str:
    "Draw the lessons one below the other, and an arc from each to those that need it; the colours are legible on white and on black"
    numbers = list(lessons)
    def middle(number): return numbers.index(number)*ROW + ROW//2
    width, height = LEFT + 420, len(lessons)*ROW
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" font-family="sans-serif" font-size="14">',
           f'<title>{html.escape(in_words(lessons))}</title>']
    for a, b in edges(lessons):
        top, bottom = middle(a), middle(b)
        reach = LEFT - 16 - (bottom - top)*(LEFT + 20)//height
        out.append(f'<path d="M{LEFT} {top + 6} C{reach} {top + 6} {reach} {bottom - 6} {LEFT - 7} {bottom - 6}" fill="none" stroke="#888" stroke-width="1.5"/>')
        out.append(f'<path d="M{LEFT - 1} {bottom - 6} l-8 -4 v8 z" fill="#888"/>')
    for n, l in lessons.items():
        out.append(f'<rect x="{LEFT}" y="{middle(n) - 14}" width="418" height="28" rx="5" fill="#eef3fb" stroke="#4a6fa5"/>')
        out.append(f'<text x="{LEFT + 10}" y="{middle(n) + 5}" fill="#1a1a1a">{html.escape(l.label)}</text>')
    return '\n'.join([*out, '</svg>', ''])


def in_words(lessons: dict) -> str:
    "The graph for those who do not see it"
    needed = {l.number: [str(a) for a, b in edges(lessons) if b == l.number] for l in lessons.values()}
    return 'What needs what. ' + ' '.join(f'Lesson {n} needs {" and ".join(a)}.' for n, a in needed.items() if a)


# the lecturer's page
def duration(minutes: int) -> str: return f'{minutes//60} h {minutes % 60} min' if minutes > 59 else f'{minutes} min'


def syllabus(lessons: dict) -> str:
    "A row for each lesson, and the sums"
    rows = ['| | Lesson | Reading | Run | Needs | Notebooks |', '|---:|---|---:|---:|---|---|']
    for l in lessons.values():
        copies = [l.link('student', 'student'), l.link('clean', 'clean'), l.link('../nbs/solutions', 'solutions')]
        needs = ', '.join(map(str, sorted(l.needs))) or '–'
        rows.append(f'| {l.number} | {l.link()} | {l.read} min | {l.run} s | {needs} | {" · ".join(copies)} |')
    read, run = (sum(getattr(l, k) for l in lessons.values()) for k in ('read', 'run'))
    rows.append(f'| | **All** | **{duration(read)}** | **{duration(-(-run//60))}** | | |')
    return '\n'.join(rows)


def goals(lessons: dict) -> str: return '\n'.join(f'- **{l.label}**: {from_nbs(l.learn)}' for l in lessons.values())


def fill(text: str, lessons: dict) -> str:
    "Fill the braces of a section: `{6}` is the sixth lesson with its minutes, `{+10}` are ten minutes, and `{sum}` are all of them"
    minutes = []
    def place(m):
        lesson = None if m[1].startswith('+') else lessons[int(m[1])]
        minutes.append(lesson.minutes if lesson else int(m[1]))
        return f'{minutes[-1]} min' + (f': {lesson.number}. {lesson.link()}' if lesson else '')
    text = re.sub(r'\{(\+?\d+)\}', place, text)
    return text.replace('{sum}', duration(sum(minutes)))


def page(root: Path, lessons: dict) -> str:
    "The lecturer's page"
    template = (root/'teach'/'plan.md').read_text().partition('-->')[2].strip()
    text = ''.join(fill(section, lessons) for section in re.split(r'^(?=##)', template, flags=re.M))
    for name, made in ('syllabus', syllabus(lessons)), ('goals', goals(lessons)), ('graph', f'![{in_words(lessons)}](needs.svg)'):
        text = text.replace(f'{{{name}}}', made)
    return f'{GENERATED}\n\n{text}\n'


# pages to print
SIGNS = {'cdot': '·', 'infty': '∞', 'propto': '∝', 'alpha': 'α', 'log': 'log', 'le': '≤', 'ge': '≥', 'approx': '≈', 'times': '×', 'sum': '∑', 'to': '→'}


def formula(tex: str) -> str:
    "A short formula without TeX; a sign that it does not know is an error, and has its place in SIGNS"
    tex = re.sub(r'\\frac\{([^{}]+)\}\{([^{}]+)\}', r'(\1)/(\2)', tex)
    tex = re.sub(r'\\([A-Za-z]+)', lambda m: SIGNS[m[1]], tex)
    tex = re.sub(r'\^(\w|\{[^}]*\})', r'<sup>\1</sup>', tex)
    tex = re.sub(r'_(\w|\{[^}]*\})', r'<sub>\1</sub>', tex)
    return tex.replace('{', '').replace('}', '').replace('-', '−')


def from_markdown(text: str) -> str:
    "Markdown as HTML, of links the words"
    text = re.sub(r'\$([^$]+)\$', lambda m: formula(m[1]), LINK.sub(r'\1', text))
    return html_of(text).strip()


STYLE = '''
:root { color-scheme: light dark; }
body { font: 11.5pt/1.45 Georgia, 'Times New Roman', serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, nav { font-family: system-ui, sans-serif; }
code { font: .9em ui-monospace, 'DejaVu Sans Mono', monospace; }
@page { size: A4; margin: 16mm; }
@media print { :root { color-scheme: light; } body { margin: 0; padding: 0; max-width: none; } }
'''
QUESTIONS = '''
li { margin-bottom: .6rem; } li p { margin: 0; }
nav { columns: 2; } nav a { display: block; }
@media print {
  nav, h1:first-of-type { display: none; }
  .asked + .asked, #answers { break-before: page; }
  .asked li { min-height: 2.8cm; break-inside: avoid; }
  h2 { break-after: avoid; }
}
'''
SHEET = '''
header { display: flex; justify-content: space-between; align-items: baseline; }
h1 { margin: 0; }
main { display: grid; grid-template-columns: 1fr 1fr; gap: 3mm 8mm; }
figure { margin: 0; display: flex; align-items: center; gap: 4mm; break-inside: avoid; border-top: 1px solid #999; padding-top: 2.5mm; }
img { width: 38mm; height: 38mm; }
b { font-size: 1.5rem; align-self: flex-start; width: 7mm; }
'''


def html_page(title: str, style: str, body: list) -> str:
    "A page that needs nothing else"
    head = ['<!DOCTYPE html>', '<html lang="en">', '<head>', '<meta charset="utf-8">', '<!-- Generated by scripts/make_teach.py. -->', f'<title>{title}</title>',
            '<meta name="viewport" content="width=device-width, initial-scale=1">', f'<style>{STYLE}{style}</style>', '</head>', '<body>']
    return '\n'.join([*head, *body, '</body>', '</html>', ''])


def questionnaires(lessons: dict) -> str:
    "A page of questions for each lesson, with room to write, and the answers behind them"
    def section(l, what, text): return f'<section class="{what}" id="{what}{l.number}">\n<h2>{html.escape(l.label)}</h2>\n{from_markdown(text)}\n</section>'
    links = [f'<a href="#asked{l.number}">{html.escape(l.label)}</a>' for l in lessons.values()]
    asked = [section(l, 'asked', l.asked) for l in lessons.values()]
    answers = [section(l, 'answered', l.answers) for l in lessons.values()]
    return html_page('Questionnaires', QUESTIONS, ['<h1>Questionnaires</h1>', '<nav>', *links, '<a href="#answers">Answers</a>', '</nav>', *asked, '<h1 id="answers">Answers</h1>', *answers])


def picture(index: int) -> str:
    "One of scikit-learn's digits as the address of a picture, dark on white; a bitmap, as its bytes are the same on every machine"
    ink = Image.fromarray((255 - load_digits().images[index]*255/16).astype('uint8'))
    file = io.BytesIO()
    ink.resize((32, 32), Image.Resampling.BICUBIC).save(file, 'bmp')
    return 'data:image/bmp;base64,' + base64.b64encode(file.getvalue()).decode()


def sheet(root: Path) -> str:
    "The sheet on which a class votes: the images of class_votes/images.csv, with room for an answer"
    figures = []
    for letter, index in re.findall(r'^(\w),images/(\d+)', (root/'teach'/'class_votes'/'images.csv').read_text(), re.M):
        image = f'<img alt="Image {letter}, a handwritten digit" src="{picture(int(index))}">'
        figures.append(f'<figure><b>{letter}</b>{image}<figcaption>I see a ______</figcaption></figure>')
    return html_page('Which digit is it?', SHEET, [
        '<header><h1>Which digit is it?</h1><span>Sheet no. ________</span></header>',
        '<p>Write one digit, 0 to 9, beside each image, or “?” if you are unsure. Decide alone, and quickly. Nobody marks this: some images were chosen because people may disagree.</p>',
        '<main>', *figures, '</main>'])


# all of it
def make_teach(root: Path):
    "Write all that is generated in teach/ below `root`, and remove copies of tutorials that are gone"
    teach, lessons = root/'teach', {l.number: l for l in map(read_lesson, tutorials(root))}
    gaps = read_gaps((teach/'gaps.txt').read_text())
    texts = {'README.md': page(root, lessons), 'needs.svg': graph(lessons), 'questionnaires.html': questionnaires(lessons), 'class_votes/sheet.html': sheet(root)}
    for l in lessons.values():
        texts[f'clean/{l.path.name}'] = nbformat.writes(clean(l.path)) + '\n'
        texts[f'student/{l.path.name}'] = nbformat.writes(student(l.path, gaps.get(l.path.stem[:2], []), root)) + '\n'
    for old in {*teach.glob('clean/*.ipynb'), *teach.glob('student/*.ipynb')} - {teach/name for name in texts}: old.unlink()
    for name, text in texts.items():
        (teach/name).parent.mkdir(exist_ok=True)
        (teach/name).write_text(text)


if __name__ == '__main__': make_teach(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT)
