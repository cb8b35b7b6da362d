"""Training: players and optimizers, the loop, validation, checkpoints."""

from medgen.training.chain import check_chain, folds_of, train_table
from medgen.training.distributed import ALONE, Ranks, joined
from medgen.training.loop import Loop, Progress
from medgen.training.running import Outcome, train
from medgen.training.session import Session, prepare_session
from medgen.training.trial import try_step

__all__ = [
    "ALONE",
    "Loop",
    "Outcome",
    "Progress",
    "Ranks",
    "Session",
    "check_chain",
    "folds_of",
    "joined",
    "prepare_session",
    "train",
    "train_table",
    "try_step",
]
