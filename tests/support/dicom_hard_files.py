"""Builders of series that are hard by their files: encoding, damage, company.

Each takes an empty folder, fills it, and returns the truth: of what it must be read as, or of
what it was before it was spoilt.
"""

from __future__ import annotations

import copy
import zlib
from pathlib import Path
from typing import Any

import dicom_encoding as syntaxes
import dicom_htj2k
import numpy as np
from dicom_corpus import (
    CANARY_ID,
    CANARY_NAME,
    CT,
    SHAPE,
    Builder,
    Truth,
    make_series,
    make_slices,
    random_values,
    raw_pixels,
    save_series,
    set_pixels,
    uid,
)
from dicom_encoding import save
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence


def encoded(name: str, **how: Any) -> Builder:
    """Return a builder of a CT in one of the transfer syntaxes of `dicom_encoding`."""

    def build(folder: Path) -> Truth:
        return make_series(folder, CT, syntax=getattr(syntaxes, name), stored="uint16", **how)

    return build


def lossy_jpeg(bits: int) -> Builder:
    """Return a builder of DCT-coded JPEG (8 or 12 bits) whose blocks survive the coding."""

    def build(folder: Path) -> Truth:
        few = random_values((SHAPE[0] // 8, SHAPE[1] // 8, SHAPE[2])) % (1 << bits)
        values = np.kron(few, np.ones((8, 8, 1), int)) - 1024
        kind = "uint8" if bits == 8 else "uint16"
        slices, truth = make_slices(CT, values=values, stored=kind)
        for one in slices:
            set_pixels(one, raw_pixels(one), bits=bits)
        syntax = syntaxes.JPEG_BASELINE if bits == 8 else syntaxes.JPEG_EXTENDED
        save_series(folder, slices, syntax=syntax)
        return truth

    return build


def htj2k(folder: Path) -> Truth:
    """Write an HTJ2K series of finished codestreams."""
    values = dicom_htj2k.VALUES - 1024
    slices, truth = make_slices(CT, shape=values.shape, values=values, stored="uint16")
    paths = save_series(folder, slices)
    for path, one, coded in zip(paths, slices, dicom_htj2k.CODESTREAMS, strict=True):
        one = copy.deepcopy(one)
        syntaxes.encapsulate_frames(one, [coded], syntaxes.HTJ2K_LOSSLESS)
        save(one, path, syntax=syntaxes.HTJ2K_LOSSLESS)
    return truth


def truncated(folder: Path) -> Truth:
    """Write a CT of which one file lost its last 100 bytes."""
    slices, truth = make_slices(CT)
    path = save_series(folder, slices)[5]
    path.write_bytes(path.read_bytes()[:-100])
    return truth


def truncated_codestream(folder: Path) -> Truth:
    """Write a JPEG-LS CT of which one file lost its second half."""
    slices, truth = make_slices(CT, stored="uint16")
    path = save_series(folder, slices, syntax=syntaxes.JPEG_LS)[5]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 1200])
    return truth


def empty_file(name: str = "IM00099.dcm") -> Builder:
    """Return a builder of a CT among whose files one is empty."""

    def build(folder: Path) -> Truth:
        truth = make_series(folder, CT)
        (folder / name).touch()
        return truth

    return build


def without_suffix(folder: Path) -> Truth:
    """Write files without an extension, spread over a tree of folders."""
    slices, truth = make_slices(CT)
    for number, path in enumerate(save_series(folder, slices)):
        branch = folder / f"{CANARY_NAME}" / f"{number % 3}"
        branch.mkdir(parents=True, exist_ok=True)
        path.rename(branch / f"{CANARY_ID}.{number}")
    return truth


def without_preamble(folder: Path) -> Truth:
    """Write files that start with their data set: no preamble, no magic, no meta group."""
    slices, truth = make_slices(CT)
    folder.mkdir(parents=True)
    for number, one in enumerate(slices):
        save(one, folder / f"{number}.dcm", preamble=False)
    return truth


def among_others(folder: Path) -> Truth:
    """Write a CT among files that are no images: text, DICOMDIR, a report, a structure set."""
    truth = make_series(folder, CT)
    (folder / "README.txt").write_text(f"{CANARY_NAME} {CANARY_ID}")
    (folder / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 64)
    (folder / ".hidden.dcm").write_bytes(b"no DICOM at all")
    header, _ = make_slices(CT, shape=(8, 8, 1), seed=5)
    for name, modality, klass in (
        ("report", "SR", "1.2.840.10008.5.1.4.1.1.88.11"),
        ("structures", "RTSTRUCT", "1.2.840.10008.5.1.4.1.1.481.3"),
    ):
        other = Dataset()
        for element in header[0]:
            if element.tag.group in (0x0008, 0x0010, 0x0020):
                other.add(element)
        other.SOPClassUID, other.Modality = klass, modality
        other.SOPInstanceUID = other.SeriesInstanceUID = uid(name)
        other.ContentSequence = DicomSequence([Dataset()])
        save(other, folder / f"{name}.dcm")
    return truth


def deflate_bomb(folder: Path) -> Truth:
    """Write a deflated CT of which one file inflates to 400 MiB of nothing behind its pixels."""
    slices, truth = make_slices(CT)
    path = save_series(folder, slices, syntax=syntaxes.DEFLATED)[4]
    whole = path.read_bytes()
    start = 144 + int.from_bytes(whole[140:144], "little")  # the meta group is not deflated
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(zlib.decompress(whole[start:], -zlib.MAX_WBITS))
    for _ in range(400):
        packed += packer.compress(bytes(1 << 20))
    path.write_bytes(whole[:start] + packed + packer.flush())
    return truth
