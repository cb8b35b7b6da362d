"""The baselines from a table to files, so that they are scored as any method is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from medgen.baselines.aligned_median import AlignedMedian
from medgen.baselines.intensity_median import IntensityMedian
from medgen.baselines.pairs import HOUNSFIELD, open_cell, open_pair
from medgen.baselines.threshold import IntensityThreshold, open_marked, open_masked
from medgen.conversion import sidecar_of
from medgen.conversion.decoding import UNIT_OF_LABELS
from medgen.conversion.provenance import NOTICE
from medgen.data import Classes, read_table
from medgen.files import write_json
from medgen.problems import ConfigurationError, MedgenError, Problem
from medgen.volumes import Volume, write_volume


def write_answers(
    data: Path,
    split: Mapping[str, Sequence[str]],
    output: Path,
    *,
    source: str,
    target: str,
    mask: str | None = None,
    unit: str = HOUNSFIELD,
    on_answer: Callable[[str, str], None] = lambda baseline, case: None,
) -> tuple[Path, ...]:
    """Fit the baselines on a table's training cases and answer its test cases.

    `split` holds case ids under `train` and `test`, as a run keeps them; `source`, `target` and
    `mask` are columns, and without a mask the target's body outline counts. Writes `CASE.nii.gz`
    (on the source's own grid; HU as int16, another unit as float32) into one folder per baseline
    below `output`, named after it, and returns the folders. `unit` is the target's; only in HU is
    there an aligned median, which takes for air what no target reaches. `on_answer` hears of each
    baseline and case.

    Raises:
        ConfigurationError: the table is refused, or E_BASELINE_EMPTY: nothing to fit on.
        Refusal: the gate's, E_EMPTY_BODY, or the registrations'.
    """
    table = read_table(data, columns=[source, target, *([] if mask is None else [mask])])
    train, test = ([table.row(case) for case in split[name]] for name in ("train", "test"))
    pairs = [open_pair(row, source=source, target=target, mask=mask, unit=unit) for row in train]
    hounsfield = unit.upper() == HOUNSFIELD
    baselines: list[IntensityMedian | AlignedMedian] = [IntensityMedian.fit(pairs)]
    baselines += [AlignedMedian.fit(pairs)] if hounsfield else []
    for row in test:
        volume = open_cell(row, source)
        for baseline in baselines:
            answer = baseline.predict(volume)
            path = output / baseline.name / f"{row.case}.nii.gz"
            write_volume(path, answer, dtype="int16" if hounsfield else "float32")
            on_answer(baseline.name, row.case)
    return tuple(output / baseline.name for baseline in baselines)


def write_lesions(
    data: Path,
    split: Mapping[str, Sequence[str]],
    output: Path,
    *,
    source: str,
    label: str,
    labels: Mapping[str, tuple[int, ...]],
    mask: str | None = None,
    on_answer: Callable[[str, str], None] = lambda baseline, case: None,
) -> tuple[IntensityThreshold, Path]:
    """Fit the threshold on a table's training cases and answer its test cases.

    `split` is as above; of a training case the columns `source` and `label` are read, of a test
    case the source alone, and of both `mask` where it is given: the brain, or its white matter.
    `labels` names the one class as a configuration does. Writes `CASE.nii.gz` (on the source's own
    grid, uint8, with the class's label value) and beside it `CASE.json`, which says what the value
    means, into a folder below `output` named after the baseline; returns what was fitted and that
    folder.

    Raises:
        ConfigurationError: the table is refused, E_BASELINE_EMPTY (nothing to fit on), or
            E_BASELINE_CLASSES (`labels` names not one class).
        Refusal: the gate's, E_EMPTY_BODY, E_LABEL_VALUES or E_FLAT_INTENSITY.
    """
    classes = Classes.of(labels)
    if len(classes.values) != 1:
        message = f"a threshold tells one class from the background, not {len(classes.values)}"
        advice = "merge the classes: `labels: {lesion: [1, 2]}`"
        raise ConfigurationError(Problem("E_BASELINE_CLASSES", message, advice))
    table = read_table(data, columns=[source, label, *([] if mask is None else [mask])])
    train, test = ([table.row(case) for case in split[name]] for name in ("train", "test"))
    fitted = IntensityThreshold.fit(
        open_marked(row, source=source, label=label, classes=classes, mask=mask) for row in train
    )
    folder = output / fitted.name
    for row in test:
        image, inside = open_masked(row, source=source, mask=mask)
        try:
            found = classes.label_values(fitted.predict(image, inside).astype(np.uint8))
        except MedgenError as error:
            raise error.at(case=row.case, column=source) from None
        path = folder / f"{row.case}.nii.gz"
        written = write_volume(path, Volume(found, image.grid, UNIT_OF_LABELS), dtype="uint8")
        note = {
            "notice": NOTICE,
            "unit": UNIT_OF_LABELS,
            "labels": classes.described(),
            "baseline": {"name": fitted.name, **asdict(fitted)},
            "output_digest": written.digest,
        }
        write_json(sidecar_of(path), note)
        on_answer(fitted.name, row.case)
    return fitted, folder
