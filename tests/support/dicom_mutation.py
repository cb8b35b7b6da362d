"""Damaged DICOM series, each from a seed: what disks, networks and other software make of files."""

from __future__ import annotations

import functools
import io
import random
import struct
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dicom_ambiguous as ambiguous
import dicom_encoding as syntaxes
import dicom_hard_files as files
import numpy as np
import pydicom
from dicom_corpus import CT, MR, PT, Builder, make_series
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

_SMALL = (32, 32, 4)


def _plain(modality: str = CT, **how: Any) -> Builder:
    return lambda folder: make_series(folder, modality, shape=_SMALL, **how)


BASES: dict[str, Builder] = {
    "CT": _plain(),
    "MR": _plain(MR),
    "PET": _plain(PT, slope=[0.5, 0.75, 1, 1.5]),
    "implicit": _plain(syntax=syntaxes.IMPLICIT),
    "big endian": _plain(syntax=syntaxes.BIG_ENDIAN),
    "deflated": _plain(syntax=syntaxes.DEFLATED),
    "RLE": _plain(syntax=syntaxes.RLE, stored="uint16"),
    "JPEG-LS": _plain(syntax=syntaxes.JPEG_LS, stored="uint16"),
    "J2K": _plain(syntax=syntaxes.J2K_LOSSLESS, stored="uint16"),
    "HTJ2K": files.htj2k,
    "JPEG lossless": _plain(syntax=syntaxes.JPEG_LOSSLESS_FIRST, stored="uint16"),
    "JPEG baseline": files.lossy_jpeg(8),
    "JPEG extended": files.lossy_jpeg(12),
    "enhanced CT": ambiguous.multi_frame(CT),
    "enhanced MR": ambiguous.multi_frame(MR, geometry_per_frame=True),
    "enhanced PET": ambiguous.multi_frame(PT),
    "enhanced J2K": ambiguous.multi_frame(CT, syntax=syntaxes.J2K_LOSSLESS),
    "echoes": ambiguous.echoes(enhanced=True),
    "phases": ambiguous.phases(),
}

_TELLING = (
    *("Rows", "Columns", "NumberOfFrames", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration"),
    *("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "InstanceNumber"),
    *("RescaleSlope", "RescaleIntercept", "Modality", "ImageType", "SOPClassUID", "Units"),
    *("SeriesInstanceUID", "SOPInstanceUID", "SeriesNumber", "FrameOfReferenceUID"),
    *("EchoTime", "EffectiveEchoTime", "PixelPaddingValue", "SpecificCharacterSet"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "PatientWeight"),
    *("RadionuclideHalfLife", "RadionuclideTotalDose", "SeriesTime", "PixelData"),
)
_TEXTS = (
    *(b"", b"0", b"-1", b"nan", b"inf", b"1e999", b"-0", b"1e-320", b"99999999999999999999"),
    *(b"\\" * 7, b"1\\2", b"1\\nan\\3", b"1\\0\\0\\0\\1\\0", b"1e300\\-1e300\\0", b"\xff\xfe\x80"),
    *(b"MRN123", b"DOE^JANE" * 40, b"LOCALIZER", b"MOSAIC", b"MONOCHROME1", b"RGB", b"BQML"),
    *(b"1.2.840.10008.5.1.4.1.1.2.1", b"ISO 2022 IR 87", b"NOSUCH", b"991332", b"1,5"),
)
_LENGTHS = (0, 1, 3, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
_WORDS = (0, 1, 2, 7, 8, 15, 17, 255, 2048, 32767, 32768, 65535)


@functools.cache
def base(name: str) -> tuple[bytes, ...]:
    """Return the files of a healthy series."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        BASES[name](Path(folder) / "series")
        return tuple(path.read_bytes() for path in sorted((Path(folder) / "series").iterdir()))


def mutant(seed: int) -> tuple[str, list[bytes]]:
    """Return the name of the base and the files of the mutant that belongs to a seed."""
    chance = random.Random(seed)
    name = chance.choice(list(BASES))
    contents = list(base(name))
    touched = [chance.randrange(len(contents))]
    if chance.random() < 0.4:  # the same damage to all, as bad software does it
        touched = list(range(len(contents)))
    ways = [chance.choice(_WAYS) for _ in range(chance.choice((1, 1, 1, 2, 3)))]
    start = chance.random()
    for index in touched:
        own = random.Random(start)
        for way in ways:
            contents[index] = way(own, contents[index])
    return name, contents


# --- bytes


def _flip(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    span = len(changed) if chance.random() < 0.5 else min(len(changed), 2500)
    for _ in range(chance.choice((1, 3, 20)) if span else 0):
        changed[chance.randrange(span)] = chance.randrange(256)
    return bytes(changed)


def _cut(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _remove(chance: random.Random, data: bytes) -> bytes:
    start = chance.randrange(len(data) + 1)
    return data[:start] + data[start + chance.choice((1, 2, 50, 1000)) :]


def _repeat(chance: random.Random, data: bytes) -> bytes:
    start = chance.randrange(len(data) + 1)
    return data[:start] + data[start : start + chance.choice((1, 2, 50, 1000))] + data[start:]


def _codestream(chance: random.Random, data: bytes) -> bytes:
    """Spoil the last part of a file, where compressed pixels start."""
    start = max(data.rfind(b"\xff\xd8"), data.rfind(b"\xff\x4f\xff\x51"), len(data) - 900, 0)
    changed = bytearray(data)
    for _ in range(chance.choice((1, 2, 4))):
        place = start + chance.randrange(min(80, max(1, len(changed) - start)))
        if place < len(changed):
            changed[place] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
    return bytes(changed)


# --- elements: explicit little endian as it lies in the file; others are treated as if they were


def _elements(data: bytes) -> list[tuple[int, int, int]]:
    """Return (start, start of the value, end) of the elements at the root, as far as they go."""
    found, place = [], 132
    while place + 8 <= len(data):
        vr = data[place + 4 : place + 6]
        long = vr in (b"OB", b"OW", b"OF", b"OD", b"SQ", b"UN", b"UT", b"UC", b"UR")
        if long and place + 12 > len(data):
            break
        size = struct.unpack_from("<I" if long else "<H", data, place + (8 if long else 6))[0]
        value = place + (12 if long else 8)
        end = len(data) if size == 0xFFFFFFFF else value + size
        if end > len(data):
            break
        found.append((place, value, end))
        place = end
    return found


def _of_elements(change: Callable[..., bytes]) -> Callable[[random.Random, bytes], bytes]:
    def way(chance: random.Random, data: bytes) -> bytes:
        elements = _elements(data)
        return change(chance, data, *chance.choice(elements)) if elements else data

    return way


def _delete(_chance: random.Random, data: bytes, start: int, _value: int, end: int) -> bytes:
    return data[:start] + data[end:]


def _double(chance: random.Random, data: bytes, start: int, _value: int, end: int) -> bytes:
    place = chance.choice([end, len(data), 132])
    return data[:place] + data[start:end] + data[place:]


def _blow_up(chance: random.Random, data: bytes, start: int, value: int, _end: int) -> bytes:
    size = chance.choice(_LENGTHS)
    wide = value - start == 12
    length = struct.pack("<I", size) if wide else struct.pack("<H", size & 0xFFFF)
    return data[: value - len(length)] + length + data[value:]


def _change_vr(chance: random.Random, data: bytes, start: int, _value: int, _end: int) -> bytes:
    vr = chance.choice([b"DS", b"IS", b"US", b"SQ", b"UN", b"OB", b"PN", b"AT", b"FD", b"??"])
    return data[: start + 4] + vr + data[start + 6 :]


def _nest(chance: random.Random, data: bytes, start: int, _value: int, _end: int) -> bytes:
    """Insert sequences within sequences, up to 3000 deep, of undefined length."""
    opening = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)
    opening += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    closing = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    depth = chance.choice((3, 60, 3000))
    return data[:start] + opening * depth + closing * chance.choice((depth, 0)) + data[start:]


# --- values: parsed, changed at any depth, and written well-formed


def _replace(chance: random.Random, data: bytes) -> bytes:
    """Change one value, at any depth, preferably one that matters."""
    try:
        dataset = pydicom.dcmread(io.BytesIO(data), force=True)
        places = list(_places(dataset, data))
        if not places:
            return data
        important = [place for place in places if place[1] in _IMPORTANT]
        owner, tag = chance.choice(important if important and chance.random() < 0.8 else places)
        vr = str(owner[tag].VR)
        if chance.random() < 0.2:
            del owner[tag]
        else:
            content = _content(chance, vr)
            owner[tag] = RawDataElement(tag, vr, len(content), content, 0, False, True, True)
        out = io.BytesIO()
        pydicom.dcmwrite(out, dataset, enforce_file_format=False)
        return out.getvalue()
    except Exception:  # a file spoilt before may not be parsed or written; so it stays
        return data


_IMPORTANT = {pydicom.tag.Tag(keyword) for keyword in _TELLING}


def _places(dataset: Dataset, data: bytes) -> Iterator[tuple[Dataset, Any]]:
    for tag in list(dataset.keys()):
        yield dataset, tag
        if isinstance(dataset[tag].value, DicomSequence):
            for item in dataset[tag].value:
                yield from _places(item, data)


def _content(chance: random.Random, vr: str) -> bytes:
    if vr in ("US", "SS", "OW", "US or SS"):
        return struct.pack("<H", chance.choice(_WORDS)) * chance.choice((1, 1, 1, 2))
    if vr in ("UL", "SL"):
        return struct.pack("<I", chance.choice(_LENGTHS))
    if vr in ("FD", "FL"):
        number = chance.choice((np.nan, np.inf, -1.0, 0.0, 1e300, 1e-300))
        return struct.pack("<d" if vr == "FD" else "<f", np.float32(number))
    text = chance.choice(_TEXTS)
    return text + b" " * (len(text) % 2)


_WAYS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    *(_flip, _flip, _cut, _remove, _repeat, _codestream, _codestream),
    *(_of_elements(change) for change in (_delete, _double, _blow_up, _change_vr, _nest)),
    *(_replace,) * 8,
)
