"""NRRD (.nrrd, .nhdr): the fields that place and type voxels, in the world they name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medgen.limits import Limits
from medgen.problems import Problem
from medgen.volumes.grid import affine_problems
from medgen.volumes.layout import Layout, shape_and_count_problems
from medgen.volumes.streams import Compression
from medgen.volumes.textheader import HeaderLines, damaged, numbers, whole_numbers

Fields = Mapping[str, str]

_NAMES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_DTYPES = {name: dtype for dtype, names in _NAMES.items() for name in names}
_TO_RAS = {
    "right-anterior-superior": (1.0, 1.0, 1.0),
    "left-anterior-superior": (-1.0, 1.0, 1.0),
    "left-posterior-superior": (-1.0, -1.0, 1.0),
}
_TO_RAS |= {"ras": _TO_RAS["right-anterior-superior"]}
_TO_RAS |= {"las": _TO_RAS["left-anterior-superior"], "lps": _TO_RAS["left-posterior-superior"]}
_ENCODINGS: dict[str, Compression] = {"raw": "none", "gzip": "gzip", "gz": "gzip"}
_VECTOR = re.compile(r"\([^()]*\)|none")
_EXPORT = "export it again, or convert it to .nii.gz"


def read_fields(lines: HeaderLines) -> dict[str, str]:
    """Return the header's fields; an empty line or the end of the file ends it."""
    if not re.fullmatch(r"NRRD000[1-5]", lines.next() or ""):
        raise damaged("the file does not begin as a NRRD volume does")
    fields: dict[str, str] = {}
    while line := lines.next():
        if line.startswith("#") or ":=" in line:
            continue
        key, colon, value = line.partition(":")
        name = key.strip().lower().replace("datafile", "data file")
        if not colon or name in fields:
            raise damaged("a header line is not `field: value`, or a field comes twice")
        fields[name] = value.strip()
    return fields


def compression_of(fields: Fields) -> Compression:
    """Return how the voxels are compressed; raise Refusal E_BAD_HEADER where unknown."""
    encoding = _ENCODINGS.get(fields.get("encoding", "").lower())
    if encoding is None:
        raise damaged("voxels are read in the encodings raw and gzip only")
    return encoding


def judge(fields: Fields, limits: Limits) -> Layout:
    """Collect everything that a header says and everything that is wrong with it."""
    shape = whole_numbers(fields.get("sizes", ""))
    rank = whole_numbers(fields.get("dimension", "0"))
    if rank != (len(shape),) or not 1 <= len(shape) <= 7 or min(shape) < 1:
        raise damaged("the dimensions are impossible")
    skip = whole_numbers(fields.get("byte skip", "0"))
    if whole_numbers(fields.get("line skip", "0")) != (0,) or len(skip) != 1 or skip[0] < -1:
        raise damaged("bytes or lines are skipped in a way that is not read")
    vectors = _VECTOR.findall(fields.get("space directions", ""))
    spatial, vectors = _spatial_first(shape, vectors)
    dtype, fatal = _dtype(fields)
    fatal += shape_and_count_problems(spatial, limits)
    affine, space = _affine(fields, vectors)
    return Layout(
        spatial, dtype, affine, problems=(*fatal, *space), readable=not fatal, skip=skip[0]
    )


def _spatial_first(shape: tuple[int, ...], vectors: list[str]) -> tuple[tuple[int, ...], list[str]]:
    """Put axes that have no direction in space (of colour, of time) behind those that have."""
    if len(vectors) != len(shape):
        return shape + (1,) * (3 - len(shape)), vectors
    placed = [axis for axis, vector in enumerate(vectors) if vector != "none"]
    others = [axis for axis, vector in enumerate(vectors) if vector == "none"]
    ordered = tuple(shape[axis] for axis in placed) + (1,) * (3 - len(placed))
    return ordered + tuple(shape[axis] for axis in others), [vectors[axis] for axis in placed]


def _dtype(fields: Fields) -> tuple[np.dtype[np.generic], list[Problem]]:
    name = _DTYPES.get(fields.get("type", "").lower())
    if name is None:
        message = "the voxels are not one plain number each"
        return np.dtype("u1"), [
            Problem("E_VOXEL_TYPE", message, "convert it to integers or float32")
        ]
    orders: dict[str, Literal["<", ">"]] = {"little": "<", "big": ">"}
    order = orders.get(fields.get("endian", "").lower())
    if order is None and np.dtype(name).itemsize > 1:
        raise damaged("the byte order is neither little nor big")
    return np.dtype(name).newbyteorder(order or "<"), []


def _affine(fields: Fields, vectors: list[str]) -> tuple[NDArray[np.float64] | None, list[Problem]]:
    """Return the RAS affine: a named space, an origin and three directions, all required."""
    signs = _TO_RAS.get(fields.get("space", "").lower())
    if signs is None or "space origin" not in fields or len(vectors) != 3:
        message = "the header gives no anatomical space, origin and directions"
        return None, [Problem("E_NO_FORM", message, _EXPORT)]
    units = set(re.findall(r'"([^"]*)"', fields.get("space units", "")))
    problems = []
    if units - {"mm", ""}:
        message = "lengths are not in millimetres"
        problems.append(Problem("E_UNITS", message, "rewrite the header in millimetres"))
    affine = np.eye(4)
    for column, text in enumerate([*vectors, fields["space origin"]]):
        vector = numbers(text.strip().strip("()").split(","))
        if vector.shape != (3,):
            raise damaged("a space vector has not three entries")
        affine[:3, column] = vector * signs
    problems += affine_problems(affine)
    return (None if problems else affine), problems
