"What the experiments share: the network, their arguments, and how a table of runs is written."
import argparse, os, platform
from pathlib import Path

import fastai, pandas as pd, torch, torch.nn.functional as F
from fastai.vision.all import AdaptiveAvgPool, ConvLayer, Flatten, nn

from fastai_softlabels.files import whole_file


def machine() -> str:
    "This machine in words: processor, cores, accelerator"
    try: cpu = next(l.split(':')[1].strip() for l in Path('/proc/cpuinfo').read_text().splitlines() if l.startswith('model name'))
    except (OSError, StopIteration): cpu = platform.processor() or platform.machine()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'
    return f'{os.cpu_count()} cores of {cpu}, {gpu}'


def plain_net(n_out: int, width: int = 32) -> nn.Module:
    "Eight layers: seven 3×3 convolutions with batch norm, the resolution halved three times, and a linear layer"
    w = width
    sizes = [(3, w, 1), (w, w, 2), (w, 2*w, 1), (2*w, 2*w, 2), (2*w, 4*w, 1), (4*w, 4*w, 2), (4*w, 4*w, 1)]
    return nn.Sequential(*[ConvLayer(i, o, stride=s) for i, o, s in sizes], AdaptiveAvgPool(), Flatten(), nn.Linear(4*w, n_out))


class PlainUNet(nn.Module):
    "A U-Net (Ronneberger et al. 2015): two 3×3 convolutions with batch norm at each of five scales, from `width` channels on, and skips"
    def __init__(self, n_out: int, width: int = 16):
        super().__init__()
        widths = [width*2**i for i in range(5)]
        self.down = nn.ModuleList([_two_layers(i, o) for i, o in zip([3, *widths], widths)])
        self.up = nn.ModuleList([_two_layers(3*o, o) for o in widths[-2::-1]])
        self.head = nn.Conv2d(width, n_out, 1)

    def forward(self, x):
        skips = []
        for i, layers in enumerate(self.down):
            x = layers(F.max_pool2d(x, 2) if i else x)
            skips.append(x)
        for layers, skip in zip(self.up, skips[-2::-1]):
            x = layers(torch.cat([F.interpolate(x, skip.shape[2:]), skip], 1))
        return self.head(x)

def _two_layers(n_in: int, n_out: int) -> nn.Module: return nn.Sequential(ConvLayer(n_in, n_out), ConvLayer(n_out, n_out))


def arguments(description: str, table: str, seeds=(0, 1, 2, 3, 4), epochs: int = 10) -> argparse.Namespace:
    "Epochs, seeds, which losses, and where to write; by default results/`table`"
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--epochs', type=int, default=epochs)
    parser.add_argument('--seeds', type=int, nargs='+', default=list(seeds))
    parser.add_argument('--only', nargs='+', help='these losses alone (where the experiment compares any): their rows take the place of those in the table')
    parser.add_argument('--out', type=Path, default=Path(__file__).parents[1]/'results'/table)
    return parser.parse_args()


def write_runs(runs: pd.DataFrame, out: Path, replace: list = None, **about):
    "Write a table, whole or not at all, with what identifies data and machine in each row; or `replace` the rows of an old one that have the same values in these columns"
    out.parent.mkdir(exist_ok=True)
    runs = runs.assign(**about, machine=machine(), torch=torch.__version__, fastai=fastai.__version__)
    if replace and out.exists(): runs = pd.concat([pd.read_csv(out), runs]).drop_duplicates(replace, keep='last')
    with whole_file(out) as part: runs.to_csv(part, index=False)
