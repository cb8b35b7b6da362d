"""Validation on whole volumes, by the same road as conversion, so that the two cannot drift.

Of a method with two directions only the first answer is validated: it is the one that `convert`
gives unless asked for another, and the cases of its source are those that were held out for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray

from medgen.config import AnomalyConfig, BestBy, Config, ConvertConfig, WindowScale
from medgen.conversion import Converted, Converter, plan_tiling
from medgen.conversion.monitor import Monitor
from medgen.data import Classes, Domain, Preprocessing, Row, outline
from medgen.files import write_bytes
from medgen.method import Method
from medgen.metrics import PROFILES
from medgen.problems import Problem, Refusal
from medgen.runs import MONITOR, Precision
from medgen.training.diagnosis import Diagnosis
from medgen.training.distributed import ALONE, Ranks
from medgen.training.guards import relative_spread
from medgen.training.preview import picture
from medgen.training.scoring import best_by_of
from medgen.training.sharing import led, shared_out
from medgen.volumes import Volume, open_volume, resample, where_measured

PREVIEWS = 2
"""Validation cases that get a picture."""

JUDGED = ("contrast", "histogram_distance", "outline_dice", "layers", "doubt")
"""What the monitor finds of an answer, as columns of its scores."""


def check_window(config: Config, method: Method) -> None:
    """Refuse windows of conversion that the first validation would refuse, hours later.

    Raises:
        ConfigurationError: E_WINDOW.
    """
    plan_tiling(
        config.train.patch,
        patch=config.train.patch,
        window=config.convert.window,
        overlap=config.convert.overlap_voxels,
        margin=method.margin,
        divisor=method.divisor,
        phase=method.phase,
        fixed=method.window,
    )


@dataclass(frozen=True)
class Scores:
    """One validation: a row of scores per case, and how much anatomy the answers carry."""

    rows: Mapping[str, Mapping[str, float]]
    """By case; a case without truth has the monitor's scores alone."""
    spread: float
    """Mean over cases of the answer's standard deviation over the truth's, inside the mask.

    Where there is no truth, over the domain's, inside the body. NaN for labels: a lesion that is
    not found yet leaves an empty answer, and that is no collapse. NaN for anomalies, whose answer
    is the smaller, the better.
    """
    warnings: tuple[str, ...] = ()
    """What the monitor found wrong, and in how many cases; it names none."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """What the method found of itself on fixed patches; see `Diagnosis`."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the scores that any case has, in order."""
        return tuple(dict.fromkeys(name for row in self.rows.values() for name in row))

    def values(self, name: str) -> list[float]:
        """Return one score of every case that has it."""
        return [row[name] for row in self.rows.values() if name in row]

    def mean(self, name: str) -> float:
        """Return the mean of one score over the cases that have it, else NaN; or a figure.

        Infinite scores count: a model that misses a class must not be the better for it.
        """
        if name in self.figures:
            return self.figures[name]
        values = [value for value in self.values(name) if not np.isnan(value)]
        return float(np.mean(values)) if values else float("nan")

    def worth(self, best_by: BestBy) -> float:
        """Return what the weights are picked by: a score, and what counts against it.

        NaN, which picks nothing, where a score to maximise is 0 and something counts against it:
        weights that find nothing may have nothing against them, and must not win by that.
        """
        score, penalties = self.mean(best_by.name), best_by.penalties
        if penalties and best_by.mode == "max" and score <= 0:
            return float("nan")
        against = sum(weight * self.mean(name) for name, weight in penalties.items())
        return score + (against if best_by.mode == "min" else -against)


class _Answered(TypedDict):
    """What one case's answer came to, as it travels between processes."""

    scores: dict[str, float]
    faults: list[str]
    spread: list[float]


class Validation:
    """Convert every validation case with the averaged weights, score and monitor its answer.

    An answer is scored against its truth where the case is in `truths` (left out: every case), and
    held against the `domain`, if there is one, with a truth or without. A `diagnosis` is made of
    the method as it stands, once each time. Several processes share the cases out, and all of them
    get every score.
    """

    def __init__(
        self,
        method: Method,
        config: Config,
        preprocessing: Preprocessing,
        rows: Sequence[Row],
        *,
        device: torch.device,
        precision: Precision,
        domain: Domain | None = None,
        truths: Collection[str] | None = None,
        diagnosis: Diagnosis | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self._ranks = ranks
        self.diagnosis = diagnosis
        self._config = config
        self._rows = rows
        self._truths = frozenset(row.case for row in rows) if truths is None else truths
        self._classes = Classes.of(config.labels)
        profile = PROFILES[config.train.validate_.profile]
        self._profile = profile.for_labels(self._classes.written)
        self.best_by: BestBy = best_by_of(config, method, scored=bool(self._truths))
        """The score that picks the best weights."""
        self._convert = Converter(
            method,
            preprocessing,
            _plain(config),
            device=device,
            precision=precision,
            patch=config.train.patch,
            monitor=None if domain is None else Monitor(domain),
        )

    def __len__(self) -> int:
        return len(self._rows)

    def run(
        self, previews: Path | None = None, *, check: Callable[[], None] = lambda: None
    ) -> Scores:
        """Score and monitor every case; write a picture of the first ones into `previews`.

        Rank 0 draws, and the first of its own share. `check` is called between windows and may
        raise Stopped to stop.
        """
        shown = self._rows[:: self._ranks.size][:PREVIEWS] if self._ranks.leads else ()

        def answered(row: Row) -> _Answered:
            return self._answered(row, check, previews if row in shown else None)

        found: list[_Answered] = shared_out(self._ranks, self._rows, answered)
        rows = {row.case: each["scores"] for row, each in zip(self._rows, found, strict=True)}
        faults = Counter(fault for each in found for fault in each["faults"])
        spreads = [spread for each in found for spread in each["spread"]]
        total = len(self._rows)
        warnings = [f"{what} in {n} of {total} validation cases" for what, n in faults.items()]
        spread = float(np.mean(spreads)) if spreads else float("nan")
        return Scores(rows, spread, tuple(warnings), led(self._ranks, self._diagnosed))

    def _answered(self, row: Row, check: Callable[[], None], previews: Path | None) -> _Answered:
        """Answer one case, score and monitor its answer, and draw it where there is a folder."""
        volumes = self._open(row)
        converted = self._convert(volumes, progress=lambda done, total: check())
        try:
            truth, mask = self._compared(row, volumes, converted.volume)
        except Refusal as error:
            raise error.at(case=row.case) from None
        if previews is not None:
            drawn = picture(
                volumes[self._shown],
                converted.volume,
                truth,
                mask,
                kind=self._profile.kind,
                run_spacing_mm=self._config.preprocessing.spacing_mm,
            )
            write_bytes(previews / f"{row.case}.png", drawn)
        scores = {**self._scored(converted, truth, mask), **_judged(converted)}
        return {
            "scores": {name: float(score) for name, score in scores.items()},
            "faults": list(converted.facts.get("monitor", {}).get("faults", ())),
            "spread": self._spread(converted, truth, mask),
        }

    def _diagnosed(self) -> dict[str, float]:
        return self.diagnosis(self._convert.method) if self.diagnosis else {}

    @property
    def _shown(self) -> str:
        """Return the source column of the pictures: the one that residuals are of, if any are."""
        first, mapped = self._config.roles.source.columns[0], self._config.convert.anomaly.column
        return mapped if mapped is not None and self._profile.kind == "anomaly" else first

    def _compared(
        self, row: Row, volumes: Mapping[str, Volume], answer: Volume
    ) -> tuple[NDArray[Any] | None, NDArray[np.bool_]]:
        """Return the truth, if the case has one, and the mask, on the answer's grid."""
        if row.case in self._truths:
            return self._truth(volumes, answer)
        return None, self._inside(volumes, answer)

    def _scored(
        self, converted: Converted, truth: NDArray[Any] | None, mask: NDArray[np.bool_]
    ) -> dict[str, float]:
        """Return the profile's scores; none without a truth."""
        if truth is None:
            return {}
        answer = converted.volume
        spacing = answer.grid.spacing_mm.tolist()
        return dict(self._profile.score(answer.data, truth, mask, spacing_mm=spacing))

    def _spread(
        self, converted: Converted, truth: NDArray[Any] | None, mask: NDArray[np.bool_]
    ) -> list[float]:
        """Return how much an image varies beside its truth, else beside the domain."""
        if self._profile.kind != "image":
            return []
        if truth is not None:
            return [relative_spread(converted.volume.data[mask], truth[mask])]
        return [converted.facts["monitor"]["spread"]]

    def _open(self, row: Row) -> dict[str, Volume]:
        preprocessing = self._convert.preprocessing
        columns = dict.fromkeys([*preprocessing.inputs, *self._config.roles.columns()])
        volumes = {c: open_volume(row.cells[c]) for c in columns if c in row.cells}
        return preprocessing.in_units(volumes)

    def _truth(
        self, volumes: Mapping[str, Volume], answer: Volume
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the truth and the mask on the answer's grid; of a healthy residual, nothing."""
        if self._profile.kind == "anomaly":
            return np.zeros(answer.grid.shape, dtype=np.float32), self._inside(volumes, answer)
        roles = self._config.roles
        labels = self._profile.kind == "labels"
        role = roles.label if labels else roles.target
        assert role is not None  # assembly refused a method without the role that it reads
        target = volumes[role.columns[0]]
        if labels:
            values = self._classes.label_values(self._classes.indices(target.data))
            truth = resample(values, target.grid, answer.grid, order=0, outside=0.0)
        else:
            truth = resample(target.data, target.grid, answer.grid, order=1)
        # Labels are scored everywhere: a class found outside a mask column is wrong all the same.
        whole = np.ones(answer.grid.shape, dtype=np.bool_)
        inside = whole if labels else self._inside(volumes, answer)
        # Beyond its own field of view the truth is unknown, whatever resampling repeats there.
        inside &= where_measured(target, answer.grid)
        if not inside.any():
            message = "no voxel of the mask is inside the target's field of view"
            raise Refusal(Problem("E_EMPTY_MASK", message, "check the mask and the pair"))
        return truth, inside

    def _inside(self, volumes: Mapping[str, Volume], answer: Volume) -> NDArray[np.bool_]:
        """Return where to score an image: in the mask column, else in the source's body."""
        roles = self._config.roles
        if roles.mask in volumes:
            mask = volumes[roles.mask]
            return np.asarray(resample(mask.data, mask.grid, answer.grid, order=0, outside=0.0) > 0)
        source = volumes[roles.source.columns[0]]
        scale = self._config.intensity[roles.source.columns[0]]
        unit = scale.unit if isinstance(scale, WindowScale) else source.unit
        return outline(source.data, unit=unit, spacing_mm=tuple(source.grid.spacing_mm))


def _plain(config: Config) -> ConvertConfig:
    """Return how validation converts: residuals as they are, before anything is filtered out."""
    plain = AnomalyConfig(column=config.convert.anomaly.column)
    return config.convert.model_copy(update={"anomaly": plain})


def _judged(converted: Converted) -> dict[str, float]:
    """Return what the monitor found, NaN for what it cannot know; nothing without a monitor."""
    found = converted.facts.get("monitor")
    if found is None:
        return {}
    return {f"{MONITOR}{n}": float("nan") if found[n] is None else found[n] for n in JUDGED}
