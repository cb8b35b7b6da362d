"""Volumes to files: rounded, deterministic, read back and verified before they appear."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk
from isal import isal_zlib
from nibabel.nifti1 import Nifti1Header
from numpy.typing import NDArray

from medgen.files import replacing
from medgen.limits import Limits, size_problems
from medgen.problems import Problem, Refusal
from medgen.volumes.gate import open_volume
from medgen.volumes.grid import Grid
from medgen.volumes.listing import suffix_of
from medgen.volumes.ordering import in_order
from medgen.volumes.textheader import LPS_TO_RAS
from medgen.volumes.volume import Volume

StoredType = Literal["int16", "uint8", "float32"]
WRITABLE_SUFFIXES = (".nii.gz", ".nii", ".mha", ".nrrd")

_DEFAULT_LIMITS = Limits()
_GZIP_LEVEL = 2  # of ISA-L's four: 1 is no faster, 3 slower and hardly ever smaller
_GZIP = 31  # zlib's code of a gzip member, whose header has neither a name nor a time
_PIECE = 1 << 20
_SAME_PLACE_MM = 1e-3
_SKEW = 1e-4
_QFORM_TOLERANCE_MM = 0.01


@dataclass(frozen=True)
class Written:
    """What was written: the SHA-256 of the file's bytes, and how many voxels were clipped."""

    digest: str
    clipped_voxels: int


def write_volume(
    path: Path, volume: Volume, *, dtype: StoredType, limits: Limits = _DEFAULT_LIMITS
) -> Written:
    """Write a volume so that it is whole and right, or absent.

    The suffix chooses the format: .nii.gz, .nii, .mha or .nrrd. Integers are rounded to the
    nearest; values beyond the type's range are clipped and counted. NIfTI gets sform and qform
    code 1 (qform code 0 where a qform cannot hold the affine: sheared, or too near half a turn
    for its single precision) and millimetres. The same volume always gives the same bytes on one
    machine; of .nii.gz, another kind of processor or another version of ISA-L may pack the same
    voxels into other bytes, since its packer takes the instructions that there are. The file is
    read back through the gate and compared before it gets its name; `limits` hold for both, and
    with looser ones than the gate's own other verbs will refuse the file. Raises Refusal
    E_FORMAT, E_NONFINITE, E_SHEARED, E_TOO_LARGE, E_TOO_FEW_SLICES, E_UNWRITABLE, E_READ_BACK.
    """
    suffix = suffix_of(path)
    stored, clipped = _stored(volume.data, dtype)
    problems = [
        *_format_problems(suffix, volume.grid),
        *size_problems(volume.grid.shape, limits),
        *_nonfinite_problems(stored),
    ]
    if problems:
        raise Refusal(problems)
    try:
        with replacing(path) as temporary:
            if suffix in (".nii", ".nii.gz"):
                _write_nifti(temporary, stored, volume)
            else:
                _write_itk(temporary, stored, volume.grid)
            digest = _verify(temporary, stored, volume.grid, limits)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "the writer failed"
        message = f"the volume cannot be written: {reason}"
        raise Refusal(Problem("E_UNWRITABLE", message, "check the disk and permissions")) from None
    return Written(digest, clipped)


def _format_problems(suffix: str, grid: Grid) -> list[Problem]:
    """Return why a volume on this grid cannot be written in this format."""
    if suffix not in WRITABLE_SUFFIXES:
        message = f"volumes are written as {', '.join(WRITABLE_SUFFIXES)} only"
        return [Problem("E_FORMAT", message, "choose one of these extensions")]
    skew = grid.directions.T @ grid.directions - np.eye(3)
    if suffix == ".mha" and np.abs(skew).max() > _SKEW:
        message = "the affine is sheared, which MetaImage cannot hold"
        return [Problem("E_SHEARED", message, "write .nii.gz or .nrrd")]
    return []


def _nonfinite_problems(stored: NDArray[Any]) -> list[Problem]:
    if stored.dtype.kind != "f":
        return []
    bad = stored.size - int(np.count_nonzero(np.isfinite(stored)))
    if not bad:
        return []
    message = f"{bad} of {stored.size} voxels to be written are NaN or infinite"
    return [Problem("E_NONFINITE", message, "nothing was written; mend what computed them")]


def _stored(data: NDArray[Any], dtype: StoredType) -> tuple[NDArray[Any], int]:
    """Return the values as they will be stored, first axis fastest, and how many were clipped.

    Where some are not finite they are returned unrounded, to be refused.
    """
    if dtype == "float32" or not np.isfinite(data).all():
        with np.errstate(over="ignore"):
            return in_order(data, np.float32, order="F"), 0
    if data.dtype == np.dtype(dtype):
        return in_order(data, dtype, order="F"), 0
    bounds = np.iinfo(np.dtype(dtype))
    rounded = np.rint(data)
    clipped = 0
    if rounded.min() < bounds.min or rounded.max() > bounds.max:
        clipped = int(np.count_nonzero((rounded < bounds.min) | (rounded > bounds.max)))
        rounded = np.clip(rounded, bounds.min, bounds.max)
    return in_order(rounded, dtype, order="F"), clipped


def _write_nifti(path: Path, stored: NDArray[Any], volume: Volume) -> None:
    header = nifti_header(stored, volume.grid, volume.unit)
    with path.open("wb") as raw:
        if path.name.lower().endswith(".gz"):
            packer = isal_zlib.compressobj(_GZIP_LEVEL, isal_zlib.DEFLATED, _GZIP)
            for piece in _pieces(header, stored):
                raw.write(packer.compress(piece))
            raw.write(packer.flush())
        else:
            for piece in _pieces(header, stored):
                raw.write(piece)


def nifti_header(stored: NDArray[Any], grid: Grid, unit: str) -> Nifti1Header:
    """Return a header with sform = qform, millimetres, and the unit in its description."""
    header = Nifti1Header(endianness="<")
    header.set_data_dtype(stored.dtype)
    header.set_data_shape(stored.shape)
    header.set_zooms(grid.spacing_mm.astype(np.float32))
    header.set_xyzt_units("mm", "sec")
    header.set_slope_inter(1.0, 0.0)
    header["descrip"] = f"medgen; unit {unit}".encode("ascii", "replace")[:79]
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    header.set_sform(grid.affine, code=1)
    header.set_qform(grid.affine, code=1, strip_shears=True)
    if not Grid(grid.shape, header.get_qform()).same_as(grid, _QFORM_TOLERANCE_MM):
        header.set_qform(None, code=0)
    return header


def _pieces(header: Nifti1Header, stored: NDArray[Any]) -> Iterator[bytes | memoryview]:
    """Cut a file's bytes into pieces, always the same: the packer's answer depends on them."""
    yield header.binaryblock + b"\0\0\0\0"
    little = in_order(stored, stored.dtype.newbyteorder("<"), order="F")
    body = little.ravel(order="F").view(np.uint8).data
    for start in range(0, len(body), _PIECE):
        yield body[start : start + _PIECE]


def _write_itk(path: Path, stored: NDArray[Any], grid: Grid) -> None:
    image = sitk.GetImageFromArray(np.ascontiguousarray(stored.T))
    lps = LPS_TO_RAS * grid.affine
    image.SetSpacing(grid.spacing_mm.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / grid.spacing_mm).ravel().tolist())
    sitk.WriteImage(image, str(path), useCompression=True)


def _verify(path: Path, stored: NDArray[Any], grid: Grid, limits: Limits) -> str:
    """Read the file back and compare it with what was meant; return its digest."""
    again = open_volume(path, limits=limits)
    if np.array_equal(again.data, stored) and again.grid.same_as(grid, _SAME_PLACE_MM):
        return again.digest
    message = "the file read back differs from what was written"
    raise Refusal(Problem("E_READ_BACK", message, "check the disk; nothing was written"))
