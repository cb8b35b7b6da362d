"""Validation on whole volumes, by the same road as conversion, so that the two cannot drift."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from medgen.config import Config, WindowScale
from medgen.conversion import Converter
from medgen.data import Preprocessing, Row, outline
from medgen.files import write_bytes
from medgen.method import Method
from medgen.metrics import PROFILES
from medgen.problems import ConfigurationError, Problem, Refusal
from medgen.report import preview, to_ras
from medgen.runs import Precision
from medgen.training.guards import relative_spread
from medgen.volumes import Volume, field_of_view, open_volume, resample

PREVIEWS = 2
"""Validation cases that get a picture."""


@dataclass(frozen=True)
class Scores:
    """One validation: a row of scores per case, and how much anatomy the answers carry."""

    rows: Mapping[str, Mapping[str, float]]
    spread: float
    """Mean over cases of the answer's standard deviation over the truth's, inside the mask."""

    def mean(self, name: str) -> float:
        """Return the mean of one score over the cases on which it is finite, else NaN."""
        values = [row[name] for row in self.rows.values() if np.isfinite(row[name])]
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
        self._profile = PROFILES[config.train.validate_.profile]
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
            rows[row.case] = dict(self._profile.score(answer.data, truth, mask))
            spreads.append(relative_spread(answer.data[mask], truth[mask]))
            if previews is not None and index < PREVIEWS:
                source = volumes[self._config.roles.source.columns[0]]
                write_bytes(previews / f"{row.case}.png", _picture(source, answer, truth, mask))
        return Scores(rows, float(np.mean(spreads)))

    def _open(self, row: Row) -> dict[str, Volume]:
        columns = self._config.roles.columns()
        return {c: open_volume(row.cells[c]) for c in columns if c in row.cells}

    def _truth(
        self, volumes: Mapping[str, Volume], answer: Volume
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the truth and the mask on the answer's grid."""
        roles = self._config.roles
        assert roles.target is not None  # assembly refused a paired method without one
        target = volumes[roles.target.columns[0]]
        truth = resample(target.data, target.grid, answer.grid, order=1)
        if roles.mask in volumes:
            mask = volumes[roles.mask]
            inside = resample(mask.data, mask.grid, answer.grid, order=0, outside=0.0) > 0
        else:
            source = volumes[roles.source.columns[0]]
            scale = self._config.intensity[roles.source.columns[0]]
            unit = scale.unit if isinstance(scale, WindowScale) else source.unit
            inside = outline(source.data, unit=unit, spacing_mm=tuple(source.grid.spacing_mm))
        # Beyond its own field of view the truth is unknown, whatever resampling repeats there.
        inside &= field_of_view(target.grid, answer.grid)
        if not inside.any():
            message = "no voxel of the mask is inside the target's field of view"
            raise Refusal(Problem("E_EMPTY_MASK", message, "check the mask and the pair"))
        return truth, inside


def check_profile(config: Config) -> None:
    """Refuse an unknown profile, or a `best_by` that it does not score.

    Raises:
        ConfigurationError: naming what is known.
    """
    validate = config.train.validate_
    if validate.profile not in PROFILES:
        known, key, value = list(PROFILES), "profile", validate.profile
    elif validate.best_by.name not in PROFILES[validate.profile].columns:
        known, key = list(PROFILES[validate.profile].columns), "best_by.name"
        value = validate.best_by.name
    else:
        return
    problem = Problem(
        "E_CONFIG_VALUE",
        f"train.validate.{key}: {value!r} is not known",
        f"known: {', '.join(known)}",
    )
    raise ConfigurationError(problem)


def _picture(
    source: Volume, answer: Volume, truth: NDArray[np.float32], mask: NDArray[np.bool_]
) -> bytes:
    """Draw source, answer, truth and their difference inside the mask."""
    named = [
        ("source", source.data, "image", source.unit),
        ("answer", answer.data, "image", answer.unit),
        ("target", truth, "image", answer.unit),
        ("answer - target", answer.data - truth, "difference", answer.unit),
    ]
    panels = [(title, to_ras(data, answer.grid)[0], *rest) for title, data, *rest in named]
    inside, spacing = to_ras(mask, answer.grid)
    return preview(panels, spacing_mm=spacing, mask=inside)
