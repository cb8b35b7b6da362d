from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from derived_sources import DERIVATION, SHAPE, answer_values, source_series, write_answer
from dicom_judges import entity_complaints, iod_errors, missing_attributes

from medgen.dicom.frames import SeriesFacts
from medgen.dicom.parametric_map import write_parametric_map
from medgen.dicom.references import common_references
from medgen.dicom.segmentation import write_segmentation

ELSEWHERE = "StudiesContainingOtherReferencedInstancesSequence"


def other_series(number: int, *, study: str = "") -> SeriesFacts:
    def change(dataset: Any) -> None:
        dataset.SeriesInstanceUID = f"1.2.{number}"
        dataset.SOPInstanceUID = f"1.2.{number}.{dataset.InstanceNumber}"
        if study:
            dataset.StudyInstanceUID = study

    return source_series("MR", change=change)


def uids(items: Any) -> list[tuple[str, list[str]]]:
    return [
        (
            item.SeriesInstanceUID,
            [one.ReferencedSOPInstanceUID for one in item.ReferencedInstanceSequence],
        )
        for item in items
    ]


def files_of(source: SeriesFacts) -> tuple[str, list[str]]:
    headers = [frame.header for frame in source.frames]
    return headers[0].SeriesInstanceUID, [header.SOPInstanceUID for header in headers]


def write(folder: Path, kind: str, source: SeriesFacts, others: list[SeriesFacts]) -> Any:
    """Write an answer of a kind and return its first file."""
    how: Any = {"source": source, "derivation": DERIVATION, "others": others}
    if kind == "labels":
        labels = np.ones(SHAPE, np.uint8)
        write_segmentation(folder, labels, source.affine, names={1: "lesion"}, **how)
    elif kind == "map":
        data = answer_values(SHAPE, "arbitrary")
        write_parametric_map(folder, data, source.affine, quantity="residual", **how)
    else:
        write_answer(folder, source, "HU", others=others)
    return pydicom.dcmread(folder / "0001.dcm")


@pytest.mark.parametrize("kind", ["images", "labels", "map"])
def test_all_sources_are_named_in_their_studies(tmp_path: Path, kind: str) -> None:
    source = source_series("MR")
    same, far, farther = other_series(7), other_series(8, study="1.9"), other_series(9, study="1.9")
    made = write(tmp_path / "answer", kind, source, [same, far, farther])
    assert uids(made.ReferencedSeriesSequence) == [files_of(source), files_of(same)]
    (study,) = made[ELSEWHERE].value
    assert study.StudyInstanceUID == "1.9"
    assert uids(study.ReferencedSeriesSequence) == [files_of(far), files_of(farther)]
    assert iod_errors(tmp_path / "answer" / "0001.dcm") == []
    assert missing_attributes(tmp_path / "answer" / "0001.dcm") == []
    assert entity_complaints((tmp_path / "answer").iterdir()) == ""


@pytest.mark.parametrize("kind", ["images", "labels", "map"])
def test_other_sources_make_another_series(tmp_path: Path, kind: str) -> None:
    source = source_series("MR")
    alone = write(tmp_path / "a", kind, source, [])
    both = write(tmp_path / "b", kind, source, [other_series(7)])
    assert ELSEWHERE not in alone
    assert ELSEWHERE not in both
    assert alone.SeriesInstanceUID != both.SeriesInstanceUID
    assert alone.SOPInstanceUID != both.SOPInstanceUID


def test_a_series_read_twice_is_named_once() -> None:
    source = source_series("MR")
    first = replace(source, frames=source.frames[:3])
    second = replace(source, frames=source.frames[2:])
    found = common_references(first, [second, source])
    assert list(found) == ["ReferencedSeriesSequence"]
    assert uids(found["ReferencedSeriesSequence"]) == [files_of(source)]


def test_a_first_source_of_the_others_study_stays_where_it_is() -> None:
    far = other_series(8, study="1.9")
    found = common_references(far, [other_series(7), other_series(9, study="1.9")])
    assert [uid for uid, _ in uids(found["ReferencedSeriesSequence"])] == ["1.2.8", "1.2.9"]
    (study,) = found[ELSEWHERE]
    assert [uid for uid, _ in uids(study.ReferencedSeriesSequence)] == ["1.2.7"]
