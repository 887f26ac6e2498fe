"""How votes_example.csv was made: `python teach/class_votes/make_example.py`

No class has voted yet. Thirty simple classifiers stand in for one, the committee behind the package's `digits_votes`: each sees the digits without a part of
what is to be seen, and has not been trained on the image on which it votes. Their answers are real; what a class would add to them is made up by the rules below."""
from itertools import product
from pathlib import Path

import numpy as np, pandas as pd
from sklearn.datasets import load_digits

from fastai_softlabels.datasets import committee, degraded_views, out_of_fold

HERE = Path(__file__).parent


def answers() -> pd.DataFrame:
    "A row for each image and person: what the thirty classifiers say of the ten images"
    digits, sheet = load_digits(), pd.read_csv(HERE/'images.csv')
    rows = sheet.fname.str.extract(r'(\d+)')[0].astype(int)
    found = []
    for seed, (view, member) in enumerate(product(degraded_views().values(), committee())):
        seen = view(digits.images/16).reshape(len(digits.target), -1)
        chosen = out_of_fold(member, seen, digits.target, seed)[rows]
        found += [dict(person=seed, image=image, answer=str(answer)) for image, answer in zip(sheet.image, chosen)]
    table = pd.DataFrame(found)
    seats = np.random.default_rng(0).permutation(30) + 1 # so that neighbours are not of one kind
    return table.assign(person=seats[table.person]).sort_values(['person', 'image'], ignore_index=True)


def as_classes_write(votes: pd.DataFrame) -> pd.DataFrame:
    "Add what happens in a class: doubt, gaps, blanks, capitals, a letter for a digit, second thoughts"
    votes = votes.copy()
    def where(person, image): return (votes.person == person) & (votes.image == image)
    most = votes.groupby('image').answer.transform(lambda a: a.value_counts().iloc[0])
    doubts = (votes.person % 4 == 0) & (most < 12) # every fourth person, where fewer than twelve of thirty agree
    votes.loc[doubts, 'answer'] = 'unsure'
    votes.loc[doubts & votes.person.isin([8, 20]), 'answer'] = 'Unsure'
    votes.loc[where(11, 'D'), 'answer'] = ''
    votes.loc[where(6, 'F'), 'answer'] = 'O'
    votes.loc[votes.person == 9, 'answer'] += ' '
    votes.loc[votes.person == 5, 'image'] = votes.image.str.lower()
    copy, second = votes[where(13, 'B')], votes[where(22, 'E')]
    changed = second.assign(answer=['9' if a != '9' else '4' for a in second.answer])
    return pd.concat([votes, copy, changed]).sort_values('person', kind='stable', ignore_index=True)


if __name__ == '__main__': as_classes_write(answers()).to_csv(HERE/'votes_example.csv', columns=['image', 'answer', 'person'], index=False)
