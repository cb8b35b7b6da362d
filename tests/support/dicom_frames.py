"""Frames without the series around them, for tests of one step of reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dicom_corpus import make_slices
from pydicom.dataset import Dataset, FileMetaDataset

from medgen.dicom.frames import Frame, Instance
from medgen.dicom.index import index_tree
from medgen.dicom.multiframe import frames_of

PHILIPS_PET = "Philips PET Private Group"


def frame_of(header: Dataset, path: Path = Path("none.dcm")) -> Frame:
    """Return the frame of a classic header, whether or not there is a file."""
    if not hasattr(header, "file_meta"):
        header.file_meta = FileMetaDataset()
    return Frame(Instance(path, header), 0, header)


def frames_in(path: Path) -> list[Frame]:
    """Return the frames of all files at or below a path, by InstanceNumber."""
    instances = [one for series in index_tree(path).series for one in series.instances]
    instances.sort(key=lambda one: int(one.header.get("InstanceNumber") or 0))
    found = [frames_of(instance) for instance in instances]
    assert not any(problems for _, problems in found), [problems for _, problems in found]
    return [frame for frames, _ in found for frame in frames]


def made_frames(
    modality: str, *, factors: dict[int, Any] | None = None, **said: Any
) -> list[Frame]:
    """Return three frames of slope 0.5 whose headers say so; None leaves an attribute out.

    `factors` are elements of Philips's private group of PET.
    """
    slices, _ = make_slices(modality, shape=(4, 3, 3), slope=0.5)
    for one in slices:
        for keyword, value in said.items():
            if value is None:
                one.pop(keyword, None)
            else:
                setattr(one, keyword, value)
        for element, value in (factors or {}).items():
            one.private_block(0x7053, PHILIPS_PET, create=True).add_new(element, "DS", value)
    return [frame_of(one) for one in slices]
