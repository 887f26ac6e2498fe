"""Which loss should a block infer for grades? Cross-entropy, the ranked probability score, or both by halves, on words and on images.

    FASTAI_SOFTLABELS_DATA=/folder/with/vader_ratings.zip python experiments/ordinal.py

Sentences of film reviews, which fifteen people or more rated from −4 to 4, are read by a bag of embeddings. Squares of photographs of
cells are graded 0 to 4 by the outlines of five people: how many quarters of the square each marked as cell (`cells_masks`, embedded).
A fifth of the sentences, and of the photographs, is for validation, another one for each seed.

The rule was fixed before the runs: `SoftOrdinalBlock` infers cross-entropy unless another loss has, on both sets, a lower ranked
probability score for every seed, and a cross-entropy that is not higher, paired by seed, by more than two standard errors; of two
such losses the one with the lower ranked probability score. Writes a row for each set, loss and seed to results/ordinal.csv.
"""
from pathlib import Path
from tempfile import mkdtemp

import numpy as np, pandas as pd, torch
from fastai.text.all import ColReader, DataBlock, IndexSplitter, Learner, TextBlock, set_seed
from fastai.vision.all import ImageBlock
from PIL import Image

from fastai_softlabels.all import *
from fastai_softlabels.ordinal import *
from ratings import BagOfWords, split
from runs import arguments, plain_net, write_runs

LOSSES = {'cross-entropy': SoftCrossEntropyLossFlat, 'ranked probability score': SoftOrdinalLossFlat, 'mixture': lambda: SoftOrdinalLossFlat(ce=.5)}
METRICS = [ranked_probability_score, wasserstein_distance, grade_error, within_one, spread_difference, quadratic_weighted_kappa, labels_kappa,
           soft_cross_entropy, kl_divergence, top1_agreement]
RATINGS, GRADES = [str(r) for r in range(-4, 5)], [str(g) for g in range(5)]


def sentences() -> pd.DataFrame:
    df = pd.read_csv(vader_ratings()/'votes.csv', keep_default_na=False)
    return df[df.source == 'films'].reset_index(drop=True)


def squares(size: int = 25, step: int = 12, n: int = 16) -> pd.DataFrame: # fname, image, and how many of five people gave each grade
    "Cut squares from the cells of which people see different shares, or which are no mere background"
    path, folder, rng, rows = cells_masks(), Path(mkdtemp()), np.random.default_rng(0), []
    for file in sorted((path/'images').iterdir()):
        photo = Image.open(file).convert('RGB')
        drawn = np.stack([np.asarray(Image.open(m)) for m in sorted((path/'masks').glob(f'{file.stem}_*_amira.png'))])
        corners = [(r, c) for r in range(0, 128 - size, step) for c in range(0, 128 - size, step)]
        grades = {(r, c): np.rint(4*drawn[:, r:r + size, c:c + size].mean((1, 2))).astype(int) for r, c in corners}
        some = [at for at in corners if grades[at].any()]
        for r, c in (some[i] for i in sorted(rng.permutation(len(some))[:n])):
            fname = f'{len(rows):04}.png'
            photo.crop((c, r, c + size, r + size)).save(folder/fname)
            rows.append(dict(fname=str(folder/fname), image=file.stem, **dict(zip(GRADES, np.bincount(grades[r, c], minlength=5)))))
    return pd.DataFrame(rows)


def learner_of_words(df, is_valid, loss, seed) -> tuple:
    "A bag of words, and for how many epochs to train it, at which rate"
    block = DataBlock(blocks=(TextBlock.from_df('text'), SoftOrdinalBlock(RATINGS, loss_func=loss)), get_x=ColReader('text'),
                      get_y=SoftLabelReader(df, 'item', RATINGS), splitter=IndexSplitter(np.flatnonzero(is_valid)))
    dls = block.dataloaders(df, bs=64, num_workers=0)
    return Learner(dls, BagOfWords(len(dls.vocab[0]), dls.c)), 8, 1e-2


def learner_of_images(df, is_valid, loss, seed) -> tuple:
    "A small convolutional network, likewise"
    block = DataBlock(blocks=(ImageBlock, SoftOrdinalBlock(GRADES, loss_func=loss)), get_x=ColReader('fname'),
                      get_y=SoftLabelReader(df, 'fname', GRADES), splitter=IndexSplitter(np.flatnonzero(is_valid)))
    dls = block.dataloaders(df, bs=32, num_workers=0)
    return Learner(dls, plain_net(dls.c, width=16)), 15, 3e-3


def held_out_images(df: pd.DataFrame, seed: int) -> np.ndarray:
    "Squares of a fifth of the photographs"
    names = df.image.unique()
    return df.image.isin(np.random.default_rng(seed).permutation(names)[:len(names)//5]).to_numpy()


SETS = {'films': (sentences, split, learner_of_words), 'cells': (squares, held_out_images, learner_of_images)}


def compare(name: str, seeds, only=None, verbose: bool = False) -> pd.DataFrame:
    "A row for each seed and loss"
    make, draw, learner = SETS[name]
    df, rows = make(), []
    for seed in seeds:
        is_valid = draw(df, seed)
        for loss in only or LOSSES:
            set_seed(seed, reproducible=True)
            learn, epochs, lr = learner(df, is_valid, LOSSES[loss](), seed)
            with learn.no_bar(), learn.no_logging():
                learn.fit_one_cycle(epochs, lr)
                interp = SoftInterpretation.from_learner(learn)
            scores = interp.scores(METRICS, n=0).value.to_dict()
            cdf, share = (o.cumsum(1)[:, :-1].flatten() for o in (interp.probs, interp.targets.as_subclass(torch.Tensor)))
            scores['cumulative_ece'] = calibration_error(cdf.clamp(0, 1), share.clamp(0, 1)).item()
            rows.append(dict(set=name, loss=loss, seed=seed, **scores, n_train=int((~is_valid).sum()), n_valid=int(is_valid.sum()), epochs=epochs))
            if verbose: print(rows[-1], flush=True)
    return pd.DataFrame(rows)


if __name__ == '__main__':
    args = arguments(__doc__, 'ordinal.csv')
    for name in SETS: write_runs(compare(name, args.seeds, args.only, verbose=True), args.out, replace=['set', 'loss', 'seed'])
