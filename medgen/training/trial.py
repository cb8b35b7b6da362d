"""The dry run's last check: one step of a training that leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

from medgen.runs import RunFolder
from medgen.training.loop import Loop
from medgen.training.session import Session


def try_step(session: Session) -> dict[str, float]:
    """Make the first step, write nothing, and return its losses: the dry run's last check."""
    loop = Loop(
        session.method,
        session.specs,
        session.config,
        RunFolder(Path()),
        batch=session.batch,
        device=session.device,
        precision=session.precision,
    )
    return {name: float(loss.detach()) for name, loss in loop.step(session.batch(0)).items()}
