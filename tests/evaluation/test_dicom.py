"""DICOM among what is scored: pairs of series, their frames, units and padding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_corpus import CT, MR, PT, each, make_slices, save_series, uid

from medgen.dicom import Choice
from medgen.evaluation import match_paths, match_table
from medgen.evaluation.scoring import load, score_case
from medgen.metrics import profile_named
from medgen.problems import ConfigurationError, NothingFound, Refusal
from medgen.volumes import Grid, Volume, in_unit, open_volume, write_volume

SHAPE, SPACING = (20, 20, 10), (4.0, 4.0, 6.0)
HU = profile_named("hu")


def head(offset: int = 0) -> np.ndarray:
    axes = np.stack(np.meshgrid(*[np.linspace(-1.2, 1.2, n) for n in SHAPE], indexing="ij"))
    radius = np.sqrt((axes**2).sum(axis=0))
    return np.where(radius < 1, np.where(radius > 0.8, 900, 40), -1000).astype(float) + offset


def write(folder: Path, modality: str = CT, *, offset: int = 0, **changes: Any) -> Path:
    def change(dataset: Any) -> None:
        for name, value in changes.items():
            setattr(dataset, name, value)

    each(
        folder, modality, change, shape=SHAPE, spacing=SPACING, values=head(offset), stored="int16"
    )
    return folder


def test_two_series_are_a_pair_whatever_they_are_called(tmp_path: Path) -> None:
    made = write(tmp_path / "a", offset=7, SeriesInstanceUID=uid("derived"))
    (case,) = match_paths(made, write(tmp_path / "b")).cases
    scored, _ = score_case(case, HU)
    assert not scored.failed
    assert scored.scores["mae"] == pytest.approx(7)
    assert "DOE" not in repr(scored)


def test_a_file_against_a_series(tmp_path: Path) -> None:
    truth = write(tmp_path / "ct")
    write_volume(tmp_path / "p1.nii.gz", open_volume(truth), dtype="int16")
    (case,) = match_paths(tmp_path / "p1.nii.gz", truth).cases
    assert case.name == "p1"
    assert score_case(case, HU)[0].scores["mae"] == 0


def test_series_of_a_tree_are_not_matched_by_chance(tmp_path: Path) -> None:
    write(tmp_path / "made" / "a", SeriesInstanceUID=uid("a"))
    write(tmp_path / "made" / "b", SeriesInstanceUID=uid("b"))
    with pytest.raises(ConfigurationError, match="E_UNMATCHED"):
        match_paths(tmp_path / "made", write(tmp_path / "ct"))


def test_cells_may_be_series(tmp_path: Path) -> None:
    write(tmp_path / "ct")
    write_volume(tmp_path / "out" / "c1.nii.gz", open_volume(tmp_path / "ct"), dtype="int16")
    (tmp_path / "cases.csv").write_text("case,patient,ct\nc1,p1,ct\n")
    (case,) = match_table(tmp_path / "out", tmp_path / "cases.csv", column="ct").cases
    assert score_case(case, HU)[0].scores["mae"] == 0


def test_another_frame_of_reference_is_not_scored(tmp_path: Path) -> None:
    made = write(tmp_path / "a", FrameOfReferenceUID=uid("another"))
    (case,) = match_paths(made, write(tmp_path / "b")).cases
    with pytest.raises(Refusal, match="E_FRAME_OF_REFERENCE"):
        load(case, HU, match_grid=True)


def test_what_is_no_pet_or_ct_by_its_header_is_not_scored_as_such(tmp_path: Path) -> None:
    made = write(tmp_path / "a", "PT", offset=1000)
    (case,) = match_paths(made, write(tmp_path / "b")).cases
    with pytest.raises(Refusal) as caught:
        load(case, HU)
    assert [(p.code, p.column) for p in caught.value.problems] == [("E_UNIT", "prediction")]


def test_what_the_reference_padded_is_not_scored(tmp_path: Path) -> None:
    made = write(tmp_path / "made", SeriesInstanceUID=uid("made"))
    values = head()
    values[:5] = -2000
    slices, _ = make_slices(CT, shape=SHAPE, spacing=SPACING, values=values)
    for one in slices:
        one.PixelPaddingValue = -2000 + 1024
    save_series(tmp_path / "ct", slices)
    grid = open_volume(tmp_path / "ct").grid
    everywhere = Volume(np.ones(SHAPE, np.uint8), grid)
    write_volume(tmp_path / "mask.nii.gz", everywhere, dtype="uint8")
    (case,) = match_paths(made, tmp_path / "ct", tmp_path / "mask.nii.gz").cases
    triplet = load(case, HU)
    assert not triplet.mask[:5].any()
    assert triplet.mask[5:].all()
    assert any("padded" in remark for remark in triplet.remarks)
    assert score_case(case, HU)[0].scores["mae"] == 0


def test_mr_is_scored_by_its_own_profile(tmp_path: Path) -> None:
    made = write(tmp_path / "a", MR, offset=1000, SeriesInstanceUID=uid("made"))
    (case,) = match_paths(made, write(tmp_path / "b", MR, offset=1001)).cases
    assert score_case(case, profile_named("mr"))[0].scores["mae"] == pytest.approx(1)


def test_pet_in_two_units_is_scored_in_suv_or_not_at_all(tmp_path: Path) -> None:
    pet, profile = tmp_path / "pet", profile_named("mr")
    write(pet, PT, offset=1000)
    suv = in_unit(open_volume(pet), "SUV")
    write_volume(tmp_path / "p1.nii.gz", suv, dtype="float32")
    (case,) = match_paths(tmp_path / "p1.nii.gz", pet).cases
    sidecar = {"unit": "SUV", "output_digest": open_volume(tmp_path / "p1.nii.gz").digest}
    (tmp_path / "p1.json").write_text(json.dumps(sidecar))
    triplet = load(case, profile)
    assert np.abs(triplet.reference - suv.data).max() < 1e-5 * suv.data.max()
    assert triplet.digests["reference"] == open_volume(pet).digest
    assert not [one for one in score_case(case, profile)[0].remarks if "sidecar" in one]
    (tmp_path / "p1.json").write_text(json.dumps({"unit": "Bq/ml"}))
    assert np.array_equal(load(case, profile).reference, open_volume(pet).data)
    in_suv = write(tmp_path / "suv", PT, offset=1000, Units="GML", SUVType="BW")
    (case,) = match_paths(tmp_path / "p1.nii.gz", in_suv).cases
    with pytest.raises(Refusal, match=r"E_UNIT.*in Bq/ml and the reference in SUV"):
        load(case, profile)


def test_a_mask_stored_in_another_order_needs_no_resampling(tmp_path: Path) -> None:
    made = write(tmp_path / "made", SeriesInstanceUID=uid("made"))
    truth = write(tmp_path / "ct")
    volume = open_volume(truth)
    turned = volume.grid.affine.copy()
    turned[:3, 3] += turned[:3, 2] * (SHAPE[2] - 1)
    turned[:3, 2] *= -1
    values = (volume.data > -500).astype(np.uint8)
    grid = Grid((SHAPE[0], SHAPE[1], SHAPE[2]), turned)
    write_volume(tmp_path / "m.nii.gz", Volume(values[:, :, ::-1], grid), dtype="uint8")
    (case,) = match_paths(made, truth, tmp_path / "m.nii.gz").cases
    triplet = load(case, HU)
    assert (triplet.mask == (values > 0)).all()
    assert triplet.remarks == ()


def test_a_choice_serves_the_side_that_has_several(tmp_path: Path) -> None:
    made = write(tmp_path / "made", SeriesInstanceUID=uid("made"), SeriesNumber=1003)
    write(tmp_path / "study" / "a", SeriesInstanceUID=uid("a"), SeriesNumber=7)
    write(tmp_path / "study" / "b", SeriesInstanceUID=uid("b"), SeriesNumber=8)
    (case,) = match_paths(made, tmp_path / "study", choice=Choice(series="8")).cases
    assert case.reference == tmp_path / "study" / "b"
    with pytest.raises(NothingFound, match="E_NO_SERIES"):
        match_paths(made, tmp_path / "study", choice=Choice(series="9"))
