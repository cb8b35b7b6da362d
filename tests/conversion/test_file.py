from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medgen.conversion import Provenance, convert_files, sidecar_of
from medgen.files import sha256_of_file
from medgen.problems import Refusal
from medgen.volumes import Grid, Volume, open_volume, write_volume

HU = {"scale": "window", "low": -1024.0, "high": 3000.0, "unit": "HU"}
PROVENANCE = Provenance("w" * 64, "c" * 64, "s" * 64)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "JANE_DOE" / "mr.nii.gz"
    axes = [np.linspace(-1, 1, 20)] * 3
    x, y, z = np.meshgrid(*axes, indexing="ij")
    values = np.where(x**2 + y**2 + z**2 < 0.5, 500 + 200 * x, 5.0 * (x > 0)).astype(np.float32)
    write_volume(path, Volume(values, Grid(values.shape, np.diag([2.0, 2, 2, 1]))), dtype="float32")
    return path


def convert(converter: Any, source: Path, output: Path, **provenance: Any) -> dict[str, Any]:
    convert_files(
        converter, {"mr": source}, output, Provenance("w" * 64, "c" * 64, "s" * 64, **provenance)
    )
    sidecar: dict[str, Any] = json.loads(sidecar_of(output).read_text())
    return sidecar


def test_hounsfield_units_are_written_as_int16(
    converter_of: Any, source: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out" / "p1.nii.gz"
    sidecar = convert(converter_of(target=HU), source, output)
    assert open_volume(output).data.dtype == np.int16
    assert (sidecar["dtype"], sidecar["unit"]) == ("int16", "HU")


def test_other_units_are_written_as_float32(
    converter_of: Any, source: Path, tmp_path: Path
) -> None:
    output = tmp_path / "p1.mha"
    convert(converter_of(), source, output)
    assert open_volume(output).data.dtype == np.float32


def test_the_sidecar_says_where_the_answer_is_from(
    converter_of: Any, source: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out" / "p1.nii.gz"
    sidecar = convert(converter_of(target=HU), source, output)
    assert "research use only" in sidecar["notice"]
    assert sidecar["weights_digest"] == "w" * 64
    assert sidecar["config_digest"] == "c" * 64
    assert sidecar["settings_digest"] == "s" * 64
    assert sidecar["input_digests"] == {"mr": sha256_of_file(source)}
    assert sidecar["output_digest"] == sha256_of_file(output)
    assert sidecar["seen_in_training"] is False
    assert sidecar["versions"]["torch"] == torch.__version__
    assert sidecar["clipped_voxels"] == 0
    assert sidecar["warnings"] == []
    assert "JANE" not in json.dumps(sidecar)


def test_the_sidecar_says_whether_training_saw_the_source(
    converter_of: Any, source: Path, tmp_path: Path
) -> None:
    seen = frozenset({sha256_of_file(source), "0" * 64})
    assert convert(converter_of(), source, tmp_path / "a.nii", seen=seen)["seen_in_training"]


def test_the_same_input_gives_the_same_bytes(
    converter_of: Any, source: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "1.nii.gz", tmp_path / "2.nii.gz"
    for output in (first, second):
        convert(converter_of(), source, output)
    assert first.read_bytes() == second.read_bytes()


def test_problems_of_all_columns_are_told_and_nothing_is_written(
    converter_of: Any, tmp_path: Path
) -> None:
    (tmp_path / "b.nii.gz").write_bytes(b"no volume")
    inputs = {"mr": tmp_path / "a.nii.gz", "t2": tmp_path / "b.nii.gz"}
    with pytest.raises(Refusal) as caught:
        convert_files(converter_of(), inputs, tmp_path / "out" / "p1.nii.gz", PROVENANCE)
    assert {problem.column for problem in caught.value.problems} == {"mr", "t2"}
    assert str(tmp_path) not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_new_volume_never_stands_beside_an_old_sidecar(
    converter_of: Any, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "p1.nii.gz"
    convert(converter_of(), source, output)

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("medgen.conversion.file.write_json", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert(converter_of(lambda windows: windows * 0), source, output)
    assert output.exists()
    assert not sidecar_of(output).exists()
