"Everything at once, as fastai's `vision.all`: `from fastai_softlabels.all import *`"
from .core import *
from .kernels import *
from .losses import *
from .blocks import *
from .dice import *
from .data import *
from .masks import *
from .metrics import *
from .ood import *
from .confidence import *
from .interpret import *
from .votes import *
from .datasets import *
from .persist import *
