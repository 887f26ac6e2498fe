"""Where is a segmentation unsure, and were the people? Cells that five people outlined, two losses, one temperature, and strangers.

    FASTAI_SOFTLABELS_DATA=/folder/with/camvid_small.zip python experiments/doubt.py

A small U-Net is trained on two thirds of the cells (`cells_masks`, embedded; runs of one cell stay together) with Dice alone and with
Dice and binary cross-entropy by halves. On the other third it is asked how much of its entropy lies where the people disagree, how far
its percentages are from their shares before and after a temperature (fitted to one half of these images, judged by the other), and
whether its confidence in what it found tells cells from squares of photographs and from street scenes, both made grey. Writes a row
for each loss and seed to results/doubt.csv.
"""
import tempfile
from pathlib import Path

import numpy as np, torch
from fastai.vision.all import *
from PIL import Image

from fastai_softlabels.all import *
from fastai_softlabels.files import file_checksum
from camvid import shares_of_blocks
from masks import camvid_archive, cells
from runs import PlainUNet, arguments, write_runs

LOSSES = {'Dice': SoftDiceLoss, 'Dice + BCE': SoftDiceBCELoss}


def grey(files: list, folder: Path, side: int = 64) -> list:
    "Grey squares of pictures, as the cells are"
    folder.mkdir()
    res = []
    for i, f in enumerate(files):
        image = Image.open(f).convert('L')
        edge = min(image.size)
        res.append(folder/f'{i:03}.png')
        image.crop((0, 0, edge, edge)).resize((side, side)).save(res[-1])
    return res


def doubts(probs: Tensor, y: Tensor) -> dict:
    "How the model's entropy lies to the people's, over all pixels"
    people, model = (entropy(t, multi=True).flatten() for t in (y, probs))
    disputed = people > 0
    return dict(entropy_people=people.mean().item(), entropy_model=model.mean().item(), disputed=disputed.double().mean().item(),
                doubt_in_disputed=(model[disputed].sum()/model.sum()).item(), r_pixels=torch.corrcoef(torch.stack([people, model]))[0, 1].item())


def run(name: str, seed: int, epochs: int, strangers: dict) -> dict:
    "Train once; what the model says of its doubt"
    data = cells()
    set_seed(seed, reproducible=True)
    n = len(data['files'])
    block = DataBlock((ImageBlock, SoftMaskBlock(data['codes'], loss_func=LOSSES[name])), get_y=data['get_y'], item_tfms=data['item_tfms'], splitter=IndexSplitter(range(n - data['n_valid'], n)),
                      batch_tfms=[*aug_transforms(max_rotate=5, max_warp=0, max_zoom=1.05), Normalize()])
    learn = Learner(block.dataloaders(data['files'], bs=4, num_workers=0), PlainUNet(1))
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, 3e-3)
        probs, y = learn.get_preds()
    interp = SoftInterpretation.from_learner(learn)
    table = interp.by_image()
    scores = interp.scores(n=0).value
    row = dict(loss=name, seed=seed, epochs=epochs, n_train=n - data['n_valid'], n_valid=data['n_valid'], kl=scores.kl_divergence, hard_dice=scores['dice_at_0.5'], soft_ece=scores.soft_ece, **doubts(probs, y),
               r_images=table.entropy_of_people.corr(table.entropy_of_model), r_confidence=table.confidence.corr(table['dice_at_0.5'], method='spearman'))
    sets = compare_confidence({name: learn}, strangers, plot=False).loc[name]
    for stranger in strangers: row |= {f'auroc_{stranger}': sets.auroc[stranger], f'confidence_{stranger}': sets['mean'][stranger]}
    row['confidence_cells'] = sets['mean']['valid']
    report = temperature_scale(learn, force=True)
    row |= dict(temperature=report.temperature['after'], temperature_low=report.temperature_low['after'], temperature_high=report.temperature_high['after'])
    for when in ('before', 'after'): row |= {f'{short}_{when}': report[long][when] for short, long in dict(cross_entropy='soft_cross_entropy', kl='kl_divergence', ece='soft_ece').items()}
    return row


if __name__ == '__main__':
    args = arguments(__doc__, 'doubt.csv', epochs=40)
    with tempfile.TemporaryDirectory() as tmp:
        camvid, _ = shares_of_blocks(camvid_archive())
        strangers = dict(photographs=grey(get_image_files(photo_squares()).sorted(), Path(tmp)/'photographs'), streets=grey(camvid, Path(tmp)/'streets'))
        for seed in args.seeds: # a seed at a time, so that what is done is kept
            rows = [run(name, seed, args.epochs, strangers) for name in LOSSES]
            print(pd.DataFrame(rows).round(4).T, flush=True)
            write_runs(pd.DataFrame(rows), args.out, replace=['loss', 'seed'], data='cells of 64×64', camvid_sha256=file_checksum(camvid_archive()))
