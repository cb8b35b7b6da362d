import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medgen.cli.app import main
from medgen.config import read_config
from medgen.problems import ConfigurationError, Exit, Problem
from medgen.volumes import Grid, Volume, write_volume

CONFIG = """\
# medgen train old.yaml --data cases.csv --run runs/x
roles: {source: [mr], target: [ct]}
intensity:
  mr: {scale: percentile}
  ct: {scale: window, low: -1024, high: 3000, unit: HU}   # mine
method: regression
"""


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """Write five small heads, all of whose CT are MR, and a configuration beside them."""
    shape = (20, 22, 20)
    axes = np.ix_(*(np.linspace(-1, 1, count) for count in shape))
    radius = np.sqrt(sum((axis / 0.8) ** 2 for axis in axes))
    rng = np.random.default_rng(0)
    lines = ["case,patient,split,mr,ct"]
    for index, split in enumerate(["train", "train", "train", "train", "train", "validation"]):
        for column in ("mr", "ct"):
            values = np.where(radius < 1, 500 + rng.normal(0, 60, shape), 0).clip(0)
            volume = Volume(values.astype(np.float32), Grid(shape, np.diag([6.0, 6, 6, 1])))
            write_volume(tmp_path / f"{index}_{column}.nii.gz", volume, dtype="float32")
        lines.append(f"c{index},p{index},{split},{index}_mr.nii.gz,{index}_ct.nii.gz")
    (tmp_path / "cases.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "old.yaml").write_text(CONFIG, encoding="utf-8")
    return tmp_path


def run(folder: Path, *more: str) -> int:
    arguments = ["plan", str(folder / "old.yaml"), "--data", str(folder / "cases.csv")]
    arguments += ["--output", str(folder / "new.yaml"), "--memory", "8", "--device", "cpu"]
    return main([*arguments, *more])


def test_a_plan_is_written_and_shown(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = cohort / "log.jsonl"
    assert run(cohort, "--log", str(log)) == Exit.OK
    config = read_config(cohort / "new.yaml")
    assert "# mine" in (cohort / "new.yaml").read_text(encoding="utf-8")
    shown = capsys.readouterr()
    assert "preprocessing.spacing_mm" in shown.out
    assert str(list(config.train.patch)) in shown.out
    assert "8 GB by --memory" in shown.out
    assert shown.out.splitlines()[-1] == str(cohort / "new.yaml")
    alike = [line for line in shown.err.splitlines() if "W_LOOKS_LIKE_MR" in line]
    assert len(alike) == 4
    assert "case c0, column ct" in alike[0]
    assert alike[-1].endswith("the same of 3 more cases: c3, c4, c5")
    assert str(cohort) not in log.read_text(encoding="utf-8").replace(str(log), "")


def test_a_machine_may_read_it(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cohort, "--json", "--quiet") == Exit.OK
    value = json.loads(capsys.readouterr().out)
    assert value["cases"]["train"] == 5
    assert len([w for w in value["warnings"] if w["code"] == "W_LOOKS_LIKE_MR"]) == 6


def test_nothing_is_overwritten_unasked(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cohort / "new.yaml").write_text("mine", encoding="utf-8")
    assert run(cohort) == Exit.USAGE
    assert "E_EXISTS" in capsys.readouterr().err
    assert (cohort / "new.yaml").read_text(encoding="utf-8") == "mine"
    assert run(cohort, "--overwrite", "--quiet") == Exit.OK


def test_refused_cases_are_all_listed_and_the_plan_is_made_of_the_others(
    cohort: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in (1, 5):
        (cohort / f"{index}_mr.nii.gz").write_bytes(b"")
    assert run(cohort) == Exit.SOME_FAILED
    err = capsys.readouterr().err
    assert "E_EMPTY_FILE [case c1, column mr]" in err
    assert "E_EMPTY_FILE [case c5, column mr]" in err
    assert (cohort / "new.yaml").is_file()


def test_no_usable_case_writes_nothing(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(6):
        (cohort / f"{index}_mr.nii.gz").write_bytes(b"")
    assert run(cohort) == Exit.ALL_FAILED
    assert capsys.readouterr().err.count("E_EMPTY_FILE") == 6
    assert not (cohort / "new.yaml").exists()


def test_keys_may_be_set(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cohort, "--set", "train.steps=9", "--set", "train.seed=4", "--quiet") == Exit.OK
    config = read_config(cohort / "new.yaml")
    assert (config.train.steps, config.train.seed) == (9, 4)
    assert run(cohort, "--overwrite", "--set", "train.step=9") == Exit.USAGE
    assert "unknown key 'train.step'" in capsys.readouterr().err


def test_the_network_may_be_kept(cohort: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def propose(*given: Any, keep_network: bool, **more: Any) -> Any:
        asked.append(keep_network)
        raise ConfigurationError(Problem("E_ASKED", "enough was seen"))

    monkeypatch.setattr("medgen.planning.plan", propose)
    for more in ((), ("--keep-network",)):
        assert run(cohort, *more) == Exit.USAGE
    assert asked == [False, True]
