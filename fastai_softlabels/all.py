"What a user types, as fastai's `vision.all`: `from fastai_softlabels.all import *`; the rest is public in its module"
from .errors import *
from .core import *
from .losses import SoftBCEWithLogitsLossFlat, SoftCrossEntropyLossFlat, SumOfLosses
from .dice import *
from .votes import *
from .vote_files import file_names, read_votes
from .annotators import annotator_quality, next_to_label
from .reader import *
from .blocks import *
from .data import *
from .metrics import (bootstrap_interval, brier_score, calibration_error, DiceAt, entropy_correlation, js_divergence, kl_divergence, on_target,
                      soft_accuracy, soft_cross_entropy, SoftClassScore, SoftDice, SoftECE, top1_agreement, total_variation)
from .ordinal import grade_error, quadratic_weighted_kappa, ranked_probability_score, SoftOrdinalBlock, SoftOrdinalLossFlat, wasserstein_distance, within_one
from .counts import DirichletMultinomialLossFlat, SoftCountBlock, vote_intervals
from .mask_files import *
from .masks import *
from .rater_metrics import *
from .scores import *
from .ood import *
from .calibrate import *
from .interpret import *
from . import mask_interpret as _mask_interpret # what `SoftInterpretation.from_learner` gives for masks
from .applications import *
from .datasets import *
from .persist import *
