"""NIfTI-1 and NIfTI-2 single files: every check on the header, then the voxels."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header

from medgen.limits import Limits
from medgen.problems import Problem, Refusal
from medgen.volumes.forms import choose_affine
from medgen.volumes.layout import Layout, read_voxels, shape_and_count_problems
from medgen.volumes.streams import ByteStream
from medgen.volumes.volume import Volume

_DTYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8"}
_DTYPES |= {256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_NOT_ONE_NUMBER = {32: "complex", 1792: "complex", 2048: "complex", 128: "RGB", 2304: "RGBA"}
_LARGEST_EXTENSION = 64 << 20  # bytes between the header and the first voxel
_EXPORT = "convert it again from its original series, for example with dcm2niix"

PAIR = Problem(
    "E_PAIR_FORMAT",
    "a .hdr/.img pair or Analyze volume: its orientation cannot be trusted",
    "convert the original series to a single .nii.gz, for example with dcm2niix",
)


def read_nifti(path: Path, *, limits: Limits, nan_to: float | None) -> Volume:
    """Read a .nii or .nii.gz file.

    nibabel interprets the header; the bytes are read here, since nibabel neither verifies the
    checksum nor bounds what a small file may inflate to. Raises Refusal with every problem.
    """
    compressed = path.name.lower().endswith(".gz")
    with ByteStream(path, compression="gzip" if compressed else "none") as stream:
        return read_voxels(stream, _layout(stream, limits), nan_to=nan_to)


def _layout(stream: ByteStream, limits: Limits) -> Layout:
    block = stream.read(348)
    for order in "<>":
        size = struct.unpack(f"{order}i", block[:4])[0]
        if size == 540:
            block += stream.read(540 - 348)
            _check_magic(block[4:8], b"n+2\0", b"ni2\0")
            return _judge(Nifti2Header(block, endianness=order, check=False), 540, limits)
        if size == 348:
            _check_magic(block[344:348], b"n+1\0", b"ni1\0")
            return _judge(Nifti1Header(block, endianness=order, check=False), 348, limits)
    advice = "rename it to .nii.gz" if block.startswith(b"\x1f\x8b") else _EXPORT
    raise Refusal(Problem("E_BAD_MAGIC", "the file is not a NIfTI volume", advice))


def _check_magic(magic: bytes, single: bytes, pair: bytes) -> None:
    if magic == single:
        return
    if magic in (pair, b"\0\0\0\0"):
        raise Refusal(PAIR)
    raise Refusal(Problem("E_BAD_MAGIC", "the NIfTI magic bytes are wrong", _EXPORT))


def _judge(header: Nifti1Header, length: int, limits: Limits) -> Layout:
    """Collect everything that a header says and everything that is wrong with it."""
    shape, fatal = _shape(header)
    space: list[Problem] = []
    affine = None
    if not fatal:
        fatal += shape_and_count_problems(shape, limits)
        affine, space = choose_affine(header, (shape[0], shape[1], shape[2]))
    dtype = np.dtype(_DTYPES.get(int(header["datatype"]), "u1")).newbyteorder(header.endianness)
    offset = float(header["vox_offset"])
    offset_is_sound = np.isfinite(offset) and length + 4 <= offset <= _LARGEST_EXTENSION
    if not offset_is_sound or offset != int(offset):
        message = "the header does not say where the voxels begin"
        fatal.append(Problem("E_BAD_HEADER", message, _EXPORT))
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not np.isfinite(slope):
        slope, intercept = 1.0, 0.0  # the standard's "not scaled"
    if not np.isfinite(intercept):
        fatal.append(Problem("E_BAD_HEADER", "the intensity intercept is not finite", _EXPORT))
    fatal += _type_problems(header)
    return Layout(
        shape,
        dtype,
        affine,
        skip=int(offset) - length if not fatal else 0,
        slope=slope,
        intercept=intercept,
        problems=(*fatal, *space, *_unit_problems(header)),
        readable=not fatal,
    )


def _shape(header: Nifti1Header) -> tuple[tuple[int, ...], list[Problem]]:
    rank = int(header["dim"][0])
    shape = tuple(int(count) for count in header["dim"][1 : max(rank, 0) + 1])
    if not 1 <= rank <= 7 or min(shape) < 1:
        return (0, 0, 0), [Problem("E_BAD_HEADER", "the dimensions are impossible", _EXPORT)]
    return shape + (1,) * (3 - rank), []


def _type_problems(header: Nifti1Header) -> list[Problem]:
    code = int(header["datatype"])
    if code in _DTYPES:
        return []
    kind = _NOT_ONE_NUMBER.get(code, "of an unsupported type")
    message = f"the voxels are {kind} (datatype {code}), not one plain number each"
    return [Problem("E_VOXEL_TYPE", message, "convert it to integers or float32")]


def _unit_problems(header: Nifti1Header) -> list[Problem]:
    spatial = int(header["xyzt_units"]) & 7
    if spatial in (0, 2):
        return []
    unit = {1: "metres", 3: "micrometres"}.get(spatial, f"code {spatial}")
    message = f"lengths are in {unit}, not millimetres"
    return [Problem("E_UNITS", message, "rewrite the header in millimetres")]
