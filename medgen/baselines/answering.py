"""The baselines from a table to files, so that they are scored as any method is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from medgen.baselines.aligned_median import AlignedMedian
from medgen.baselines.intensity_median import IntensityMedian
from medgen.baselines.pairs import HOUNSFIELD, open_cell, open_pair
from medgen.data import read_table
from medgen.volumes import write_volume


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
