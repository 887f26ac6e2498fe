"""When does it pay to keep the number of votes? Shares, shares weighted by votes, and the Dirichlet-multinomial, on CIFAR-10H.

    FASTAI_SOFTLABELS_DATA=/folder/with/cifar10h.zip python experiments/counts.py

Each image of CIFAR-10H was labelled by about 51 people. Of these votes 3 to 50 are drawn for each image, without replacement, another
draw for each seed, and the same small network learns from them: from their shares, from their shares weighted by their number, and from
the counts, with concentrations by softplus or by Zoobot's bounded sigmoid. It is judged on 2,000 other images by all votes for them:
cross-entropy to their shares, and how many counts lie in their 80 % intervals (of networks without concentration, those of a multinomial).
The rule for the default, fixed before the runs: softplus, unless the bounded sigmoid has a lower negative log-likelihood for every seed.
Writes a row for each seed and loss to results/counts.csv.
"""
import numpy as np, pandas as pd, torch
from fastai.vision.all import *

from fastai_softlabels.all import *
from fastai_softlabels.counts import *
from fastai_softlabels.counts import concentrations_of, covered
from fastai_softlabels.files import file_checksum
from runs import arguments, plain_net, write_runs

BLOCKS = {'shares': lambda vocab: SoftCategoryBlock(vocab),
          'weighted by votes': lambda vocab: SoftCountBlock(vocab, loss_func=SoftCrossEntropyLossFlat()),
          'Dirichlet-multinomial': lambda vocab: SoftCountBlock(vocab),
          'bounded': lambda vocab: SoftCountBlock(vocab, loss_func=DirichletMultinomialLossFlat(concentration='bounded'))}


def drawn(votes: np.ndarray, rng) -> np.ndarray: # (N,K)
    "Between 3 and 50 of the votes for each item, without replacement"
    sizes = rng.integers(3, 51, len(votes)).clip(max=votes.sum(1))
    return np.stack([rng.multivariate_hypergeometric(v, n) for v, n in zip(votes, sizes)])


def judge(learn: Learner, votes: Tensor) -> dict:
    "Scores by all votes for the validation images"
    with learn.no_bar(): outputs, _ = learn.get_preds(act=noop)
    probs = learn.loss_func.activation(outputs).as_subclass(Tensor)
    shares = votes/votes.sum(1, keepdim=True)
    res = dict(soft_cross_entropy=soft_cross_entropy(probs, shares).item(), kl_divergence=kl_divergence(probs, shares).item(), total_variation=total_variation(probs, shares).item())
    if not hasattr(learn.loss_func, 'concentrations'): return dict(**res, coverage=covered(1e7*probs.clamp_min(1e-9), votes).mean())
    alpha = concentrations_of(learn.loss_func, outputs)
    total, doubt = alpha.sum(1), entropy(shares)
    nll = learn.loss_func(outputs, votes).item()
    return dict(**res, coverage=covered(alpha, votes).mean(), neg_log_likelihood=nll, **{f'concentration_{q}': total.quantile(q/100).item() for q in (10, 50, 90)},
                concentration_sure=total[doubt < .05].median().item(), concentration_disputed=total[doubt > .5].median().item())


def compare(path, seeds, epochs: int, only=None, verbose: bool = False):
    "Yield the rows of a seed"
    df = pd.read_csv(path/'votes.csv')
    classes = list(df.columns[2:])
    votes = df[classes].to_numpy()
    for seed in seeds:
        some = df[['fname']].assign(**dict(zip(classes, drawn(votes, np.random.default_rng(seed)).T)))
        rows = []
        for loss in only or BLOCKS:
            reader = SoftLabelReader(some, 'fname', classes, counts=loss != 'shares')
            block = DataBlock(blocks=(ImageBlock, BLOCKS[loss](classes)), get_x=ColReader('fname', pref=path), get_y=reader, splitter=EndSplitter(.2), batch_tfms=Normalize())
            set_seed(seed, reproducible=True)
            dls = block.dataloaders(some, bs=64, num_workers=0)
            learn = Learner(dls, plain_net(dls.c, width=16))
            with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(epochs, 3e-3)
            held_out = torch.tensor(votes[-len(dls.valid_ds):]).float()
            rows.append(dict(loss=loss, seed=seed, **judge(learn, held_out), n_train=len(dls.train_ds), n_valid=len(dls.valid_ds), epochs=epochs))
            if verbose: print(rows[-1], flush=True)
        yield pd.DataFrame(rows)


if __name__ == '__main__':
    args, path = arguments(__doc__, 'counts.csv', epochs=8), cifar10h()
    for runs in compare(path, args.seeds, args.epochs, args.only, verbose=True):
        write_runs(runs, args.out, replace=['loss', 'seed'], data='CIFAR-10H', votes_sha256=file_checksum(path/'votes.csv'))
