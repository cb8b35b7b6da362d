"""Labels to a Segmentation object: one binary segment for each class (PS3.3 A.51)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from medgen.dicom.derived import LABELS, Derivation, WrittenSeries, check_derivable
from medgen.dicom.frames import SeriesFacts
from medgen.dicom.functional_groups import finish, geometry, is_in_place, plane_of, stand_in
from medgen.dicom.placement import Placement, place
from medgen.dicom.provenance import (
    MANUFACTURER,
    MASK_SERIES,
    PRODUCT,
    SEGMENTED,
    derivation_codes,
    text,
)
from medgen.dicom.values import quiet
from medgen.dicom.writing import write_folder
from medgen.problems import Problem, Refusal

_TISSUE = Code("85756007", "SCT", "Tissue")
_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
_KNOWN = {  # words in a class's name: category and type of what it is (CID 7150, 7151)
    "anomaly": (_ABNORMAL, _ABNORMAL),  # unlike what is healthy; what it is, nobody says
    "lesion": (_ABNORMAL, Code("52988006", "SCT", "Lesion")),
    "tumor": (_ABNORMAL, Code("108369006", "SCT", "Neoplasm")),
    "tumour": (_ABNORMAL, Code("108369006", "SCT", "Neoplasm")),
    "brain": (_ANATOMY, Code("12738006", "SCT", "Brain")),
    "bone": (_ANATOMY, Code("272673000", "SCT", "Bone")),
    "skull": (_ANATOMY, Code("89546000", "SCT", "Skull")),
}


@quiet()
def write_segmentation(
    folder: Path,
    labels: NDArray[np.uint8],
    affine: NDArray[np.float64],
    *,
    names: Mapping[int, str],
    source: SeriesFacts,
    derivation: Derivation,
    others: Sequence[SeriesFacts] = (),
) -> WrittenSeries:
    """Write labels (X, Y, Z) as a Segmentation in their source's study and frame of reference.

    `names` says what the values from 1 on mean; segments are numbered from 1 in the order of the
    values, without gaps (PS3.3 C.8.20.4). 0 is background and no segment. Frames without a voxel
    of their segment are left out. `others` are further series that the labels were computed from.
    Raises Refusal E_LABEL_VALUES for a value without a name and as
    `write_image_series` does.
    """
    problems = [
        *check_derivable(source, unit_or_kind=LABELS, others=others),
        *_label_problems(labels, names),
    ]
    if problems:
        raise Refusal(problems)
    placement = place(labels.shape, affine, source)
    arranged = placement.arrange(labels)
    values = sorted(value for value in names if value != 0)
    segments = np.searchsorted(values, arranged).astype(np.uint8) + np.uint8(1)
    segments[arranged == 0] = 0

    def is_right(index: int, dataset: Dataset) -> bool:
        return _holds(dataset, segments, placement)

    named = [names[value] for value in values]
    made = _make(segments, named, placement, source, derivation, others)
    digest, files = write_folder(folder, [made], is_right)
    return WrittenSeries(digest, 0, files)


def _label_problems(labels: NDArray[Any], names: Mapping[int, str]) -> list[Problem]:
    if not any(value != 0 for value in names):
        message = "no class of the labels has a name"
        return [Problem("E_LABEL_VALUES", message, "name the values that the labels have")]
    unnamed = sorted({int(value) for value in np.unique(labels)} - {0, *names})
    if not unnamed:
        return []
    message = f"the labels have {len(unnamed)} values without a name: {unnamed[:8]}"
    return [Problem("E_LABEL_VALUES", message, "name every value that the labels have")]


def _make(
    segments: NDArray[np.uint8],
    names: list[str],
    placement: Placement,
    source: SeriesFacts,
    derivation: Derivation,
    others: Sequence[SeriesFacts],
) -> Dataset:
    measures, orientation, positions = geometry(placement, source)
    made = Segmentation(
        source_images=[stand_in(placement, source)],
        pixel_array=np.ascontiguousarray(segments.T),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=_descriptions(names, derivation),
        series_instance_uid="1.2.3",
        series_number=1,
        sop_instance_uid="1.2.3",
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=PRODUCT,
        software_versions=text(derivation.version),
        device_serial_number=text(derivation.weights_digest),
        content_label="SEGMENTATION",
        content_description="Segmentation computed by a neural network",
        pixel_measures=measures,
        plane_orientation=orientation,
        plane_positions=positions,
        omit_empty_frames=bool(segments.any()),  # else it warns
    )
    pixels = hashlib.sha256(made.PixelData).hexdigest()
    finish(
        made,
        source,
        placement,
        derivation,
        others,
        title="Segmentation",
        offset=MASK_SERIES,
        codes=derivation_codes(source, SEGMENTED),
        content=(LABELS, pixels, json.dumps(names)),
    )
    if "Laterality" in made:
        del made.Laterality  # each segment has a place of its own: not in PS3.3 A.51
    return made


def _descriptions(names: list[str], derivation: Derivation) -> list[SegmentDescription]:
    algorithm = AlgorithmIdentificationSequence(
        name=text(derivation.model) or PRODUCT,
        family=codes.cid7162.ArtificialIntelligence,
        version=text(derivation.version),
    )
    found = []
    for number, name in enumerate(names, 1):
        category, kind = _meaning(name)
        found.append(
            SegmentDescription(
                segment_number=number,
                segment_label=text(name),
                segmented_property_category=category,
                segmented_property_type=kind,
                algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm_identification=algorithm,
            )
        )
    return found


def _meaning(name: str) -> tuple[Code, Code]:
    """Return codes for a class by the words in its name; "Tissue" where none is known."""
    for word, codes_of_word in _KNOWN.items():
        if word in name.lower().replace("_", " ").split():
            return codes_of_word
    return _TISSUE, _TISSUE


def _holds(dataset: Dataset, segments: NDArray[np.uint8], placement: Placement) -> bool:
    """Tell whether the frames of a file, laid where they say they are, are the labels again."""
    columns, rows = segments.shape[:2]
    count = int(dataset.NumberOfFrames) * rows * columns
    packed = np.frombuffer(dataset.PixelData, dtype=np.uint8)
    bits = np.unpackbits(packed, count=count, bitorder="little")
    frames = bits.reshape(int(dataset.NumberOfFrames), rows, columns)
    again = np.zeros_like(segments)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    numbers = _segment_numbers(dataset)
    groups_of_frames = dataset.PerFrameFunctionalGroupsSequence
    for groups, number, pixels in zip(groups_of_frames, numbers, frames, strict=True):
        index = plane_of(groups, placement)
        plane = placement.planes[index]
        if not is_in_place(groups, shared, plane, columns=columns, rows=rows):
            return False
        again[:, :, index] += (pixels.T * number).astype(np.uint8)
    return np.array_equal(again, segments)


def _segment_numbers(dataset: Dataset) -> list[int]:
    """Return each frame's segment; one for all stands among what frames share."""
    shared = dataset.SharedFunctionalGroupsSequence[0].get("SegmentIdentificationSequence")
    return [
        int((shared or groups.SegmentIdentificationSequence)[0].ReferencedSegmentNumber)
        for groups in dataset.PerFrameFunctionalGroupsSequence
    ]
