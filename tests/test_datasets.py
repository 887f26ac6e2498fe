"Data sets as folders: built whole or not at all, never stale, never outside their folder."
import hashlib, io, os, pickle, shutil, subprocess, sys, tarfile, warnings, zipfile
from pathlib import Path

import numpy as np, pandas as pd, pytest
from PIL import Image

from fastdownload import FastDownload
from fastai_softlabels import datasets
from fastai_softlabels.all import CIFAR_CLASSES, SoftLabelError, SoftLabelReader, cell_votes, cells_masks, cifar10h, digits_votes, ellipses_masks, entropy, photo_squares, vader_ratings, votes_to_soft, word_ratings
from fastai_softlabels.files import build_folder, safe_unzip
from fastai_softlabels.datasets import check_digits, committee_votes, degraded_views, draw_ellipses


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    "fastai's data folder, somewhere else and empty"
    monkeypatch.setattr(datasets, 'cache_path', lambda name: tmp_path/'data'/name)
    return tmp_path/'data'


def zipped(path, n=3, extra=()):
    "A small cifar10h.zip as `cifar10h` expects it"
    with zipfile.ZipFile(path, 'w') as z:
        counts = pd.DataFrame(np.eye(10, dtype=int)[:n]*50, columns=CIFAR_CLASSES)
        counts.insert(0, 'label', CIFAR_CLASSES[:n])
        counts.insert(0, 'fname', [f'images/{i:05d}.jpg' for i in range(n)])
        z.writestr('votes.csv', counts.to_csv(index=False))
        for f in counts.fname: z.writestr(f, 'a picture')
        for name in extra: z.writestr(name, 'x')


def test_digits_are_built_from_nothing(empty_cache):
    path = digits_votes()
    df = pd.read_csv(path/'votes.csv')
    assert path.parent == empty_cache and len(df) == len(list((path/'images').iterdir())) == 1797
    classes = [str(c) for c in range(10)]
    assert (df[classes].sum(axis=1) == 30).all()
    from sklearn.datasets import load_digits
    digits = load_digits()
    assert (df.label == digits.target).all()
    assert np.array(Image.open(path/df.fname[5])) == pytest.approx(digits.images[5]*255/16, abs=.5)
    before = os.stat(path/'votes.csv').st_mtime_ns
    assert digits_votes() == path and os.stat(path/'votes.csv').st_mtime_ns == before, 'built once'


def test_votes_are_reproducible_and_out_of_fold():
    rng = np.random.default_rng(0)
    images, labels = rng.random((200, 8, 8)), np.arange(200) % 10
    votes = committee_votes(images, labels)
    assert (votes == committee_votes(images, labels)).all() and (votes.sum(1) == 30).all()
    assert votes[np.arange(200), labels].mean() < 30*.25, 'on noise, who has not seen the answer cannot know it'


def test_votes_do_not_depend_on_the_number_of_threads():
    from sklearn.datasets import load_digits
    from threadpoolctl import threadpool_limits
    digits, found = load_digits(), []
    for n in (1, 4):
        with threadpool_limits(n): found.append(committee_votes(digits.images[:600]/16, digits.target[:600]))
    assert (found[0] == found[1]).all()


def test_interrupted_building_leaves_nothing(empty_cache, monkeypatch):
    monkeypatch.setattr(datasets, 'committee_votes', lambda images, labels: np.full((len(images), 10), 3)) # who votes takes seconds
    def interrupt(*args, **kwargs): raise KeyboardInterrupt
    monkeypatch.setattr(datasets.Image, 'fromarray', interrupt)
    with pytest.raises(KeyboardInterrupt): digits_votes()
    assert list(empty_cache.iterdir()) == []


def test_a_folder_is_replaced_whole_or_stays(tmp_path):
    with build_folder(tmp_path/'set') as tmp: (tmp/'first').touch()
    with build_folder(tmp_path/'set') as tmp: (tmp/'second').touch()
    assert [p.name for p in (tmp_path/'set').iterdir()] == ['first'], 'a data set that is there stays'
    with pytest.raises(KeyboardInterrupt):
        with build_folder(tmp_path/'set', replace=True) as tmp: raise KeyboardInterrupt
    assert [p.name for p in (tmp_path/'set').iterdir()] == ['first']
    with build_folder(tmp_path/'set', replace=True) as tmp: (tmp/'third').touch()
    assert [p.name for p in (tmp_path/'set').iterdir()] == ['third'] and [p.name for p in tmp_path.iterdir()] == ['set']


def test_two_builders_do_not_disturb_each_other(tmp_path):
    with build_folder(tmp_path/'set') as a:
        (a/'first').touch()
        with build_folder(tmp_path/'set') as b: (b/'second').touch()
    assert [p.name for p in (tmp_path/'set').iterdir()] == ['second'] and len(list(tmp_path.iterdir())) == 1


def test_cifar10h_from_a_prepared_zip(empty_cache, monkeypatch, tmp_path):
    monkeypatch.setenv('FASTAI_SOFTLABELS_DATA', str(tmp_path))
    zipped(tmp_path/'cifar10h.zip')
    first = cifar10h()
    assert pd.read_csv(first/'votes.csv').label.tolist() == CIFAR_CLASSES[:3] and cifar10h() == first
    zipped(tmp_path/'cifar10h.zip', n=5)
    assert len(pd.read_csv(cifar10h()/'votes.csv')) == 5, 'a changed zip is not served from the cache'
    (tmp_path/'cifar10h'/'images').mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match='cifar10h lacks votes.csv at its top level'): cifar10h()
    (tmp_path/'cifar10h'/'votes.csv').touch()
    assert cifar10h() == tmp_path/'cifar10h'


def test_zip_that_is_none(empty_cache, monkeypatch, tmp_path):
    monkeypatch.setenv('FASTAI_SOFTLABELS_DATA', str(tmp_path))
    (tmp_path/'cifar10h.zip').write_bytes(b'half a downl')
    with pytest.raises(ValueError, match='cifar10h.zip is not a readable zip file .*download it again'): cifar10h()
    with zipfile.ZipFile(tmp_path/'cifar10h.zip', 'w') as z: z.writestr('cifar10h/votes.csv', 'nested')
    with pytest.raises(FileNotFoundError, match='cifar10h.zip lacks votes.csv and images at its top level'): cifar10h()
    assert list(empty_cache.iterdir()) == [], 'nothing half is kept'


@pytest.mark.parametrize('name', ['../evil', '/tmp/evil', 'images/../../evil'])
def test_zip_that_leaves_its_folder(tmp_path, name):
    zipped(tmp_path/'evil.zip', extra=[name])
    (tmp_path/'dest').mkdir()
    with pytest.raises(ValueError, match='do not trust this file') as e: safe_unzip(tmp_path/'evil.zip', tmp_path/'dest')
    assert name in str(e.value) and list((tmp_path/'dest').iterdir()) == []


def stand_ins(folder, records, counts):
    "The two files that are downloaded, made here"
    archive, table = folder/'cifar-10-binary.tar.gz', folder/'counts.npy'
    with tarfile.open(archive, 'w:gz') as tar:
        info = tarfile.TarInfo('cifar-10-batches-bin/test_batch.bin')
        info.size = records.nbytes
        tar.addfile(info, io.BytesIO(records.tobytes()))
    np.save(table, counts)
    return archive, table


def test_cifar10h_by_download(empty_cache, monkeypatch, tmp_path):
    "the two files are downloaded by fastai's means; here from local stand-ins"
    monkeypatch.delenv('FASTAI_SOFTLABELS_DATA', raising=False)
    rng, counts = np.random.default_rng(0), np.full((4, 10), 5)
    records = rng.integers(256, size=(4, 3073), dtype=np.uint8)
    records[:, 0] = [0, 9, 3, 3]
    archive, table = stand_ins(tmp_path, records, counts)
    asked = []
    monkeypatch.setattr(datasets, '_CIFAR_MD5', hashlib.md5(archive.read_bytes()).hexdigest())
    monkeypatch.setattr(FastDownload, 'download', lambda self, url, force: asked.append(url) or {datasets.CIFAR_URL: archive, datasets.CIFAR10H_URL: table}[url])
    path = cifar10h()
    df = pd.read_csv(path/'votes.csv')
    assert df.label.tolist() == ['airplane', 'truck', 'cat', 'cat'] and (df[CIFAR_CLASSES] == 5).all(axis=None)
    assert (np.array(Image.open(path/df.fname[2])) == records[2, 1:].reshape(3, 32, 32).transpose(1, 2, 0)).all()
    assert cifar10h() == path and asked == [datasets.CIFAR_URL, datasets.CIFAR10H_URL], 'downloaded once'
    table.unlink()
    np.save(table, counts[:, ::-1]*2)
    assert (pd.read_csv(cifar10h(force=True)/'votes.csv')[CIFAR_CLASSES] == 10).all(axis=None) and [p.name for p in empty_cache.iterdir()] == ['cifar10h_v1']


def test_damaged_downloads_are_removed_and_named(empty_cache, monkeypatch, tmp_path):
    monkeypatch.delenv('FASTAI_SOFTLABELS_DATA', raising=False)
    archive, table = stand_ins(tmp_path, np.zeros((4, 3073), np.uint8), np.full((4, 10), 5))
    monkeypatch.setattr(FastDownload, 'download', lambda self, url, force: {datasets.CIFAR_URL: archive, datasets.CIFAR10H_URL: table}[url])
    right, whole = archive.read_bytes(), table.read_bytes()
    with pytest.raises(ValueError, match=r'cifar-10-binary\.tar\.gz was damaged \(its MD5 is [0-9a-f]{32}, expected c32a1d4ab5d03f1284b67883e8d87530\), and is removed\. Call again'): cifar10h()
    assert not archive.exists()
    monkeypatch.setattr(datasets, '_CIFAR_MD5', hashlib.md5(right).hexdigest())
    archive.write_bytes(right)
    for damaged in (whole[:-30], b'', b'<html>not found</html>', pickle.dumps([1])):
        table.write_bytes(damaged)
        with pytest.raises(ValueError, match=r'counts\.npy was damaged .*removed'): cifar10h()
        assert not table.exists() and archive.exists()
    for odd in (np.full((4, 9), 5), np.full((4, 10), -1), np.full((4, 10), .5), np.zeros((4, 10), int)):
        np.save(table, odd)
        with pytest.raises(ValueError, match='expected votes for 10 classes in each row'): cifar10h()
    np.save(table, np.full((4, 10), 5))
    archive.write_bytes(right)
    assert len(pd.read_csv(cifar10h()/'votes.csv')) == 4


@pytest.mark.skipif('FASTAI_SOFTLABELS_DATA' not in os.environ, reason='needs CIFAR-10H in the folder that FASTAI_SOFTLABELS_DATA names')
def test_the_real_cifar10h():
    df = pd.read_csv(cifar10h()/'votes.csv')
    votes = df[CIFAR_CLASSES].to_numpy()
    assert votes.shape == (10_000, 10) and votes.sum() == 511_000
    assert entropy(votes/votes.sum(1, keepdims=True)).mean().item() == pytest.approx(.154, abs=1e-3)
    assert (df[CIFAR_CLASSES].idxmax(axis=1) == df.label).mean() == pytest.approx(.9921, abs=2e-3)


def test_photo_squares_are_the_photographs(empty_cache, monkeypatch):
    from sklearn.datasets import load_sample_images
    folder = photo_squares()
    assert folder.parent == empty_cache and len(list(folder.iterdir())) == 120
    for name, im in zip(('china', 'flower'), load_sample_images().images):
        rows = [np.concatenate([np.asarray(Image.open(folder/f'{name}_{10*y + x:02}.png')) for x in range(10)], 1) for y in range(6)]
        assert (np.concatenate(rows) == im[:384, :640]).all()
    made = (folder/'china_00.png').stat().st_mtime_ns
    assert photo_squares() == folder and (folder/'china_00.png').stat().st_mtime_ns == made, 'made once'
    monkeypatch.setattr(datasets, 'cache_path', lambda name: empty_cache/'other'/name)
    monkeypatch.setattr(Image.Image, 'save', lambda *args, **kw: (_ for _ in ()).throw(OSError('No space left')))
    with pytest.raises(OSError, match='No space left'): photo_squares()
    assert list((empty_cache/'other').iterdir()) == [], 'no half folder stays'


def test_ellipses_are_drawn_by_five_with_habits(empty_cache, monkeypatch):
    folder = ellipses_masks()
    def mask(i, a): return np.asarray(Image.open(folder/f'masks/{i:03}_{a}.png')) > 0
    sizes = np.array([[mask(i, a).mean() for a in range(5)] for i in range(160)])
    assert len(list((folder/'images').iterdir())) == 160 and len(list((folder/'masks').iterdir())) == 800
    assert (np.diff(sizes.mean(0)) > 0).all() and (sizes > 0).all(), 'each draws larger than the one before'
    image = np.asarray(Image.open(folder/'images/000.png'), dtype=float)
    assert image[mask(0, 2)].mean() > image[~mask(0, 4)].mean() + 40
    first = {f.name: f.read_bytes() for f in folder.rglob('*.png')}
    monkeypatch.setattr(datasets, 'cache_path', lambda name: empty_cache/'again'/name)
    assert {f.name: f.read_bytes() for f in ellipses_masks().rglob('*.png')} == first, 'the recipe is seeded'


MEANS = [.308938, .327196, .325718]
AREAS = [200, 490, 420, 609, 631], [534, 838, 659, 1237, 1109], [494, 536, 356, 982, 856]

def test_a_change_of_the_recipe_takes_a_new_number():
    "the folder `ellipses_masks_v1` stays on people's disks: what is drawn from a seed is what it has always been"
    rng = np.random.default_rng(7)
    drawn = [draw_ellipses(rng) for _ in range(3)]
    assert [image.mean() for image, _ in drawn] == pytest.approx(MEANS, abs=1e-5)
    for (_, masks), areas in zip(drawn, AREAS): assert masks.sum((1, 2)).tolist() == pytest.approx(areas, abs=2)


def test_views_of_digits():
    "each as a loop over pixels says"
    images = np.random.default_rng(0).random((3, 8, 8))
    views = {name: view(images) for name, view in degraded_views().items()}
    coarse = [[[image[2*i:2*i + 2, 2*j:2*j + 2].mean() for j in range(4)] for i in range(4)] for image in images]
    np.testing.assert_allclose(views['coarse'], coarse)
    for name, rows, columns in (('left', slice(0, 5), slice(0, 8)), ('right', slice(3, 8), slice(0, 8)), ('top', slice(0, 8), slice(0, 5)), ('bottom', slice(0, 8), slice(3, 8))):
        kept = [image[:, rows] if name in ('left', 'right') else image[columns] for image in images]
        np.testing.assert_array_equal(views[name], kept)
    assert views['blurred'].shape == images.shape and views['blurred'].std() < images.std()


@pytest.mark.parametrize('shape', [(50, 7, 8), (50, 9, 9), (50, 8, 9), (50, 64), (49, 8, 8), (51, 8, 8)], ids=str)
def test_digits_of_another_shape(shape):
    with pytest.raises(SoftLabelError, match=f'There are {shape[0]} images in an array of shape'): check_digits(np.zeros(shape), np.arange(50) % 10)


def test_cells_are_what_five_people_drew(empty_cache):
    cells = cells_masks()
    images, masks = sorted((cells/'images').iterdir()), sorted((cells/'masks').iterdir())
    assert len(images) == 68 and len(masks) == 680 and 'Boston University' in (cells/'LICENSE.txt').read_text()
    assert {m.stem.rsplit('_', 2)[0] for m in masks} == {f.stem for f in images}
    assert {m.stem.split('_', 2)[2] for m in masks} == {f'p{p}_{tool}' for p in range(1, 6) for tool in ('amira', 'imagej')}
    for m in masks:
        with Image.open(m) as im: assert im.mode == '1' and im.size == (128, 128) and 0 < np.asarray(im).mean() < .3
    assert cells_masks() == cells, 'unpacked once'


def test_votes_on_pixels_are_of_the_drawings(empty_cache):
    folder = cell_votes()
    votes = pd.read_csv(folder/'votes.csv')
    assert len(votes) == 68*16 and (votes.yes + votes.no).eq(5).all() and votes.fname.is_unique
    counts = votes.groupby('image').yes.apply(lambda yes: (yes.between(1, 4).sum(), (yes == 5).sum(), (yes == 0).sum()))
    assert set(counts) == {(8, 4, 4)}
    cells = cells_masks()
    for row in votes.sample(60, random_state=0).itertuples():
        drawn = [np.asarray(Image.open(cells/f'masks/{row.image}_p{p}_amira.png'))[row.row, row.column] for p in range(1, 6)]
        image, square = np.asarray(Image.open(cells/f'images/{row.image}.png')), np.asarray(Image.open(folder/row.fname))
        assert sum(drawn) == row.yes and square.shape == (25, 25)
        assert (square == image[row.row - 12:row.row + 13, row.column - 12:row.column + 13]).all()


def test_the_package_holds_the_cells(tmp_path):
    "What is built has them beside the modules, with their licence"
    import fastai_softlabels
    root = Path(fastai_softlabels.__file__).parents[1]
    for f in ('setup.py', 'settings.ini', 'pyproject.toml', 'README.md', 'LICENSE'): shutil.copy(root/f, tmp_path)
    shutil.copytree(root/'fastai_softlabels', tmp_path/'fastai_softlabels')
    subprocess.run([sys.executable, 'setup.py', '-q', 'build'], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    built = tmp_path/'build/lib/fastai_softlabels/embedded'
    assert {f.name: f.read_bytes() for f in built.iterdir()} == {f.name: f.read_bytes() for f in (root/'fastai_softlabels/embedded').iterdir()}
    assert {f.name for f in built.iterdir()} == {'cells.zip', 'cells_LICENSE.txt', 'words.zip', 'words_LICENSE.txt'}


def test_words_have_the_ratings_of_ten_people(empty_cache):
    words = pd.read_csv(word_ratings()/'votes.csv', keep_default_na=False)
    counts = words[datasets.RATINGS].to_numpy()
    assert words.shape == (7506, 10) and words.word.is_unique and set(counts.sum(1)) == {10, 20}
    assert sorted(words.word[counts.sum(1) == 20]) == [':-p', 'd:', 'd=', 'fav', 'lmao', 'lol', 'muah', 'o.o', 'ok', 'sob', 'x-d', 'x-p', 'xd', 'xp']
    means = pd.Series(counts @ np.arange(-4, 5)/counts.sum(1), words.word)
    assert means['abandon'] == pytest.approx(-1.9) and means['love'] == pytest.approx(3.2), 'as the lexicon publishes them'
    assert 'MIT License' in (word_ratings()/'LICENSE.txt').read_text()

def test_all_words_are_found_emoticons_too(): # `:-/` and `:-\\` are two of them, and no paths
    words = pd.read_csv(word_ratings()/'votes.csv', keep_default_na=False)
    ratings = [str(r) for r in range(-4, 5)]
    read = SoftLabelReader(words, 'word', ratings)
    twins = words.set_index('word').loc[[':-/', ':-\\'], ratings]
    assert twins.iloc[0].tolist() != twins.iloc[1].tolist()
    for word, votes in twins.iterrows(): np.testing.assert_allclose(read(word), votes/votes.sum(), atol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert len(votes_to_soft(words, 'word', counts=ratings)) == len(words), 'and none is a file in the folder of another'


def vader_files(n: int = 3) -> dict:
    "The authors' eight files in small, with what makes them hard to read: a byte-order mark, CRLF, quotation marks, another order"
    files = {}
    for source, name in datasets.VADER_FILES.items():
        lines = [f'{i}_1\t0.0\t"{source} number {i}, he said.' for i in range(n)]
        ratings = [f'{i}_1\t0.0\t1.0\t[{i - 1}, 0, -4, 4]' for i in reversed(range(n))]
        files[f'{name}_GroundTruth.txt'] = '\r\n'.join(lines).encode('utf-8-sig')
        files[f'{name}_anonDataRatings.txt'] = '\r\n'.join(ratings).encode('utf-8-sig') + b'\r\n'
    return files

def packed_vader(path: Path, files: dict) -> Path:
    "An archive of these files, in a folder as the authors have them"
    if path.suffix == '.zip':
        with zipfile.ZipFile(path, 'w') as z:
            for name, data in files.items(): z.writestr(name, data)
        return path
    with tarfile.open(path, 'w:gz') as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f'hutto_ICWSM_2014/{name}')
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path

@pytest.mark.parametrize('name', ['vader_ratings.zip', 'hutto.tar.gz'])
def test_texts_are_read_as_they_are(name, empty_cache, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, 'VADER_SIZE', (12, 48))
    archive = packed_vader(tmp_path/name, vader_files())
    if name.endswith('.zip'): monkeypatch.setenv('FASTAI_SOFTLABELS_DATA', str(tmp_path))
    else:
        monkeypatch.delenv('FASTAI_SOFTLABELS_DATA', raising=False)
        monkeypatch.setattr(FastDownload, 'download', lambda self, url, force=False: archive)
    folder = vader_ratings()
    df = pd.read_csv(folder/'votes.csv', keep_default_na=False)
    assert folder.parent == empty_cache and len(df) == 12 and df['item'].is_unique and set(df.source) == {'tweets', 'films', 'products', 'editorials'}
    row = df[df['item'] == 'films_2_1'].iloc[0]
    assert row.text == '"films number 2, he said.' and row[datasets.RATINGS].tolist() == [1, 0, 0, 0, 1, 1, 0, 0, 1]
    assert vader_ratings() == folder, 'written once'


@pytest.mark.parametrize('change, words', [
    (lambda f: f.pop('tweets_anonDataRatings.txt'), 'no tweets_anonDataRatings.txt in it'),
    (lambda f: f.update({'tweets_GroundTruth.txt': b'7_1\t0\tAnother.'}), 'tweets with other ids among the ratings than among the texts'),
    (lambda f: f.update({'tweets_anonDataRatings.txt': f['tweets_anonDataRatings.txt'].replace(b'-4, 4]', b'-4, 9]')}), 'that are not from -4 to 4'),
    (lambda f: None, '12 texts and 48 ratings; expected 23703 and 536520')])
def test_texts_that_are_not_the_authors(change, words, empty_cache, tmp_path, monkeypatch):
    files = vader_files()
    change(files)
    monkeypatch.setenv('FASTAI_SOFTLABELS_DATA', str(packed_vader(tmp_path/'vader_ratings.zip', files).parent))
    with pytest.raises(SoftLabelError, match="does not hold VADER's ratings") as e: vader_ratings()
    assert words in str(e.value) and not list(empty_cache.glob('vader*'))


@pytest.mark.skipif('FASTAI_SOFTLABELS_DATA' not in os.environ, reason='needs the texts in the folder that FASTAI_SOFTLABELS_DATA names')
def test_the_real_texts():
    df = pd.read_csv(vader_ratings()/'votes.csv', keep_default_na=False)
    n = df[datasets.RATINGS].sum(axis=1)
    assert df.source.value_counts().to_dict() == {'films': 10605, 'editorials': 5190, 'tweets': 4200, 'products': 3708}
    assert n.groupby(df.source).agg(['min', 'max']).loc['films'].tolist() == [15, 29] and (n[df.source == 'tweets'] > 90).sum() == 1000
