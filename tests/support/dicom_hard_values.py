"""Builders of series that are hard by their headers and their numbers.

Each takes an empty folder, fills it, and returns the truth: of what it must be read as, or of
what it was before it was spoilt.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from dicom_corpus import (
    CT,
    MR,
    PT,
    SHAPE,
    Builder,
    Truth,
    each,
    make_series,
    make_slices,
    random_values,
    raw_pixels,
    save_series,
    set_pixels,
)
from pydicom.dataset import Dataset


def without(*keywords: str, modality: str = CT) -> Builder:
    """Return a builder that leaves attributes out of every header."""

    def build(folder: Path) -> Truth:
        def strip(one: Dataset) -> None:
            for keyword in keywords:
                delattr(one, keyword)

        return each(folder, modality, strip)

    return build


def saying(modality: str = CT, **attributes: Any) -> Builder:
    """Return a builder that sets attributes of every header."""

    def build(folder: Path) -> Truth:
        def say(one: Dataset) -> None:
            for keyword, value in attributes.items():
                setattr(one, keyword, value)

        return each(folder, modality, say)

    return build


def mosaic(folder: Path) -> Truth:
    """Write a Siemens mosaic: all slices of a volume as tiles of one image, over time."""
    slices, truth = make_slices(MR, shape=(80, 80, 6))
    for one in slices:
        one.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
        one.Manufacturer = "SIEMENS"
        one.ImagePositionPatient = slices[0].ImagePositionPatient
        block = one.private_block(0x0019, "SIEMENS MR HEADER", create=True)
        block.add_new(0x0A, "US", 16)
    save_series(folder, slices)
    return truth


def mixed_intercept(folder: Path) -> Truth:
    """Write a CT whose intercept changes between -1024 and 0."""
    return make_series(folder, CT, intercept=[-1024, 0] * (SHAPE[2] // 2))


def twelve_bits(folder: Path) -> Truth:
    """Write an unsigned CT of 12 stored bits with intercept -1024."""
    return each(
        folder,
        CT,
        lambda one: set_pixels(one, raw_pixels(one), bits=12),
        stored="uint16",
        values=np.clip(random_values(SHAPE), -1024, 3071),
    )


def slope_per_slice(folder: Path) -> Truth:
    """Write a PET whose slope differs from slice to slice, as all of them do."""
    return make_series(folder, PT, slope=[0.123456 + 0.31 * index for index in range(SHAPE[2])])


def overlay_in_high_bits(*, signed: bool) -> Builder:
    """Return a builder of 12-bit images with an overlay in bit 15 of the same words."""

    def build(folder: Path) -> Truth:
        values = random_values(SHAPE) % 2000 - (1000 if signed else 0)
        slices, truth = make_slices(CT, values=values, stored="int16", intercept=0)
        for one in slices:
            raw = raw_pixels(one).view(np.uint16) & 0x0FFF
            raw[4:20, 5:15] |= 0x8000
            set_pixels(one, raw, bits=12)
            one.PixelRepresentation = int(signed)
            _describe_overlay(one)
        save_series(folder, slices)
        return truth

    return build


def _describe_overlay(one: Dataset) -> None:
    """Name an overlay plane that lies in bit 15 of the pixel data (retired, PS3.3-2004 C.9.2)."""
    one.add_new((0x6000, 0x0010), "US", one.Rows)
    one.add_new((0x6000, 0x0011), "US", one.Columns)
    one.add_new((0x6000, 0x0040), "CS", "G")
    one.add_new((0x6000, 0x0050), "SS", [1, 1])
    one.add_new((0x6000, 0x0100), "US", 16)
    one.add_new((0x6000, 0x0102), "US", 15)


def padded(folder: Path) -> Truth:
    """Write a CT with -2000 outside of the scanned circle, as PixelPaddingValue says."""
    i, j = np.indices(SHAPE[:2])
    outside = np.hypot(i - SHAPE[0] / 2, j - SHAPE[1] / 2) > SHAPE[1] / 2
    values = random_values(SHAPE)
    values[outside] = -2000
    slices, truth = make_slices(CT, values=values, intercept=0)
    for one in slices:
        one.add_new("PixelPaddingValue", "SS", -2000)
    save_series(folder, slices)
    valid = np.repeat(~outside[:, :, None], SHAPE[2], axis=2)
    return Truth(np.where(valid, truth.values, -1024), truth.affine, valid)


def many_faults(folder: Path) -> Truth:
    """Write a CT with three faults of different kinds at once."""

    def spoil(one: Dataset) -> None:
        one.PhotometricInterpretation = "MONOCHROME1"
        del one.ImagePositionPatient
        del one.RescaleIntercept

    return each(folder, CT, spoil)
