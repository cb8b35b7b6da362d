"""Two sites on disk: who is where, what each site has, and on which grid."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medgen.data.table import read_table
from medgen.phantom import CaseSettings, simulate, write_two_scanners
from medgen.phantom.two_scanners import MASKS, SITES, Site
from medgen.problems import ConfigurationError
from medgen.volumes import open_volume

SMALL = {
    "one": replace(SITES["one"], size=(32, 40, 32)),
    "two": replace(SITES["two"], size=(32, 40, 16)),
}
COLUMNS = ("flair", "t2", "pd", *MASKS)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_two_scanners(tmp_path_factory.mktemp("two"), persons=3, seed=4, sites=SMALL)


def test_persons_take_turns_and_each_site_lacks_the_others_contrast(table: Path) -> None:
    rows = read_table(table, columns=COLUMNS).rows
    assert [(row.case, row.patient, row.site) for row in rows] == [
        ("head-000", "person-000", "one"),
        ("head-001", "person-001", "two"),
        ("head-002", "person-002", "one"),
    ]
    held = {"one": {"flair", "t2", *MASKS}, "two": {"flair", "pd", *MASKS}}
    for row in rows:
        assert row.site is not None
        assert set(row.cells) == held[row.site]
        files = {path.name.partition(".")[0] for path in (table.parent / row.case).iterdir()}
        assert files == {*held[row.site], "truth"}, "nothing lies about that a table could find"


def test_site_two_has_thick_slices_and_all_of_a_site_shares_its_grid(table: Path) -> None:
    spacing = {"one": (6.0, 5.6, 6.0), "two": (6.0, 5.6, 12.0)}
    for row in read_table(table, columns=COLUMNS).rows:
        volumes = {column: open_volume(path) for column, path in row.cells.items()}
        assert row.site is not None
        np.testing.assert_allclose(volumes["flair"].grid.spacing_mm, spacing[row.site])
        assert all(each.grid.same_as(volumes["flair"].grid) for each in volumes.values())
        assert volumes["lesion"].data.any(), "everybody has lesions"
        assert volumes["lesion"].data[volumes["tissue"].data == 0].sum() == 0


def test_without_ct_and_pet_the_others_are_the_same_voxels(table: Path) -> None:
    """What is left out must not shift what is drawn after it."""
    whole = simulate(4, 1, CaseSettings(size=(32, 40, 16), lesions="white-matter", scanner="two"))
    brain = whole.volumes["tissue"].data > 0
    for name in ("pd", "lesion", "body", "tissue"):
        written = open_volume(table.parent / "head-001" / f"{name}.nii.gz").data
        shown = whole.volumes[name].data * (brain if name == "pd" else 1)
        np.testing.assert_array_equal(written, np.rint(shown))


def test_the_sites_shipped_are_of_one_field_of_view_in_slices_of_two_and_four_mm() -> None:
    field = np.array([192.0, 224.0, 192.0])
    assert (field / SITES["one"].size).tolist() == [2.0, 2.0, 2.0]
    assert (field / SITES["two"].size).tolist() == [2.0, 2.0, 4.0]


def test_another_seed_has_other_persons_and_the_same_seed_the_same(tmp_path: Path) -> None:
    tiny = {name: replace(site, size=(16, 16, 16)) for name, site in SITES.items()}
    made = [
        write_two_scanners(tmp_path / f"{number}", persons=2, seed=seed, sites=tiny)
        for number, seed in enumerate((0, 0, 1))
    ]
    first, again, other = [(path.parent / "head-000/flair.nii.gz").read_bytes() for path in made]
    assert first == again
    assert first != other


def test_an_interrupted_cohort_has_no_table_and_a_finished_one_stays(tmp_path: Path) -> None:
    tiny = {"one": Site("one", ("flair",), (16, 16, 16)), "two": Site("two", ("t1",), (16, 16, 16))}

    def stop(case: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_two_scanners(tmp_path, persons=2, sites=tiny, on_case=stop)
    assert not (tmp_path / "cases.csv").exists()
    made: list[str] = []
    table = write_two_scanners(tmp_path, persons=2, sites=tiny, on_case=made.append)
    assert made == ["head-000", "head-001"]
    with pytest.raises(ConfigurationError, match="E_EXISTS"):
        write_two_scanners(tmp_path, persons=2, sites=tiny)
    with table.open(encoding="utf-8", newline="") as stream:
        assert [row["t1"] for row in csv.DictReader(stream)] == ["", "head-001/t1.nii.gz"]


def test_all_wrong_settings_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        write_two_scanners(tmp_path / "none", persons=1, seed=-1)
    assert [problem.code for problem in caught.value.problems] == ["E_CASES", "E_SEED"]
    assert not (tmp_path / "none").exists()


def test_images_are_stripped_to_the_brain_unless_they_are_wanted_whole(
    table: Path, tmp_path: Path
) -> None:
    whole = write_two_scanners(tmp_path / "whole", persons=2, seed=4, sites=SMALL, stripped=False)
    for case in ("head-000", "head-001"):
        stripped, full = (read_table(t, columns=COLUMNS).row(case).cells for t in (table, whole))
        brain = open_volume(full["tissue"]).data > 0
        for column in {"flair", "t2", "pd"} & full.keys():
            kept, every = open_volume(stripped[column]).data, open_volume(full[column]).data
            np.testing.assert_array_equal(kept[brain], every[brain])
            assert not kept[~brain].any()
            assert every[~brain].any()
