"""What dicom3tools, highdicom's tables, dcm2niix and plastimatch make of what medgen writes.

A volume is compared where it is in the patient, never array to array: readers may flip axes.
"""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from external_tools import require_tool, run_tool
from numpy.typing import NDArray
from pydicom.dataset import Dataset

SAME_PLACE_MM = 1e-3
# Debian's dictionary is of 2022 and does not know SyntheticData.
_KNOWN_ERRORS = (
    "Error - Attribute with an even group number is not a recognized standard attribute "
    "- (0x0008,0x001c)  ?",
)
# Of any series whose maker dcm2niix has no special rules for, and of any PET that has
# PatientOrientationCodeSequence, beside which the standard forbids PatientPosition.
_KNOWN_WARNINGS = (
    "Warning: Unable to determine manufacturer (0008,0070)",
    "Warning: Patient Position (0018,5100) not specified",
)


def iod_errors(path: Path) -> list[str]:
    """Return what dciodvfy finds wrong with a file, but for what it cannot know."""
    result = run_tool([require_tool("dciodvfy"), path])
    lines = [line.strip() for line in (result.stdout + result.stderr).splitlines()]
    return [line for line in lines if line.startswith("Error") and line not in _KNOWN_ERRORS]


def entity_complaints(paths: Iterable[Path]) -> str:
    """Return all that dcentvfy says about files that should agree on patient, study and series."""
    result = run_tool([require_tool("dcentvfy"), *paths])
    return result.stdout + result.stderr


def missing_attributes(path: Path) -> list[str]:
    """Return attributes of type 1 and 2 that a file lacks, by the tables that highdicom ships.

    They are of a newer standard than dciodvfy's. Sequences are looked into where they are there.
    Conditions (types 1C, 2C) and functional groups, of which each file needs some only, are
    dciodvfy's to judge.
    """
    modules, attributes = standard_table("iod_module_map"), standard_table("module_attribute_map")
    dataset = pydicom.dcmread(path)
    iod = standard_table("sop_class_iod_map")[dataset.SOPClassUID]
    missing = []
    for module in modules[iod]:
        if module["usage"] != "M" or module["key"].endswith("functional-groups"):
            continue
        for attribute in attributes[module["key"]]:
            for item in _items_at(dataset, attribute["path"]):
                keyword, kind = attribute["keyword"], attribute["type"]
                if kind in ("1", "2") and (
                    keyword not in item or (kind == "1" and item[keyword].is_empty)
                ):
                    missing.append(f"{module['key']}: {'.'.join([*attribute['path'], keyword])}")
    return missing


def _items_at(dataset: Dataset, path: list[str]) -> list[Dataset]:
    items = [dataset]
    for keyword in path:
        items = [one for item in items for one in item.get(keyword) or ()]
    return items


@functools.cache
def standard_table(name: str) -> Any:
    """Return one of the tables of the standard that highdicom ships."""
    folder = Path(importlib.util.find_spec("highdicom").origin).parent  # type: ignore[union-attr,arg-type]
    return json.loads((folder / "_standard" / f"{name}.json").read_text())


def by_dcm2niix(series: Path, folder: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a series as dcm2niix reads it: values and RAS affine."""
    folder.mkdir(parents=True)
    options = ["-b", "y", "-z", "n", "-f", "volume", "-o", folder]
    result = run_tool([require_tool("dcm2niix"), *options, series])
    said = [line for line in (result.stdout + result.stderr).splitlines() if "Warning" in line]
    assert [line for line in said if not line.startswith(_KNOWN_WARNINGS)] == []
    assert result.returncode == 0
    assert [path.name for path in folder.glob("*.nii")] == ["volume.nii"]
    return _nifti(folder / "volume.nii")


def by_plastimatch(series: Path, folder: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a series as plastimatch reads it: values and RAS affine."""
    folder.mkdir(parents=True)
    options = ["--output-img", folder / "volume.nii", "--output-type", "float"]
    result = run_tool([require_tool("plastimatch"), "convert", "--input", series, *options])
    assert result.returncode == 0
    return _nifti(folder / "volume.nii")


def assert_same_volume(
    read: tuple[NDArray[Any], NDArray[Any]],
    values: NDArray[Any],
    affine: NDArray[Any],
    *,
    tolerance: float = 0.0,
    place_mm: float = SAME_PLACE_MM,
) -> None:
    """Assert that each voxel of (values, affine) was read where it is, and as what it is."""
    data, found = read
    assert data.size == values.size
    to_read = np.linalg.inv(found) @ affine
    columns_and_rows = np.indices(values.shape[:2]).reshape(2, -1)
    for plane in range(values.shape[2]):
        indices = np.vstack([columns_and_rows, np.full((1, columns_and_rows.shape[1]), plane)])
        there = to_read[:3, :3] @ indices + to_read[:3, 3:]
        nearest = np.rint(there).astype(int)
        assert np.linalg.norm(found[:3, :3] @ (nearest - there), axis=0).max() < place_mm
        assert nearest.min() >= 0
        assert (nearest.max(axis=1) < data.shape).all()
        difference = data[tuple(nearest)] - values[:, :, plane].reshape(-1)
        assert np.abs(difference).max() <= tolerance


def _nifti(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    image: Any = nib.load(path)
    return np.asarray(image.get_fdata()), np.asarray(image.affine)
