"""Multi-frame answers: what highdicom is told of the source, and what is set right behind it.

highdicom gets a stand-in for the source that has geometry and no patient, since it logs names that
it finds odd, copies from the source by rules of its own, draws UIDs at random and dates by the
clock. All of these are then written as for every other derived series.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from highdicom import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import MRImageStorage

from medgen.dicom.decimals import decimal
from medgen.dicom.derived import Derivation
from medgen.dicom.frames import SeriesFacts
from medgen.dicom.identifiers import hashed_uid
from medgen.dicom.inherited import inherit, inherit_quality
from medgen.dicom.placement import Placement, Plane, corners_of
from medgen.dicom.provenance import declare
from medgen.dicom.references import code, common_references, series_uids, source_images
from medgen.dicom.values import value_of
from medgen.dicom.writing import SAME_PLACE_MM

_UNNAMED = "1.2.3"


def stand_in(placement: Placement, source: SeriesFacts) -> Dataset:
    """Return an image as large as a frame of the source, in its place, of nobody."""
    image = Dataset()
    image.SOPClassUID = MRImageStorage
    image.SOPInstanceUID = image.SeriesInstanceUID = image.StudyInstanceUID = _UNNAMED
    image.FrameOfReferenceUID = source.frame_of_reference
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID"):
        setattr(image, keyword, "")
    for keyword in ("AccessionNumber", "StudyDate", "StudyTime", "ReferringPhysicianName"):
        setattr(image, keyword, None)
    image.Modality = "MR"
    image.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    image.Columns, image.Rows = source.shape[:2]
    placement.planes[0].describe(image)
    return image


def geometry(
    placement: Placement, source: SeriesFacts
) -> tuple[PixelMeasuresSequence, PlaneOrientationSequence, list[PlanePositionSequence]]:
    """Return spacing, orientation and every plane's position, spelled as the source spells them.

    Where the source does not say how thick a slice is, it is taken to reach to the next.
    """
    plane = placement.planes[0]
    gap = float(np.linalg.norm(source.affine[:3, 2]))
    thickness = plane.thickness or decimal(gap)
    measures = PixelMeasuresSequence(
        [float(value) for value in plane.spacing], float(thickness), gap
    )
    measures[0].PixelSpacing = plane.spacing
    measures[0].SliceThickness = thickness
    orientation = PlaneOrientationSequence("PATIENT", [float(value) for value in plane.orientation])
    orientation[0].ImageOrientationPatient = plane.orientation
    positions = []
    for one in placement.planes:
        position = PlanePositionSequence("PATIENT", [float(value) for value in one.position])
        position[0].ImagePositionPatient = one.position
        positions.append(position)
    return measures, orientation, positions


def finish(
    target: Dataset,
    source: SeriesFacts,
    placement: Placement,
    derivation: Derivation,
    others: Sequence[SeriesFacts],
    *,
    title: str,
    offset: int,
    codes: Items,
    content: Iterable[str],
) -> None:
    """Write patient, study, references, provenance and UIDs into what highdicom has made.

    `content` are digests and settings that tell this answer from others of the same source.
    """
    inherit(target, source)
    inherit_quality(target, source)
    declare(target, source, derivation, title=title, offset=offset)
    series = str(value_of(source.frames[0].header, "SeriesInstanceUID"))
    target.SeriesInstanceUID = hashed_uid(
        *("series", series, derivation.weights_digest, derivation.settings_digest),
        *(derivation.model, derivation.version, derivation.moment.isoformat()),
        *content,
        *series_uids(others),
    )
    target.SOPInstanceUID = hashed_uid("instance", target.SeriesInstanceUID, 0)
    dimensions = hashed_uid("dimensions", target.SeriesInstanceUID)
    for item in (*target.DimensionOrganizationSequence, *target.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimensions
    target.SourceImageSequence = source_images(source.frames, preserved=placement.preserved)
    for keyword, items in common_references(source, others).items():
        setattr(target, keyword, items)
    if codes:
        target.DerivationCodeSequence = codes
    _refer_frames(target, placement, codes)


def is_in_place(groups: Dataset, shared: Dataset, plane: Plane, *, columns: int, rows: int) -> bool:
    """Tell whether a frame's corner pixels are within 1e-3 mm of where they should be."""
    corners = corners_of(
        groups.PlanePositionSequence[0].ImagePositionPatient,
        shared.PlaneOrientationSequence[0].ImageOrientationPatient,
        shared.PixelMeasuresSequence[0].PixelSpacing,
        columns,
        rows,
    )
    return bool(np.abs(corners - plane.corners(columns, rows)).max() <= SAME_PLACE_MM)


def plane_of(groups: Dataset, placement: Placement) -> int:
    """Return which plane a frame is, by its position."""
    position = groups.PlanePositionSequence[0].ImagePositionPatient
    where = np.array([float(value) for value in position])
    planes = np.array([[float(value) for value in one.position] for one in placement.planes])
    return int(np.linalg.norm(planes - where, axis=1).argmin())


def _refer_frames(target: Dataset, placement: Placement, codes: Sequence[Dataset]) -> None:
    """Name each frame's source (PS3.3 C.7.6.16.2.6); nothing where slices were resampled."""
    for groups in target.PerFrameFunctionalGroupsSequence:
        groups.DerivationImageSequence = Items([])
        if not placement.preserved:
            continue
        item = Dataset()
        frame = placement.planes[plane_of(groups, placement)].frame
        item.SourceImageSequence = source_images([frame], preserved=True)
        item.DerivationCodeSequence = codes or Items([code(*_UNSPECIFIED)])
        groups.DerivationImageSequence = Items([item])


_UNSPECIFIED = ("121436", "DCM", "Unspecified method of calculation")
