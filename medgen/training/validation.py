"""Validation on whole volumes, by the same road as conversion, so that the two cannot drift."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from medgen.config import Config, WindowScale
from medgen.conversion import Converter
from medgen.data import Classes, Preprocessing, Row, outline
from medgen.files import write_bytes
from medgen.method import Method
from medgen.metrics import PROFILES, Direction
from medgen.problems import ConfigurationError, Problem, Refusal
from medgen.report import preview, to_ras
from medgen.runs import Precision
from medgen.training.guards import relative_spread
from medgen.volumes import Volume, open_volume, resample, where_measured

PREVIEWS = 2
"""Validation cases that get a picture."""


@dataclass(frozen=True)
class Scores:
    """One validation: a row of scores per case, and how much anatomy the answers carry."""

    rows: Mapping[str, Mapping[str, float]]
    spread: float
    """Mean over cases of the answer's standard deviation over the truth's, inside the mask.

    NaN for labels: a lesion that is not found yet leaves an empty answer, and that is no collapse.
    """

    def mean(self, name: str) -> float:
        """Return the mean of one score over the cases that have it, else NaN.

        Infinite scores count: a model that misses a class must not be the better for it.
        """
        values = [row[name] for row in self.rows.values() if not np.isnan(row[name])]
        return float(np.mean(values)) if values else float("nan")


class Validation:
    """Convert every validation case with the averaged weights and score it against its truth."""

    def __init__(
        self,
        method: Method,
        config: Config,
        preprocessing: Preprocessing,
        rows: Sequence[Row],
        *,
        device: torch.device,
        precision: Precision,
    ) -> None:
        self._config = config
        self._rows = rows
        self._classes = Classes.of(config.labels)
        profile = PROFILES[config.train.validate_.profile]
        self._profile = profile.for_labels(self._classes.written)
        self._convert = Converter(
            method,
            preprocessing,
            config.convert,
            device=device,
            precision=precision,
            patch=config.train.patch,
        )

    def __len__(self) -> int:
        return len(self._rows)

    def run(
        self, previews: Path | None = None, *, check: Callable[[], None] = lambda: None
    ) -> Scores:
        """Score every case; write a picture of the first ones into `previews`.

        `check` is called between windows and may raise to stop.
        """
        rows: dict[str, dict[str, float]] = {}
        spreads = []
        for index, row in enumerate(self._rows):
            volumes = self._open(row)
            answer = self._convert(volumes, progress=lambda done, total: check()).volume
            try:
                truth, mask = self._truth(volumes, answer)
            except Refusal as error:
                raise error.at(case=row.case) from None
            spacing = answer.grid.spacing_mm.tolist()
            rows[row.case] = dict(self._profile.score(answer.data, truth, mask, spacing_mm=spacing))
            if self._profile.kind == "image":
                spreads.append(relative_spread(answer.data[mask], truth[mask]))
            if previews is not None and index < PREVIEWS:
                source = volumes[self._config.roles.source.columns[0]]
                labels = self._profile.kind == "labels"
                picture = _picture(source, answer, truth, mask, labels=labels)
                write_bytes(previews / f"{row.case}.png", picture)
        return Scores(rows, float(np.mean(spreads)) if spreads else float("nan"))

    def _open(self, row: Row) -> dict[str, Volume]:
        preprocessing = self._convert.preprocessing
        columns = dict.fromkeys([*preprocessing.inputs, *self._config.roles.columns()])
        volumes = {c: open_volume(row.cells[c]) for c in columns if c in row.cells}
        return preprocessing.in_units(volumes)

    def _truth(
        self, volumes: Mapping[str, Volume], answer: Volume
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the truth and the mask on the answer's grid."""
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


def check_profile(config: Config, method: Method) -> None:
    """Refuse an unknown profile, one for another kind of answer, or a `best_by` it does not score.

    Raises:
        ConfigurationError: naming what is known.
    """
    validate = config.train.validate_
    kind = next(iter(method.answers.values())).kind
    targets = config.roles.target.columns if config.roles.target else ()
    if kind == "image" and len(targets) > 1:
        message = f"roles.target names {len(targets)} columns; an answer is one image"
        advice = "name one, and train a run for each of the others"
        raise ConfigurationError(Problem("E_CONFIG_ROLE", message, advice))
    fitting = [name for name, profile in PROFILES.items() if profile.kind == kind]
    if validate.profile not in PROFILES:
        fault = f"train.validate.profile: {validate.profile!r} is not known"
    elif validate.profile not in fitting:
        fault = f"train.validate.profile: {validate.profile!r} does not score {kind}"
    else:
        profile = PROFILES[validate.profile].for_labels(Classes.of(config.labels).written)
        name, mode = validate.best_by.name, validate.best_by.mode
        if name in profile.columns:
            _check_mode(name, mode, profile.column(name).better)
            return
        fault = f"train.validate.best_by.name: {name!r} is not known"
        fitting = list(profile.columns)
    raise ConfigurationError(Problem("E_CONFIG_VALUE", fault, f"known: {', '.join(fitting)}"))


def _check_mode(name: str, mode: str, better: Direction | None) -> None:
    """Refuse to keep the worst weights.

    Raises:
        ConfigurationError: `mode` is not the direction in which the score gets better.
    """
    wanted = {"lower": "min", "higher": "max"}.get(better or "")
    if mode == wanted:
        return
    if wanted is None:
        fault, advice = "does not say which weights are better", "choose another score"
    else:
        fault, advice = f"is better when it is {better}, not mode: {mode}", f"write mode: {wanted}"
    raise ConfigurationError(
        Problem("E_CONFIG_VALUE", f"train.validate.best_by: {name!r} {fault}", advice)
    )


def _picture(
    source: Volume,
    answer: Volume,
    truth: NDArray[Any],
    mask: NDArray[np.bool_],
    *,
    labels: bool,
) -> bytes:
    """Draw source, answer, truth, and for images their difference inside the mask."""
    if labels:
        shared = (0.0, float(max(1, answer.data.max(), truth.max())))
        panels: list[tuple[Any, ...]] = [
            ("source", source.data, "image", source.unit),
            ("answer", answer.data, "labels", answer.unit, shared),
            ("label", truth, "labels", answer.unit, shared),
        ]
    else:
        panels = [
            ("source", source.data, "image", source.unit),
            ("answer", answer.data, "image", answer.unit),
            ("target", truth, "image", answer.unit),
            ("answer - target", answer.data - truth, "difference", answer.unit),
        ]
    turned = [(title, to_ras(data, answer.grid)[0], *rest) for title, data, *rest in panels]
    inside, spacing = to_ras(mask, answer.grid)
    return preview(turned, spacing_mm=spacing, mask=None if labels else inside)
