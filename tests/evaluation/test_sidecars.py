from pathlib import Path

import pytest

from medgen.evaluation.sidecars import Sidecar, read_sidecar


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
