from pathlib import Path

import pytest

from medgen.evaluation.sidecars import Sidecar, belongs_to_another, read_sidecar


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"seen_in_training": "yes", "unit": 3}'])
def test_a_strange_sidecar_is_no_failure(tmp_path: Path, text: str) -> None:
    (tmp_path / "c1.json").write_text(text)
    sidecar = read_sidecar(tmp_path / "c1.mha")
    assert (sidecar.seen_in_training, sidecar.unit) == (None, None)
    assert bool(sidecar.remarks) == (not text.startswith('{"'))


def test_what_a_sidecar_says(tmp_path: Path) -> None:
    assert read_sidecar(tmp_path / "c1.nii.gz") == Sidecar()
    text = '{"seen_in_training": false, "unit": "label", "labels": {"grey": 1}}'
    (tmp_path / "c1.json").write_text(text)
    assert read_sidecar(tmp_path / "c1.nii.gz") == Sidecar(False, "label", frozenset(), {"grey": 1})
    (tmp_path / "c1.json").write_text('{"output_digest": "a", "dicom": {"digest": "b"}}')
    for name in ("c1.nii.gz", "c1", "c1/#echo=1"):
        assert read_sidecar(tmp_path / name).output_digests == {"a", "b"}


@pytest.mark.parametrize(
    "text",
    ['{"beside": {"mask": "d", "z": "e"}}', '{"dicom": {"beside": {"mask": "d", "z": "e"}}}'],
)
def test_volumes_that_a_sidecar_lists_belong_to_its_answer(tmp_path: Path, text: str) -> None:
    (tmp_path / "c_1.json").write_text(text)
    for name in ("c_1_mask.nii.gz", "c_1_z.mha", "c_1_z", "c_1_mask/#series=2"):
        assert belongs_to_another(tmp_path / name)
    for name in ("c_1.nii.gz", "c_1_other.nii.gz", "c_2_mask.nii.gz", "mask.nii.gz", "_mask.mha"):
        assert not belongs_to_another(tmp_path / name)
    (tmp_path / "c_1_mask.json").write_text("{}")  # a case of that name, converted itself
    assert not belongs_to_another(tmp_path / "c_1_mask.nii.gz")


@pytest.mark.parametrize("text", ["", "[]", "null", '{"beside": ["z"]}', '{"beside": {"z": 1}}'])
def test_a_strange_sidecar_lists_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "c1.json").write_text(text)
    assert not belongs_to_another(tmp_path / "c1_z.nii.gz")
