"Edges of labels, their display and their messages that a lesson would be bored by."
import re

import matplotlib.pyplot as plt, numpy as np, pandas as pd, pytest, torch
from fastai.vision.all import DataBlock, EndSplitter, ImageBlock, Learner, Resize

from fastai_softlabels.all import (DiceAt, SoftBCEWithLogitsLossFlat, SoftCategory, SoftCategoryBlock, SoftCrossEntropyLossFlat, SoftDice, SoftECE, SoftLabelError,
                                   SoftLabelReader, bootstrap_interval, calibration_error, draw_bars, preds_to_soft, soft_cross_entropy, votes_to_soft)
from fastai_softlabels.core import fill_text, soft_targets
from fastai_softlabels.data import agrees
from fastai_softlabels.errors import brief, in_range
from fastai_softlabels.tables import check_distributions, check_probabilities
from conftest import DIGITS


@pytest.mark.parametrize('n', [1, 2, 3])
def test_bars_stand_side_by_side(n):
    probs = torch.tensor([.1, .2, .7])
    ax = draw_bars(plt.figure().gca(), {f'label {i}': SoftCategory(probs.roll(i), 'abc') for i in range(n)})
    assert len(ax.containers) == n and (ax.get_legend() is not None) == (n > 1)
    for i, bars in enumerate(ax.containers):
        assert [b.get_width() for b in bars] == pytest.approx(probs.roll(i).tolist())
        assert [b.get_height() for b in bars] == pytest.approx([.8/n]*3), 'all bars of a class fill .8'
        assert [b.get_y() for b in bars] == pytest.approx([k - .4 + i*.8/n for k in range(3)]), 'around the tick, without overlap'
    assert [t.get_text() for t in ax.get_yticklabels()] == list('abc') and ax.get_xlim() == (0, 1) and ax.yaxis_inverted()


def test_bars_of_the_largest_classes():
    ax = draw_bars(plt.figure().gca(), {'a': SoftCategory([.1, .5, .05, .35], 'wxyz'), 'b': SoftCategory([0, .2, .8, 0], 'wxyz')}, max_classes=2)
    assert [t.get_text() for t in ax.get_yticklabels()] == ['x', 'y']


@pytest.mark.parametrize('k,shown', [(11, 11), (12, 12), (13, 11), (40, 11)])
def test_messages_show_up_to_twelve_values(k, shown):
    row = np.full((1, k), .25)
    with pytest.raises(SoftLabelError) as e: check_distributions(row)
    text = str([.25]*shown) + (f'… ({k} values)' if k > 12 else '')
    assert f'the probabilities {text} sum to {k/4:.6g}, expected 1' in str(e.value) and ('…' in str(e.value)) == (k > 12)


def test_items_unlabelled_classes_come_last():
    cat = SoftCategory([torch.nan, 0., .5], 'abc', multi=True)
    assert [c for c, _ in cat.items()] == ['c', 'b', 'a']


@pytest.mark.parametrize('p,fine', [(-5e-4, True), (1.0005, True), (-2e-3, False), (1.002, False)])
def test_rounding_is_taken_back(p, fine):
    if fine: assert SoftCategory([p, 0.], 'ab').probs.tolist() == [round(p), 0.]
    else:
        with pytest.raises(SoftLabelError, match='are not probabilities'): SoftCategory([p, 0.], 'ab')


def test_indices():
    logits = torch.zeros(3, 4)
    assert soft_targets(logits, torch.tensor([1, -100, 3]), -1, 0.).tolist() == [[0, 1, 0, 0], [0]*4, [0, 0, 0, 1]]
    assert soft_targets(logits, torch.tensor([1, -100, 3]), -1, torch.nan).isnan().sum(1).tolist() == [0, 4, 0]
    for bad in (-1, 4, 9):
        with pytest.raises(SoftLabelError, match=f'hold the class index {bad}, but 4 classes have the indices 0 to 3'): soft_targets(logits, torch.tensor([0, bad, -100]), -1, 0.)


def test_annotators_asked():
    assert check_probabilities(np.array([[1., 2.], [0., 0.]]), n_votes=np.array([4, 0]), ignore=True)[0].tolist() == [.25, .5]
    for n in (-1, -4):
        with pytest.raises(SoftLabelError, match='n_votes is not a finite number above 0'): check_probabilities(np.array([[0., 0.]]), n_votes=np.array([n]), ignore=True)
    with pytest.raises(SoftLabelError, match='n_votes is not a finite number above 0'): check_probabilities(np.array([[0., 0.]]), n_votes=0)


@pytest.mark.parametrize('axis,shape', [(-1, (2, 5)), (1, (2, 5)), (-1, (2, 3, 5)), (2, (2, 3, 5)), (-2, (2, 5, 3)), (1, (2, 5, 3, 4)), (-1, (2, 3, 4, 5)), (-3, (2, 5, 3, 4)), (0, (5, 2))])
def test_indices_along_any_axis(axis, shape):
    logits = torch.zeros(shape)
    without = [n for i, n in enumerate(shape) if i != axis % len(shape)]
    index = torch.arange(int(np.prod(without))).reshape(without) % 6 - 1
    index[index == -1] = -100
    got = soft_targets(logits, index, axis, torch.nan).movedim(axis, -1)
    for i in np.ndindex(*without):
        assert got[i].isnan().all() if index[i] == -100 else got[i].tolist() == [float(k == index[i]) for k in range(5)]


def test_unlabelled_classes_are_equal_to_each_other_alone():
    a, b = (SoftCategory([torch.nan, .25, x], 'abc', multi=True) for x in (.5, .75))
    assert a == SoftCategory([torch.nan, .25, .5], 'abc', multi=True) and a != b
    assert a != SoftCategory([0., .25, .5], 'abc', multi=True) and SoftCategory([0., .25, .5], 'abc', multi=True) != a


@pytest.mark.parametrize('n', [1, 2, 4])
def test_messages_count_the_labels(n):
    rows = np.array([[.5, .5]]*2 + [[.5, .25]]*n)
    with pytest.raises(SoftLabelError, match='row 2: ') as e: check_distributions(rows)
    assert (f'({n} rows have this fault.)' in str(e.value)) == ('rows have' in str(e.value)) == (n > 1)
    with pytest.raises(SoftLabelError, match=r'row 2: a count exceeds n_votes: \[4\.0, 0\.0, 3\.0\]'): check_probabilities(np.array([[1, 3], [0, 2]] + [[4, 0]]*n), n_votes=np.array([3]*(n + 2)))


def test_numbers_as_categories():
    "pandas makes categories of the numbers themselves, with or without gaps"
    df = pd.DataFrame({'item': list('xyz'), 'a': pd.Categorical([3, 1, 2]), 'b': pd.Categorical([1, 3, None])})
    assert SoftLabelReader(df[:2], 'item', ['a', 'b']).table.tolist() == [[.75, .25], [.25, .75]]
    with pytest.raises(SoftLabelError, match=r"row 2 \(item 'z'\): the label \[2\.0, nan\]"): SoftLabelReader(df, 'item', ['a', 'b'])
    shares = df.assign(a=pd.Categorical([.75, .25, None]), b=pd.Categorical([.25, .75, None]))
    assert SoftLabelReader(shares, 'item', ['a', 'b'], ignore=True).table.nan_to_num(-1).tolist() == [[.75, .25], [.25, .75], [0, 0]]


@pytest.mark.parametrize('dtype,votes,fine', [('int64', 2**62, True), ('uint64', 2**62, True), ('uint64', 2**63, False), ('uint64', 2**64 - 2**11, False)])
def test_more_votes_than_an_integer_holds(dtype, votes, fine):
    df = pd.DataFrame({'item': ['x'], 'a': np.array([votes], dtype), 'b': np.array([0], dtype)})
    if fine: assert SoftLabelReader(df, 'item', ['a', 'b']).table.tolist() == [[1., 0.]]
    else:
        with pytest.raises(SoftLabelError, match=re.escape(f'[{float(f"{float(votes):.4g}")}, 0.0]')): SoftLabelReader(df, 'item', ['a', 'b']) # no number of votes, so a share


@pytest.mark.parametrize('dtype', ['int64', 'int32', 'uint64', 'Int64'])
def test_many_votes(dtype):
    "Counts beyond any committee are votes all the same"
    df = pd.DataFrame({'item': ['x', 'y'], 'a': [3_000_000, 61], 'b': [1_000_000, 183]}).astype({'a': dtype, 'b': dtype})
    assert SoftLabelReader(df, 'item', ['a', 'b']).table.tolist() == [[.75, .25], [.25, .75]]


def test_decoded_masks_know_whether_classes_exclude_each_other():
    z = torch.randn(2, 3, 4, 4)
    for loss, exclusive in ((SoftCrossEntropyLossFlat(axis=1), True), (SoftBCEWithLogitsLossFlat(axis=1), False)):
        decoded = loss.decodes(loss.activation(z))
        assert decoded.exclusive is exclusive and torch.equal(decoded.probs, loss.activation(z))
    assert not hasattr(SoftCrossEntropyLossFlat().decodes(torch.rand(2, 3)), 'exclusive') and not hasattr(SoftCrossEntropyLossFlat().decodes(torch.rand(2, 5, 3)), 'probs')


def test_what_a_loss_is_set_to():
    loss = SoftCrossEntropyLossFlat()
    with pytest.raises(ValueError, match="reduction is 'median'"): loss.reduction = 'median'
    assert loss.reduction == 'mean'
    loss.reduction = 'sum'
    assert loss.reduction == 'sum'
    for w in ([object()], 'heavy', [[1.], [1., 2.]]):
        with pytest.raises(SoftLabelError, match='`weight` is'): SoftCrossEntropyLossFlat(weight=w)


@pytest.mark.parametrize('level', [0, 1, -.5, 1.5, torch.nan])
def test_levels(level):
    with pytest.raises((ValueError, SoftLabelError), match='level is'): bootstrap_interval(soft_cross_entropy, torch.tensor([[.5, .5]]), torch.tensor([[.5, .5]]), level=level)


def test_confidences_that_are_none():
    for conf, correct, words in ((torch.tensor([.5, 1.2, -3.]), torch.zeros(3), r'The confidence of item 1 is 1\.2'), (torch.tensor([.5, -.25]), torch.zeros(2), r'item 1 is -0\.25'),
                                 (torch.rand(3), torch.rand(2), r'shape \(3,\), what is correct \(2,\)'), (torch.rand(2), torch.rand(3), r'shape \(2,\), what is correct \(3,\)'), (torch.rand(2, 2), torch.rand(2, 2), r'shape \(2, 2\)')):
        with pytest.raises(SoftLabelError, match=words): calibration_error(conf, correct)
    assert calibration_error(torch.tensor([0., 1.]), torch.tensor([0., 1.])) == 0, 'the ends are confidences'


def test_names_of_calibration_errors():
    assert [SoftECE(n).name for n in (15, 10, 20)] == ['soft_ece', 'soft_ece_10', 'soft_ece_20'] and SoftECE(20, True, True).name == 'soft_ece_equal_mass_classwise_20'


def test_certain_masks():
    y = torch.zeros(1, 1, 2, 2)
    y[..., 0] = 1
    assert SoftDice()(y, y) == 1 and DiceAt()(y, y) == 1 and DiceAt()(1 - y, y) == 0 and DiceAt()(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)) == 1
    one = torch.zeros(1, 1, 2, 2)
    one[..., 0, 0] = 1
    assert DiceAt()(one, y).item() == pytest.approx(2/3) and DiceAt()(one, torch.zeros(1, 1, 2, 2)) == 0
    for p in (1.5, -.5):
        with pytest.raises(SoftLabelError, match=f'The predictions hold {p}, which is no probability'): SoftDice()(torch.tensor([[[[.5, p], [p + 3, -3 - p]]]]), y)


def test_messages_show_eight_probabilities():
    p = torch.full((2, 9), 1/9)
    p[1] = .2
    with pytest.raises(SoftLabelError, match=r'Row 1 of the .* is not a distribution: \[0\.2, 0\.2, 0\.2, 0\.2, 0\.2, 0\.2, 0\.2, 0\.2\]\.'): soft_cross_entropy(p, torch.full((2, 9), 1/9))


def test_a_teachers_temperature(digits, votes):
    net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(12, 10))
    dls = DataBlock(blocks=(ImageBlock, SoftCategoryBlock(DIGITS)), get_y=lambda f: '1', splitter=EndSplitter(), item_tfms=Resize(16)).dataloaders(sorted((digits/'images').iterdir())[:8], bs=4, num_workers=0, device='cpu')
    learn, files = Learner(dls, net), dls.valid.items
    with learn.no_bar():
        logits = learn.get_preds(act=lambda x: x)[0]
        for t in (1., 2.5): assert torch.from_numpy(preds_to_soft(learn, files, temperature=t).to_numpy()).allclose(torch.softmax(logits/t, 1).double(), atol=1e-6)
    for t in (0., -1., float('inf'), torch.nan):
        with pytest.raises(SoftLabelError, match='temperature is .*expected a finite number above 0'): preds_to_soft(learn, files, temperature=t)


@pytest.mark.parametrize('n', [1, 3])
def test_messages_count_the_rows(n):
    votes = pd.DataFrame({'item': ['x']*3 + [None]*n, 'label': list('aab') + ['a']*n})
    with pytest.raises(SoftLabelError) as e: votes_to_soft(votes, item='item', label='label')
    assert 'Row 3: ' in str(e.value) and (f'({n} rows have this fault.)' in str(e.value)) == (n > 1) and ('rows have' in str(e.value)) == (n > 1)


def test_values_in_messages_are_cut():
    for o in ('a'*200, list(range(200)), {'b'*150: 1}): assert brief(o) == repr(o)[:119] + '…' and len(brief(o)) == 120
    assert brief('a'*118) == repr('a'*118) and len(brief('a'*118)) == 120


@pytest.mark.parametrize('said, voted, expected', [(.9, .8, True), (.9, .2, False), (.1, .2, True), (.1, .9, False), (.9, .5, True), (.1, .5, True)])
def test_a_yes_or_no_agrees_with_most_people(said, voted, expected):
    pred, target = (SoftCategory(torch.tensor([p]), ['lesion'], multi=True) for p in (said, voted))
    assert agrees(pred, target) is expected


def test_even_votes_of_several_classes_agree_with_what_is_present():
    target = SoftCategory(torch.tensor([.5, .5]), ['cat', 'dog'], multi=True)
    assert not agrees(SoftCategory(torch.tensor([.9, .1]), ['cat', 'dog'], multi=True), target)


def test_a_class_of_which_little_is_said_is_shown():
    assert 'lesion' in str(SoftCategory(torch.tensor([.001]), ['lesion'], multi=True))


@pytest.mark.parametrize('value, shown', [(2, '2'), (np.float64(1.5), '1.5'), ('7'*500, brief('7'*500)), (list(range(999)), brief(list(range(999))))], ids=['int', 'float', 'text', 'list'])
def test_a_number_out_of_range_is_shown_in_brief(value, shown):
    with pytest.raises(SoftLabelError) as e: in_range(value, 'level', 'a share', 0, 1)
    assert str(e.value) == f'level is {shown}; expected a share' and len(str(e.value)) < 300


@pytest.mark.parametrize('text, is_cut', [('so long a text that nobody reads it to its end, '*8, True), ('Donaudampfschifffahrtsgesellschaft'*6, True), ('short', False), ('', False)])
def test_texts_fit_into_their_room(text, is_cut):
    fig, ax = plt.subplots(figsize=(5, 2))
    artist = ax.text(0, 1, '')
    filled = fill_text(text, 150, artist, max_lines=3)
    assert filled.count('\n') <= 2 and filled.endswith('…') == is_cut
    assert text.replace(' ', '').startswith(filled.removesuffix('…').replace('\n', '').replace(' ', ''))
    artist.set_text(filled)
    assert artist.get_window_extent(fig.canvas.get_renderer()).width < 1.25*150
