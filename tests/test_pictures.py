"Pictures with the names that classes have: nothing lies over anything else, as measured on the drawn canvas, and everything can be read in a column of 720 pixels."
import os, re
from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt, numpy as np, pytest, torch
from matplotlib.text import Text
from PIL import Image
from torch import nn
from fastai.vision.all import AdaptiveAvgPool, DataBlock, Flatten, ImageBlock, Interpretation, Learner

from fastai_softlabels.all import SoftCategory, SoftCategoryBlock, SoftMaskBlock, draw_bars, mask_legend

NAMES = {3: 'fox cat dog owl bee ant hen cow pig rat bat elk'.split(),
         10: 'background|foreground|cell wall|cytoplasm|membranes|organelle|vacuole|chromatin|cell plate|plastids|ribosomes|lysosomes'.split('|'),
         20: 'peripheral infiltrat|patchy consolidation|pleural effusion, R|pleural effusion, L|ground-glass opacity|pulmonary nodule, R|pulmonary nodule, L|'
             'atelectasis, basal|widened mediastinum|tension pneumothorax|cavitating lesion|normal lung, no sign'.split('|'),
         30: 'disk-edge-on galaxy with a bar|disk-edge-on galaxy, no bar|smooth, completely round galaxy|smooth, cigar-shaped galaxy|spiral galaxy, arms tightly wound|'
             'spiral galaxy, arms loosely|irregular galaxy with dust lane|merging galaxies, tidal debris|lens or arc around a galaxy|ring galaxy, off-centre ring|'
             'star, or artefact of a camera|galaxy with a prominent bulge'.split('|')}
GRIDS = [(3, 12), (10, 3), (20, 12), (30, 3)]
COLUMN = 7.5 # inches: 720 pixels, at 96 an inch


def images(folder, n=9):
    files = [folder/f'{i}.png' for i in range(n)]
    for i, f in enumerate(files):
        if not f.exists(): Image.fromarray(np.add.outer(np.arange(48), (1 + i)*np.arange(48)).astype(np.uint8)).save(f)
    return files

class Case:
    "Nine images whose labels are spread over `k` classes with names of `length` letters, and a network that knows nothing"
    def __init__(self, folder, length, k, block=SoftCategoryBlock):
        self.names, files = NAMES[length][:k], images(folder)
        rows = np.random.default_rng(k).dirichlet([.6]*k, len(files)).astype(np.float32)
        dblock = DataBlock(blocks=(ImageBlock, block(vocab=self.names)), get_y=lambda f: rows[int(f.stem)], splitter=lambda o: (range(9), range(9)))
        self.dls = dblock.dataloaders(files, bs=9, num_workers=0, shuffle=False)
        self.learn = Learner(self.dls, nn.Sequential(AdaptiveAvgPool(), Flatten(), nn.Linear(3, k)))
        self.labels = [SoftCategory(r, self.names) for r in rows]

    def draw(self, what, n, **kwargs):
        with self.learn.no_bar():
            if what == 'batch': self.dls.train.show_batch(self.dls.train.one_batch(), max_n=n, **kwargs)
            elif what == 'results': self.learn.show_results(max_n=n, shuffle=False, **kwargs)
            else: Interpretation.from_learner(self.learn).plot_top_losses(n, **kwargs)
        return plt.gcf()

@pytest.fixture(scope='module')
def case(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp('pictures'), {}
    def get(length, k, block=SoftCategoryBlock):
        if (length, k, block) not in made: made[length, k, block] = Case(folder, length, k, block)
        return made[length, k, block]
    return get


def texts(fig): return [t for t in fig.findobj(Text) if t.get_visible() and t.get_text().strip()]

def boxes(fig) -> list: # (kind, what, box) of all that a reader looks at
    "Where titles, names, legends and images are on the drawn canvas"
    fig.canvas.draw()
    res = [('header', fig._suptitle.get_text(), fig._suptitle.get_window_extent())] if fig._suptitle else []
    for i, ax in enumerate(fig.axes):
        if not ax.get_visible(): continue
        if ax.title.get_text(): res.append(('title', ax.title.get_text(), ax.title.get_window_extent()))
        if ax.images: res.append(('image', f'image {i}', ax.get_window_extent()))
        if ax.axison:
            res += [('chart', f'chart {i}', ax.get_window_extent())]
            res += [('name', t.get_text(), t.get_window_extent()) for t in ax.get_yticklabels() + ax.get_xticklabels() if t.get_text()]
        if ax.get_ylabel(): res.append(('entry', ax.get_ylabel(), ax.yaxis.label.get_window_extent()))
        if ax.get_legend(): res += [('entry', t.get_text(), t.get_window_extent()) for t in ax.get_legend().texts]
    return res + [('entry', t.get_text(), t.get_window_extent()) for l in fig.legends for t in l.texts]

APART = {frozenset(p) for p in combinations(['header', 'title', 'image', 'name', 'entry'], 2)} | {frozenset([k]) for k in ('title', 'name', 'entry', 'image')}
APART |= {frozenset(['chart', k]) for k in ('header', 'title', 'image', 'entry')}

def overlaps(a, b) -> bool: return min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1

def faults(fig) -> list:
    "What lies over something else, or outside of the figure"
    found = boxes(fig)
    res = [f'{a} over {b}' for (k, a, p), (l, b, q) in combinations(found, 2) if frozenset([k, l]) in APART and overlaps(p, q)]
    return res + [f'{a} leaves the figure' for _, a, p in found if p.x0 < -1 or p.y0 < -1 or p.x1 > fig.bbox.x1 + 1 or p.y1 > fig.bbox.y1 + 1]

def smallest(fig) -> float: # points in the column
    return min(t.get_size() for t in texts(fig))*min(1, COLUMN/fig.get_figwidth())

def keep(fig, name): # to be looked at
    if folder := os.environ.get('PICTURES'): fig.savefig(Path(folder)/f'{name}.png', dpi=720/fig.get_figwidth())

def check(fig, name):
    keep(fig, name)
    assert faults(fig) == []
    assert smallest(fig) >= 7.99
    sides = [min(ax.get_window_extent().width, ax.get_window_extent().height) for ax in fig.axes if ax.images]
    assert min(sides) > .4*max(min(fig.bbox.width, fig.bbox.height)/9**.5/2, 40), 'images keep most of their size'


@pytest.mark.parametrize('bars', [False, True], ids=['titles', 'bars'])
@pytest.mark.parametrize('what', ['batch', 'results', 'losses'])
@pytest.mark.parametrize('length,k', GRIDS)
def test_nothing_lies_over_anything_else(case, length, k, what, bars):
    check(case(length, k).draw(what, 4, bars=bars), f'{what}{" bars" if bars else ""} {length} letters {k} classes')


@pytest.mark.parametrize('n,length,k', [(1, 3, 3), (1, 30, 12), (9, 30, 12)])
@pytest.mark.parametrize('bars', [False, True], ids=['titles', 'bars'])
@pytest.mark.parametrize('what', ['batch', 'results', 'losses'])
def test_one_image_and_nine(case, n, length, k, what, bars):
    check(case(length, k).draw(what, n, bars=bars), f'{what}{" bars" if bars else ""} of {n}, {length} letters {k} classes')


@pytest.mark.parametrize('what,kwargs', [('batch', dict(nrows=1, figsize=(8, 2.2))), ('results', dict(nrows=2, figsize=(8, 6))), ('losses', dict(nrows=2, figsize=(9, 7))),
                                         ('results', dict(nrows=1, figsize=(14, 4))), ('results', dict(ncols=3, bars=True))], ids=str)
def test_a_figure_of_the_users_size(case, what, kwargs):
    check(case(20, 3).draw(what, 6, **kwargs), f'{what} {kwargs}'.replace("'", ''))


@pytest.mark.parametrize('length,k', GRIDS)
def test_given_axes_keep_their_place(case, length, k):
    c = case(length, k)
    fig, axs = plt.subplots(1, 4, figsize=(9, 4.5))
    before = [ax.get_position(original=True).bounds for ax in axs]
    c.draw('results', 4, ctxs=list(axs))
    keep(fig, f'given axes {length} letters {k} classes')
    assert faults(fig) == [] and [ax.get_position(original=True).bounds for ax in axs] == before and fig.get_layout_engine() is None
    assert [ax.title.get_size() for ax in axs] == [12]*4
    assert all(ax.title.get_window_extent().width <= before[0][2]*fig.bbox.width for ax in axs)


@pytest.mark.parametrize('length,k', GRIDS)
def test_charts_on_given_axes_share_their_place_with_the_names(case, length, k):
    fig, axs = plt.subplots(2, 4, figsize=(9, 6))
    before = [ax.get_position(original=True) for ax in axs.flat]
    case(length, k).draw('batch', 4, ctxs=list(axs.flat), bars=True)
    keep(fig, f'given axes with bars {length} letters {k} classes')
    assert faults(fig) == []
    for ax, b in zip(axs.flat, before): # no further than they were, and in what a tight bounding box keeps
        a = ax.get_position(original=True)
        assert (a.x1, a.y0, a.y1) == pytest.approx((b.x1, b.y0, b.y1)) and a.x0 >= b.x0 and a.width > b.width/3 and ax.get_in_layout()


def test_short_names_stay_as_they_are(case):
    c = case(3, 12)
    fig = c.draw('batch', 4)
    assert [ax.get_title() for ax in fig.axes] == [str(l) for l in c.labels[:4]]
    chart = c.draw('batch', 1, bars=True).axes[1]
    assert [t.get_text() for t in chart.get_yticklabels()] == [n for n in c.names if n not in [m for m, _ in c.labels[0].items()[10:]]]


def is_cut_of(text, name) -> bool:
    begin, dots, end = text.partition('…')
    return text == name or bool(dots) and name.startswith(begin) and name.endswith(end) and len(text) < len(name)

def test_cut_names_stay_distinct(case):
    "also two that begin and end alike, as smooth galaxies do; and what looks like a formula is none"
    c = case(30, 12)
    for ax in c.draw('batch', 4, bars=True).axes[1::2]:
        shown = [t.get_text() for t in ax.get_yticklabels()]
        assert len(set(shown)) == 10 and any('…' in t for t in shown)
        assert all(any(is_cut_of(t, n) for n in c.names) for t in shown)
    ax = draw_bars(plt.figure().gca(), {'': SoftCategory([.5, .5], ['$5 to $10', 'more'])})
    assert not ax.get_yticklabels()[0].get_parse_math()


def test_long_names_keep_both_ends_and_their_number(case):
    c = case(30, 12)
    _, axs = plt.subplots(1, 4, figsize=(8, 2))
    for ax, label in zip(axs, c.labels):
        label.show(ax)
        lines = ax.get_title().split('\n')
        shown = [(n, p) for n, p in label.items() if p >= .005][:3]
        assert len(lines) == len(shown), 'a class a line'
        for line, (name, p) in zip(lines, shown):
            begin, end = re.fullmatch(r'(.+)…(.+?) (?:1?\.\d\d)(?: ·)?(?: …)?', line).groups()
            assert name.startswith(begin) and name.endswith(end) and f' {p:.2f}'.replace('0.', '.') in line


@pytest.mark.parametrize('label,lines', [
    (SoftCategory([.62, .38], ['kitten', 'puppy']), 'kitten .62 ·|puppy .38'),
    (SoftCategory([.3, .2], ['lesion', 'effusion'], multi=True, label=[]), 'none of these|(lesion .30 ·|effusion .20)'),
    (SoftCategory([.07], ['infiltrates'], multi=True, label=[]), 'no|(infiltrates .07)'),
    (SoftCategory([.4, .3, .2, .1], 'abcd', label="don't know"), "don't know|(a .40 · b .30 ·|c .20 · …)"),
    (SoftCategory([.5, .5], ['$5', '$10']), '$5 .50 · $10 .50'),
], ids=lambda o: str(o))
def test_breaks_between_classes(label, lines):
    fig, ax = plt.subplots(figsize=(1.45, 1))
    ax.title.set_size(9)
    label.show(ax)
    fig.canvas.draw()
    assert ax.get_title().split('\n') == lines.split('|') and ax.title.get_size() == 9
    assert ax.get_title().replace('\n', ' ') == str(label)
    if '$' in lines: assert ax.title.get_window_extent().width == pytest.approx(plain_width(fig, lines), rel=.05), 'no formula'

def plain_width(fig, text): return fig.text(0, 0, text, fontsize=9, parse_math=False).get_window_extent().width


def test_two_labels_are_two_paragraphs():
    fig, ax = plt.subplots(figsize=(2.6, 2))
    for label in (SoftCategory([.7, .3], ['cat', 'dog']), SoftCategory([1., 0.], ['good', 'bad'])): label.show(ax)
    assert ax.get_title() == 'cat .70 · dog .30\ngood 1.00'


@pytest.mark.parametrize('what,n,kwargs,length,k', [
    ('batch', 1, {}, 3, 3), ('batch', 1, {}, 30, 12), ('batch', 9, {}, 10, 1), ('batch', 9, {}, 30, 3), ('batch', 4, dict(nrows=1, figsize=(8, 2.2)), 20, 12),
    ('results', 3, dict(figsize=(5, 7)), 30, 12), ('results', 1, {}, 20, 3), ('losses', 2, dict(figsize=(6, 4.4)), 30, 3), ('losses', 2, {}, 10, 12)], ids=str)
def test_masks(tmp_path_factory, what, n, kwargs, length, k):
    files, codes = images(tmp_path_factory.getbasetemp()), NAMES[length][:k]
    draws = torch.rand(9, k, 48, 48, generator=torch.Generator().manual_seed(0))
    masks = (20*nn.functional.avg_pool2d(draws, 9, 1, 4)).softmax(1) if k > 1 else draws
    dls = DataBlock(blocks=(ImageBlock, SoftMaskBlock(codes=codes)), get_y=lambda f: masks[int(f.stem)].numpy(), splitter=lambda o: (range(9), range(9))).dataloaders(files, bs=9, num_workers=0, shuffle=False)
    learn = Learner(dls, nn.Conv2d(3, k, 1))
    with learn.no_bar():
        if what == 'batch': dls.show_batch(max_n=n, **kwargs)
        elif what == 'results': learn.show_results(max_n=n, shuffle=False, **kwargs)
        else: Interpretation.from_learner(learn).plot_top_losses(n, **kwargs)
    fig = plt.gcf()
    check(fig, f'masks {what} of {n} {length} letters {k} codes')
    if k > 1:
        entries = [t.get_text() for t in fig.legends[0].texts]
        assert len(set(entries)) == k and all(is_cut_of(e, c) for e, c in zip(entries, codes))
    else:
        bar = fig.axes[-1]
        assert is_cut_of(bar.get_ylabel(), codes[0]) and [t.get_text() for t in bar.get_yticklabels()] == ['.00', '.50', '1.00'] and not fig.legends


def test_legend_of_a_part_of_a_figure():
    fig = plt.figure(figsize=(8, 3), layout='constrained')
    left, right = fig.subfigures(1, 2)
    mask_legend(left, NAMES[30][:3])
    SoftCategory([.6, .4], NAMES[30][:2]).show(right.subplots())
    fig.canvas.draw()
    assert right.axes[0].title.get_window_extent().width <= right.bbox.width and right.axes[0].get_title().count('\n') <= 1
    assert all(is_cut_of(t.get_text(), n) for t, n in zip(left.legends[0].texts, NAMES[30]))


@pytest.mark.parametrize('n, columns', [(1, 1), (2, 2), (4, 2), (9, 2)])
def test_charts_stand_in_two_columns(case, n, columns):
    axs = case(3, 3).draw('batch', n, bars=True).axes
    assert axs[0].get_subplotspec().get_gridspec().ncols == 2*columns, 'an image and its chart'


def test_the_header_is_a_little_larger_than_titles(case):
    fig = case(3, 3).draw('results', 4)
    assert fig._suptitle.get_size() == pytest.approx(1.2*fig.axes[0].title.get_size())


@pytest.mark.parametrize('bars', [False, True])
def test_top_losses_say_the_loss(case, bars):
    learn = case(3, 3).learn
    with learn.no_bar():
        interp = Interpretation.from_learner(learn)
        values = interp.top_losses(2)[0]
        interp.plot_top_losses(2, bars=bars)
    found = [ax.get_title().split('\n')[-1] for ax in plt.gcf().axes if ax.images]
    assert found == [f'{"loss " if bars else ""}{v:.2f}' for v in values.tolist()]
