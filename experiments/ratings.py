"""What do people read in a text? Shares of ratings or the majority, for sentences of film reviews.

    FASTAI_SOFTLABELS_DATA=/folder/with/vader_ratings.zip python experiments/ratings.py

Fifteen people or more rated each sentence from −4 to 4; here a rating is negative, neutral or positive. A bag of embeddings is
trained from scratch, once on the shares of the three, once on the most frequent one (of two as frequent the first), and judged by the
shares on a fifth of the sentences, which no training sees. Another seed draws other sentences. Strangers are 1,000 sentences of
editorials. Without the variable the texts are downloaded. Writes a row for each seed and kind of label to results/ratings.csv.
"""
import numpy as np, pandas as pd, torch
from fastai.text.all import ColReader, DataBlock, IndexSplitter, Learner, TextBlock, nn, set_seed

from fastai_softlabels.all import *
from runs import arguments, write_runs

CLASSES = ['negative', 'neutral', 'positive']
METRICS = [soft_cross_entropy, kl_divergence, soft_accuracy, top1_agreement, brier_score, entropy_correlation, SoftECE()]


def rated_texts() -> pd.DataFrame:
    "All texts with the votes for each of three classes"
    df = pd.read_csv(vader_ratings()/'votes.csv', keep_default_na=False)
    ratings = [str(r) for r in range(-4, 5)]
    votes = dict(negative=df[ratings[:4]].sum(axis=1), neutral=df['0'], positive=df[ratings[5:]].sum(axis=1))
    return df[['item', 'source', 'text']].assign(**votes)


def split(texts: pd.DataFrame, seed: int, share: float = .2) -> np.ndarray: # Which rows are for validation
    "Draw texts for validation; the same text twice is not parted"
    names = texts.text.unique()
    drawn = np.random.default_rng(seed).permutation(names)[:int(share*len(names))]
    return texts.text.isin(drawn).to_numpy()


class BagOfWords(nn.Module):
    "The mean of the words' embeddings, and a linear layer"
    def __init__(self, n_words: int, n_out: int, size: int = 64, padding: int = 1):
        super().__init__()
        self.embedding = nn.Embedding(n_words, size, padding_idx=padding)
        self.head = nn.Sequential(nn.Dropout(.5), nn.Linear(size, n_out))
        self.padding = padding

    def forward(self, x):
        n = (x != self.padding).sum(1, keepdim=True)
        return self.head(self.embedding(x).sum(1)/n)


def trained(texts: pd.DataFrame, is_valid: np.ndarray, hard: bool, seed: int, epochs: int) -> Learner:
    "A bag of words, trained on shares or, if `hard`, on the majority"
    labels = texts.copy()
    if hard:
        majority = np.eye(3)[texts[CLASSES].to_numpy().argmax(1)]
        labels[CLASSES] = np.where(is_valid[:, None], texts[CLASSES].div(texts[CLASSES].sum(axis=1), axis=0), majority)
    block = DataBlock(blocks=(TextBlock.from_df('text'), SoftCategoryBlock(CLASSES)), get_x=ColReader('text'),
                      get_y=SoftLabelReader(labels, 'item', CLASSES), splitter=IndexSplitter(np.flatnonzero(is_valid)))
    set_seed(seed, reproducible=True)
    dls = block.dataloaders(texts, bs=64, num_workers=0)
    learn = Learner(dls, BagOfWords(len(dls.vocab[0]), dls.c), metrics=METRICS)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(epochs, 1e-2)
    return learn


def compare_ratings(texts: pd.DataFrame, strangers: list, seeds, epochs: int, verbose: bool = False) -> pd.DataFrame:
    "A row for each seed and kind of label"
    rows = []
    for seed in seeds:
        is_valid = split(texts, seed)
        for labels in ('shares', 'majority'):
            learn = trained(texts, is_valid, labels == 'majority', seed, epochs)
            with learn.no_bar():
                scores = SoftInterpretation.from_learner(learn).scores(METRICS, n=0).value.to_dict()
                heard = compare_confidence({'it': learn}, strangers, plot=False).loc['it']
            rows.append(dict(labels=labels, seed=seed, **scores, floor=scores['soft_cross_entropy'] - scores['kl_divergence'],
                             films_median=heard.loc['valid', 'median'], editorials_median=heard.loc['ood', 'median'], auroc=heard.loc['ood', 'auroc'],
                             n_train=int((~is_valid).sum()), n_valid=int(is_valid.sum()), epochs=epochs))
            if verbose: print(rows[-1], flush=True)
    return pd.DataFrame(rows)


if __name__ == '__main__':
    args, texts = arguments(__doc__, 'ratings.csv', seeds=(0, 1, 2), epochs=8), rated_texts()
    films, editorials = (texts[texts.source == s].reset_index(drop=True) for s in ('films', 'editorials'))
    strangers = editorials.text.sample(1000, random_state=0).tolist()
    write_runs(compare_ratings(films, strangers, args.seeds, args.epochs, verbose=True), args.out, data='VADER, films and editorials')
