"""Siemens mosaics: the slices of a volume as tiles of one image, with the position of none."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from pydicom.dataset import Dataset

from medgen.dicom.frames import Frame
from medgen.dicom.values import quiet, texts_of
from medgen.problems import Problem

_COUNT = b"NumberOfImagesInMosaic\x00"
# An entry of the CSA header: name (64), number of values, VR (4), type, number of items, mark;
# an item: four numbers, of which the second is the length of the text that follows.
_ENTRY, _ITEM = struct.Struct("<64si4siii"), struct.Struct("<4i")
_CREATORS = ((0x0029, "SIEMENS CSA HEADER", 0x10), (0x0019, "SIEMENS MR HEADER", 0x0A))


def mosaic_problems(frames: Sequence[Frame]) -> list[Problem]:
    """Return E_MOSAIC where frames are mosaics: by ImageType, or by Siemens's private headers.

    The private headers of the first frame stand for all of a series: they are long.
    """
    marked = any("MOSAIC" in texts_of(frame.header, "ImageType") for frame in frames)
    if not marked and not (frames and _tiles(frames[0].header) > 1):
        return []
    message = "its images are Siemens mosaics, many slices as tiles of one image"
    advice = "convert it with dcm2niix and give the NIfTI, or export it as single slices"
    return [Problem("E_MOSAIC", message, advice)]


def _tiles(header: Dataset) -> int:
    """Return the number of slices that the private headers say an image holds; 0 if none."""
    for group, creator, element in _CREATORS:
        with quiet():
            try:
                value = header.private_block(group, creator)[element].value
            except Exception:  # no such block, or a damaged one
                continue
        count = _csa_count(value) if group == 0x0029 else _number(value)
        if count:
            return count
    return 0


def _csa_count(csa: object) -> int:
    """Return NumberOfImagesInMosaic of a CSA header."""
    if not isinstance(csa, bytes) or (at := csa.find(_COUNT)) < 0:
        return 0
    try:
        *_, items, _ = _ENTRY.unpack_from(csa, at)
        _, length, *_ = _ITEM.unpack_from(csa, at + _ENTRY.size)
    except struct.error:
        return 0
    start = at + _ENTRY.size + _ITEM.size
    return _number(csa[start : start + length]) if items > 0 and 0 < length <= 64 else 0


def _number(value: object) -> int:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    text = text.strip("\x00 ")
    return int(text) if text.isascii() and text.isdigit() else 0
