"""The one gate through which volumes enter: a sound volume, or a refusal with every reason."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from medgen.dicom import Choice, split_choice
from medgen.limits import Limits, file_size_problems
from medgen.problems import Problem, Refusal
from medgen.volumes import metaimage, nrrd
from medgen.volumes.layout import Layout, read_voxels
from medgen.volumes.listing import SUFFIXES, suffix_of
from medgen.volumes.nifti import PAIR, read_nifti
from medgen.volumes.series import is_dicom, open_series
from medgen.volumes.streams import ByteStream, Compression
from medgen.volumes.textheader import HeaderLines, beside, damaged, skip_to_voxels
from medgen.volumes.volume import Volume

_DEFAULT_LIMITS = Limits()
_CONVERT = "convert it to a single .nii.gz, for example with dcm2niix"


def open_volume(
    path: Path, *, nan_to: float | None = None, limits: Limits = _DEFAULT_LIMITS
) -> Volume:
    """Read one volume, or refuse it with all the problems that can be found.

    Formats: NIfTI-1/2 (.nii, .nii.gz), MetaImage (.mha, .mhd), NRRD (.nrrd, .nhdr), and DICOM: a
    series' folder, a tree that holds one, or a multi-frame file; the path may end in a choice, such
    as `folder/#echo=2`. Values come in the type they are stored in, or float32 where the file
    scales them. The unit is what DICOM says, else "arbitrary", since the other formats name none.
    `nan_to` replaces NaN and infinite voxels instead of refusing them. `limits` hold before memory
    is spent. Raises Refusal.
    """
    if nan_to is not None and not math.isfinite(nan_to):
        raise ValueError(f"nan_to must be finite, not {nan_to}")
    place, choice = split_choice(path)
    try:
        if is_dicom(place):
            return open_series(place, choice, limits=limits)
        suffix = _known_suffix(place)
        if choice != Choice():
            advice = "a choice after # picks from a DICOM folder; name the file itself"
            message = "the path chooses inside a file that is no DICOM"
            raise Refusal(Problem("E_CELL_SELECTOR", message, advice))
        _check_file_size(path, limits)
        if suffix in (".nii", ".nii.gz"):
            return read_nifti(path, limits=limits, nan_to=nan_to)
        return _read_text_format(path, suffix, limits=limits, nan_to=nan_to)
    except OSError as error:
        message = f"the file cannot be read: {error.strerror or 'input/output error'}"
        raise Refusal(Problem("E_UNREADABLE", message, "check its permissions")) from None


def _known_suffix(path: Path) -> str:
    """Return the volume suffix of a file that exists, or say what else the path is."""
    name = path.name.lower()
    if not path.is_file():
        raise Refusal(Problem("E_MISSING_FILE", "there is no such file", "check the table"))
    if name.endswith((".hdr", ".img", ".hdr.gz", ".img.gz")):
        raise Refusal(PAIR)
    if not suffix_of(path):
        message = f"the file's extension is none of {', '.join(SUFFIXES)}"
        raise Refusal(Problem("E_FORMAT", message, _CONVERT))
    return suffix_of(path)


def _check_file_size(path: Path, limits: Limits) -> None:
    problems = file_size_problems(path.stat().st_size, limits)
    if problems:
        raise Refusal(problems)


def _read_text_format(path: Path, suffix: str, *, limits: Limits, nan_to: float | None) -> Volume:
    """Read a MetaImage or NRRD file, whose voxels follow the header or lie beside it.

    Not through SimpleITK: 2.5.7 reads compressed bytes that were changed, trailing bytes, and
    `ElementDataFile = ../anything` without a word. tests/volumes/test_gate.py holds the parity.
    """
    with ByteStream(path) as stream:
        lines = HeaderLines(stream)
        if suffix in (".mha", ".mhd"):
            fields = metaimage.read_fields(lines)
            layout = metaimage.judge(fields, limits)
            compression = metaimage.compression_of(fields)
            name = fields["ElementDataFile"]
            detached = None if name.upper() == "LOCAL" else name
        else:
            fields = nrrd.read_fields(lines)
            layout = nrrd.judge(fields, limits)
            compression = nrrd.compression_of(fields)
            detached = fields.get("data file")
        if detached is None:
            return _read_body(stream, layout, compression, nan_to)
    data = beside(path, detached)
    _check_file_size(data, limits)
    with ByteStream(data, so_far=lines.raw) as stream:
        return _read_body(stream, layout, compression, nan_to)


def _read_body(
    stream: ByteStream, layout: Layout, compression: Compression, nan_to: float | None
) -> Volume:
    if compression == "none":
        skip = skip_to_voxels(layout.skip, stream.left, layout.shape, layout.dtype.itemsize)
        layout = replace(layout, skip=skip)
    elif layout.skip:
        raise damaged("bytes are skipped before compressed voxels")
    stream.inflate(compression)
    return read_voxels(stream, layout, nan_to=nan_to)
