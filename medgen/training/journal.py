"""What a training writes for people: losses and scores as CSV, and TensorBoard events."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from medgen.files import write_text
from medgen.runs import RunFolder


class Means:
    """Running means of the losses on the device, read only when asked, to spare host syncs."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Take one step's losses into account."""
        for name, loss in losses.items():
            value = loss.detach().float()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._count += 1

    def take(self) -> dict[str, float]:
        """Return the means since the last call, and start anew; empty after no step."""
        if not self._count:
            return {}
        values = (torch.stack(list(self._sums.values())) / self._count).tolist()
        means = dict(zip(self._sums, values, strict=True))
        self._sums, self._count = {}, 0
        return means


class Journal:
    """Append-only logs; rows after `step` are dropped, so that resuming leaves no doubles."""

    def __init__(self, folder: RunFolder, step: int) -> None:
        self._folder = folder
        for path in (folder.losses, folder.validation, folder.diagnosis):
            _drop_after(path, step)
        self._events = SummaryWriter(str(folder.tensorboard), purge_step=step + 1)

    def losses(self, step: int, means: Mapping[str, float], learning_rate_factor: float) -> None:
        """Log the mean losses up to `step`."""
        row = {"step": step, "learning_rate_factor": learning_rate_factor, **means}
        _append(self._folder.losses, [row])
        for name, value in means.items():
            self._events.add_scalar(f"loss/{name}", value, step)
        self._events.add_scalar("learning_rate_factor", learning_rate_factor, step)

    def validation(self, step: int, rows: Mapping[str, Mapping[str, float]]) -> None:
        """Log every validation case's scores; one that a case lacks stays blank."""
        _append(
            self._folder.validation,
            [{"step": step, "case": case, **scores} for case, scores in rows.items()],
        )
        for name in dict.fromkeys(name for scores in rows.values() for name in scores):
            values = [scores[name] for scores in rows.values() if name in scores]
            self._events.add_scalar(f"validation/{name}", sum(values) / len(values), step)

    def diagnosis(self, step: int, figures: Mapping[str, float]) -> None:
        """Log what the method found of itself at a validation."""
        if not figures:
            return
        _append(self._folder.diagnosis, [{"step": step, **figures}])
        for name, value in figures.items():
            self._events.add_scalar(name.replace(".", "/", 1), value, step)

    def close(self) -> None:
        """Flush the event files."""
        self._events.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _append(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Append rows, with a header of all their names where the file is new."""
    if not rows:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(
            stream, fieldnames=list(dict.fromkeys(name for row in rows for name in row))
        )
        if new:
            writer.writeheader()
        writer.writerows(rows)


def _drop_after(path: Path, step: int) -> None:
    """Keep the header and the whole rows up to `step`."""
    if not path.exists():
        return
    header, *rows = path.read_text(encoding="utf-8").splitlines() or [""]
    if not header.startswith("step,"):  # killed between opening the file and its first line
        path.unlink()
        return
    kept = [
        row
        for row in rows
        if row.count(",") == header.count(",")
        and row.split(",", 1)[0].isdigit()
        and int(row.split(",", 1)[0]) <= step
    ]
    write_text(path, "\n".join([header, *kept]) + "\n")
