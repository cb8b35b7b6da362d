"""What can be told of an answer without its truth: does it look like the images it should join?

A network that never saw a pair may turn bright into dark, or drift, and lower all of its losses.
Measures without a sign, mutual information or gradient magnitudes, cannot see that; the sign of
the body against its background, the order of grey below its surface, the histogram and the body's
outline can.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.conversion.trust import Finding, Limits
from medgen.data import Codec, Regions, outline
from medgen.data.domain import Domain, alike, face_of
from medgen.data.masks import dice
from medgen.problems import Refusal

WEAK_CONTRAST = 0.5
"""Share of the domain's contrast below which an answer is pale; at 0 it is inverted."""

FAR = Limits(2.0, 4.0)
"""Times the distance of the domain's own farthest case beyond which a histogram is another's."""

LEAST_FARTHEST = 0.1
"""Share of the domain's spread that its farthest case is taken for at least: few training cases
are alike by chance, and a single one has no other to differ from."""

FLAT = Limits(0.75, 0.9)
"""What the standard deviation inside lacks of the domain's, as a share: beyond, an answer shows
next to nothing."""

UNLIKE = Limits(0.5, 1.0)
"""1 less the correlation of layers, beyond which tissues are taken for others: of true images on
sample heads it is below 0.2, of an MR in place of a CT above 0.8."""

OUTLINE = Limits(0.2, 0.5)
"""1 less the Dice of source's and answer's outlines, beyond which anatomy was lost or made up."""

OUTLINE_SLACK = 0.1
"""How much below the least Dice of a training target's own outline an answer's may be."""

LEARNED = 0.9
"""Share of the body that losses must have looked at for histogram and outline to be judged: a mask
column that leaves more out leaves the network free there, and conversion has no mask."""

TINY = 1e-6
"""The least spread, in encoded units, that distances are measured by."""


@dataclass(frozen=True)
class Judgement:
    """What was found of one answer."""

    contrast: float
    """Body less background, over the same of the domain: 1 is alike, 0 or less inverted.

    NaN where the field of view, or the domain's, shows no background around the body.
    """
    histogram_distance: float
    """Wasserstein-1 distance of the values inside to the domain's, in the unit of both."""
    outline_dice: float
    """Dice of the source's body and the one found on the answer, in [0, 1]."""
    spread: float
    """Standard deviation inside the body over the domain's: 1 is alike, 0 constant."""
    layers: float
    """Correlation of the mean values by depth below the surface with the domain's, in [-1, 1].

    It tells scalp painted as skull, and contrast that is inverted inside the body alone. NaN where
    the answer has no layers (it is flat or small) or the domain's are not known.
    """
    doubt: float
    """How much speaks against the answer, 0 or more; constant at the domain's median: 1 or more."""
    faults: tuple[str, ...]
    """What is wrong in few words that are the same in every case, to be counted."""
    findings: tuple[Finding, ...]
    """The same in a sentence each, with the figures, and how grave it is."""

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values, None for what is not known; without the findings."""
        return {
            "contrast": _number(self.contrast),
            "histogram_distance": self.histogram_distance,
            "outline_dice": self.outline_dice,
            "spread": self.spread,
            "layers": _number(self.layers),
            "doubt": self.doubt,
            "faults": list(self.faults),
        }


@dataclass(frozen=True)
class Monitor:
    """Hold answers against the training images of the domain that they should look like."""

    domain: Domain
    least_overlap: float | None = None
    """The least Dice of a training target's outline and its source's; None: not known."""
    learned: float = 1.0
    """The share of the body that the losses looked at; elsewhere an answer may be anything."""

    def judge(self, encoded: NDArray[np.float32], regions: Regions, *, codec: Codec) -> Judgement:
        """Judge a method's own answer, before background is filled in.

        Takes the encoded answer (X, Y, Z) on the working grid, the regions of the source's body on
        it, and the codec that decodes it. Values count inside the body alone, less its edge.
        `doubt` is the histogram's distance in mean deviations of the domain from its median, plus
        what the outline's Dice and the layers' correlation lack of 1, plus 1 for inverted contrast
        or one that cannot be told.
        Of an answer that is not finite, which decoding refuses, nothing is known.
        """
        if not np.isfinite(encoded).all():
            unknown = math.nan
            return Judgement(unknown, unknown, unknown, unknown, unknown, unknown, (), ())
        domain, face = self.domain, face_of(encoded, regions)
        known = face.contrast is not None and domain.contrast != 0.0
        contrast = (face.contrast or 0.0) / domain.contrast if known else math.nan
        unseen = face.contrast is None and domain.contrast != 0.0
        distance = domain.distance_to(np.asarray(face.shares))
        overlap = _outline_dice(encoded[regions.every], regions, codec)
        wanted = np.asarray(domain.layers)
        layers = alike(np.asarray(face.layers)[: len(wanted)], wanted) if len(wanted) else math.nan
        doubt = distance / max(domain.spread, TINY) + 1.0 - overlap
        doubt += float(contrast <= 0.0 or unseen)
        if domain.layers:  # without layers, as of a flat answer, none are alike
            doubt += 1.0 if math.isnan(layers) else 1.0 - layers
        spread = float(np.std(face.shares)) / max(domain.deviation, TINY)
        findings = [
            *_contrast_findings(contrast, unseen=unseen),
            *(self._histogram_findings(distance, codec) if self.learned >= LEARNED else ()),
            *_likeness_findings(spread, layers),
            *(self._outline_findings(overlap) if self.learned >= LEARNED else ()),
        ]
        return Judgement(
            contrast=contrast,
            histogram_distance=distance * codec.gain,
            outline_dice=overlap,
            spread=spread,
            layers=layers,
            doubt=doubt,
            faults=tuple(found.reason.split(":")[0] for found in findings),
            findings=tuple(findings),
        )

    def _histogram_findings(self, distance: float, codec: Codec) -> Iterator[Finding]:
        farthest = max(self.domain.distance, LEAST_FARTHEST * self.domain.spread, TINY)
        verdict = FAR.verdict(distance / farthest)
        if verdict != "pass":
            own, most = distance * codec.gain, FAR.beyond(verdict) * farthest * codec.gain
            said = (
                f"strange intensities: the histogram is {own:.3g} {codec.unit} from the training "
                f"images', which are up to {farthest * codec.gain:.3g} from each other; the limit "
                f"is {most:.3g}"
            )
            yield Finding("answer_histogram", verdict, said)

    def _outline_findings(self, overlap: float) -> Iterator[Finding]:
        usual = 0.0 if self.least_overlap is None else OUTLINE_SLACK + 1.0 - self.least_overlap
        limits = Limits(max(OUTLINE.warn, usual), OUTLINE.fail)
        verdict = limits.verdict(1.0 - overlap)
        if verdict != "pass":
            said = (
                f"changed outline: Dice {overlap:.2f} of the source's body and the answer's, below "
                f"{1.0 - limits.beyond(verdict):.2g}"
            )
            yield Finding("outline", verdict, said)


def _contrast_findings(contrast: float, *, unseen: bool) -> Iterator[Finding]:
    """Yield what body less background says; NaN where it is not known."""
    share = f"body less background is {contrast:.2f} times that of the training images"
    if contrast <= 0.0:
        yield Finding("answer_contrast", "fail", f"inverted contrast: {share}")
    elif contrast < WEAK_CONTRAST:
        said = f"weak contrast: {share}, below {WEAK_CONTRAST:g}"
        yield Finding("answer_contrast", "warn", said)
    if unseen:
        said = (
            "no background: no air around the body is in view, as the training images have it: "
            "whether the contrast is inverted cannot be told"
        )
        yield Finding("answer_contrast", "warn", said)


def _likeness_findings(spread: float, layers: float) -> Iterator[Finding]:
    """Yield what anatomy an answer lacks, or has elsewhere."""
    verdict = FLAT.verdict(1.0 - spread)
    if verdict != "pass":
        said = (
            f"nearly constant: values inside vary {spread:.2f} times as much as the training "
            f"images', below {1.0 - FLAT.beyond(verdict):g}"
        )
        yield Finding("answer_spread", verdict, said)
    verdict = UNLIKE.verdict(1.0 - layers)
    if verdict != "pass":
        said = (
            f"other layers: values by depth below the surface correlate by {layers:.2f} with the "
            f"training images', below {1.0 - UNLIKE.beyond(verdict):g}: tissues are taken for "
            "others"
        )
        yield Finding("answer_layers", verdict, said)


def _outline_dice(seen: NDArray[np.float32], regions: Regions, codec: Codec) -> float:
    """Return the Dice of the source's body and the answer's; 0 where the answer shows none."""
    try:
        found = outline(codec.decode(seen), unit=codec.unit, spacing_mm=regions.spacing_mm)
    except Refusal:
        return 0.0
    return dice(regions.body, found)


def _number(value: float) -> float | None:
    """Return a number that JSON can hold."""
    return None if math.isnan(value) else value
