"""Seams of sliding windows: what the window and the overlap do to a trained run's answers.

    python benchmarks/seams.py --run RUN --data cases.csv --output seams [--cases 2]

Instance norms measure their statistics on the window, so that two windows answer one voxel
differently. Windows of the training patch, half as long again and as long as the volume are laid
out as `convert` does it, with overlaps from 0 to half a window, over test cases; all is measured
on the run's working grid, inside the body:

- MAE against the truth, in the target's unit (in roles.mask where that is a column);
- mean and maximum difference from the answer with windows of that size and the largest overlap;
- seam energy (seam_energy.py): how much rougher the answer is where windows meet. 1 is no seam.

`convert` spreads windows evenly, on multiples of the network's divisor, so that they overlap by
what is asked for or more: both are printed, and a second table sorts the places where the patch's
windows meet by the overlap that they have. --exact pads the volume instead, so that small heads
show small overlaps too, as far as the divisor allows.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from seam_energy import Array, Mask, Meeting, energy_of, exactly, meetings_of

from medgen.conversion import Tiling, blend, plan_tiling
from medgen.data import Codec, PreparedSource, Row, read_table, with_rim
from medgen.files import write_bytes, write_json
from medgen.report import Panel, preview
from medgen.runs import Model, choose_device, load_model
from medgen.volumes import open_volume, resample, where_measured

OVERLAPS = (0, 4, 8, 16, 24)
GROUPS = ((0, 3), (4, 7), (8, 15), (16, 23), (24, 10_000))
Lay = Callable[[int], Tiling]


@dataclass(frozen=True)
class Measure:
    """What one layout of windows made of one case."""

    case: str
    window: str
    size: tuple[int, ...]
    overlap: int
    least: int
    """The least overlap that two windows really have; of one window, its size."""
    windows: int
    mae: float
    mean_difference: float
    largest_difference: float
    energy: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Subject:
    """A case on the working grid, and what its answers are held against."""

    row: Row
    prepared: PreparedSource
    truth: Array
    inside: Mask
    body: Mask
    codec: Codec
    """Of the target."""


def main() -> None:
    """Measure every layout on some cases, print the tables, and draw the worst seam."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="table with both columns")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--split", default="test", help="which cases; test")
    parser.add_argument("--cases", type=int, default=2, help="how many of them; 2")
    parser.add_argument("--exact", action="store_true", help="no more overlap than is asked for")
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    device = choose_device(chosen.device)
    model = load_model(chosen.run, device=device)
    measures: list[Measure] = []
    meetings: list[tuple[int, float]] = []
    worst: tuple[float, bytes] = (0.0, b"")
    for row in rows_of(model, chosen.data, chosen.split)[: chosen.cases]:
        subject = subject_of(model, row)
        whole, _ = answered(model, subject, layout(model, subject, "whole", 0), device)
        for window in ("patch", "1.5 patch", "whole"):
            lay = partial(layout, model, subject, window, exact=chosen.exact)
            found, places, picture = compared(model, subject, window, lay, whole, device)
            measures += found
            meetings += places if window == "patch" else []
            worst = max(worst, picture, key=lambda each: each[0])
    if not measures:
        raise SystemExit(f"no case of the split {chosen.split!r} has source and target")
    write_json(chosen.output / "seams.json", {"layouts": [asdict(m) for m in measures]})
    if worst[1]:
        write_bytes(chosen.output / "worst_seam.png", worst[1])
    print("\n".join(markdown(measures, meetings, subject.codec.unit)))


def rows_of(model: Model, data: Path, split: str) -> list[Row]:
    """Return the rows of a split, by the table's column or the run's record, with both images."""
    source, target = model.preprocessing.source_columns, model.preprocessing.target_columns
    mask = model.config.roles.mask
    columns = [*source, *target, *([] if mask == "auto" else [mask])]
    recorded = set(model.split.get(split, ()))
    rows = read_table(data, columns=columns).rows
    split_of = {row.case: row.split or ("", split)[row.case in recorded] for row in rows}
    full = [row for row in rows if all(c in row.cells for c in (*source, *target))]
    return [row for row in full if split_of[row.case] == split]


def subject_of(model: Model, row: Row) -> Subject:
    """Prepare a case as conversion does, and its truth on the same grid."""
    preprocessing = model.preprocessing
    volumes = {name: open_volume(row.cells[name]) for name in preprocessing.source_columns}
    prepared = preprocessing.prepare_source(volumes)
    (column,) = preprocessing.target_columns
    codec = prepared.target_codecs[column]
    target = open_volume(row.cells[column])
    inside = prepared.body & where_measured(target, prepared.grid)
    if (name := model.config.roles.mask) in row.cells:
        mask = open_volume(row.cells[name])
        inside &= resample(mask.data, mask.grid, prepared.grid, order=0, outside=0.0) > 0
    truth = resample(target.data, target.grid, prepared.grid)
    return Subject(row, prepared, truth, inside, prepared.body, codec)


def layout(
    model: Model, subject: Subject, window: str, overlap: int, *, exact: bool = False
) -> Tiling:
    """Lay windows over a case as conversion does, or with exactly the overlap."""
    shape, patch = subject.prepared.source.shape[1:], model.patch
    factor = {"patch": 1.0, "1.5 patch": 1.5, "whole": math.inf}[window]
    size = [max(p, min(p * factor, n)) for p, n in zip(patch, shape, strict=True)]
    method = model.method
    tiling = plan_tiling(
        shape,
        patch=patch,
        window=[math.ceil(length) for length in size],
        overlap=overlap,
        margin=method.margin,
        divisor=method.divisor,
        phase=method.phase,
        fixed=method.window,
    )
    if not exact:
        return tiling
    phase = method.divisor if method.phase is None else method.phase
    x, y, z = (exactly(axis, overlap, phase) for axis in tiling.axes)
    return replace(tiling, axes=(x, y, z))


def answered(
    model: Model, subject: Subject, tiling: Tiling, device: torch.device
) -> tuple[Array, float]:
    """Return the answer (X, Y, Z) in the target's unit, and how long it took."""
    prepared, codec = subject.prepared, subject.codec
    background = codec.encode(np.full(1, codec.background, np.float32))
    begun = time.perf_counter()
    with torch.no_grad():
        encoded, _ = blend(
            torch.from_numpy(np.ascontiguousarray(prepared.source)),
            tiling,
            model.method.infer,
            background=torch.from_numpy(background),
            keep=torch.from_numpy(with_rim(prepared.body, spacing_mm=prepared.grid.spacing_mm)),
            padding=model.config.convert.padding,
            device=device,
        )
    seconds = time.perf_counter() - begun
    values = np.asarray(codec.decode(encoded[0].cpu().numpy()), np.float32)
    return np.clip(values, codec.low, codec.high) if codec.clip else values, seconds


def compared(
    model: Model, subject: Subject, window: str, lay: Lay, whole: Array, device: torch.device
) -> tuple[list[Measure], list[tuple[int, float]], tuple[float, bytes]]:
    """Measure one size of windows; return also each meeting's overlap and energy, and a picture."""
    size = min(lay(0).window)
    overlaps = [overlap for overlap in OVERLAPS if overlap <= size // 2]
    answers: dict[int, tuple[Tiling, Array, float]] = {}
    for overlap in overlaps if window != "whole" else overlaps[:1]:
        tiling = lay(overlap)
        same = [done for done in answers.values() if done[0] == tiling]
        answers[overlap] = (same or [(tiling, *answered(model, subject, tiling, device))])[0]
    best = answers[max(answers)][1]
    measures, places, worst = [], [], (0.0, b"")
    for overlap, (tiling, answer, seconds) in answers.items():
        met = meetings_of(tiling)
        gap = np.abs(answer - best)[subject.body]
        measure = Measure(
            case=subject.row.case,
            window=window,
            size=tiling.window,
            overlap=overlap,
            least=min((each.overlap for each in met), default=min(tiling.window)),
            windows=len(tiling),
            mae=float(np.abs(answer - subject.truth)[subject.inside].mean()),
            mean_difference=float(gap.mean()),
            largest_difference=float(gap.max()),
            energy=energy_of(answer, whole, subject.body, met),
            seconds=seconds,
        )
        measures.append(measure)
        for each in met:
            energy = energy_of(answer, whole, subject.body, [each], others=met)
            places.append((each.overlap, energy))
            if energy > worst[0]:
                worst = (energy, drawn(subject, answer, whole, each, measure, energy))
    return measures, places, worst


def drawn(
    subject: Subject, answer: Array, whole: Array, meeting: Meeting, measure: Measure, energy: float
) -> bytes:
    """Draw an answer beside that to the whole volume, cut across the windows where they meet."""
    body, centre = subject.body, [round(float(c.mean())) for c in np.nonzero(subject.body)]
    centre[meeting.axis] = min(max(round(meeting.at), 0), body.shape[meeting.axis] - 1)
    axis = ("right", "anterior", "superior")[meeting.axis]
    unit = subject.codec.unit
    panels = [
        Panel(f"windows {measure.size}", answer, "image", unit),
        Panel("whole volume at once", whole, "image", unit),
        Panel("difference", answer - whole, "difference", unit),
    ]
    title = f"overlap {meeting.overlap}, energy {energy:.2f}: windows meet at {axis} {meeting.at:g}"
    spacing = subject.prepared.grid.spacing_mm.tolist()
    at = (centre[0], centre[1], centre[2])
    return preview(panels, spacing_mm=spacing, centre=at, title=title)


def markdown(
    measures: Sequence[Measure], meetings: Sequence[tuple[int, float]], unit: str
) -> Iterator[str]:
    """Yield a row per window and overlap, the mean over cases, and the energy by real overlap."""
    cases = len({measure.case for measure in measures})
    told = ["overlap asked", "least had", "windows", f"MAE ({unit})", "mean difference"]
    told += ["largest difference", "seam energy", "seconds"]
    yield f"| {cases} cases | {' | '.join(told)} |"
    yield "|---|" + "---:|" * len(told)
    grouped: dict[tuple[str, int], list[Measure]] = {}
    for measure in measures:
        grouped.setdefault((measure.window, measure.overlap), []).append(measure)
    for (window, overlap), found in grouped.items():
        means = {
            name: float(np.nanmean([getattr(each, name) for each in found]))
            for name in ("windows", "mae", "mean_difference", "energy", "seconds")
        }
        largest = max(each.largest_difference for each in found)
        least = min(each.least for each in found)
        size = "x".join(map(str, found[0].size))
        yield (
            f"| {window} ({size}) | {overlap} | {least} | {means['windows']:.0f} "
            f"| {means['mae']:.1f} | {means['mean_difference']:.1f} | {largest:.0f} "
            f"| {means['energy']:.2f} | {means['seconds']:.1f} |"
        )
    yield "\n| overlap that windows of the patch really have | meetings | seam energy: mean | max |"
    yield "|---|---:|---:|---:|"
    for low, high in GROUPS:
        energies = [e for overlap, e in set(meetings) if low <= overlap <= high and np.isfinite(e)]
        if energies:
            label = f"{low} to {high}" if high < 1000 else f"{low} or more"
            mean = float(np.mean(energies))
            yield f"| {label} | {len(energies)} | {mean:.2f} | {max(energies):.2f} |"


if __name__ == "__main__":
    main()
