"""MetaImage (.mha, .mhd): the header MetaIO defines, whose world is LPS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medgen.limits import Limits
from medgen.problems import Problem
from medgen.volumes.grid import affine_problems
from medgen.volumes.layout import Layout, shape_and_count_problems
from medgen.volumes.streams import Compression
from medgen.volumes.textheader import LPS_TO_RAS, HeaderLines, damaged, numbers, whole_numbers

Fields = Mapping[str, str]

_DTYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",  # MetaIO's own sizes, whatever the machine's
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_EXPORT = "export it again, or convert it to .nii.gz"


def read_fields(lines: HeaderLines) -> dict[str, str]:
    """Return the header's fields; the last one, ElementDataFile, ends it."""
    fields: dict[str, str] = {}
    while "ElementDataFile" not in fields:
        line = lines.next()
        if line is None:
            raise damaged("the header has no ElementDataFile")
        key, equals, value = line.partition("=")
        if not line.strip():
            continue
        if not equals or key.strip() in fields:
            raise damaged("a header line is not `Key = Value`, or a key comes twice")
        fields[key.strip()] = value.strip()
    return fields


def compression_of(fields: Fields) -> Compression:
    """Return how the voxels are compressed."""
    value = fields.get("CompressedData", "False").lower()
    if value not in ("true", "false"):
        raise damaged("CompressedData is neither True nor False")
    return "zlib" if value == "true" else "none"


def judge(fields: Fields, limits: Limits) -> Layout:
    """Collect everything that a header says and everything that is wrong with it."""
    rank = whole_numbers(fields.get("NDims", "0"))
    shape = whole_numbers(fields.get("DimSize", ""))
    if rank != (len(shape),) or not 1 <= len(shape) <= 7 or min(shape) < 1:
        raise damaged("the dimensions are impossible")
    dtype, fatal = _dtype(fields)
    full = shape + (1,) * (3 - len(shape))
    fatal += shape_and_count_problems((*full, *_channels(fields)), limits)
    affine, space = _affine(fields, len(shape)) if len(shape) >= 3 else (None, [])
    return Layout(
        full, dtype, affine, problems=(*fatal, *space), readable=not fatal, skip=_skip(fields)
    )


def _channels(fields: Fields) -> tuple[int, ...]:
    channels = whole_numbers(fields.get("ElementNumberOfChannels", "1"))
    if len(channels) != 1 or channels[0] < 1:
        raise damaged("the number of channels is impossible")
    return channels


def _dtype(fields: Fields) -> tuple[np.dtype[np.generic], list[Problem]]:
    problems = []
    kind = fields.get("ElementType", "")
    if fields.get("ObjectType", "Image") != "Image" or kind not in _DTYPES:
        message = "the voxels are not one plain number each"
        problems.append(Problem("E_VOXEL_TYPE", message, "convert it to integers or float32"))
    if fields.get("BinaryData", "True").lower() != "true":
        problems.append(Problem("E_BAD_HEADER", "voxels written as text are not read", _EXPORT))
    slope = numbers(fields.get("ElementToIntensityFunctionSlope", "1").split())
    offset = numbers(fields.get("ElementToIntensityFunctionOffset", "0").split())
    if slope.tolist() != [1.0] or offset.tolist() != [0.0]:
        message = "the header scales intensities, which most readers ignore"
        problems.append(Problem("E_BAD_HEADER", message, _EXPORT))
    order = fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False"))
    return np.dtype(_DTYPES.get(kind, "u1")).newbyteorder(_order(order)), problems


def _order(value: str) -> Literal["<", ">"]:
    if value.lower() not in ("true", "false"):
        raise damaged("the byte order is neither True nor False")
    return ">" if value.lower() == "true" else "<"


def _skip(fields: Fields) -> int:
    skip = whole_numbers(fields.get("HeaderSize", "0"))
    if len(skip) != 1 or skip[0] < -1:
        raise damaged("the header size is impossible")
    return skip[0]


def _affine(fields: Fields, rank: int) -> tuple[NDArray[np.float64] | None, list[Problem]]:
    """Return the RAS affine: a rotation, a spacing and an origin, all three required."""
    matrix = _first(fields, "TransformMatrix", "Rotation", "Orientation")
    origin = _first(fields, "Offset", "Position", "Origin")
    spacing = _first(fields, "ElementSpacing", "ElementSize")
    if matrix is None or origin is None:
        message = "the header gives no TransformMatrix and Offset: left and right are unknown"
        return None, [Problem("E_NO_FORM", message, _EXPORT)]
    if spacing is None or spacing.shape != (rank,):
        return None, [Problem("E_BAD_SPACING", "the header gives no ElementSpacing", _EXPORT)]
    if matrix.shape != (rank * rank,) or origin.shape != (rank,):
        raise damaged("TransformMatrix or Offset has the wrong number of entries")
    if not (spacing[:3] > 0).all() or not np.isfinite(spacing[:3]).all():
        message = "a voxel spacing is zero, negative or not finite"
        return None, [Problem("E_BAD_SPACING", message, _EXPORT)]
    directions = matrix.reshape(rank, rank).T[:3, :3]  # one axis after the other
    if not np.allclose(directions.T @ directions, np.eye(3), atol=1e-3):
        message = "the TransformMatrix is not a rotation or reflection"
        return None, [Problem("E_BAD_AFFINE", message, _EXPORT)]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = directions * spacing[:3], origin[:3]
    affine *= LPS_TO_RAS
    problems = affine_problems(affine)
    return (None if problems else affine), problems


def _first(fields: Fields, *names: str) -> NDArray[np.float64] | None:
    found = [fields[name] for name in names if name in fields]
    return numbers(found[0].split()) if found else None
