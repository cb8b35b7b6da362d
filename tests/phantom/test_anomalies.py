"""Healthy and anomalous heads on disk: who is where, what groups have, what a twin shares."""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from medgen.data import read_table
from medgen.phantom import CaseSettings, simulate, write_anomalies
from medgen.phantom.anomalies import CONTRASTS, GROUPS, HEALTHY, MASKS, SPOTS, draw_group
from medgen.phantom.lesions import Lesions, draw_lesions
from medgen.phantom.randomness import Streams
from medgen.problems import ConfigurationError, Refusal
from medgen.volumes import open_volume

SMALL = (24, 28, 24)
SHOWN = {name: GROUPS[name] for name in ("white-matter-large", "mass-small-low", "mass-large-high")}
"""Groups that voxels of 8 mm show."""
FEW = {"train": 2, "calibrate": 1}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write three healthy persons, and one of each of three groups."""
    folder = tmp_path_factory.mktemp("anomalies")
    return write_anomalies(folder, healthy=FEW, anomalous=3, groups=SHOWN, seed=4, size=SMALL)


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def loaded(table: Path, case: str, column: str) -> np.ndarray:
    return np.asarray(open_volume(table.parent / case / f"{column}.nii.gz").data)


def test_splits_and_groups_are_as_asked_for_and_a_twin_is_its_patient_s(table: Path) -> None:
    rows = read_table(table, columns=(*CONTRASTS, *MASKS)).rows
    assert Counter((row.split, row.other["group"]) for row in rows) == {
        ("train", HEALTHY): 2,
        ("calibrate", HEALTHY): 1,
        ("test", HEALTHY): 3,
        **{("test", group): 1 for group in SHOWN},
    }
    assert len({row.patient for row in rows}) == 6
    tested = [row for row in rows if row.split == "test"]
    for ill, twin in zip(tested[::2], tested[1::2], strict=True):
        assert (twin.case, twin.patient) == (f"{ill.case}-healthy", ill.patient)
        assert (ill.other["group"] != HEALTHY, twin.other["group"]) == (True, HEALTHY)


def test_lesion_volumes_are_the_masks_and_zero_in_the_healthy(table: Path) -> None:
    for row in rows_of(table):
        lesion = open_volume(table.parent / row["lesion"])
        ml = lesion.data.sum() * np.prod(lesion.grid.spacing_mm) / 1000.0
        assert float(row["lesion_ml"]) == pytest.approx(ml, abs=6e-4)
        assert (ml == 0.0) == (row["group"] == HEALTHY)


def test_a_twin_has_the_brain_and_everything_away_from_the_lesion(table: Path) -> None:
    for row in rows_of(table):
        if row["group"] == HEALTHY:
            continue
        case, twin = row["case"], row["case"] + "-healthy"
        lesion = loaded(table, case, "lesion") > 0
        np.testing.assert_array_equal(loaded(table, case, "brain"), loaded(table, twin, "brain"))
        for name in CONTRASTS:
            ill, well = loaded(table, case, name), loaded(table, twin, name)
            assert (ill == well).mean() > 0.8
            assert np.abs(ill[lesion] - well[lesion]).mean() > 5 * np.abs(ill - well).mean()


def test_images_are_stripped_to_the_brain_whatever_the_labels_of_tissue_say(table: Path) -> None:
    for row in rows_of(table):
        brain = loaded(table, row["case"], "brain") > 0
        assert not loaded(table, row["case"], "lesion")[~brain].any()
        for name in CONTRASTS:
            image = loaded(table, row["case"], name)
            assert not image[~brain].any()
            assert (image[brain] > 0).mean() > 0.99, "a mass is tissue, though it has no label"


def test_whole_images_are_the_simulated_ones(tmp_path: Path) -> None:
    table = write_anomalies(
        tmp_path, healthy={"train": 1}, anomalous=1, groups=SHOWN, size=SMALL, stripped=False
    )
    made = simulate(0, 0, CaseSettings(size=SMALL), mr_only=True)
    for name in (*CONTRASTS, "body", "tissue"):
        np.testing.assert_array_equal(
            loaded(table, "head-000", name), np.rint(made.volumes[name].data)
        )


def test_the_truth_beside_a_case_says_what_its_mass_is(table: Path) -> None:
    (case,) = [row["case"] for row in rows_of(table) if row["group"] == "mass-small-low"]
    truth = json.loads((table.parent / case / "truth.json").read_text(encoding="utf-8"))
    group = GROUPS["mass-small-low"]
    assert truth["mass"]["oedema_mm"] == group.oedema_mm
    low, high = group.radius_mm
    assert low <= truth["mass"]["radius_mm"] <= high


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_draws_what_it_says_where_the_person_would_have_had_it(name: str) -> None:
    group = GROUPS[name]
    low, high = group.radius_mm
    for index in range(20):
        found = draw_group(Streams(3, index), group)
        plain = draw_lesions(Streams(3, index), group.kind)
        assert found.mimics == plain.mimics
        if found.mass is None:
            assert len(found.spots) == SPOTS
            for spot, before in zip(found.spots, plain.spots, strict=False):
                assert (spot.centre_mm, spot.severity) == (before.centre_mm, before.severity)
                assert low <= np.prod(spot.radii_mm) ** (1 / 3) <= high
        else:
            assert plain.mass is not None
            assert not found.spots
            assert found.mass.centre_mm == plain.mass.centre_mm
            assert low <= found.mass.radius_mm <= high
            assert group.push[0] <= found.mass.push <= group.push[1]
            assert found.mass.oedema_mm == group.oedema_mm


def test_an_iso_intense_mass_is_grey_matter_that_pushes() -> None:
    mass = draw_group(Streams(0, 0), GROUPS["mass-iso"]).mass
    assert mass is not None
    assert (mass.conspicuity, mass.oedema_mm, mass.core) == (0.0, 0.0, 0.0)
    assert mass.push >= 0.5


@pytest.mark.slow
def test_groups_differ_in_volume_by_size() -> None:
    """On the same persons, large ones are several times the small."""
    volumes = {}
    for name in ("white-matter-small", "white-matter-large", "mass-small-low", "mass-large-low"):
        settings = CaseSettings(size=(96, 112, 96), lesions=GROUPS[name].kind)
        lesions = draw_group(Streams(4, 1), GROUPS[name])
        case = simulate(4, 1, settings, mr_only=True, lesions=lesions)
        volumes[name] = int(case.volumes["lesion"].data.sum())
    assert volumes["white-matter-large"] > 4 * volumes["white-matter-small"] > 0
    assert volumes["mass-large-low"] > 2.5 * volumes["mass-small-low"] > 0


def test_lesions_that_are_asked_for_take_the_place_of_drawn_ones() -> None:
    tiny = CaseSettings(size=(24, 28, 24), lesions="mass")
    drawn = simulate(0, 2, tiny, mr_only=True)
    same = simulate(0, 2, tiny, mr_only=True, lesions=draw_lesions(Streams(0, 2), "mass"))
    none = simulate(0, 2, tiny, mr_only=True, lesions=Lesions())
    for name, volume in drawn.volumes.items():
        np.testing.assert_array_equal(volume.data, same.volumes[name].data)
    assert drawn.volumes["lesion"].data.any()
    assert not none.volumes["lesion"].data.any()


def test_the_same_seed_makes_the_same_files(tmp_path: Path, table: Path) -> None:
    how = {"groups": SHOWN, "size": SMALL}
    again = write_anomalies(tmp_path, healthy={"train": 1}, anomalous=1, seed=4, **how)
    for path in ("head-000/flair.nii.gz", "head-000/brain.nii.gz"):
        assert (again.parent / path).read_bytes() == (table.parent / path).read_bytes()


def test_all_wrong_settings_are_told_at_once_and_a_cohort_stays(
    table: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        write_anomalies(tmp_path / "none", healthy={"train": 0}, anomalous=0, seed=-1)
    codes = [problem.code for problem in caught.value.problems]
    assert codes == ["E_CASES", "E_CASES", "E_SEED"]
    assert not (tmp_path / "none").exists()
    with pytest.raises(ConfigurationError, match="E_EXISTS"):
        write_anomalies(table.parent)


def test_lesions_that_the_voxels_cannot_show_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"E_SIZE \[case head-001\].*white-matter-small"):
        write_anomalies(tmp_path, healthy={"train": 1}, anomalous=1, size=(16, 16, 16))
    assert not (tmp_path / "cases.csv").exists()
