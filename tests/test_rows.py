"Which row belongs to an item: against a dict of texts, whatever the hashes are."
import copy, os, pickle, random, subprocess, sys
from pathlib import Path
from zlib import crc32

import numpy as np, pandas as pd, pytest, torch
from fastai.vision.all import DataBlock, EndSplitter, ImageBlock, Learner, load_learner
from torch import nn

from fastai_softlabels.all import SoftCategorize, SoftCategoryBlock, SoftLabelError, SoftLabelReader, TensorSoftCategory, UnknownNameError
from fastai_softlabels.reader import _RowsByKey, _compact
from conftest import DIGITS

HASHES = {'CRC-32': crc32, 'all collide': lambda b: 0xffffffff, 'by length': len, 'two buckets': lambda b: (crc32(b) & 1) << 31}

@pytest.fixture(params=HASHES)
def hashes(request, monkeypatch): monkeypatch.setattr(_RowsByKey, 'hash', staticmethod(HASHES[request.param]))


def keys(n, seed=0):
    "Different keys of one to four parts; some are the ends, others the beginnings of others; some are no ASCII, some no text at all"
    rng = random.Random(seed)
    parts = ['a', 'b', 'ab', 'ba', 'ä', '猫', '0', '00', 'x.png', 'plumless', 'buckeroo', '\udcff', ' ']
    found = dict.fromkeys(['plumless', 'buckeroo', 'a', 'a/b', 'ab'])
    while len(found) < n: found['/'.join(rng.choices(parts, k=rng.randint(1, 4)))] = None
    return list(found)[:n]

def table(items): return pd.DataFrame(dict(f=pd.Series(items, dtype=object), x=range(1, len(items) + 1), y=1))
def reader(items): return SoftLabelReader(table(items), 'f', ['x', 'y'])


@pytest.mark.parametrize('n', [1, 2, 3, 600])
def test_is_a_dict(hashes, n):
    "of the keys that it has, and of those alone"
    names, strangers = keys(n), [*keys(900)[n:], '', 'a/', '/a', 'plumlessbuckeroo']
    rows, expected = _RowsByKey(names), {k: i for i, k in enumerate(names)}
    assert dict(rows) == expected and list(rows) == names and len(rows) == n and rows == expected
    assert [rows.get(k) for k in strangers] == [expected.get(k) for k in strangers] and not any(k in rows for k in strangers if k not in expected)
    with pytest.raises(KeyError): rows['no such key']
    assert rows.depths() == sorted({k.count('/') + 1 for k in names}, reverse=True) and rows.repeat is None


def test_over_many_blocks():
    names = [f'{i % 7}/{i}.png' for i in range(50_000)]
    for items in (names, pd.Series(names), pd.Series(names, dtype=object), pd.Index(names), np.array(names), pd.Series(names).astype('category')):
        rows = _RowsByKey(items)
        assert rows == {k: i for i, k in enumerate(names)} and rows.are(items) and rows.are(names) and not rows.are([*names[:-1], 'other'])


def test_repeats_are_those_that_pandas_finds(hashes):
    rng = random.Random(1)
    for n in (2, 5, 40, 300):
        names = rng.choices(keys(n), k=n)
        i = int(pd.Series(names, dtype=object).duplicated().argmax()) if len(set(names)) < n else None
        assert _RowsByKey(names).repeat == (None if i is None else (names.index(names[i]), i))


def test_repeats_are_refused_though_far_apart():
    names = [f'{i}.png' for i in range(40_000)]
    names[39_999] = names[5]
    with pytest.raises(SoftLabelError, match=r"row 39999 \(item '5.png'\) repeats row 5 \(item '5.png'\)"): reader(names)


def test_the_longest_end_that_the_table_has(hashes):
    names = keys(300)
    known, ours = set(names), reader(names)
    for path in [*names, *(f'/somewhere/{k}' for k in names), *keys(900, seed=2), 'a/none', 'none']:
        parts = path.split('/')
        ends = [e for e in ('/'.join(parts[i:]) for i in range(len(parts))) if e in known]
        if ends: assert ours.find(path) == names.index(ends[0])
        else:
            with pytest.raises(UnknownNameError): ours.find(path)


def test_texts_in_a_row_are_not_taken_for_others():
    "where one key ends and the next begins is part of what they are"
    rows = _RowsByKey(['ab', 'c', 'd'])
    assert not rows.are(['a', 'bc', 'd']) and not rows.are(['ab', 'c']) and not rows.are(['ab', 'c', 'd', 'e']) and not rows.are(['c', 'ab', 'd']) and rows.are([Path('ab'), './c', 'd'])
    with pytest.raises(UnknownNameError, match="No row for the item 'a' among 3 rows like"): reader(['ab', 'c', 'd']).check_items(['a', 'bc', 'd'])


def test_items_in_any_order_and_any_number(hashes):
    names = keys(100)
    ours, df = reader(names), table(names)
    for items in (names, names[::-1], names[:7], names*2, df, df.iloc[::-1], df.iloc[[3, 3, 5]], [Path('/data')/k for k in names if k[0] not in '/ ']): ours.check_items(items)
    with pytest.raises(SoftLabelError, match='The items .*ab.* and .*/data/ab.* have the same row .ab.'): ours.check_items([*names, '/data/ab'])
    with pytest.raises(UnknownNameError, match="'new'"): ours.check_items(pd.concat([df, table(['new'])]))


def test_more_than_two_gigabytes_of_keys():
    "numbers that large take eight bytes"
    for top, size in ((2**31 - 1, 4), (2**31, 8)):
        a = _compact(np.array([0, 5, top]))
        assert a.tolist() == [0, 5, top] and a.itemsize == size


def test_costs_less_than_the_table_itself():
    "of ten classes, with names of a usual length; a dict of texts took four times as much"
    n = 20_000
    df = pd.DataFrame(np.eye(10)[np.arange(n) % 10], columns=DIGITS).assign(f=[f'images/{i:06d}.png' for i in range(n)])
    ours = SoftLabelReader(df, 'f', DIGITS)
    table = ours.table.numel()*ours.table.element_size()
    assert table == 40*n < len(pickle.dumps((ours.rows, ours.probs))) < 2*table
    assert sum(len(a)*getattr(a, 'itemsize', 1) for a in vars(ours.rows).values() if hasattr(a, '__len__')) < table


def test_copies_answer_like_the_original(tmp_path):
    names = keys(200)
    ours = reader(names)
    for other in (copy.deepcopy(ours), copy.copy(ours)):
        assert [other.find(k) for k in names] == list(range(200)) and torch.equal(other.table, ours.table) and other.rows == ours.rows
    (tmp_path/'reader').write_bytes(pickle.dumps(ours.rows))
    lines = f"import pickle\nr = pickle.loads(open({str(tmp_path/'reader')!r}, 'rb').read())\nprint([r[k] for k in list(r)] == list(range(200)), len(r))"
    for seed in ('1', '2'): # hashes of Python's own would be others in each process
        assert subprocess.run([sys.executable, '-c', lines], cwd=Path(__file__).parents[1], env={**os.environ, 'PYTHONHASHSEED': seed}, capture_output=True, text=True, timeout=120).stdout.split() == ['True', '200']


def test_an_exported_learner_has_no_rows(digits, votes, tmp_path):
    block = DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_y=SoftLabelReader(votes, 'fname', DIGITS), splitter=EndSplitter(.2))
    dls = block.dataloaders([digits/f for f in votes.fname], bs=16, num_workers=0)
    Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(192, 10))).export(tmp_path/'learn.pkl')
    loaded = load_learner(tmp_path/'learn.pkl')
    assert loaded.predict(digits/votes.fname[5])[0].label in DIGITS
    with pytest.raises(SoftLabelError, match="left out when this reader was pickled.*cannot look up '.*0005.png'.*build DataLoaders with a new reader"): loaded.dls.test_dl([digits/votes.fname[5]], with_labels=True).one_batch()


def test_rows_are_new_tensors_of_their_type():
    ours = reader(['a', 'b'])
    y = ours('a')
    assert type(y) is type(ours.table) is TensorSoftCategory and y.classes is ours.classes and y.dtype == torch.float32
    y.zero_()
    assert ours.table.tolist() == [[.5, .5], [pytest.approx(2/3), pytest.approx(1/3)]]
    for vocab in (['x', 'y'], ['y', 'x']):
        encoded = SoftCategorize(vocab=vocab)(ours('b'))
        assert type(encoded) is TensorSoftCategory and not hasattr(encoded, 'classes') and encoded.tolist() == pytest.approx([2/3, 1/3][::1 if vocab[0] == 'x' else -1])
