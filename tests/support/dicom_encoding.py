"""Datasets to files in any transfer syntax: native, deflated, and every compression in use."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import dicom_jpeg
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_FIRST = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
J2K_LOSSLESS = "1.2.840.10008.1.2.4.90"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"

_NATIVE = (IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN)
_BY_PYDICOM = (RLE, JPEG_LS, J2K_LOSSLESS)
_PREDICTORS = {JPEG_LOSSLESS: 4, JPEG_LOSSLESS_FIRST: 1}
_BLOCKED = {JPEG_BASELINE: 8, JPEG_EXTENDED: 12}


def save(dataset: Dataset, path: Path, *, syntax: str = EXPLICIT, preamble: bool = True) -> None:
    """Write a dataset, whose pixels are native and little endian, in a transfer syntax.

    Pixels that are encapsulated already stay as they are.

    Without the preamble a file starts at once with its data, as NEMA's first files did; then the
    syntax must be implicit, since nothing in the file names it.
    """
    dataset = copy.deepcopy(dataset)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "")
    meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "")
    meta.TransferSyntaxUID = EXPLICIT
    meta.ImplementationClassUID = "2.25.1"
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.FileMetaInformationGroupLength = 0  # pydicom counts it where it is there
    dataset.file_meta = meta
    if "PixelData" in dataset and syntax not in _NATIVE:
        if not dataset["PixelData"].is_undefined_length:
            _compress(dataset, syntax)
    elif syntax == BIG_ENDIAN:
        _swap(dataset)
    meta.TransferSyntaxUID = syntax
    little = syntax != BIG_ENDIAN
    if preamble:
        dataset.preamble = b"\0" * 128
        pydicom.dcmwrite(
            path,
            dataset,
            implicit_vr=syntax == IMPLICIT,
            little_endian=little,
            force_encoding=True,
        )
        return
    del dataset.file_meta
    pydicom.dcmwrite(path, dataset, implicit_vr=True, little_endian=True, force_encoding=True)


def encapsulate_frames(dataset: Dataset, frames: list[bytes], syntax: str) -> None:
    """Replace the pixel data by finished codestreams, one for each frame."""
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax


def _compress(dataset: Dataset, syntax: str) -> None:
    if syntax in _BY_PYDICOM:
        dataset.compress(syntax, generate_instance_uid=False)
        dataset["PixelData"].VR = "OB"
        return
    bits = dataset.BitsStored
    frames = _frames(dataset)
    if frames.min() < 0:
        raise ValueError("JPEG holds unsigned values only")
    if syntax in _PREDICTORS:
        coded = [dicom_jpeg.lossless(frame, bits, _PREDICTORS[syntax]) for frame in frames]
    elif _BLOCKED.get(syntax) == bits:
        coded = [dicom_jpeg.blocks(frame, bits) for frame in frames]
        dataset.LossyImageCompression = "01"
    else:
        raise ValueError(f"no encoder for {bits} bits in this transfer syntax")
    encapsulate_frames(dataset, coded, syntax)


def _frames(dataset: Dataset) -> NDArray[Any]:
    kind = f"<{'iu'[dataset.PixelRepresentation == 0]}{dataset.BitsAllocated // 8}"
    shape = (int(dataset.get("NumberOfFrames", 1)), dataset.Rows, dataset.Columns)
    return np.frombuffer(dataset.PixelData, kind, int(np.prod(shape))).reshape(shape)


def _swap(dataset: Dataset) -> None:
    """Turn the pixels to big endian; pydicom turns the other values itself."""
    if dataset.get("BitsAllocated", 8) == 16 and "PixelData" in dataset:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
