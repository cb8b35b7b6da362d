from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_corpus import CT, MR, PT, each, make_series
from dicom_hard_values import padded

from medgen.dicom import Choice
from medgen.problems import Refusal
from medgen.volumes import Grid, Volume, in_unit, is_dicom, open_volume, with_choice, write_volume

SMALL = (6, 5, 4)
BOTTLE = 370e6 * 2.0 ** (-3600.0 / 6586.2)  # one hour between injection and scan
FACTOR = 70e3 / BOTTLE  # g/ml per Bq/ml


def test_a_series_is_a_volume_with_its_unit_and_headers(tmp_path: Path) -> None:
    truth = make_series(tmp_path / "ct", shape=SMALL)
    volume = open_volume(tmp_path / "ct")
    placed = Grid(truth.values.shape, truth.affine)
    assert volume.unit == "HU"
    assert volume.series is not None
    assert volume.frame_of_reference == volume.series.frame_of_reference != ""
    points = placed.to_world(np.indices(SMALL).reshape(3, -1).T)
    found = np.rint(volume.grid.to_index(points)).astype(int)
    assert np.abs(volume.grid.to_world(found) - points).max() < 1e-3
    assert (volume.data[tuple(found.T)] == truth.values.reshape(-1)).all()


def test_nothing_of_a_series_is_in_its_repr(tmp_path: Path) -> None:
    make_series(tmp_path, shape=SMALL)
    volume = open_volume(tmp_path)
    assert "DOE" not in repr(volume)
    assert "2.25." not in repr(volume)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha"])
def test_a_choice_inside_another_file_is_refused(tmp_path: Path, name: str) -> None:
    volume = Volume(np.zeros(SMALL, np.int16), Grid(SMALL, np.eye(4)))
    write_volume(tmp_path / name, volume, dtype="int16")
    with pytest.raises(Refusal, match="E_CELL_SELECTOR"):
        open_volume(tmp_path / name / "#echo=1")
    assert with_choice(tmp_path / name, Choice(echo=1)) == tmp_path / name


def test_only_folders_and_dicom_files_are_dicom(tmp_path: Path) -> None:
    make_series(tmp_path / "s", shape=SMALL)
    file = next((tmp_path / "s").iterdir())
    bare = file.rename(tmp_path / "s" / "IM1")
    assert is_dicom(tmp_path / "s")
    assert is_dicom(bare)
    assert is_dicom(tmp_path / "s" / "#echo=1")
    (tmp_path / "note.txt").write_text("not")
    assert not is_dicom(tmp_path / "note.txt")
    assert not is_dicom(tmp_path / "absent")


def test_pet_comes_in_suv_where_that_is_asked_for(tmp_path: Path) -> None:
    truth = make_series(tmp_path, PT, shape=SMALL, slope=0.5)
    volume = open_volume(tmp_path)
    assert volume.unit == "Bq/ml"
    suv = in_unit(volume, "SUV")
    assert suv.unit == "SUV"
    np.testing.assert_allclose(suv.data, volume.data * FACTOR, rtol=1e-6)
    chosen = open_volume(tmp_path / "#unit=SUV")
    np.testing.assert_allclose(chosen.data, suv.data, rtol=1e-6)
    assert chosen.unit == "SUV"
    assert suv.data.max() == pytest.approx(truth.values.max() * FACTOR, rel=1e-5)


def test_suv_without_a_weight_is_refused_by_name(tmp_path: Path) -> None:
    each(tmp_path, PT, lambda one: one.__delattr__("PatientWeight"), shape=SMALL)
    with pytest.raises(Refusal, match=r"E_SUV.*PatientWeight"):
        in_unit(open_volume(tmp_path), "SUV")


@pytest.mark.parametrize(
    ("modality", "unit", "refused"),
    [
        (CT, "SUV", True),
        (CT, "hu", False),
        (CT, "arbitrary", False),
        (MR, "HU", False),
        (PT, "HU", True),
    ],
)
def test_a_header_that_contradicts_the_configuration_is_refused(
    tmp_path: Path, modality: str, unit: str, refused: bool
) -> None:
    make_series(tmp_path, modality, shape=SMALL)
    volume = open_volume(tmp_path)
    if not refused:
        assert in_unit(volume, unit) is volume
        return
    with pytest.raises(Refusal, match="E_UNIT"):
        in_unit(volume, unit)


def test_padding_is_air_and_marked(tmp_path: Path, codes: Callable[..., list[str]]) -> None:
    truth = padded(tmp_path)
    volume = open_volume(tmp_path)
    assert volume.valid is not None
    assert truth.valid is not None
    assert int((~volume.valid).sum()) == int((~truth.valid).sum()) > 0
    assert (volume.data[~volume.valid] == -1024).all()
    assert "W_PADDING" in [note.code for note in volume.notes]
