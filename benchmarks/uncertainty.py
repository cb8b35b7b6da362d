"""How well `convert --uncertainty` and `--ensemble` predict the error of a synthetic image.

    python benchmarks/uncertainty.py --runs RUN RUN RUN --data cases.csv --output uncertainty

The first run's answers to a split's cases are held against the truth inside roles.mask, in the
target's unit, and so are the maps of standard deviations that it has by mirroring alone, by
dropout alone (where its network has any), by the runs as an ensemble, and by all together. The
error of an ensemble is that of its mean. What costs nothing is measured beside them: the gradient
of the answer (`edges`), since images are wrong at edges anyway, whatever any network doubts. The
scores are those of uncertainty_scores.py, the mean over cases; those of cases correlate the mean
deviation of a case with its MAE. Ctrl-C ends it with the cases that are done.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats
from uncertainty_scores import BINS, STEPS, Array, Scores, binned, factor_of, scores_of

from medgen.conversion import Converter, converter_of
from medgen.conversion.uncertainty import DEVIATION, DROPOUT_PASSES, Sampling, dropout_of
from medgen.data import Row, outline, read_table
from medgen.files import write_bytes, write_json
from medgen.report.sheet import to_png
from medgen.report.style import FAINT, plot_figure
from medgen.runs import Model, choose_device, load_model
from medgen.volumes import Volume, open_volume, resample

Mask = NDArray[np.bool_]
VOXELS, SEED = 200_000, 0
"""Of each case at most so many, drawn at random."""


@dataclass(frozen=True, eq=False)
class Held:
    """The uncertainties and the errors of one case's voxels (N,)."""

    uncertainty: Array
    error: Array
    scores: Scores
    seconds: float


def main() -> None:
    """Measure every way on some cases, print the tables, and draw the figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, required=True, nargs="+", help="of several seeds")
    parser.add_argument("--data", type=Path, required=True, help="table with both columns")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--split", default="test", help="which cases; test")
    parser.add_argument("--cases", type=int, default=1000, help="how many of them; all")
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    device = choose_device(chosen.device)
    models = [load_model(run, device=device) for run in chosen.runs]
    first, *others = (converter_of(model, device=device) for model in models)
    held: dict[str, list[Held]] = {}
    for row in rows_of(models[0], chosen.data, chosen.split)[: chosen.cases]:
        try:
            found = held_of(models, first, others, row)
        except KeyboardInterrupt:
            break
        for way, one in found.items():
            held.setdefault(way, []).append(one)
        print(row.case, {way: round(one.scores.gain, 3) for way, one in found.items()}, flush=True)
    if not held:
        raise SystemExit(f"no case of the split {chosen.split!r} has source and target")
    write_json(chosen.output / "uncertainty.json", {w: summary(f) for w, f in held.items()})
    write_bytes(chosen.output / "uncertainty.png", drawn(held))
    print("\n".join(markdown(held)))


def held_of(
    models: Sequence[Model], first: Converter, others: Sequence[Converter], row: Row
) -> dict[str, Held]:
    """Answer one case every way, and hold each map against the error."""
    source = {name: open_volume(row.cells[name]) for name in first.preprocessing.given}
    truth, inside = truth_of(models[0], row, next(iter(source.values())))
    found: dict[str, Held] = {}
    for way, one in ways_of(models, first, others):
        begun = time.perf_counter()
        converted = one(source)
        seconds = time.perf_counter() - begun
        answer = np.asarray(converted.volume.data, np.float32)
        deviation = converted.beside.get(DEVIATION)
        edges = ndimage.gaussian_gradient_magnitude(answer, 1.0)
        doubt = edges if deviation is None else deviation.data
        found[way] = compared(doubt, np.abs(answer - truth), inside, seconds)
    return found


def ways_of(
    models: Sequence[Model], first: Converter, others: Sequence[Converter]
) -> Iterator[tuple[str, Converter]]:
    """Yield each way to an uncertainty, and the first run's converter, made to go it."""
    axes = models[0].config.train.augment.flip_axes
    samplings: dict[str, tuple[Sampling | None, tuple[Converter, ...]]] = {
        "edges": (None, ()),
        "mirroring": (Sampling(axes, 0), ()),
    }
    if dropout_of(first.method):
        samplings["dropout"] = (Sampling((), DROPOUT_PASSES), ())
    if others:
        samplings["ensemble"] = (Sampling((), 0), tuple(others))
        samplings["all"] = (Sampling(axes), tuple(others))
    for way, (sampling, members) in samplings.items():
        first.uncertainty, first.members = sampling, members
        for member in members:
            member.uncertainty = sampling
        yield way, first


def rows_of(model: Model, data: Path, split: str) -> list[Row]:
    """Return the rows of a split, by the run's record or the table's column, with both images."""
    source, target = model.preprocessing.source_columns, model.preprocessing.target_columns
    mask = model.config.roles.mask
    columns = [*source, *target, *([] if mask == "auto" else [mask])]
    recorded = set(model.split.get(split, ()))
    rows = read_table(data, columns=columns).rows
    full = [row for row in rows if all(column in row.cells for column in (*source, *target))]
    return [row for row in full if row.case in recorded or row.split == split]


def truth_of(model: Model, row: Row, source: Volume) -> tuple[Array, Mask]:
    """Return the target on the source's grid, and the voxels that count."""
    target = open_volume(row.cells[model.preprocessing.target_columns[0]])
    name = model.config.roles.mask
    if name in row.cells:
        mask = open_volume(row.cells[name])
        inside = resample(mask.data, mask.grid, source.grid, order=0, outside=0.0) > 0
    else:
        inside = outline(source.data, unit=source.unit, spacing_mm=source.grid.spacing_mm)
    return resample(target.data, target.grid, source.grid), inside


def compared(doubt: Array, error: Array, inside: Mask, seconds: float) -> Held:
    """Hold a map against the error in some voxels of the mask."""
    places = np.flatnonzero(inside)
    if len(places) > VOXELS:
        places = np.random.default_rng(SEED).choice(places, VOXELS, replace=False)
    uncertainty, errors = doubt.ravel()[places], error.ravel()[places]
    return Held(uncertainty, errors, scores_of(uncertainty, errors), seconds)


def summary(found: Sequence[Held]) -> dict[str, object]:
    """Return what was measured of one way over all cases."""
    uncertainty = np.concatenate([one.uncertainty for one in found])
    error = np.concatenate([one.error for one in found])
    means = [float(one.uncertainty.mean()) for one in found]
    maes = [float(one.error.mean()) for one in found]
    told = len(found) > 2 and np.ptp(means) > 0
    return {
        "cases": len(found),
        "mae": float(np.mean(maes)),
        "pearson": float(np.mean([one.scores.pearson for one in found])),
        "spearman": float(np.mean([one.scores.spearman for one in found])),
        "ause": float(np.mean([one.scores.ause for one in found])),
        "gain": float(np.mean([one.scores.gain for one in found])),
        "factor": factor_of(uncertainty, error),
        "case_pearson": float(np.corrcoef(means, maes)[0, 1]) if told else None,
        "case_spearman": float(stats.spearmanr(means, maes).statistic) if told else None,
        "seconds": float(np.median([one.seconds for one in found])),
        "bins": binned(uncertainty, error).round(3).tolist(),
    }


def markdown(held: Mapping[str, Sequence[Held]]) -> Iterator[str]:
    """Yield a row per way, and one per way of the calibration curve."""
    sums = {way: summary(found) for way, found in held.items()}
    told = ["MAE", "Pearson", "Spearman", "AUSE", "gain", "error / std", "cases: Pearson"]
    told += ["cases: Spearman", "seconds"]
    cases = len(next(iter(held.values())))
    yield f"| {cases} cases | {' | '.join(told)} |"
    yield "|---|" + "---:|" * len(told)
    keys = ["mae", "pearson", "spearman", "ause", "gain", "factor", "case_pearson"]
    keys += ["case_spearman", "seconds"]
    for way, found in sums.items():
        cells = [found[key] for key in keys]
        if way == "edges":
            cells[keys.index("factor")] = None  # a gradient is in another unit
        yield f"| {way} | " + " | ".join("" if c is None else f"{c:.3g}" for c in cells) + " |"
    yield f"\n| std : RMSE, by tenth of the voxels | {' | '.join(map(str, range(1, BINS + 1)))} |"
    yield "|---|" + "---:|" * BINS
    for way, found in sums.items():
        bins = found["bins"]
        assert isinstance(bins, list)
        if way != "edges":
            yield f"| {way} | " + " | ".join(f"{std:.0f} : {rms:.0f}" for std, rms in bins) + " |"


def drawn(held: Mapping[str, Sequence[Held]]) -> bytes:
    """Draw the calibration and the sparsification curves."""
    with plot_figure(9.0, 3.6, 1, 2) as (figure, (left, right)):
        largest = 0.0
        for number, (way, found) in enumerate(held.items()):
            look: dict[str, Any] = {"color": f"C{number}", "label": way}
            curve = np.mean([one.scores.curve for one in found], axis=0)
            right.plot(np.arange(STEPS) / STEPS, curve, **look)
            if way != "edges":
                bins = np.asarray(summary(found)["bins"])
                left.plot(bins[:, 0], bins[:, 1], marker="o", **look)
                largest = max(largest, float(bins.max()))
        left.plot([0, largest], [0, largest], color=FAINT, linewidth=0.8, label="as large as told")
        first = next(iter(held.values()))
        oracle = np.mean([one.scores.oracle for one in first], axis=0)
        right.plot(np.arange(STEPS) / STEPS, oracle, color=FAINT, label="oracle")
        left.set_title("calibration")
        left.set_xlabel("standard deviation")
        left.set_ylabel("root mean squared error")
        right.set_title("sparsification")
        right.set_xlabel("share of voxels left out, the most uncertain first")
        right.set_ylabel("mean error of the rest / of all")
        left.legend()
        right.legend()
        return to_png(figure)


if __name__ == "__main__":
    main()
