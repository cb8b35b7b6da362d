"""The unpaired table: no training patient shows both columns, and no truth is lost."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgen.config import Split
from medgen.data import assign_splits, read_table
from medgen.data.unpaired import unpaired_table
from medgen.problems import ConfigurationError

COLUMNS = ("mr", "ct")
SPLIT = Split(validation=0.2, test=0.2, seed=0)


def write_table(folder: Path, rows: Sequence[dict[str, str]]) -> Path:
    """Write a table; every cell of an image is an empty file that exists."""
    header = list(dict.fromkeys(name for row in rows for name in row))
    for row in rows:
        for name in COLUMNS:
            if cell := row.get(name):
                path = folder / cell
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
    with (folder / "cases.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, header, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return folder / "cases.csv"


def paired(patients: Sequence[str], **words: str) -> list[dict[str, str]]:
    return [
        {"case": f"c{n}", "patient": name, **words, "mr": f"c{n}/mr.nii", "ct": f"c{n}/ct.nii"}
        for n, name in enumerate(patients)
    ]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def made(
    data: Path, output: Path, split: Split = SPLIT, share: float = 0.5
) -> list[dict[str, str]]:
    where = unpaired_table(data, output, source="mr", target="ct", split=split, target_share=share)
    return read(where)


@settings(max_examples=25, deadline=None)
@given(
    patients=st.lists(st.integers(0, 11), min_size=14, max_size=20).filter(
        lambda drawn: len(set(drawn)) >= 7
    ),
    seed=st.integers(0, 1000),
    share=st.floats(0.05, 0.95),
)
def test_every_training_patient_is_in_one_domain_and_the_split_is_the_paired_one(
    patients: list[int], seed: int, share: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("unpaired")
    # Spellings that differ by case are one patient.
    names = [f"{'P' if n % 2 else 'p'}{number}" for n, number in enumerate(patients)]
    data = write_table(folder, paired(names))
    split = Split(validation=0.15, test=0.15, seed=seed)
    rows = made(data, folder / "new" / "cases.csv", split, share)
    assert [row["case"] for row in rows] == [f"c{n}" for n in range(len(names))]
    divided = assign_splits(read_table(data, columns=COLUMNS), split)
    for name, cases in divided.items():
        assert [row["case"] for row in rows if row["split"] == name] == list(cases)
    shown: dict[str, set[str]] = {}
    for row in rows:
        filled = {name for name in COLUMNS if row[name]}
        if row["split"] == "train":
            shown.setdefault(row["patient"].casefold(), set()).update(filled)
        else:
            assert filled == ({"mr"} if row["split"] == "validation" else {"mr", "ct"})
    assert all(len(filled) == 1 for filled in shown.values())
    targets = sum(filled == {"ct"} for filled in shown.values())
    assert 1 <= targets <= len(shown) - 1
    assert abs(targets - share * len(shown)) <= 1.0


def test_another_seed_deals_the_same_training_patients_otherwise(tmp_path: Path) -> None:
    words = {"split": "train"}
    data = write_table(tmp_path, paired([f"p{n}" for n in range(12)], **words))
    first = made(data, tmp_path / "first.csv", Split(seed=0))
    second = made(data, tmp_path / "second.csv", Split(seed=1))
    assert {bool(row["ct"]) for row in first} == {True, False}
    assert [bool(row["ct"]) for row in first] != [bool(row["ct"]) for row in second]


def test_cells_lead_to_the_same_files_and_other_columns_are_dropped(tmp_path: Path) -> None:
    rows = paired([f"p{n}" for n in range(8)], site="ward", dose="0.1")
    data = write_table(tmp_path / "old", rows)
    place = tmp_path / "elsewhere" / "deep" / "table.csv"
    found = made(data, place)
    assert list(found[0]) == ["case", "patient", "site", "split", "mr", "ct"]
    assert {row["site"] for row in found} == {"ward"}
    for row in found:
        for name in COLUMNS:
            if row[name]:
                expected = (tmp_path / "old" / row["case"] / f"{name}.nii").resolve()
                assert (place.parent / row[name]).resolve() == expected
    # It is a table that training takes.
    assert len(read_table(place, columns=COLUMNS).rows) == 8


def test_a_choice_inside_a_dicom_folder_is_kept(tmp_path: Path) -> None:
    rows = paired([f"p{n}" for n in range(6)], split="train")
    data = write_table(tmp_path, rows)
    for row in rows:
        (tmp_path / row["case"] / "series").mkdir()
        row["mr"] = f"{row['case']}/series/#echo=2"
    with data.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    found = made(data, tmp_path / "new" / "cases.csv")
    cells = {row["mr"] for row in found if row["mr"]}
    assert len(cells) == 3
    assert all(cell.startswith("../c") and cell.endswith("/series/#echo=2") for cell in cells)


def test_a_split_column_wins_and_halves_of_pairs_are_left_out(tmp_path: Path) -> None:
    rows = paired([f"p{n}" for n in range(7)])
    for row, name in zip(rows, ["train"] * 4 + ["validation", "test", "calibrate"], strict=True):
        row["split"] = name
    rows.append({"case": "half", "patient": "p9", "split": "train", "mr": "half/mr.nii"})
    found = made(write_table(tmp_path, rows), tmp_path / "new.csv")
    assert [row["case"] for row in found] == [f"c{n}" for n in range(7)]
    assert [row["split"] for row in found] == [row["split"] for row in rows[:7]]
    assert [bool(row["ct"]) for row in found[4:]] == [False, True, True]
    assert sum(bool(row["ct"]) for row in found[:4]) == 2


def test_the_same_call_again_changes_nothing_and_another_is_refused(tmp_path: Path) -> None:
    data = write_table(tmp_path, paired([f"p{n}" for n in range(9)]))
    place = tmp_path / "new.csv"
    made(data, place)
    before = place.stat().st_mtime_ns
    made(data, place)
    assert place.stat().st_mtime_ns == before
    with pytest.raises(ConfigurationError) as refused:
        made(data, place, Split(validation=0.2, test=0.2, seed=3))
    assert [problem.code for problem in refused.value.problems] == ["E_EXISTS"]
    assert place.stat().st_mtime_ns == before


def test_what_cannot_be_dealt_is_refused(tmp_path: Path) -> None:
    data = write_table(tmp_path, paired(["p0", "p1", "p2"]))

    def codes(output: str = "new.csv", share: float = 0.5, **columns: str) -> list[str]:
        names = {"source": "mr", "target": "ct", **columns}
        with pytest.raises(ConfigurationError) as refused:
            unpaired_table(data, tmp_path / output, split=SPLIT, target_share=share, **names)
        return [problem.code for problem in refused.value.problems]

    assert codes(target="mr") == ["E_UNPAIRED_COLUMNS"]
    assert codes(share=0.0) == ["E_UNPAIRED_SHARE"]
    assert codes(share=float("nan"), output="cases.csv") == [
        "E_UNPAIRED_SHARE",
        "E_OUTPUT_IS_INPUT",
    ]
    assert codes(target="pet") == ["E_TABLE_COLUMN"]
    assert codes() == ["E_UNPAIRED_TOO_FEW"]  # one patient is left to train on
    assert not (tmp_path / "new.csv").exists()
    rows = [{"case": "a", "patient": "p", "mr": "a.nii"}, {"case": "b", "patient": "q", "ct": "b"}]
    write_table(tmp_path, rows)
    assert codes() == ["E_UNPAIRED_TOO_FEW"]
