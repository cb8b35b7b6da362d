"""A map of standard deviations beside an answer, and answers of an ensemble."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from dicom_corpus import MR, each

from medgen.cohort import Case, Options, Outcome, cases_of_input, convert_cohort
from medgen.files import sha256_of_file, sha256_of_json
from medgen.problems import ConfigurationError
from medgen.runs import Model
from medgen.volumes import open_volume

CPU = torch.device("cpu")
MAP = "1.2.840.10008.5.1.4.1.1.30"


def convert(
    model: Model, source: Path, output: Path, *, members: tuple[Model, ...] = (), **options: Any
) -> Outcome:
    cases = cases_of_input(source, model)
    asked = Options(**options)
    return convert_cohort(model, cases, output, device=CPU, options=asked, members=members)


def states(outcome: Outcome) -> list[str]:
    return [result.status for result in outcome.results]


@pytest.fixture
def head(heads: Path) -> Path:
    return heads / "p1.nii.gz"


def test_the_map_is_written_in_single_precision_and_vouched_for(
    model: Model, head: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert states(convert(model, head, out, uncertainty=True)) == ["ok"]
    std = open_volume(out / "p1_std.nii.gz").data
    assert std.dtype == np.float32
    assert std.max() > 0.0
    sidecar = json.loads((out / "p1.json").read_text())
    assert sidecar["beside"] == {"std": sha256_of_file(out / "p1_std.nii.gz")}
    assert sidecar["uncertainty"]["flips"] == [[0]], "the axis that training mirrors"


def test_the_map_is_added_later_and_the_answer_stays(
    model: Model, head: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    convert(model, head, out)
    before = sha256_of_file(out / "p1.nii.gz")
    assert not (out / "p1_std.nii.gz").exists()
    assert states(convert(model, head, out, uncertainty=True)) == ["ok"]
    assert (out / "p1_std.nii.gz").is_file()
    assert sha256_of_file(out / "p1.nii.gz") == before
    assert states(convert(model, head, out, uncertainty=True)) == ["kept"]


def test_a_lost_map_is_made_again_and_a_changed_one_is_kept(
    model: Model, head: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    convert(model, head, out, uncertainty=True)
    there = out / "p1_std.nii.gz"
    digest = sha256_of_file(there)
    there.unlink()
    assert states(convert(model, head, out, uncertainty=True)) == ["ok"]
    assert sha256_of_file(there) == digest
    there.write_bytes(b"mine")
    with pytest.raises(ConfigurationError, match="standard deviations"):
        convert(model, head, out, uncertainty=True)
    assert there.read_bytes() == b"mine"


def test_no_map_of_an_earlier_answer_stays_beside_a_new_one(
    model: Model, other_model: Model, head: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    convert(model, head, out, uncertainty=True)
    assert states(convert(other_model, head, out, overwrite=True)) == ["ok"]
    assert not (out / "p1_std.nii.gz").exists()
    assert (out / "p1.nii.gz").is_file()


def test_a_foreign_map_is_not_replaced_unasked(model: Model, head: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "p1_std.nii.gz").write_bytes(b"mine")
    with pytest.raises(ConfigurationError, match="E_OUTPUT_EXISTS"):
        convert(model, head, out, uncertainty=True)
    assert states(convert(model, head, out)) == ["ok"]
    assert (out / "p1_std.nii.gz").read_bytes() == b"mine"


def test_an_ensemble_is_a_model_of_its_own(
    model: Model, other_model: Model, head: Path, tmp_path: Path
) -> None:
    alone, other, both = (tmp_path / name for name in ("alone", "other", "both"))
    convert(model, head, alone)
    convert(other_model, head, other)
    convert(model, head, both, members=(other_model,))
    here, there, mean = (
        open_volume(folder / "p1.nii.gz").data.astype(np.float64) for folder in (alone, other, both)
    )
    assert np.abs(here - there).max() > 10
    np.testing.assert_allclose(mean, (here + there) / 2, atol=1.01)
    sidecar = json.loads((both / "p1.json").read_text())
    digests = [model.weights_digest, other_model.weights_digest]
    assert sidecar["weights_digest"] == sha256_of_json(digests)
    assert sidecar["members"] == 2
    with pytest.raises(ConfigurationError, match="another model"):
        convert(model, head, both)
    assert states(convert(model, head, both, members=(other_model,))) == ["kept"]


def test_one_run_twice_is_no_ensemble(model: Model, head: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="2 runs of 1 different weights"):
        convert(model, head, tmp_path / "out", members=(model,))
    assert not (tmp_path / "out").exists()


def test_of_dicom_the_map_is_a_parametric_map(model: Model, tmp_path: Path) -> None:
    shape = (16, 16, 8)
    axes = np.meshgrid(*[np.linspace(-1.2, 1.2, count) for count in shape], indexing="ij")
    values = np.where(sum(axis**2 for axis in axes) < 1, 600.0, 3.0)
    spacing = (2.0, 2.0, 4.0)
    each(tmp_path / "mr", MR, lambda dataset: None, shape=shape, spacing=spacing, values=values)
    out = tmp_path / "out"
    asked = Options(formats=("nifti", "dicom"), uncertainty=True)
    cases = [Case("p1", {"mr": tmp_path / "mr"})]
    outcome = convert_cohort(model, cases, out, device=CPU, options=asked)
    assert states(outcome) == ["ok"]
    (file,) = (out / "p1_std").iterdir()
    made = pydicom.dcmread(file)
    assert made.SOPClassUID == MAP
    std = open_volume(out / "p1_std.nii.gz").data
    np.testing.assert_array_equal(np.sort(made.pixel_array.ravel()), np.sort(std.ravel()))
    assert outcome.count("ok") == 1
    again = convert_cohort(model, cases, out, device=CPU, options=asked)
    assert states(again) == ["kept"]
