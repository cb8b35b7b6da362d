"""Is a source like the ones that the run was trained on? A network answers to whatever it is given.

Every limit is relative to the training cases: how far each of them lies from the others, or the
range that they span. How often a case of the same cohort is beyond one, and which mishaps are
found, is measured by `benchmarks/trust.py`; the limits were set there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from medgen.conversion.trust import Finding, Limits, Trust
from medgen.data import Look, Usual
from medgen.data.domain import alike

COARSER = Limits(1.5, 2.5)
"""Times the largest spacing of the training cases, or the run's; 2.5 and more of what is answered
lies between slices that nobody measured."""
FINER = Limits(1.5)
EXTENT = Limits(2.0)
"""Times beyond the range of the fields of view, either way."""
LITRES = Limits(1.35, 2.0)
"""Times beyond the range of the bodies' volumes, either way."""
CUT = Limits(0.25, 0.7)
"""Share of the body's cross-section that a border cuts through, beyond the most in training."""
SHAPE = Limits(1.25, 3.0)
"""Times the distance of the training case whose outline is least like the others'."""
ARRANGEMENT = Limits(1.25, 3.0)
"""The same of mean values along the axes."""
HISTOGRAM = Limits(1.5, 4.0)
"""The same of the values' distribution."""
UNLIKE = Limits(0.3, 1.0)
"""1 less the correlation of layers: of true images on sample heads it is below 0.2, on real ones
below 0.06, of an MR in place of a CT above 0.8. Beyond 1 what is bright is dark."""
GRAIN = Limits(1.6, 3.0)
"""Times beyond the range of second differences, either way."""
VALUES = Limits(1.0, 3.0)
"""Widths of the training cases' values (median of 5 to 95 %) that a quantile lies beyond its
range; of a scale that is not measured on each volume anew."""
PALE = Limits(0.5, 1.0)
"""What body less background lacks of that of the training cases, as a share."""

LEAST_SHAPE, LEAST_ARRANGEMENT, LEAST_HISTOGRAM = 0.08, 0.15, 0.1
"""The least that the farthest training case is taken for: few are alike by chance, and a single one
has no other to differ from. The last is a share of the domain's spread."""

SIDES = ("left", "right", "posterior", "anterior", "inferior", "superior")
WAYS = ("left-right", "posterior-anterior", "inferior-superior")


@dataclass(frozen=True)
class SourceCheck:
    """Hold one column's image of a case against the training cases'."""

    column: str
    look: Look
    usual: Usual
    run_spacing_mm: Sequence[float]
    fixed_scale: bool
    """Values are encoded by a scale of the run; False: by one measured on each volume."""
    reference: bool
    """It is the column that lays the frame: the body is its own."""

    def trust(self) -> Trust:
        """Return what was found."""
        measures: dict[str, float | None] = {}
        findings = []
        checks = [self._spacing, self._values, self._layers, self._histogram, self._arrangement]
        checks += [self._grain, self._contrast]
        checks += [self._body, self._cut, self._shape] if self.reference else []
        for check in checks:
            for name, value, limits, sentence in check():
                measures[f"{self.column}.{name}"] = None if math.isnan(value) else value
                verdict = limits.verdict(value)
                if verdict != "pass":
                    reason = f"column {self.column}: {sentence}"
                    if math.isfinite(limits.beyond(verdict)):
                        reason += f" ({value:.2f}, limit {limits.beyond(verdict):g})"
                    findings.append(Finding(name, verdict, reason))
        return Trust((*self._stated(), *findings), measures)

    def _stated(self) -> Iterator[Finding]:
        """Yield what headers contradict."""
        known, said = self.usual.modalities, self.look.modality
        if known and said and said not in known:
            reason = f"the header says {said}, of the training cases {', '.join(known)}"
            yield Finding("modality", "fail", f"column {self.column}: {reason}")
        units = self.usual.units
        if self.look.unit not in units:
            reason = f"the unit is {self.look.unit}, of the training cases {', '.join(units)}"
            yield Finding("unit", "warn", f"column {self.column}: {reason}")

    def _spacing(self) -> Iterator[Measure]:
        spread, found = self.usual.figures["spacing_mm"], self.look.figures["spacing_mm"]
        run = self.run_spacing_mm
        coarser = [
            mm / max(high, own) for mm, high, own in zip(found, spread.high, run, strict=True)
        ]
        finer = [
            max(low, own) / max(mm, own)
            for mm, low, own in zip(found, spread.low, run, strict=True)
        ]
        for name, ratios, limits in (("coarser", coarser, COARSER), ("finer", finer, FINER)):
            axis = int(np.argmax(ratios))
            sentence = (
                f"voxels are {found[axis]:.2f} mm apart {WAYS[axis]}, of the training cases "
                f"{spread.low[axis]:.2f} to {spread.high[axis]:.2f}, and the run works at "
                f"{run[axis]:.2f}: {ratios[axis]:.1f} times {name}"
            )
            yield f"spacing_{name}", ratios[axis], limits, sentence
        spread, extent = self.usual.figures["extent_mm"], self.look.figures["extent_mm"]
        beyond = [_beyond(*each) for each in zip(extent, spread.low, spread.high, strict=True)]
        axis = int(np.argmax(beyond))
        sentence = (
            f"the field of view is {extent[axis]:.0f} mm {WAYS[axis]}, of the training cases "
            f"{spread.low[axis]:.0f} to {spread.high[axis]:.0f}"
        )
        yield "field_of_view", beyond[axis], EXTENT, sentence

    def _values(self) -> Iterator[Measure]:
        """Yield how far quantiles lie beyond the training cases', where the network sees that."""
        spread, found = self.usual.figures["quantiles"], self.look.figures["quantiles"]
        width = max(spread.mean[-1] - spread.mean[0], 1e-9)
        gaps = [
            max(low - v, v - high)
            for v, low, high in zip(found, spread.low, spread.high, strict=True)
        ]
        at = int(np.argmax(gaps))
        limits = VALUES if self.fixed_scale else Limits(math.inf)
        name = ("5 %", "25 %", "50 %", "75 %", "95 %")[at]
        sentence = (
            f"the {name} quantile inside the body is {found[at]:.4g} {self.look.unit}, of the "
            f"training cases {spread.low[at]:.4g} to {spread.high[at]:.4g}"
        )
        yield "values", max(gaps[at], 0.0) / width, limits, sentence

    def _layers(self) -> Iterator[Measure]:
        wanted = np.asarray(self.usual.domain.layers)
        if not len(wanted):
            return
        found = alike(np.asarray(self.look.face.layers)[: len(wanted)], wanted)
        sentence = (
            f"values by depth below the surface correlate by {found:.2f} with the training "
            "images'; is it of this modality, and the direction right?"
        )
        yield "layers", 1.0 - found, UNLIKE, sentence

    def _histogram(self) -> Iterator[Measure]:
        domain = self.usual.domain
        distance = domain.distance_to(np.asarray(self.look.face.shares))
        farthest = max(domain.distance, LEAST_HISTOGRAM * domain.spread, 1e-6)
        sentence = (
            "the distribution of values inside the body is farther from the training images' than "
            "theirs are from each other"
        )
        yield "histogram", distance / farthest, HISTOGRAM, sentence

    def _arrangement(self) -> Iterator[Measure]:
        spread = self.usual.figures["means"]
        distance = spread.distance_to(self.look.figures["means"])
        sentence = "bright and dark lie elsewhere along the axes than in the training images"
        farthest = max(spread.farthest, LEAST_ARRANGEMENT)
        yield "arrangement", distance / farthest, ARRANGEMENT, sentence

    def _grain(self) -> Iterator[Measure]:
        spread, found = self.usual.figures["grain"], self.look.figures["grain"]
        rough = [v / max(high, 1e-6) for v, high in zip(found, spread.high, strict=True)]
        smooth = [low / max(v, 1e-6) for v, low in zip(found, spread.low, strict=True)]
        for name, ratios, why in (
            ("rougher", rough, "is it noisier?"),
            ("smoother", smooth, "was it filtered, or resampled from thicker slices?"),
        ):
            axis = int(np.argmax(ratios))
            sentence = f"it is {name} {WAYS[axis]} than any training image: {why}"
            yield f"grain_{name}", ratios[axis], GRAIN, sentence

    def _contrast(self) -> Iterator[Measure]:
        wanted, found = self.usual.domain.contrast, self.look.face.contrast
        if wanted == 0.0 or found is None:
            return
        sentence = f"body less background is {found / wanted:.2f} times that of the training images"
        yield "contrast", 1.0 - found / wanted, PALE, sentence

    def _body(self) -> Iterator[Measure]:
        spread, (litres,) = self.usual.figures["litres"], self.look.figures["litres"]
        (low,), (high,) = spread.low, spread.high
        sentence = (
            f"the body has {litres:.2f} litres, of the training cases {low:.2f} to {high:.2f}"
        )
        yield "body", _beyond(litres, low, high), LITRES, sentence

    def _cut(self) -> Iterator[Measure]:
        spread, found = self.usual.figures["cut"], self.look.figures["cut"]
        more = [value - high for value, high in zip(found, spread.high, strict=True)]
        side = int(np.argmax(more))
        sentence = (
            f"the field of view ends in the body, {SIDES[side]}: {found[side]:.0%} of its "
            f"cross-section, of the training cases up to {spread.high[side]:.0%}"
        )
        yield "cut", max(0.0, more[side]), CUT, sentence

    def _shape(self) -> Iterator[Measure]:
        spread = self.usual.figures["areas"]
        distance = spread.distance_to(self.look.figures["areas"])
        sentence = (
            "the body's outline is another than in the training images: is it that part of the "
            "body, whole and the right way up?"
        )
        yield "shape", distance / max(spread.farthest, LEAST_SHAPE), SHAPE, sentence


Measure = tuple[str, float, Limits, str]
"""A check's name, its value, of which more is worse, its limits, and what is said beyond them."""


def _beyond(value: float, low: float, high: float) -> float:
    """Return how many times a positive value is beyond a range; 1 and less inside."""
    return max(value / max(high, 1e-9), low / max(value, 1e-9))
