"""Out-of-domain images: the metrics of a stream of scores, and what `OODConfidence` adds to the forward pass.

    python benchmarks/ood.py [--rounds 15] [--tiny] [--json FILE]

10,000,000 scores, half of them OOD; then what the callback does in one epoch with the logits of validation and OOD images, in percent
of the forward pass of a resnet18 over the OOD images, digits of 32×32 pixels in batches of 64. Each is timed by itself: in a profile
of Python functions the many small steps of the callback would pay for being watched."""
import numpy as np, pandas as pd, torch
from fastai.vision.all import ColReader, DataBlock, EndSplitter, ImageBlock, Resize, resnet18, set_seed, vision_learner
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score, roc_curve

from fastai_softlabels.all import OODConfidence, ScoreHistogram, SoftCategoryBlock, SoftLabelReader, digits_votes, streamed_ood_metrics
from measured import faster, measured, report
from timing import alternate, arguments

BATCH = 100_000


def streamed(inn: torch.Tensor, out: torch.Tensor) -> dict:
    "Ours, batch by batch"
    histograms = ScoreHistogram(), ScoreHistogram()
    for histogram, scores in zip(histograms, (inn, out)):
        for batch in scores.split(BATCH): histogram.add(batch)
    return streamed_ood_metrics(*histograms)


def exact(inn: torch.Tensor, out: torch.Tensor) -> dict:
    "scikit-learn's"
    is_ood, scores = np.repeat([0, 1], [len(inn), len(out)]), torch.cat([inn, out]).numpy()
    fpr, tpr, _ = roc_curve(is_ood, -scores, drop_intermediate=False)
    (p_out, r_out, _), (p_in, r_in, _) = precision_recall_curve(is_ood, -scores), precision_recall_curve(1 - is_ood, scores)
    return dict(auroc=roc_auc_score(is_ood, -scores), aupr_in=auc(r_in, p_in), aupr_out=auc(r_out, p_out), fpr95=fpr[np.argmax(tpr >= .95)])


def metrics(n: int, rounds: int) -> list:
    "Lines for `n` scores, half of them OOD"
    rng = np.random.default_rng(0)
    inn, out = (torch.from_numpy(rng.gamma(k, 4, n//2).astype(np.float32) - 1) for k in (3, 2))
    ours, theirs = streamed(inn, out), exact(inn, out)
    off = abs(ours['auroc'] - theirs['auroc'])
    if off > ours['bound'] + 1e-12: raise SystemExit(f'The AUROC is off by {off}, more than the bound {ours["bound"]}.')
    def size(scores): return sum(t.nbytes for t in vars(ScoreHistogram().add(scores)).values())
    times = alternate(dict(ours=lambda: streamed(inn, out), theirs=lambda: exact(inn, out)), rounds)
    return [faster('metrics, streamed', 'scikit-learn, exact', times, 'ours', 'theirs', '≥ 5'),
            measured('a histogram, full', 'an empty one', [size(inn)/size(inn[:0])], '× the memory', '1'),
            measured('error of the AUROC', 'its own bound', [100*off/ours['bound']], '%', '≤ 100')]


def callback(n: int, rounds: int) -> list:
    "Line for the callback in an epoch of a resnet18: all it does with the logits of validation and OOD images, beside the forward pass over the latter"
    path = digits_votes()
    df, classes = pd.read_csv(path/'votes.csv').head(2*n), [str(c) for c in range(10)]
    known, strange = df[df.label < 5], [path/f for f in df[df.label >= 5].fname]
    set_seed(0)
    dls = DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_x=ColReader('fname', pref=path), get_y=SoftLabelReader(known, 'fname', classes), splitter=EndSplitter(.2), item_tfms=Resize(32)).dataloaders(known, bs=64, num_workers=0, device='cpu')
    learn, cb = vision_learner(dls, resnet18, pretrained=False, normalize=False), OODConfidence(strange)
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3, cbs=cb)
    sets, model, cb.learn = {name: [b[0] for b in dl] for name, dl in (('valid', dls.valid), ('ood', dls.test_dl(strange)))}, learn.model.eval(), learn
    def forward(name): return [model(x) for x in sets[name]]
    @torch.no_grad()
    def own(logits={name: [z.detach() for z in forward(name)] for name in sets}):
        readings = {}
        for name in sets:
            meter = cb.new_meter()
            for z in logits[name]: meter.add(z)
            readings[name] = meter.read()
        cb.remember(readings)
    times = alternate(dict(own=own, forward=torch.no_grad()(lambda: forward('ood'))), rounds)
    return [measured('OODConfidence, the rest', 'the forward pass', 100*np.divide(times['own'], times['forward']), '%', '≤ 3')]


if __name__ == '__main__':
    args = arguments(__doc__).parse_args()
    report(args, metrics(20_000, 2) + callback(20, 2) if args.tiny else metrics(10_000_000, args.rounds) + callback(1000, args.rounds))
