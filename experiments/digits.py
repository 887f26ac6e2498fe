"""Labels or votes, on the embedded digits: the comparisons of cifar10h.py and ood_labels.py, without a download.

    python experiments/digits.py

Writes a row for each seed and kind of label to results/digits.csv, and one for each set of images besides to
results/digits_ood.csv: there the digits from zero to seven are known, 700 of them, eights and nines are near, squares of
photographs far.
"""
from pathlib import Path

import pandas as pd
from fastai.vision.all import get_image_files

from fastai_softlabels.all import *
from fastai_softlabels.files import file_checksum
from cifar10h import compare
from ood_labels import compare_labels
from runs import arguments, write_runs

KNOWN = list('01234567')


def strangers(path: Path) -> tuple: # Known digits, and files of others by name
    "Which digits are known, and what is not"
    df = pd.read_csv(path/'votes.csv', dtype={'label': str})
    known = df[df.label.isin(KNOWN) & (df[KNOWN].sum(axis=1) > 15)].head(700)
    near = [path/f for f in df[~df.label.isin(KNOWN)].fname]
    return known, {'near': near, 'far': get_image_files(photo_squares()).sorted()}


if __name__ == '__main__':
    args, path = arguments(__doc__, 'digits.csv', epochs=4), digits_votes()
    about = dict(data='digits', votes_sha256=file_checksum(path/'votes.csv'))
    write_runs(compare(path, args.seeds, args.epochs, width=16, flip=False, verbose=True), args.out, **about)
    known, others = strangers(path)
    runs = compare_labels(path, known, KNOWN, others, seeds=args.seeds, epochs=6, width=16, flip=False, bs=32, size=8, verbose=True)
    write_runs(runs, args.out.with_name('digits_ood.csv'), **about)
