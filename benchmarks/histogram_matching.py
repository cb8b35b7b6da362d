"""The rival that costs nothing: make one site's images look like another's by their histograms.

    python benchmarks/histogram_matching.py --data cases.csv --output matched \
        --column flair --like flair --source-site one --target-site two --mask brain

Writes OUTPUT/cases.csv, in which the source site's images of a column (training and validation
cases, those that a network learns from) carry the grey values of the target site's: percentiles
inside the mask are moved to those of the target site's training cases, pooled with the same weight
for each case, and between them the map is linear (Nyul, Udupa and Zhang, IEEE Trans Med Imaging 19,
2000; there the standard's landmarks are means over cases). Target labels are never opened.

What it cannot know: a histogram does not tell contrast from anatomy. Persons with more lesions, or
wider ventricles, get them matched away.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.baselines.threshold import open_masked
from medgen.data import Row, Table, read_table
from medgen.dicom import split_choice
from medgen.files import write_text
from medgen.problems import ConfigurationError, MedgenError, Problem, Refusal
from medgen.volumes import write_volume

LANDMARKS = (1.0, *(10.0 * step for step in range(1, 10)), 99.0)
"""Percentiles that are moved: the deciles, and the ends of what noise leaves alone."""

VOXELS_PER_CASE = 200_000
"""At most about so many evenly spread voxels of each target case are pooled."""

LEARNED = ("train", "validation")
"""The splits whose images are matched."""

Values = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Matching:
    """A map of grey values: linear between landmarks, and on with the outer slopes beyond."""

    source: NDArray[np.float64]
    """(N,) strictly ascending, N >= 2."""
    target: NDArray[np.float64]
    """(N,) ascending."""

    def __call__(self, values: Values) -> NDArray[np.float32]:
        """Return values of any shape in the target's grey."""
        x = np.asarray(values, dtype=np.float64)
        mapped = np.interp(x, self.source, self.target)
        for end, first, second in ((0, 0, 1), (-1, -2, -1)):
            run = self.source[second] - self.source[first]
            slope = (self.target[second] - self.target[first]) / run
            beyond = x < self.source[0] if end == 0 else x > self.source[-1]
            mapped[beyond] = self.target[end] + slope * (x[beyond] - self.source[end])
        return mapped.astype(np.float32)


def match_histogram(
    source: Values, target: Values, *, landmarks: Sequence[float] = LANDMARKS
) -> Matching:
    """Return the map that moves the percentiles of one set of values to those of another.

    Where neither has values below zero, zero stays zero: no signal is none in any scanner's grey.
    Of percentiles that are equal in the source, the target's mean counts.

    Raises:
        Refusal: E_FLAT_INTENSITY where the source's percentiles are all equal, or it has no values.
    """
    if not source.size or not target.size or source.min() == source.max():
        message = "the values inside the mask are all equal, or there are none"
        raise Refusal(Problem("E_FLAT_INTENSITY", message, "check the image and the mask"))
    have, want = (
        np.percentile(values, landmarks).astype(np.float64) for values in (source, target)
    )
    if source.min() >= 0 and target.min() >= 0:
        have, want = np.append(0.0, have[have > 0]), np.append(0.0, want[have > 0])
    levels, which = np.unique(have, return_inverse=True)
    if len(levels) < 2:
        message = f"percentiles {landmarks[0]:g} to {landmarks[-1]:g} are all {levels[0]:g}"
        raise Refusal(Problem("E_FLAT_INTENSITY", message, "check the image and the mask"))
    means = np.bincount(which, weights=want) / np.bincount(which)
    return Matching(levels, means)


def pooled_values(
    rows: Iterable[Row], column: str, mask: str | None, *, largest: int = VOXELS_PER_CASE
) -> Values:
    """Return values of the column inside the mask, as many of each case, over all cases.

    Raises:
        ConfigurationError: E_BASELINE_EMPTY without a case.
        Refusal: the gate's, E_COLUMN_EMPTY, E_EMPTY_BODY or E_EMPTY_MASK.
    """
    drawn = []
    for row in rows:
        image, inside = open_masked(row, source=column, mask=mask)
        if not inside.any():
            advice = "check the mask, or empty the case's cell"
            problem = Problem("E_EMPTY_MASK", "no voxel of the mask is inside the image", advice)
            raise Refusal(problem.at(case=row.case, column=mask))
        drawn.append(np.sort(image.data[inside]))
    if not drawn:
        message = f"the target site has no training case with an image in {column!r}"
        problem = Problem("E_BASELINE_EMPTY", message, "check --target-site and the split")
        raise ConfigurationError(problem)
    count = min(largest, *(len(values) for values in drawn))
    shares = (np.arange(count) + 0.5) / count
    # The quantiles of sorted values: np.quantile sorts them again for each of so many shares.
    return np.concatenate([np.interp(shares * (len(v) - 1), np.arange(len(v)), v) for v in drawn])


def match_table(
    data: Path,
    output: Path,
    *,
    column: str,
    like: str,
    source_site: str,
    target_site: str,
    mask: str | None = None,
    split: Mapping[str, Collection[str]] | None = None,
    landmarks: Sequence[float] = LANDMARKS,
) -> Path:
    """Write a table whose source-site images of a column have the target site's grey values.

    `column` is matched at `source_site` to `like` at `target_site`, inside the column `mask` (the
    body outline without one); the table has a column `site`. `split` holds case ids under `train`
    and `validation`, as a run keeps them, else the table's own column `split` does; every other
    case keeps its image. Writes OUTPUT/cases.csv and the matched images, OUTPUT/CASE_COLUMN.nii.gz
    (float32, on their own grids), and returns the table. Cells that are paths lead to the same
    files as before; all others are as they were.

    Raises:
        ConfigurationError: the table is refused, has no `site` or no split, or there is no target
            to match to.
        Refusal: the gate's, E_EMPTY_BODY or E_FLAT_INTENSITY.
    """
    images = dict.fromkeys([column, like, *([] if mask is None else [mask])])
    table = read_table(data, columns=list(images))
    learned = _learned(table, split)
    at_target = table.select({"site": target_site}, filled=[like])
    pool = pooled_values([r for r in at_target if r.case in learned["train"]], like, mask)
    written: dict[str, str] = {}
    for row in table.select({"site": source_site}, filled=[column]):
        if not any(row.case in cases for cases in learned.values()):
            continue
        image, inside = open_masked(row, source=column, mask=mask)
        try:
            mapping = match_histogram(image.data[inside], pool, landmarks=landmarks)
        except MedgenError as error:
            raise error.at(case=row.case, column=column) from None
        name = f"{row.case}_{column}.nii.gz"
        write_volume(output / name, image.with_data(mapping(image.data)), dtype="float32")
        written[row.case] = name
    path = output / "cases.csv"
    write_text(path, _rewritten(data, output, column, written))
    return path


def _learned(
    table: Table, split: Mapping[str, Collection[str]] | None
) -> dict[str, Collection[str]]:
    """Return the cases of the splits that are matched, by split."""
    if split is not None:
        return {name: split.get(name, ()) for name in LEARNED}
    if not any(row.split for row in table.rows):
        message = "the table has no split, and none was given"
        advice = "add a column `split` with train, validation and test"
        raise ConfigurationError(Problem("E_TABLE_SPLIT", message, advice))
    return {name: {row.case for row in table.rows if row.split == name} for name in LEARNED}


def _rewritten(data: Path, output: Path, column: str, written: Mapping[str, str]) -> str:
    """Return the table as CSV text with new cells for the matched, and paths from the new place."""
    text = data.read_bytes().decode("utf-8-sig")
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    header, *records = [
        [cell.strip() for cell in record]
        for record in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        if any(cell.strip() for cell in record)
    ]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    for record in records:
        cells = dict(zip(header, record, strict=True))
        moved = {name: _moved(data.parent, output, cell) for name, cell in cells.items()}
        moved |= {
            name: cells[name] for name in ("case", "patient", "split", "site") if name in cells
        }
        moved[column] = written.get(cells["case"], moved[column])
        writer.writerow(moved.values())
    return stream.getvalue()


def _moved(before: Path, after: Path, cell: str) -> str:
    """Return a cell that names a file or folder as seen from another folder; others as they are."""
    try:
        place, _ = split_choice(before / cell)
        if not cell or not place.exists():
            return cell
    except (OSError, ValueError, MedgenError):
        return cell
    # Symbolic links in the two folders' own paths would lead a relative path astray.
    return os.path.relpath(before.resolve() / cell, after.resolve())


def main() -> None:
    """Match, and say how many images were."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the table, with site and split")
    parser.add_argument("--output", type=Path, required=True, help="folder of the new table")
    parser.add_argument("--column", required=True, help="what is matched at the source site")
    parser.add_argument("--like", help="what it is matched to; the same column where left out")
    parser.add_argument("--source-site", required=True)
    parser.add_argument("--target-site", required=True)
    parser.add_argument("--mask", help="column; the body outline where left out")
    chosen = parser.parse_args()
    try:
        table = match_table(
            chosen.data,
            chosen.output,
            column=chosen.column,
            like=chosen.like or chosen.column,
            source_site=chosen.source_site,
            target_site=chosen.target_site,
            mask=chosen.mask,
        )
    except MedgenError as error:
        parser.exit(int(error.exit_code), f"{error}\n")
    print(f"table: {table}")


if __name__ == "__main__":
    main()
