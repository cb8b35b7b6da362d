"""`evaluate --profile anomaly` on maps and sidecars written by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from medgen.cli.app import main
from medgen.problems import Exit
from medgen.volumes import Grid, Volume, digest_of, write_volume

GRID = Grid((10, 11, 12), np.diag([2.0, 2.0, 2.0, 1.0]))


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """Write maps of two healthy persons and two with a cube, and a table that names patients."""
    folder = tmp_path / "DOE^JANE"
    rows = ["case,patient,kind,lesion,brain"]
    for index, case in enumerate(("a", "b", "c", "d")):
        lesion = np.zeros(GRID.shape, np.uint8)
        lesion[3:6, 3:6, 3:6] = index > 1
        values = np.random.default_rng(index).normal(0, 1, GRID.shape) + 4.0 * lesion
        beside = {}
        for name, data in (("", values), ("_z", values), ("_mask", values > 3)):
            path = folder / f"maps/{case}{name}.nii.gz"
            write_volume(path, Volume(np.asarray(data, np.float32), GRID), dtype="float32")
            beside[name[1:]] = digest_of(path)
        facts = {"direction": "positive", "score": "map_top", "scores": {"map_top": 1.0 + index}}
        facts |= {"case_threshold": 2.5, "unusual": 1.0 + index > 2.5, "p": {"map_top": 0.1}}
        content = {"output_digest": beside.pop(""), "beside": beside, "anomaly": facts}
        (folder / f"maps/{case}.json").write_text(json.dumps(content))
        for column, data in (("lesion", lesion), ("brain", np.ones(GRID.shape, np.uint8))):
            write_volume(folder / f"{column}/{case}.nii.gz", Volume(data, GRID), dtype="uint8")
        kind = "cube" if index > 1 else ""
        rows.append(f"{case},MRN012{index},{kind},lesion/{case}.nii.gz,brain/{case}.nii.gz")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    return folder


def command(maps: Path, *more: str) -> list[str]:
    return [
        *("evaluate", "--prediction", str(maps / "maps"), "--data", str(maps / "cases.csv")),
        *("--column", "lesion", "--output", str(maps / "report"), *more),
    ]


def test_maps_to_a_report(maps: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--mask-column", "brain", "--group-column", "kind", "--profile", "anomaly")
    assert main(command(maps, *options)) == Exit.OK
    shown = capsys.readouterr()
    assert "4 predictions; mask: column brain" in shown.err
    assert "cases: 2 healthy, 2 anomalous" in shown.out
    assert "map_top *" in shown.out
    assert "best Dice: ORACLE" in shown.out
    assert "sensitivity 1 (2 of 2), specificity 1 (2 of 2)" in shown.out
    assert "cube" in shown.out
    for path in (maps / "report").iterdir():
        text = path.read_text()
        assert "MRN012" not in text
        assert "DOE^JANE" not in text
    assert main([*command(maps, *options), "--overwrite", "--json"]) == Exit.OK
    found = json.loads(capsys.readouterr().out)
    assert found["anomaly"]["cases"]["auroc"]["value"] == 1.0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--group-column", "kind"), "--group-column does not go with --profile hu"),
        (("--profile", "anomaly", "--features", "run"), "--features does not go with"),
        (("--profile", "anomaly", "--region-column", "brain"), "--region-column does not go with"),
    ],
)
def test_options_that_have_no_use_are_refused(
    maps: Path, options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(maps, *options)) == Exit.USAGE
    assert said in capsys.readouterr().err
    assert not (maps / "report").exists()


def test_groups_need_a_table(maps: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        *("evaluate", "--prediction", str(maps / "maps"), "--reference", str(maps / "lesion")),
        *("--output", str(maps / "report"), "--profile", "anomaly", "--group-column", "kind"),
    ]
    assert main(arguments) == Exit.USAGE
    assert "--group-column needs --data" in capsys.readouterr().err
