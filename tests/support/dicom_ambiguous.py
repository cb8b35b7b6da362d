"""Builders of folders that hold more than one image: copies, echoes, phases, localizers, series.

Where a choice picks one of several, `second=True` returns the truth of the second.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dicom_encoding as syntaxes
import numpy as np
from dicom_corpus import (
    CORONAL,
    CT,
    MR,
    PT,
    SHAPE,
    Builder,
    Truth,
    make_series,
    make_slices,
    raw_pixels,
    save_series,
    set_pixels,
    uid,
)
from dicom_encoding import save
from dicom_enhanced import enhance
from pydicom.dataset import Dataset


def duplicated(*, same_uid: bool, same_pixels: bool) -> Builder:
    """Return a builder of a CT with one slice twice, in two files that are not byte-equal."""

    def build(folder: Path) -> Truth:
        slices, truth = make_slices(CT)
        twin = copy.deepcopy(slices[4])
        twin.InstanceNumber = 99
        if not same_uid:
            twin.SOPInstanceUID = uid("twin")
        if not same_pixels:
            set_pixels(twin, raw_pixels(twin)[::-1])
        save_series(folder, [*slices, twin])
        return truth

    return build


def copied(folder: Path) -> Truth:
    """Write a CT of which two files lie there twice, byte for byte."""
    slices, truth = make_slices(CT)
    for number, path in enumerate(save_series(folder, slices)[3:5]):
        (folder / f"copy of {number}.dcm").write_bytes(path.read_bytes())
    return truth


def copied_in_another_syntax(folder: Path) -> Truth:
    """Write a CT of which a slice lies there twice, once compressed: the same instance."""
    slices, truth = make_slices(CT)
    save_series(folder, slices)
    save(slices[4], folder / "compressed.dcm", syntax=syntaxes.RLE)
    return truth


def echoes(*, second: bool = False, enhanced: bool = False, numbered: bool = True) -> Builder:
    """Return a builder of an MR with two echo times at each position, in rising order.

    EchoNumbers are there unless `numbered` is off; `enhanced` puts all frames into one file.
    """

    def build(folder: Path) -> Truth:
        early, first = _echo("12.5", 1, seed=0)
        late, last = _echo("80", 2, seed=1)
        both = [one for pair in zip(late, early, strict=True) for one in pair]
        for number, one in enumerate(both):
            one.InstanceNumber, one.SOPInstanceUID = number + 1, uid("echo", number)
            if not numbered:
                del one.EchoNumbers
        save_series(folder, [enhance(both)] if enhanced else both)
        return last if second else first

    return build


def _echo(time: str, number: int, *, seed: int) -> tuple[list[Dataset], Truth]:
    slices, truth = make_slices(MR, seed=seed)
    for one in slices:
        one.EchoTime, one.EchoNumbers = time, number
        one.SeriesInstanceUID, one.SeriesNumber = uid("echoes"), 4
    return slices, truth


def phases(*, second: bool = False, named: str = "TemporalPositionIdentifier") -> Builder:
    """Return a builder of a CT with two phases, told apart by an attribute and the time."""

    def build(folder: Path) -> Truth:
        both: list[Dataset] = []
        truths = []
        for phase in (1, 2):
            slices, truth = make_slices(CT, seed=phase)
            truths.append(truth)
            for one in slices:
                one.SeriesInstanceUID, one.SeriesNumber = uid("phases"), 4
                one.AcquisitionTime = f"1017{20 * phase:02d}"
                setattr(one, named, phase)
                both.append(one)
        for number, one in enumerate(both):
            one.InstanceNumber, one.SOPInstanceUID = number + 1, uid("phase", number)
        save_series(folder, both)
        return truths[int(second)]

    return build


def localizer(folder: Path) -> Truth:
    """Write a CT whose series starts with a coronal localizer of another size."""
    slices, truth = make_slices(CT)
    scout, _ = make_slices(CT, shape=(48, 48, 1), spacing=(2, 2, 5), directions=CORONAL)
    scout[0].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout[0].SOPInstanceUID, scout[0].InstanceNumber = uid("localizer"), 0
    save_series(folder, [*slices, *scout])
    return truth


def stray_plane(folder: Path) -> Truth:
    """Write a CT with one coronal plane that no header calls a localizer."""
    slices, truth = make_slices(CT)
    stray, _ = make_slices(CT, shape=(*SHAPE[:2], 1), directions=CORONAL)
    stray[0].SOPInstanceUID, stray[0].InstanceNumber = uid("stray"), 77
    save_series(folder, [*slices, *stray])
    return truth


def two_series(*, second: bool = False) -> Builder:
    """Return a builder of a folder with a CT (series 3) and an MR (series 8)."""

    def build(folder: Path) -> Truth:
        truth = make_series(folder, CT)
        slices, other = make_slices(MR, seed=5)
        save_series(folder, slices, first=100)
        return other if second else truth

    return build


def second_series_uid() -> str:
    """Return the UID of `two_series`' second."""
    return uid(MR, 5, "series")


def multi_frame(
    modality: str, *, syntax: str = syntaxes.EXPLICIT, files: int = 1, **how: Any
) -> Builder:
    """Return a builder of an enhanced series, its frames in no order, in one or more files."""

    def build(folder: Path) -> Truth:
        options = {"geometry_per_frame": how.get("geometry_per_frame", False)}
        slices, truth = make_slices(modality, **_numbers(modality))
        parts: Sequence[Any] = np.array_split(np.arange(len(slices)), files)
        datasets = [enhance([slices[index] for index in part], **options) for part in parts]
        for number, one in enumerate(datasets):
            one.SOPInstanceUID, one.InstanceNumber = uid("enhanced", modality, number), number + 1
        save_series(folder, datasets, syntax=syntax)
        return truth

    return build


def _numbers(modality: str) -> dict[str, Any]:
    """Return how each modality's values are stored: per-frame slopes for PET."""
    if modality == PT:
        return {"slope": [0.25 + 0.5 * index for index in range(SHAPE[2])]}
    return {"stored": "uint16"}


def legacy_converted(modality: str) -> Builder:
    """Return a builder of a Legacy Converted Enhanced file, which highdicom writes."""

    def build(folder: Path) -> Truth:
        from highdicom import legacy

        slices, truth = make_slices(modality, stored="uint16")
        writer = {
            CT: legacy.LegacyConvertedEnhancedCTImage,
            MR: legacy.LegacyConvertedEnhancedMRImage,
            PT: legacy.LegacyConvertedEnhancedPETImage,
        }[modality]
        for one in slices:
            one.file_meta.TransferSyntaxUID = syntaxes.EXPLICIT
        converted = writer(
            slices,
            series_instance_uid=uid("legacy"),
            series_number=9,
            sop_instance_uid=uid("legacy", modality),
            instance_number=1,
        )
        save_series(folder, [converted])
        return truth

    return build
