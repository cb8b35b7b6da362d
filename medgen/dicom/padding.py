"""Voxels that the scanner filled in because nothing was measured there (PS3.3 C.7.5.1.1.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medgen.dicom.layout import Layout
from medgen.dicom.rescale import Rescale
from medgen.dicom.values import whole_of
from medgen.problems import Problem

AIR_HU = -1024
LEAST_HU = -1500.0
"""CT is never lower: no matter attenuates less than none (-1000 HU), and noise and filters reach a
few hundred further. Scanners that rescaled their padding leave such values, -3024 foremost, under a
PixelPaddingValue that no longer matches."""
_TISSUE_HU = (-1000.0, 3000.0)


@dataclass(frozen=True)
class Padding:
    """A range of stored values, both ends included, that mean "not measured"."""

    least: int
    greatest: int

    def mask(self, words: NDArray[Any], stored: NDArray[Any], layout: Layout) -> NDArray[np.bool_]:
        """Tell which values of a frame are padding.

        A padding value outside the range of BitsStored is one that uses the bits above HighBit
        too: it is looked for in the words as they were before those bits were masked.
        """
        values = stored
        if self.least < layout.least or self.greatest > layout.greatest:
            values = words.view(f"i{words.dtype.itemsize}") if layout.signed else words
        if self.least == self.greatest:
            return np.asarray(values == self.least)
        return np.asarray((values >= self.least) & (values <= self.greatest))

    def measured(self, rescale: Rescale) -> tuple[float, float]:
        """Return the least and the greatest value that the range stands for after rescaling."""
        slope, intercept = rescale
        ends = sorted((self.least * slope + intercept, self.greatest * slope + intercept))
        return ends[0], ends[1]


def padding_of(header: Dataset, layout: Layout) -> Padding | None:
    """Return the stored values that pad a frame, or None where the header names none.

    PixelPaddingValue (0028,0120), and all values from it to PixelPaddingRangeLimit (0028,0121) in
    either direction. Both are 16-bit numbers with the sign of PixelRepresentation, whatever value
    representation a careless writer gave them.
    """
    value = whole_of(header, "PixelPaddingValue")
    if value is None:
        return None
    limit = whole_of(header, "PixelPaddingRangeLimit")
    ends = sorted(_signed(end, layout) for end in (value, value if limit is None else limit))
    return Padding(ends[0], ends[1])


def spread_by_loss(padding: Padding, rescale: Rescale, layout: Layout) -> Padding:
    """Return the stored values that a CT's padding has become by lossy compression.

    Padding lies far below air, and its edges ring. So all values are padding that are nearer to it
    than to -1024 HU, below which nothing is measured; padding from there on stays what it is.
    """
    slope, intercept = rescale
    if slope <= 0 or padding.measured(rescale)[1] >= AIR_HU:
        return padding
    air = (AIR_HU - intercept) / slope
    return Padding(layout.least, math.floor((padding.greatest + air) / 2))


def replacement(padding: Padding, modality: str, rescale: Rescale) -> int | None:
    """Return what padded voxels become, or None where they are left as they are.

    Of CT, -1024 HU, unless the padding value is one that tissue has (-1000 to 3000 HU): such a
    header is wrong more often than the tissue. Of other modalities, 0, and only where padding
    would be below 0, which nothing measured is: a padding of 0 is the background that it is.
    """
    if modality == "CT":
        return AIR_HU if not is_tissue(padding, modality, rescale) else None
    return 0 if padding.measured(rescale)[1] < 0 else None


def is_tissue(padding: Padding, modality: str, rescale: Rescale) -> bool:
    """Tell whether a CT's padding is among the values that tissue has."""
    least, greatest = padding.measured(rescale)
    return modality == "CT" and greatest > _TISSUE_HU[0] and least < _TISSUE_HU[1]


def padding_notes(*, replaced: int, by: set[int], doubtful: bool) -> list[Problem]:
    """Return W_PADDING notes of what was done."""
    notes = []
    if replaced:
        values = " and ".join(map(str, sorted(by)))
        message = f"{replaced} voxels were padded by the scanner: set to {values} and not counted"
        notes.append(Problem("W_PADDING", message))
    if doubtful:
        message = "the padding value of the header is one that tissue has: kept as measured"
        notes.append(Problem("W_PADDING", message))
    return notes


def _signed(value: int, layout: Layout) -> int:
    """Read a number as 16 bits with the sign that the pixels have."""
    if layout.bits_allocated > 16:
        return value
    word = value & 0xFFFF
    return word - (1 << 16) if layout.signed and word >> 15 else word
