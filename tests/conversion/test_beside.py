from __future__ import annotations

import json
from pathlib import Path

import pytest

from medgen.conversion import Outputs, is_as, noted_digests, own_beside
from medgen.files import sha256_of_file


def test_names_follow_the_answers_in_its_own_format(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path / "p1.nii.gz", tmp_path / "p1")
    names = [path.name for path in outputs.beside(["lesions", "z", "mask"])]
    assert names == ["p1_lesions.tsv", "p1_z.nii.gz", "p1_z", "p1_mask.nii.gz", "p1_mask"]
    assert Outputs(tmp_path / "a.b.mha").volume_beside("z") == tmp_path / "a.b_z.mha"
    assert Outputs(None, tmp_path / "p1").beside(["z"]) == (tmp_path / "p1_z",)
    assert outputs.sidecar == tmp_path / "p1.json"


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    """Return an answer with a table, a z-map and a mask beside it that its sidecar notes."""
    outputs = Outputs(tmp_path / "p1.nii.gz")
    noted = {}
    for name in ("p1_lesions.tsv", "p1_z.nii.gz", "p1_mask.nii.gz"):
        (tmp_path / name).write_text(name)
        noted[name] = sha256_of_file(tmp_path / name)
    content = {
        "lesion_table_digest": noted["p1_lesions.tsv"],
        "beside": {"z": noted["p1_z.nii.gz"], "mask": noted["p1_mask.nii.gz"]},
    }
    outputs.sidecar.write_text(json.dumps(content))
    return outputs


def test_what_the_sidecar_describes_is_ones_own(outputs: Outputs, tmp_path: Path) -> None:
    names = ["p1_lesions.tsv", "p1_z.nii.gz", "p1_mask.nii.gz"]
    assert [path.name for path in own_beside(outputs)] == names
    (tmp_path / names[1]).write_text("changed")
    (tmp_path / names[0]).unlink()
    assert [path.name for path in own_beside(outputs)] == names[2:]
    outputs.sidecar.unlink()
    assert own_beside(outputs) == ()


@pytest.mark.parametrize("name", ["../../heads/p1", "z/../..", "", "Z", "z.nii"])
def test_no_sidecar_points_elsewhere(outputs: Outputs, name: str) -> None:
    outputs.sidecar.write_text(json.dumps({"beside": {name: "0" * 64}}))
    assert noted_digests(outputs) == {}


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"beside": 3}', '{"beside": {"z": 3}}', '{"dicom": []}', "[" * 9999]
)
def test_a_damaged_sidecar_vouches_for_nothing(outputs: Outputs, content: str) -> None:
    outputs.sidecar.write_text(content)
    assert noted_digests(outputs) == {}


def test_series_of_an_earlier_call_are_known_too(outputs: Outputs, tmp_path: Path) -> None:
    outputs.sidecar.write_text(json.dumps({"dicom": {"beside": {"z": "0" * 64}}}))
    assert noted_digests(outputs) == {tmp_path / "p1_z": "0" * 64}


def test_no_digest_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    assert not is_as(tmp_path / "a", "")
    assert is_as(tmp_path / "a", sha256_of_file(tmp_path / "a"))
    assert not is_as(tmp_path / "b", "0" * 64)
