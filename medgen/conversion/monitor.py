"""What can be told of an answer without its truth: does it look like the images it should join?

A network that never saw a pair may turn bright into dark, or drift, and lower all of its losses.
Measures without a sign, mutual information or gradient magnitudes, cannot see that; the sign of
the body against its background, the order of grey below its surface, the histogram and the body's
outline can.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.data import Codec, outline, with_rim
from medgen.data.domain import Domain, alike, contrast_of, interior, layers_of
from medgen.data.masks import Mask, Spacing, dice
from medgen.problems import Refusal

WEAK_CONTRAST = 0.5
"""Share of the domain's contrast below which an answer is pale."""

FAR = 2.0
"""Times the distance of the domain's own farthest case beyond which a histogram is another's."""

LEAST_FARTHEST = 0.1
"""Share of the domain's spread that its farthest case is taken for at least: few training cases
are alike by chance, and a single one has no other to differ from."""

FLAT = 0.25
"""Share of the domain's standard deviation below which an answer shows next to nothing inside."""

LEAST_ALIKE = 0.5
"""Correlation of layers below which tissues are taken for others: of true images on sample heads it
is above 0.8, of an MR in place of a CT below 0.2."""

LEAST_DICE = 0.8
"""Dice overlap of source's and answer's outlines below which anatomy was lost or made up."""

TINY = 1e-6
"""The least spread, in encoded units, that distances are measured by."""


@dataclass(frozen=True)
class Verdict:
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
    warnings: tuple[str, ...]
    """The same in a sentence each, with the figures."""

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values, None for what is not known; without the warnings."""
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
    source: Domain | None = None
    """What the method's own sources looked like."""

    def judge_source(
        self, encoded: NDArray[np.float32], body: Mask, *, spacing_mm: Spacing
    ) -> tuple[str, ...]:
        """Return what speaks against the source itself: another modality, or the other direction.

        Takes the encoded source (X, Y, Z) and its body without a rim. A network answers to whatever
        it is given; a CT in the place of an MR has its own layers, whatever its scale.
        """
        if self.source is None or not self.source.layers:
            return ()
        rimmed = with_rim(body, spacing_mm=spacing_mm)
        wanted = np.asarray(self.source.layers)
        known = layers_of(encoded, rimmed, spacing_mm=spacing_mm)[: len(wanted)]
        found = alike(known, wanted)
        if math.isnan(found):
            return ("doubtful source: it shows no body whose layers could be compared",)
        if found < LEAST_ALIKE:
            return (
                f"doubtful source: its values by depth below the surface correlate by {found:.2f} "
                f"with the training images' of its column, below {LEAST_ALIKE:g}; is it of this "
                "modality, and the direction right?",
            )
        return ()

    def judge(
        self, encoded: NDArray[np.float32], body: Mask, *, spacing_mm: Spacing, codec: Codec
    ) -> Verdict:
        """Judge a method's own answer, before background is filled in.

        Takes the encoded answer (X, Y, Z) on the working grid, the source's body on it without a
        rim, and the codec that decodes it. Values count inside the body alone, less its edge.
        `doubt` is the histogram's distance in mean deviations of the domain from its median, plus
        what the outline's Dice and the layers' correlation lack of 1, plus 1 for inverted contrast
        or one that cannot be told.
        Of an answer that is not finite, which decoding refuses, nothing is known.
        """
        if not np.isfinite(encoded).all():
            unknown = math.nan
            return Verdict(unknown, unknown, unknown, unknown, unknown, unknown, (), ())
        domain = self.domain
        rimmed = with_rim(body, spacing_mm=spacing_mm)
        inside = encoded[interior(rimmed, spacing_mm=spacing_mm)]
        measured = contrast_of(encoded, rimmed, spacing_mm=spacing_mm)
        contrast = math.nan
        if measured is not None and domain.contrast != 0.0:
            contrast = measured / domain.contrast
        unseen = measured is None and domain.contrast != 0.0
        distance = domain.distance_to(inside)
        overlap = _outline_dice(encoded, body, spacing_mm=spacing_mm, codec=codec)
        layers = self._layers(encoded, rimmed, spacing_mm)
        doubt = distance / max(domain.spread, TINY) + 1.0 - overlap
        doubt += float(contrast <= 0.0 or unseen)
        if domain.layers:  # without layers, as of a flat answer, none are alike
            doubt += 1.0 if math.isnan(layers) else 1.0 - layers
        spread = float(np.std(inside, dtype=np.float64)) / max(domain.deviation, TINY)
        faults = self._faults(contrast, distance, overlap, spread, codec)
        if unseen:
            faults["no background"] = (
                "no air around the body is in view, as the training images have it: whether the "
                "contrast is inverted cannot be told"
            )
        if layers < LEAST_ALIKE:
            faults["other layers"] = (
                f"values by depth below the surface correlate by {layers:.2f} with the training "
                f"images', below {LEAST_ALIKE:g}: tissues are taken for others"
            )
        return Verdict(
            contrast=contrast,
            histogram_distance=distance * codec.gain,
            outline_dice=overlap,
            spread=spread,
            layers=layers,
            doubt=doubt,
            faults=tuple(faults),
            warnings=tuple(f"{fault}: {found}" for fault, found in faults.items()),
        )

    def _layers(self, encoded: NDArray[np.float32], rimmed: Mask, spacing_mm: Spacing) -> float:
        """Return how alike the answer's layers are to the domain's."""
        wanted = np.asarray(self.domain.layers)
        if not len(wanted):
            return math.nan
        return alike(layers_of(encoded, rimmed, spacing_mm=spacing_mm)[: len(wanted)], wanted)

    def _faults(
        self, contrast: float, distance: float, overlap: float, spread: float, codec: Codec
    ) -> dict[str, str]:
        """Return what is wrong, and the sentence that says how far."""
        faults = {}
        share = f"body less background is {contrast:.2f} times that of the training images"
        if contrast <= 0.0:
            faults["inverted contrast"] = share
        elif contrast < WEAK_CONTRAST:
            faults["weak contrast"] = f"{share}, below {WEAK_CONTRAST:g}"
        farthest = max(self.domain.distance, LEAST_FARTHEST * self.domain.spread)
        if distance > FAR * farthest:
            own, most = distance * codec.gain, FAR * farthest * codec.gain
            faults["strange intensities"] = (
                f"the histogram is {own:.3g} {codec.unit} from the training images', "
                f"which are up to {most / FAR:.3g} from each other; beyond {most:.3g} is doubtful"
            )
        if spread < FLAT:
            faults["nearly constant"] = (
                f"values inside vary {spread:.2f} times as much as the training images', "
                f"below {FLAT:g}"
            )
        if overlap < LEAST_DICE:
            faults["changed outline"] = (
                f"Dice {overlap:.2f} of the source's body and the answer's, below {LEAST_DICE:g}"
            )
        return faults


def _outline_dice(
    encoded: NDArray[np.float32], body: Mask, *, spacing_mm: Spacing, codec: Codec
) -> float:
    """Return the Dice of the source's body and the answer's; 0 where the answer shows none."""
    try:
        found = outline(codec.decode(encoded), unit=codec.unit, spacing_mm=spacing_mm)
    except Refusal:
        return 0.0
    return dice(body, found)


def _number(value: float) -> float | None:
    """Return a number that JSON can hold."""
    return None if math.isnan(value) else value
