"""Training: players and optimizers, the loop, validation, checkpoints."""

from medgen.training.chain import check_chain, folds_of, train_table
from medgen.training.loop import Loop, Progress
from medgen.training.session import Outcome, Session, prepare_session, train
from medgen.training.trial import try_step

__all__ = [
    "Loop",
    "Outcome",
    "Progress",
    "Session",
    "check_chain",
    "folds_of",
    "prepare_session",
    "train",
    "train_table",
    "try_step",
]
