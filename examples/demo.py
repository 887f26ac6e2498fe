"""The main job on the embedded digits: from annotators' votes to a trained, inspected, exported classifier.

    python examples/demo.py

trains for about a minute on two CPU cores and writes demo_output/report.html, and the learner as learner.pkl (fastai's export) and learner.safetensors
(without code, see `load_soft_learner`)."""
import argparse, base64, html, io, sys, time
from pathlib import Path

import matplotlib
matplotlib.use('Agg') # pictures go to files, also where a screen is missing
import matplotlib.pyplot as plt, pandas as pd
from fastai.vision.all import *

from fastai_softlabels.all import *
from fastai_softlabels.files import whole_file

STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
img{max-width:100%;height:auto;background:#fff} table{border-collapse:collapse} td,th{padding:.2rem .8rem;border-bottom:1px solid #ccc;text-align:right}
code{background:#eee;padding:0 .2rem} figure{margin:1rem 0} figcaption{color:#666}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}code{background:#333}figcaption{color:#aaa}}"""


def load_data() -> DataLoaders:
    "DataLoaders whose targets are the shares of annotators' votes"
    path = digits_votes()
    df = pd.read_csv(path/'votes.csv')
    classes = [str(c) for c in range(10)]
    block = DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_items=get_image_files, get_y=SoftLabelReader(df, 'fname', classes),
                      splitter=RandomSplitter(.2, seed=42), item_tfms=Resize(32))
    return block.dataloaders(path, bs=64, num_workers=0)


def train(dls, epochs: int) -> tuple:
    "A small residual network from scratch, with the inferred loss; and its table of epochs"
    learn = vision_learner(dls, resnet18, pretrained=False, metrics=top1_agreement, cbs=OODConfidence({'photos': get_image_files(photo_squares())}))
    print(f'Inferred loss: {learn.loss_func}\n{dls.c} classes, {len(dls.train_ds)} images for training, {len(dls.valid_ds)} for validation; '
          f'how sure is the model of squares cut from photographs, which are no digits?\n')
    learn.fit_one_cycle(epochs, 3e-3)
    return learn, pd.DataFrame(learn.recorder.values, columns=learn.recorder.metric_names[1:-1]).round(3)


def results(learn) -> tuple:
    "What the validation set says, beside the floor that no model can go below; and each item's entropy"
    probs, targets = learn.get_preds()
    floor = entropy(targets)
    loss = SoftCrossEntropyLossFlat()(probs.log(), targets).item()
    table = pd.Series({'cross-entropy to the votes': loss, 'entropy of the votes (the floor)': floor.mean().item(),
                       'difference: KL divergence': loss - floor.mean().item(), 'agreement with the most frequent vote': top1_agreement(probs, targets).item()})
    return table.round(3).to_frame('validation'), floor


def picture() -> str:
    "The current figure as an embedded PNG; closes it"
    buffer = io.BytesIO()
    plt.gcf().savefig(buffer, format='png', dpi=90, bbox_inches='tight')
    plt.close('all')
    return base64.b64encode(buffer.getvalue()).decode()


def figures(learn, floor) -> list:
    "Captions and pictures: a batch, results, the most ambiguous images, confidence on images that are no digits"
    learn.dls.show_batch(max_n=9, nrows=3, figsize=(8, 8))
    res = [('A batch: the annotators\' shares are the title', picture())]
    learn.show_results(max_n=9, nrows=3, figsize=(9, 9), shuffle=False)
    res.append(('Labels (above) and predictions (below); blue where the predicted class is among the most frequent votes, orange where it is not', picture()))
    ambiguous = floor.argsort(descending=True)[:9].tolist()
    Interpretation.from_learner(learn).show_results(ambiguous, bars=True)
    res.append(('The nine most ambiguous images of the validation set: what annotators said, and what the model says', picture()))
    learn.ood_confidence.plot_histograms()
    res.append(('How sure is the model of digits (validation), and of squares cut from photographs? Its own reading is softmax', picture()))
    return res


def write_report(out: Path, learn, history, table, pictures):
    "report.html with everything embedded"
    body = [f'<h1>Digits, and the votes of 30 annotators</h1><p>Inferred loss: <code>{html.escape(str(learn.loss_func))}</code></p>',
            '<h2>Training</h2>', history.to_html(border=0), '<h2>How good is it, beside the floor?</h2>', table.to_html(border=0)]
    body += [f'<figure><figcaption>{html.escape(c)}</figcaption><img alt="{html.escape(c)}" src="data:image/png;base64,{p}"></figure>' for c, p in pictures]
    with whole_file(out/'report.html') as part:
        part.write_text(f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
                        f'<title>fastai_softlabels demo</title><style>{STYLE}</style>{"".join(body)}</html>')


def export_and_reload(out: Path, learn):
    "Export the learner in fastai's way, and as a file without code; load both again, and let them predict one image"
    with whole_file(out/'learner.pkl') as part: learn.export(part.absolute())
    save_soft_learner(learn, out/'learner.safetensors')
    item = learn.dls.valid.items[0]
    for name, load in (('learner.pkl', load_learner), ('learner.safetensors', load_soft_learner)):
        with load(out/name).no_bar() as loaded: pred, index, probs = loaded.predict(item)
        print(f'\n{name} says of {item.name}: {pred} (class {index.item()}, probability {probs.max():.3f})')


def main(out: Path, epochs: int):
    start = time.perf_counter()
    if epochs < 1: sys.exit(f'--epochs is {epochs}; expected 1 or more.')
    try: out.mkdir(parents=True, exist_ok=True)
    except OSError as e: sys.exit(f'Cannot write to {out}: {e.strerror}. Choose another folder with --out.')
    set_seed(42, reproducible=True)
    learn, history = train(load_data(), epochs)
    with learn.no_bar():
        table, floor = results(learn)
        print(f'\n{table.to_string()}')
        pictures = figures(learn, floor)
    try:
        write_report(out, learn, history, table, pictures)
        export_and_reload(out, learn)
    except OSError as e: sys.exit(f'{e} (Another folder: --out.)')
    print(f'Open {out/"report.html"} ({time.perf_counter() - start:.0f} s).')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('demo_output'), help='folder for the report and the learner')
    parser.add_argument('--epochs', type=int, default=5)
    args = parser.parse_args()
    main(args.out, args.epochs)
