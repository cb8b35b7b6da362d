"""A map of a quantity, such as uncertainty or anomaly, to a Parametric Map object (PS3.3 A.75)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from highdicom import VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from medgen.dicom.derived import MAP, Derivation, WrittenSeries, check_derivable
from medgen.dicom.frames import BECQUEREL, HU, SUV, SeriesFacts
from medgen.dicom.functional_groups import finish, geometry, is_in_place, plane_of, stand_in
from medgen.dicom.placement import Placement, place
from medgen.dicom.provenance import MANUFACTURER, MAP_SERIES, PRODUCT, derivation_codes, text
from medgen.dicom.quantising import check_finite
from medgen.dicom.values import quiet, text_of
from medgen.dicom.writing import write_folder
from medgen.problems import Refusal

_SHORT_STRING = 16  # characters of SH
_UNITS = {
    HU: codes.UCUM.HounsfieldUnit,
    BECQUEREL: codes.UCUM.BecquerelsPerMilliliter,
    SUV: codes.UCUM.StandardizedUptakeValueBodyWeight,
}


@quiet()
def write_parametric_map(
    folder: Path,
    data: NDArray[np.float32],
    affine: NDArray[np.float64],
    *,
    quantity: str,
    source: SeriesFacts,
    derivation: Derivation,
    others: Sequence[SeriesFacts] = (),
    unit: str = "",
) -> WrittenSeries:
    """Write a map (X, Y, Z) in its source's study and frame of reference, in single precision.

    `quantity` names what is mapped, in `unit`: HU, Bq/ml or SUV; any other word is no unit.
    `others` are further series that it was computed from. Raises Refusal as `write_image_series`
    does.
    """
    problems = check_derivable(source, unit_or_kind=MAP, others=others)
    if problems:
        raise Refusal(problems)
    placement = place(data.shape, affine, source)
    with np.errstate(over="ignore"):
        single = np.asarray(data, dtype=np.float32)
    check_finite(single)
    values = placement.arrange(single)

    def is_right(index: int, dataset: Dataset) -> bool:
        return _holds(dataset, values, placement)

    made = _make(values, quantity, unit, placement, source, derivation, others)
    digest, files = write_folder(folder, [made], is_right)
    return WrittenSeries(digest, 0, files)


def _make(
    values: NDArray[np.float32],
    quantity: str,
    unit: str,
    placement: Placement,
    source: SeriesFacts,
    derivation: Derivation,
    others: Sequence[SeriesFacts],
) -> Dataset:
    measures, orientation, positions = geometry(placement, source)
    low, high = float(values.min()), float(values.max())
    width = high - low if high > low else 1.0
    label = text(quantity) or "map"
    seen = text_of(source.frames[0].header, "RecognizableVisualFeatures")
    mapping = RealWorldValueMapping(
        lut_label=label[:_SHORT_STRING],
        lut_explanation=label,
        unit=_UNITS.get(unit, codes.UCUM.NoUnits),
        value_range=(low, high),
        slope=1.0,
        intercept=0.0,
    )
    made = ParametricMap(
        source_images=[stand_in(placement, source)],
        pixel_array=np.ascontiguousarray(values.T),
        series_instance_uid="1.2.3",
        series_number=1,
        sop_instance_uid="1.2.3",
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=PRODUCT,
        software_versions=text(derivation.version),
        device_serial_number=text(derivation.weights_digest),
        contains_recognizable_visual_features=seen != "NO",
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[VOILUTTransformation((low + high) / 2, width)],
        content_label="MAP",
        content_description=label,
        pixel_measures=measures,
        plane_orientation=orientation,
        plane_positions=positions,
    )
    pixels = hashlib.sha256(made.FloatPixelData).hexdigest()
    finish(
        made,
        source,
        placement,
        derivation,
        others,
        title=f"{label[:24]} map",
        offset=MAP_SERIES,
        codes=derivation_codes(source),
        content=(MAP, quantity, pixels),
    )
    return made


def _holds(dataset: Dataset, values: NDArray[np.float32], placement: Placement) -> bool:
    """Tell whether the frames of a file, laid where they say they are, are the map again."""
    columns, rows = values.shape[:2]
    frames = np.frombuffer(dataset.FloatPixelData, dtype="<f4").reshape(-1, rows, columns)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    seen = set()
    groups_of_frames = dataset.PerFrameFunctionalGroupsSequence
    for groups, pixels in zip(groups_of_frames, frames, strict=True):
        index = plane_of(groups, placement)
        plane = placement.planes[index]
        if not is_in_place(groups, shared, plane, columns=columns, rows=rows):
            return False
        if not np.array_equal(pixels.T, values[:, :, index]):
            return False
        seen.add(index)
    return bool(len(seen) == values.shape[2])
