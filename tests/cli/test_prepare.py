import csv
import gzip
import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

import medgen.preparation.aligning as aligning
import medgen.preparation.case as case_module
from medgen.cli.app import main
from medgen.problems import Exit
from medgen.registration import Registration, Verdict

Capture = pytest.CaptureFixture[str]
CANARIES = (b"DOE^JANE", b"MRN0123456")
VERDICTS = ["ok", "doubtful", "failed"]


def save(path: Path, values: np.ndarray) -> None:
    image = nibabel.Nifti1Image(values, np.diag([8.0, 8.0, 8.0, 1.0]))
    image.header["descrip"] = b"DOE^JANE head"
    image.header["db_name"] = b"MRN0123456"
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a table whose paths and headers name a patient, and whose verdicts are VERDICTS."""
    folder = tmp_path / "DOE^JANE" / "MRN0123456"
    folder.mkdir(parents=True)
    axes = np.stack(np.meshgrid(*[np.linspace(-1.3, 1.3, 16)] * 3, indexing="ij"))
    radius = np.sqrt((axes**2).sum(axis=0))
    rows = ["case,patient,note,t1,flair,wml"]
    for number in range(3):
        names = [f"DOE^JANE_{number}_{kind}.nii.gz" for kind in ("t1", "flair", "wml")]
        t1 = np.where(radius < 1, 500 + 300 * np.cos(5 * axes[0]), 5).astype(np.float32)
        save(folder / names[0], t1)
        save(folder / names[1], (900 - t1).astype(np.float32) * (radius < 1))
        save(folder / names[2], (radius < 0.2).astype(np.uint8))
        rows.append(",".join([f"c{number}", f"p{number}", "of DOE^JANE", *names]))
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    return folder / "cases.csv"


@pytest.fixture
def plain_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw nothing, for the tests that do not look at it."""
    for picture in ("picture_of", "picture_of_masks"):
        monkeypatch.setattr(case_module, picture, lambda *parts, **names: b"PNG")


@pytest.fixture(autouse=True)
def verdicts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Fake registrations; the verdicts are taken from the list that is returned."""
    left = list(VERDICTS)

    def judge(*measured: object, **options: object) -> Verdict:
        name = left.pop(0)
        return Verdict(name, () if name == "ok" else ("edges lie 9 mm apart",))  # type: ignore[arg-type]

    def register(*images: object, **options: object) -> Registration:
        return Registration(np.eye(4), 1.0, 1.0, 0.1, 3)

    monkeypatch.setattr(aligning, "register", register)
    monkeypatch.setattr(aligning, "judge", judge)
    return left


def prepare(table: Path, output: Path, *more: object) -> int:
    arguments = ["--data", table, "--output", output, "--fixed", "t1", *more]
    return main(["prepare", *map(str, arguments)])


def told(folder: Path) -> list[str]:
    """Return the files that hold a canary, in their bytes, unpacked, or in their name."""
    found = []
    for path in folder.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        if data[:2] == b"\x1f\x8b":
            data += gzip.decompress(data)
        if any(canary in data + path.name.encode() for canary in CANARIES):
            found.append(path.name)
    return found


def test_a_table_is_prepared_and_nothing_written_names_the_patient(
    table: Path, tmp_path: Path, capsys: Capture
) -> None:
    output, log = tmp_path / "out", tmp_path / "out" / "log.jsonl"
    output.mkdir()
    options = ("--moving", "flair", "--carry", "wml=flair", "--masks", "body,seen", "--log", log)
    assert prepare(table, output, *options) == Exit.SOME_FAILED
    streams = capsys.readouterr()
    assert "E_REGISTRATION_REFUSED [case c2, column flair]" in streams.err
    assert "case c1, column flair_on_t1 is DOUBTFUL: edges lie 9 mm apart" in streams.err
    assert "not in the new table: note" in streams.err
    assert "3 cases, 1 doubtful, 1 with something refused" in streams.out
    assert "REFUSED" in streams.out
    assert str(output / "index.html") in streams.out
    assert told(output) == []
    assert not any(canary.decode() in streams.out + streams.err for canary in CANARIES)
    with (output / "cases.csv").open() as stream:
        cells = [row["wml_on_t1"] for row in csv.DictReader(stream)]
    assert cells == ["c0/wml_on_t1.nii.gz", "c1/wml_on_t1.nii.gz", ""]


@pytest.mark.usefixtures("plain_pictures")
def test_errors_name_no_patient_either(table: Path, tmp_path: Path, capsys: Capture) -> None:
    for kind in ("t1", "flair"):
        (table.parent / f"DOE^JANE_0_{kind}.nii.gz").write_bytes(b"DOE^JANE")
    assert prepare(table, tmp_path / "out", "--moving", "flair") == Exit.SOME_FAILED
    streams = capsys.readouterr()
    assert "[case c0, column t1]" in streams.err
    assert told(tmp_path / "out") == []
    assert "DOE" not in streams.out + streams.err


@pytest.mark.usefixtures("plain_pictures")
@pytest.mark.parametrize(
    ("planned", "code"),
    [
        (["ok", "ok", "ok"], Exit.OK),
        (["doubtful", "ok", "ok"], Exit.OK),
        (["ok", "failed", "ok"], Exit.SOME_FAILED),
        (["failed", "failed", "failed"], Exit.ALL_FAILED),
    ],
)
def test_the_exit_code_and_the_json_say_what_became_of_the_cases(
    table: Path,
    tmp_path: Path,
    verdicts: list[str],
    capsys: Capture,
    planned: list[str],
    code: Exit,
) -> None:
    verdicts[:] = planned
    assert prepare(table, tmp_path / "out", "--moving", "flair", "--json") == code
    summary: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [result["verdict"] for result in summary["results"]] == planned
    assert {name: summary[name] for name in ("ok", "doubtful", "failed")} == {
        name: planned.count(name) for name in ("ok", "doubtful", "failed")
    }
    (moved,) = [c for c in summary["results"][0]["columns"] if c["column"] == "flair_on_t1"]
    assert moved["after"]["outline_dice"] == pytest.approx(1.0)
    assert prepare(table, tmp_path / "out", "--moving", "flair", "--json") == code
    assert json.loads(capsys.readouterr().out)["kept"] == 3


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "nothing to do"),
        (("--moving", "flair", "--carry", "wml"), "COL=WITH"),
        (("--moving", "flair", "--carry", "wml=flair,wml=t1"), "each column once"),
        (("--moving", "flair", "--spacing", "1,1"), "three numbers"),
        (("--moving", "flair", "--spacing", "one"), "three numbers"),
        (("--moving", "flair", "--transform", "warp"), "no transform 'warp'"),
        (("--moving", "pd"), "no column 'pd'"),
    ],
)
def test_usage_errors_are_told(
    table: Path, tmp_path: Path, capsys: Capture, options: tuple[str, ...], told: str
) -> None:
    assert prepare(table, tmp_path / "out", *options) == Exit.USAGE
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out" / "cases.csv").exists()


def test_masks_alone_need_no_moving_column(table: Path, tmp_path: Path, capsys: Capture) -> None:
    options = ("--masks", "body", "--spacing", "16", "--keep", "note")
    assert prepare(table, tmp_path / "out", *options) == Exit.OK
    assert (tmp_path / "out" / "c0" / "masks.png").exists()
    image = nibabel.load(tmp_path / "out" / "c0" / "body.nii.gz")
    assert image.header.get_zooms() == (16.0, 16.0, 16.0)


@pytest.mark.usefixtures("plain_pictures")
def test_other_settings_need_overwrite(table: Path, tmp_path: Path, verdicts: list[str]) -> None:
    verdicts += ["ok"] * 3
    output = tmp_path / "out"
    assert prepare(table, output, "--masks", "body") == Exit.OK
    assert prepare(table, output, "--moving", "flair") == Exit.USAGE
    assert prepare(table, output, "--moving", "flair", "--overwrite") == Exit.SOME_FAILED
