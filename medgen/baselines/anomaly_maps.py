"""The anomaly baselines from a table to files, so that they are scored as any method is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medgen.baselines.intensity_z import IntensityZ
from medgen.baselines.threshold import Mask, open_masked
from medgen.baselines.voxel_z import Healthy, VoxelZ
from medgen.calibration import Calibration, fit_calibration, oriented, picked
from medgen.config import AnomalyConfig
from medgen.conversion import sidecar_of
from medgen.conversion.anomaly import Anomaly, measure_anomaly
from medgen.conversion.decoding import UNIT_OF_LABELS
from medgen.conversion.parts import find_parts
from medgen.conversion.provenance import NOTICE
from medgen.data import Row, read_table
from medgen.files import write_json
from medgen.problems import MedgenError
from medgen.volumes import Volume, write_volume

UNIT = "z"


def write_anomaly_maps(
    data: Path,
    split: Mapping[str, Sequence[str]],
    output: Path,
    *,
    source: str,
    mask: str | None = None,
    settings: AnomalyConfig | None = None,
    on_answer: Callable[[str, str], None] = lambda baseline, case: None,
) -> tuple[Path, ...]:
    """Fit the anomaly baselines on a table's healthy training cases and answer its test cases.

    `split` holds case ids under `train` and `test`, and under `calibrate`, if anything, healthy
    cases that set the mask's threshold; `source` and `mask` are columns, and without a mask the
    image's body outline counts. `settings` are what is made of the maps, as of a method's; a score
    of windows, which baselines have none of, is replaced by `map_top`. Writes `CASE.nii.gz` (signed
    z-scores, float32, on the source's own grid), with a calibration `CASE_mask.nii.gz` (uint8), and
    `CASE.json`, into one folder per baseline below `output`, named after it; returns the folders.
    `on_answer` hears of each baseline and case.

    Raises:
        ConfigurationError: the table is refused; E_BASELINE_EMPTY or E_BASELINE_FEW, too little to
            fit on; E_CALIBRATION_RATE.
        Refusal: the gate's, E_EMPTY_BODY, E_FLAT_INTENSITY, E_EMPTY_MASK, or a registration's.
    """
    chosen = settings or AnomalyConfig()
    if chosen.score.startswith("window"):
        chosen = chosen.model_copy(update={"score": "map_top"})
    table = read_table(data, columns=[source, *([] if mask is None else [mask])])
    train, calibrate, test = (
        [table.row(case) for case in split.get(name, ())] for name in ("train", "calibrate", "test")
    )
    voxel_z = VoxelZ.fit(
        Healthy(row.case, *open_masked(row, source=source, mask=mask)) for row in train
    )
    for baseline in (voxel_z, IntensityZ()):
        answering = _Answering(baseline, source, mask, chosen)
        calibration = answering.calibrated(calibrate) if calibrate else None
        for row in test:
            answering.write(row, output / baseline.name / f"{row.case}.nii.gz", calibration)
            on_answer(baseline.name, row.case)
    return tuple(output / baseline.name for baseline in (voxel_z, IntensityZ()))


@dataclass(frozen=True)
class _Answering:
    """One baseline at work on rows of a table."""

    baseline: VoxelZ | IntensityZ
    source: str
    mask: str | None
    settings: AnomalyConfig

    def measured(self, row: Row) -> tuple[Volume, Anomaly]:
        """Return a case's image, and what counts of the baseline's map of it."""
        image, inside = open_masked(row, source=self.source, mask=self.mask)
        try:
            map_of = self.baseline.predict(image, inside)
            found = measure_anomaly(
                np.stack([map_of, np.zeros_like(map_of)]),
                body=inside,
                source=image.data[None],
                channel=0,
                settings=self.settings,
                spacing_mm=image.grid.spacing_mm,
            )
        except MedgenError as error:
            raise error.at(case=row.case, column=self.source) from None
        return image, found

    def calibrated(self, rows: Sequence[Row]) -> Calibration:
        """Measure healthy cases that the baseline was not fitted on."""
        found = [self.measured(row)[1] for row in rows]
        return fit_calibration(
            [picked(each.residual[each.inside]) for each in found],
            [_scores(each) for each in found],
            direction=self.settings.direction,
            patients=len({row.patient.casefold() for row in rows}),
            weights_digest="",
            settings_digest="",
        )

    def write(self, row: Row, path: Path, calibration: Calibration | None) -> None:
        """Write a case's map, its mask, and beside them what evaluation needs to know."""
        image, found = self.measured(row)
        map_of = Volume(found.residual, image.grid, UNIT)
        written = write_volume(path, map_of, dtype="float32")
        facts: dict[str, Any] = {
            "direction": self.settings.direction,
            "column": self.source,
            "score": self.settings.score,
            "scores": _scores(found),
            "calibration_cases": 0,
        }
        beside: dict[str, str] = {}
        if calibration is not None:
            marked, judged = self._judged(image, found, calibration)
            place = path.with_name(f"{row.case}_mask.nii.gz")
            beside["mask"] = write_volume(place, marked, dtype="uint8").digest
            facts |= judged
        note = {
            "notice": NOTICE,
            "unit": UNIT,
            "baseline": {"name": self.baseline.name},
            "output_digest": written.digest,
            "beside": beside,
            "anomaly": facts,
        }
        write_json(sidecar_of(path), note)

    def _judged(
        self, image: Volume, found: Anomaly, calibration: Calibration
    ) -> tuple[Volume, dict[str, Any]]:
        """Return the mask of what healthy cases seldom reach, and what is said of the scores."""
        settings, scores = self.settings, _scores(found)
        level = calibration.voxel_threshold(settings.voxel_false_positives)
        above: Mask = oriented(calibration.z(found.residual), settings.direction) > level
        above &= found.inside
        parts, voxel_ml = find_parts(above), image.grid.voxel_mm3 / 1000.0
        strays = parts.strays(largest_only=False, minimum_ml=settings.minimum_ml, voxel_ml=voxel_ml)
        above[parts.box] &= ~strays[parts.numbers]
        rate, limit = settings.case_false_positives, None
        if rate is not None:
            limit = calibration.case_threshold(settings.score, rate)
        judged = {
            "p": {name: calibration.p_value(name, score) for name, score in scores.items()},
            "case_false_positives": rate,
            "case_threshold": limit,
            "unusual": None if limit is None else scores[settings.score] > limit,
            "voxel_false_positives": settings.voxel_false_positives,
            "voxel_threshold_z": level,
            "mask_ml": round(float(above.sum()) * voxel_ml, 3),
            "calibration_cases": calibration.cases,
        }
        return Volume(above.astype(np.uint8), image.grid, UNIT_OF_LABELS), judged


def _scores(found: Anomaly) -> dict[str, float]:
    """Return the scores of the map; there are no windows."""
    return {name: score for name, score in found.scores.items() if name.startswith("map")}
