"""Seams of sliding windows: what the window and the overlap do to a trained run's answers.

    python benchmarks/seams.py --run RUN --data cases.csv --output seams [--cases 2]

Instance norms measure their statistics on the window, so that two windows answer one voxel
differently. Windows of the training patch, up to half as long again and as long as the volume are
laid out as `convert` does it, with overlaps from 0 to half a window, over test cases; all is
measured on the run's working grid, inside the body:

- MAE against the truth, in the target's unit (in roles.mask where that is a column);
- mean and maximum difference from the answer with windows of that size and the largest overlap;
- seam energy (seam_energy.py): how much rougher the answer is where windows meet. 1 is no seam;
- work: voxels that were computed, overlaps and all, over those of the volume.

`convert` spreads windows evenly, on multiples of the network's divisor, so that they overlap by
what is asked for or more: both are printed, and a second table sorts the places where the patch's
windows meet by the overlap that they have. --exact pads the volume instead, so that small heads
show small overlaps too, as far as the divisor allows. The rows `auto` are the windows that
`convert` chooses: over the body's box, up to a quarter longer than the patch where that saves some.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from seam_energy import Array, Mask, energy_of, exactly
from seam_tables import Measure, markdown

from medgen.conversion import Tiling, Windows, blend, plan_tiling
from medgen.conversion.seams import Meeting, meetings_of
from medgen.data import Codec, PreparedSource, Row, read_table, with_rim
from medgen.files import write_bytes, write_json
from medgen.report import Panel, preview
from medgen.runs import Model, choose_device, load_model
from medgen.volumes import open_volume, resample, where_measured

OVERLAPS = (0, 4, 8, 16, 24, 32)
FACTORS = {
    "patch": 1.0,
    "1.15 patch": 1.15,
    "1.3 patch": 1.3,
    "1.5 patch": 1.5,
    "whole": math.inf,
}
"""Windows by their length over the training patch's; lengths are rounded up to the divisor."""
Lay = Callable[[int], Tiling]


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
        for window in FACTORS:
            lay = partial(layout, model, subject, window, exact=chosen.exact)
            found, places, picture = compared(model, subject, window, lay, whole, device)
            measures += found
            meetings += places if window == "patch" else []
            worst = max(worst, picture, key=lambda each: each[0])
        measures.append(automatic(model, subject, whole, device))
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
    factor = FACTORS[window]
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
    values, _, seconds = worked(model, subject, tiling, device)
    return values, seconds


def worked(
    model: Model, subject: Subject, tiling: Tiling, device: torch.device
) -> tuple[Array, float, float]:
    """Return the answer (X, Y, Z) in the target's unit, the work, and how long it took."""
    prepared, codec = subject.prepared, subject.codec
    background = codec.encode(np.full(1, codec.background, np.float32))
    begun = time.perf_counter()
    with torch.no_grad():
        encoded, skipped = blend(
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
    window = math.prod(length + 2 * tiling.margin for length in tiling.window)
    work = (len(tiling) - skipped) * window / values.size
    return np.clip(values, codec.low, codec.high) if codec.clip else values, work, seconds


def compared(
    model: Model, subject: Subject, window: str, lay: Lay, whole: Array, device: torch.device
) -> tuple[list[Measure], list[tuple[int, float]], tuple[float, bytes]]:
    """Measure one size of windows; return also each meeting's overlap and energy, and a picture."""
    size = min(lay(0).window)
    overlaps = [overlap for overlap in OVERLAPS if overlap <= size // 2]
    answers: dict[int, tuple[Tiling, Array, float, float]] = {}
    for overlap in overlaps if window != "whole" else overlaps[:1]:
        tiling = lay(overlap)
        same = [done for done in answers.values() if done[0] == tiling]
        answers[overlap] = (same or [(tiling, *worked(model, subject, tiling, device))])[0]
    best = answers[max(answers)][1]
    measures, places, worst = [], [], (0.0, b"")
    for overlap, (tiling, answer, work, seconds) in answers.items():
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
            work=work,
            seconds=seconds,
        )
        measures.append(measure)
        for each in met:
            energy = energy_of(answer, whole, subject.body, [each], others=met)
            places.append((each.overlap, energy))
            if energy > worst[0]:
                worst = (energy, drawn(subject, answer, whole, each, measure, energy))
    return measures, places, worst


def automatic(model: Model, subject: Subject, whole: Array, device: torch.device) -> Measure:
    """Measure the windows that conversion chooses by itself, with the overlap of the settings."""
    prepared, codec, settings = subject.prepared, subject.codec, model.config.convert
    answer = next(iter(model.method.answers))
    chosen = Windows(model.method, answer, settings, device, "fp32", model.patch)
    begun = time.perf_counter()
    found = chosen(
        np.ascontiguousarray(prepared.source),
        background=codec.encode(np.full(1, codec.background, np.float32)),
        keep=with_rim(prepared.body, spacing_mm=prepared.grid.spacing_mm),
    )
    seconds = time.perf_counter() - begun
    values = np.asarray(codec.decode(found.encoded[0].numpy()), np.float32)
    values = np.clip(values, codec.low, codec.high) if codec.clip else values
    tiling, met = found.tiling, meetings_of(found.tiling)
    count = len(tiling) - found.skipped
    size = math.prod(length + 2 * tiling.margin for length in tiling.window)
    return Measure(
        case=subject.row.case,
        window="auto",
        size=tiling.window,
        overlap=settings.overlap_voxels,
        least=min((each.overlap for each in met), default=min(tiling.window)),
        windows=count,
        mae=float(np.abs(values - subject.truth)[subject.inside].mean()),
        mean_difference=None,
        largest_difference=None,
        energy=energy_of(values, whole, subject.body, met),
        work=count * size / values.size,
        seconds=seconds,
    )


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


if __name__ == "__main__":
    main()
