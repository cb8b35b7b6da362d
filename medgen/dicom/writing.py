"""Datasets to a folder of DICOM files that appears whole and verified, or not at all."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from medgen.dicom.placement import Plane, corners_of
from medgen.dicom.provenance import MANUFACTURER, PRODUCT
from medgen.dicom.values import quiet
from medgen.files import replacing_folder
from medgen.problems import Problem, Refusal

SAME_PLACE_MM = 1e-3
_OWN_NAME = re.compile(r"[0-9]{4,}\.dcm")


def write_folder(
    folder: Path, datasets: Iterable[Dataset], verify: Callable[[int, Dataset], bool]
) -> tuple[str, tuple[str, ...]]:
    """Write datasets as 0001.dcm, 0002.dcm, ...; return `digest_of_folder` and the files' names.

    Files are explicit little endian with a preamble of zeros (PS3.10 section 7). Each is read back
    and handed to `verify` with its index before the folder gets its name; a folder of that name is
    replaced. Raises Refusal E_UNWRITABLE or E_READ_BACK, and then leaves what there was.
    """
    names = []
    try:
        with replacing_folder(folder) as temporary:
            for index, dataset in enumerate(datasets):
                names.append(f"{index + 1:04d}.dcm")
                _write(temporary / names[-1], dataset)
            for index, name in enumerate(names):
                if not _is_sound(temporary / name, index, verify):
                    message = f"file {index + 1} read back differs from what was written"
                    advice = "check the disk; nothing was written"
                    raise Refusal(Problem("E_READ_BACK", message, advice))
            digest = digest_of_folder(temporary)
    except OSError as error:
        message = f"the series cannot be written: {error.strerror or 'input/output error'}"
        raise Refusal(Problem("E_UNWRITABLE", message, "check the disk and permissions")) from None
    return digest, tuple(names)


def digest_of_folder(folder: Path) -> str:
    """Return the SHA-256 of the names and bytes of all files in a folder, by name."""
    whole = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        whole.update(f"{path.name}\0{content}\n".encode())
    return whole.hexdigest()


def is_own_folder(folder: Path) -> bool:
    """Tell whether all files of a folder are what `write_folder` wrote, by names and by headers.

    Scanners and archives number their files too: a name alone would not save an original.
    """
    if folder.is_symlink() or not folder.is_dir():
        return False
    return all(_OWN_NAME.fullmatch(file.name) and _is_own(file) for file in folder.iterdir())


def is_in_place(dataset: Dataset, plane: Plane) -> bool:
    """Tell whether an image's corner pixels are within 1e-3 mm of where they should be."""
    size = (int(dataset.Columns), int(dataset.Rows))
    spots = (dataset.ImagePositionPatient, dataset.ImageOrientationPatient, dataset.PixelSpacing)
    apart = np.abs(corners_of(*spots, *size) - plane.corners(*size))
    return bool(apart.max() <= SAME_PLACE_MM)


def stored_plane(dataset: Dataset, kind: np.dtype[Any]) -> NDArray[Any]:
    """Return the native pixels (columns, rows) of a single-frame dataset."""
    pixels = np.frombuffer(dataset.PixelData, dtype=kind.newbyteorder("<"))
    wanted = int(dataset.Rows) * int(dataset.Columns)
    return pixels[:wanted].reshape(int(dataset.Rows), int(dataset.Columns)).T


def _write(path: Path, dataset: Dataset) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    dataset.preamble = bytes(128)
    try:
        with quiet():
            pydicom.dcmwrite(
                path, dataset, enforce_file_format=True, little_endian=True, implicit_vr=False
            )
    except (OSError, MemoryError):
        raise
    except Exception as error:  # pydicom's messages quote values
        message = f"an attribute inherited from the source cannot be encoded ({_name(error)})"
        advice = "write NIfTI instead, or export the source again"
        raise Refusal(Problem("E_UNWRITABLE", message, advice)) from None


def _is_sound(path: Path, index: int, verify: Callable[[int, Dataset], bool]) -> bool:
    try:
        with quiet():
            return verify(index, pydicom.dcmread(path))
    except (OSError, MemoryError):
        raise
    except Exception:  # what pydicom raises for bytes that are not those we wrote
        return False


def _is_own(path: Path) -> bool:
    marks = {
        "SyntheticData": "YES",
        "Manufacturer": MANUFACTURER,
        "ManufacturerModelName": PRODUCT,
    }
    try:
        with quiet():
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(marks))
            return all(str(header.get(keyword, "")) == mark for keyword, mark in marks.items())
    except MemoryError:
        raise
    except Exception:  # what cannot be read is not known to be ours
        return False


def _name(error: Exception) -> str:
    return type(error).__name__
