"""Synthetic volumes in a folder: values, places, sidecars, and what is never overwritten."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from medgen.files import sha256_of_file
from medgen.generation import Generation, Wish, generate
from medgen.methods.latents import draw_latents, spherical_walk
from medgen.problems import ConfigurationError
from medgen.runs import Model
from medgen.volumes import open_volume

CPU = torch.device("cpu")
HU = {"scale": "window", "low": -1000, "high": 1000, "unit": "HU"}


def draw(model: Model, output: Path, *, overwrite: bool = False, **wish: object) -> Generation:
    return generate(model, output, Wish(**wish), device=CPU, overwrite=overwrite)  # type: ignore[arg-type]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_samples_are_volumes_in_the_source_unit(
    make_model: Callable[..., Model], tmp_path: Path
) -> None:
    model, output = make_model(), tmp_path / "out"
    done = draw(model, output, count=4, seed=5)
    assert (done.samples, done.steps, done.units) == (4, 0, ("HU",))
    volumes = {f"sample_00{number}.{kind}" for number in range(4) for kind in ("nii.gz", "json")}
    assert names(output) == volumes | {"samples.png", "walk.png"}
    latents = draw_latents(5, range(4), 4)
    for number in range(4):
        volume = open_volume(output / f"sample_00{number}.nii.gz")
        assert volume.data.shape == (6, 5, 4)
        assert volume.data.dtype == np.int16
        np.testing.assert_allclose(volume.data, float(latents[number, 0]) * 200, atol=0.51)
        np.testing.assert_allclose(volume.grid.spacing_mm, (2, 3, 4))
        np.testing.assert_allclose(volume.grid.to_world(np.array([2.5, 2.0, 1.5])), 0, atol=1e-5)
        assert np.linalg.det(volume.grid.affine[:3, :3]) > 0


def test_sidecars_say_that_it_is_synthetic_and_what_made_it(
    make_model: Callable[..., Model], tmp_path: Path
) -> None:
    model, output = make_model(), tmp_path / "out"
    draw(model, output, count=2, seed=5)
    said = json.loads((output / "sample_001.json").read_text())
    assert said["synthetic"] is True
    assert "research use only" in said["notice"]
    assert (said["kind"], said["index"], said["seed"]) == ("sample", 1, 5)
    assert said["weights_digest"] == model.weights_digest
    assert said["output_digest"] == sha256_of_file(output / "sample_001.nii.gz")
    assert (said["column"], said["unit"], said["dtype"]) == ("ct", "HU", "int16")
    assert said["place"] is None
    assert str(tmp_path) not in (output / "sample_001.json").read_text()


def test_a_sample_is_the_same_however_many_are_drawn(
    make_model: Callable[..., Model], tmp_path: Path
) -> None:
    model = make_model()
    draw(model, tmp_path / "few", count=2, seed=1)
    draw(model, tmp_path / "many", count=7, seed=1)
    for name in ("sample_000.nii.gz", "sample_001.nii.gz", "walk.png"):
        assert (tmp_path / "few" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()
    draw(model, tmp_path / "other", count=2, seed=2)
    assert sha256_of_file(tmp_path / "other/sample_000.nii.gz") != sha256_of_file(
        tmp_path / "few/sample_000.nii.gz"
    )


def test_a_walk_goes_from_the_first_sample_to_the_second(
    make_model: Callable[..., Model], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    draw(make_model(), output, count=2, walk=5, seed=3)
    latents = draw_latents(3, range(2), 4)
    expected = spherical_walk(latents[0], latents[1], 5)[:, 0] * 200
    found = [open_volume(output / f"walk_00{step}.nii.gz").data[0, 0, 0] for step in range(5)]
    np.testing.assert_allclose(found, expected, atol=0.51)
    last, second = (open_volume(output / name) for name in ("walk_004.nii.gz", "sample_001.nii.gz"))
    np.testing.assert_array_equal(last.data, second.data)
    said = json.loads((output / "walk_001.json").read_text())
    assert (said["kind"], said["steps"], said["share"]) == ("walk", 5, 0.25)


def test_every_source_column_gets_its_file(
    make_model: Callable[..., Model], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    done = draw(make_model({"ct": HU, "t1 map": {"scale": "percentile"}}), output, count=1)
    assert done.units == ("HU", "arbitrary")
    assert {"sample_000_ct.nii.gz", "sample_000_t1_map.nii.gz"} <= names(output)
    ct, t1 = (open_volume(output / f"sample_000_{c}.nii.gz").data for c in ("ct", "t1_map"))
    assert t1.dtype == np.float32
    np.testing.assert_allclose(ct / 1000, 2 * t1 - 1, atol=1e-3)
    said = json.loads((output / "sample_000_t1_map.json").read_text())
    assert (said["column"], said["unit"]) == ("t1 map", "arbitrary")
    assert "0 and 1 are the percentiles" in said["scale"]


def test_columns_whose_names_would_be_one_file_are_numbered(
    make_model: Callable[..., Model], tmp_path: Path
) -> None:
    draw(make_model({"a b": HU, "A_b": HU}), tmp_path / "out", count=1)
    assert {"sample_000_channel_0.nii.gz", "sample_000_channel_1.json"} <= names(tmp_path / "out")


def test_slices_are_one_voxel_deep(make_model: Callable[..., Model], tmp_path: Path) -> None:
    draw(make_model(deep=False), tmp_path / "out", count=2)
    image = nibabel.load(tmp_path / "out/sample_000.nii.gz")
    assert image.shape == (6, 5, 1)
    assert image.header.get_zooms() == (2, 3, 4)


def test_a_located_run_draws_where_it_is_told(
    make_model: Callable[..., Model], tmp_path: Path
) -> None:
    model = make_model(located=True)
    draw(model, tmp_path / "middle", count=2)
    draw(model, tmp_path / "right", count=2, place=(0.5, 0.0, -1.0))
    middle, right = (
        open_volume(tmp_path / where / "sample_000.nii.gz").data for where in ("middle", "right")
    )
    np.testing.assert_allclose(right.astype(int) - middle, 500, atol=1)
    said = [
        json.loads((tmp_path / where / "sample_000.json").read_text())["place"]
        for where in ("middle", "right")
    ]
    assert said == [[0, 0, 0], [0.5, 0, -1]]


@pytest.mark.parametrize(
    ("options", "wish", "code"),
    [
        ({"method": "regression"}, {}, "E_GENERATE"),
        ({}, {"count": 0}, "E_GENERATE_COUNT"),
        ({}, {"count": 10_001}, "E_GENERATE_COUNT"),
        ({}, {"walk": 1}, "E_GENERATE_COUNT"),
        ({}, {"walk": -3}, "E_GENERATE_COUNT"),
        ({}, {"place": (0.0, 0.0, 0.0)}, "E_PLACE"),
        ({"located": True}, {"place": (0.0, 1.5, 0.0)}, "E_PLACE"),
        ({"located": True}, {"place": (0.0, float("nan"), 0.0)}, "E_PLACE"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_anything_is_written(
    make_model: Callable[..., Model], tmp_path: Path, options: dict, wish: dict, code: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        draw(make_model(**options), tmp_path / "out", **wish)
    assert [problem.code for problem in refused.value.problems] == [code]
    assert not (tmp_path / "out").exists()


def test_the_refusal_names_the_methods_that_draw(
    make_model: Callable[..., Model], tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=r"draws no images.*: .*painter"):
        draw(make_model(method="regression"), tmp_path / "out")


def test_nothing_is_overwritten_unasked(make_model: Callable[..., Model], tmp_path: Path) -> None:
    model, output = make_model(), tmp_path / "out"
    draw(model, output, count=3, walk=2)
    before = {path: path.read_bytes() for path in output.iterdir()}
    with pytest.raises(ConfigurationError, match="E_EXISTS"):
        draw(model, output, count=1, seed=9)
    assert {path: path.read_bytes() for path in output.iterdir()} == before


def test_overwriting_leaves_one_calls_volumes_and_everybody_elses(
    make_model: Callable[..., Model], tmp_path: Path
) -> None:
    model, output = make_model(), tmp_path / "out"
    draw(model, output, count=4, walk=2)
    (output / "notes.txt").write_text("mine")
    (output / "sample_003.nii.gz").write_bytes(b"changed by somebody")
    (output / "sample_900.nii.gz").write_bytes(b"of somebody else")
    draw(model, output, count=2, seed=9, overwrite=True)
    left = names(output)
    assert {"notes.txt", "sample_003.nii.gz", "sample_900.nii.gz"} <= left
    assert "sample_002.nii.gz" not in left
    assert not any(name.startswith("walk_") for name in left)
    assert json.loads((output / "sample_000.json").read_text())["seed"] == 9
    assert (output / "notes.txt").read_text() == "mine"


def test_a_call_that_was_killed_can_be_made_again(
    make_model: Callable[..., Model], tmp_path: Path
) -> None:
    model, output = make_model(), tmp_path / "out"
    draw(model, output, count=2)
    (output / "sample_001.json").unlink()
    (output / ".tmp-0123abcd-sample_001.nii.gz").write_bytes(b"half")
    draw(model, output, count=2, overwrite=True)
    assert (output / "sample_001.json").is_file()
    assert not list(output.glob(".tmp-*"))
