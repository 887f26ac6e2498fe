"""Which item should get the next vote? Votes are drawn one by one from those that people gave, and asked for by several scores.

    FASTAI_SOFTLABELS_DATA=/folder/with/cifar10h.zip python experiments/next_votes.py

CIFAR-10H: 2,000 images begin with one vote each; in each of ten rounds 500 of them get another, which is drawn without replacement from
the fifty or so that were given. The digits: 600 of them, 30 votes by a committee of classifiers, 150 new votes a round; there
cleanlab's ActiveLab takes part, and a model's predictions (logistic regression, out of fold, on the majority so far) can be the prior. All
are judged by the mean KL divergence from the shares of all votes to the posterior mean, with that prior, after each round. Writes
results/next_votes.csv.
"""
import warnings
from itertools import product

import numpy as np, pandas as pd
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from fastai_softlabels.all import *
from fastai_softlabels.annotators import activelab
from fastai_softlabels.datasets import cifar10h, committee, degraded_views, out_of_fold
from runs import arguments, write_runs

PRIOR = .1 # pseudo-votes for each of ten classes


class Pool:
    "Items with votes that were given, and those that were drawn so far"
    def __init__(self, given: list, n_classes: int, rng):
        self.left = [rng.permutation(v).tolist() for v in given] # numbers of votes: class, or annotator and class
        self.n_classes, self.rng = n_classes, rng
        self.full = np.stack([np.bincount(np.asarray(v)[:, 1], minlength=n_classes) for v in given])
        self.drawn = [[] for _ in given]
        for i in range(len(given)): self.draw(i)

    def draw(self, i: int):
        if self.left[i]: self.drawn[i].append(self.left[i].pop())

    @property
    def counts(self) -> np.ndarray: return np.stack([np.bincount(np.asarray(v)[:, 1], minlength=self.n_classes) for v in self.drawn])

    @property
    def table(self) -> pd.DataFrame: return pd.DataFrame([(i, who, c) for i, votes in enumerate(self.drawn) for who, c in votes], columns=['item', 'who', 'label'])

    def soft(self) -> pd.DataFrame: return votes_to_soft(pd.DataFrame(self.counts).assign(item=range(len(self.drawn))), 'item', counts=list(range(self.n_classes)))

    def divergence(self, prior) -> float:
        "Mean KL divergence from the shares of all votes to the posterior mean, with these pseudo-votes"
        alpha = self.counts + np.maximum(prior, 1e-3)
        mean, full = alpha/alpha.sum(1, keepdims=True), self.full/self.full.sum(1, keepdims=True)
        return float(np.where(full > 0, full*np.log(np.where(full > 0, full, 1)/mean), 0).sum(1).mean())


def model_of(x: np.ndarray, pool: Pool) -> pd.DataFrame:
    "Out-of-fold predictions of a classifier of the majority so far"
    y = pool.counts.argmax(1)
    probs = np.zeros((len(x), pool.n_classes))
    known, of_known = np.unique(y, return_inverse=True)
    probs[:, known] = cross_val_predict(LogisticRegression(max_iter=300), x, of_known, cv=3, method='predict_proba')
    return pd.DataFrame(probs, columns=range(pool.n_classes))


def order_of(how: str, pool: Pool, model) -> list:
    "Numbers of items, those to be asked about first"
    n = len(pool.drawn)
    if how.startswith('at random'): return pool.rng.permutation(n).tolist()
    if how == 'fewest votes': return sorted(pool.rng.permutation(n), key=lambda i: len(pool.drawn[i]))
    if how == 'most divided': return (-pool.soft().entropy.to_numpy() + 1e-9*pool.rng.random(n)).argsort().tolist()
    if how == 'next_to_label': return next_to_label(pool.soft(), prior=PRIOR).index.tolist()
    if how == 'next_to_label, model': return next_to_label(pool.soft(), model, prior=PRIOR).index.tolist()
    return activelab(pool.table, 'item', 'label', 'who', model, vocab=list(range(pool.n_classes))).index.tolist()


def run(name: str, given: list, n_classes: int, seed: int, how: str, per_round: int, x=None) -> list:
    "One way of asking, ten rounds"
    pool = Pool(given, n_classes, np.random.default_rng(seed))
    rows = []
    for step in range(11):
        model = model_of(x, pool) if 'model' in how or how == 'ActiveLab' else None
        prior = PRIOR*n_classes*model.to_numpy() if 'model' in how else PRIOR
        rows.append(dict(set=name, how=how, seed=seed, round=step, votes=sum(map(len, pool.drawn)), kl=pool.divergence(prior)))
        open_items = [i for i in order_of(how, pool, model) if pool.left[i]] if step < 10 else []
        for i in open_items[:per_round]: pool.draw(i)
    return rows


def cifar_votes(n: int, seed: int) -> list:
    "Votes of some images, each by a person of its own"
    counts = pd.read_csv(cifar10h()/'votes.csv')[CIFAR_CLASSES].to_numpy()
    chosen = np.random.default_rng(seed).choice(len(counts), n, replace=False)
    return [list(enumerate(np.repeat(np.arange(10), counts[i]))) for i in chosen]


def digits_committee() -> tuple: # Images (N,64), and what each of 30 voters said (N,30)
    "The digits, and the answers of their committee, voter by voter"
    digits = load_digits()
    images = digits.images/16
    answers = [out_of_fold(member, view(images).reshape(len(images), -1), digits.target, seed) for seed, (view, member) in enumerate(product(degraded_views().values(), committee()))]
    return images.reshape(len(images), -1), np.stack(answers, 1)


if __name__ == '__main__':
    args = arguments(__doc__, 'next_votes.csv')
    warnings.filterwarnings('ignore', 'ActiveLab looks for one true class')
    rows, (images, answers) = [], digits_committee()
    for seed in args.seeds:
        given = cifar_votes(2000, seed)
        for how in ('at random', 'fewest votes', 'most divided', 'next_to_label'): rows += run('CIFAR-10H', given, 10, seed, how, 500)
        chosen = np.random.default_rng(seed).choice(len(images), 600, replace=False)
        given = [list(enumerate(answers[i])) for i in chosen]
        for how in ('at random', 'fewest votes', 'most divided', 'next_to_label', 'ActiveLab', 'at random, model', 'next_to_label, model'): rows += run('digits', given, 10, seed, how, 150, images[chosen])
        print(pd.DataFrame(rows).query('seed == @seed').pivot(index=['set', 'how'], columns='round', values='kl').round(3), flush=True)
    write_runs(pd.DataFrame(rows), args.out)
