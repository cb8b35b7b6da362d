"""What a training writes for people: losses and scores as CSV, and TensorBoard events."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from medgen.files import write_text
from medgen.runs import RunFolder


class Means:
    """Running means of the losses on the device, read only when asked, to spare host syncs.

    A loss that only some steps have, as those of one stage, is averaged over these.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Take one step's losses into account."""
        for name, loss in losses.items():
            value = loss.detach().float()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """Return the means since the last call, and start anew; empty after no step."""
        if not self._sums:
            return {}
        sums = torch.stack(list(self._sums.values())).tolist()
        means = {n: total / self._counts[n] for n, total in zip(self._sums, sums, strict=True)}
        self._sums, self._counts = {}, {}
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


class Silence(Journal):
    """The journal of a process that does not write, since another one does."""

    def __init__(self) -> None:
        """Open nothing."""

    def losses(self, step: int, means: Mapping[str, float], learning_rate_factor: float) -> None:
        """Log nothing."""

    def validation(self, step: int, rows: Mapping[str, Mapping[str, float]]) -> None:
        """Log nothing."""

    def diagnosis(self, step: int, figures: Mapping[str, float]) -> None:
        """Log nothing."""

    def close(self) -> None:
        """Close nothing."""


def _append(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Append rows; names that the file lacks become columns of it, blank in the rows before."""
    if not rows:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for row in rows for name in row))
    known = _names_in(path)
    if known and not set(names) <= set(known):  # a later stage has other losses
        names = list(dict.fromkeys([*known, *names]))
        with path.open(newline="", encoding="utf-8") as stream:
            before = list(csv.DictReader(stream))
        write_text(path, _table(names, before))
    elif known:
        names = known
    else:
        write_text(path, _table(names, []))
    with path.open("a", newline="", encoding="utf-8") as stream:
        stream.write(_table(names, rows, header=False))


def _names_in(path: Path) -> list[str]:
    """Return the columns of a file; none where it is not there, or has no whole first line."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return next(csv.reader(stream), [])


def _table(
    names: Sequence[str], rows: Sequence[Mapping[str, object]], *, header: bool = True
) -> str:
    """Return rows as CSV text, blank where one lacks a name."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=names, restval="", lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


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
