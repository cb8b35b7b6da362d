"""Volume laws: whatever its geometry, a volume comes back on its own grid, in its own values.

The method is the identity and source and target share one scale, so every difference is the
road's own fault: the permutation to RAS, resampling, encoding, windows, blending, decoding, the
way back, the file.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from medgen.config import (
    ConvertConfig,
    OwnScale,
    PercentileScale,
    PreprocessingConfig,
    Roles,
    SharedScale,
    ZScoreScale,
)
from medgen.conversion import Converter, Provenance, convert_files
from medgen.data import Preprocessing
from medgen.method import Answer, Batch, Clock, Losses, Method, Minimize, OptimizerSpec
from medgen.volumes import Grid, Volume, open_volume, write_volume


class Identity(Method):
    """Answer with the source itself, not even a copy."""

    answering: ClassVar[frozenset[str]] = frozenset()
    divisor = 4  # so that most volumes are padded

    @property
    def reads(self) -> tuple[frozenset[str], ...]:
        return (frozenset({"source", "target"}),)

    @property
    def answers(self) -> Mapping[str, Answer]:
        return {"forward": Answer("image", "source", "target")}

    def players(self) -> dict[str, nn.Module]:
        return {}

    def optimizers(self) -> Mapping[str, OptimizerSpec]:
        return {}

    def train_step(self, batch: Batch, minimize: Minimize, clock: Clock) -> Losses:
        return {}

    def infer(self, source: Tensor, answer: str = "forward") -> Tensor:
        return source


PERCENTILE, Z_SCORE = PercentileScale(scale="percentile"), ZScoreScale(scale="z_score")


def identity_converter(
    spacing_mm: tuple[float, float, float], scale: OwnScale = PERCENTILE, **convert: Any
) -> Converter:
    settings_ = ConvertConfig(overlap_voxels=3, fill_outside_body=False, **convert)
    preprocessing = Preprocessing(
        roles=Roles.model_validate({"source": ["mr"], "target": ["ct"]}),
        settings=PreprocessingConfig(spacing_mm=spacing_mm, crop="none"),
        intensity={
            "mr": scale,
            "ct": SharedScale.model_validate({"scale": "shared", "with": "mr"}),
        },
        interpolation=settings_.interpolation,
    )
    return Converter(
        Identity().eval(),
        preprocessing,
        settings_,
        device=torch.device("cpu"),
        precision="fp32",
        patch=(9, 8, 10),
    )


def head(shape: tuple[int, int, int], seed: int) -> NDArray[np.float32]:
    """Return an off-centre bright ellipsoid with texture: no two orientations look alike."""
    rng = np.random.default_rng(seed)
    axes = [np.linspace(-1, 1, count) for count in shape]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    inside = ((x - 0.1) / 0.8) ** 2 + ((y + 0.1) / 0.7) ** 2 + (z / 0.75) ** 2 < 1
    values = np.where(inside, 600 + 150 * x - 100 * y + 50 * z, 10) + rng.uniform(0, 40, shape)
    return values.astype(np.float32)


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Draw an oblique, anisotropic grid with permuted and reversed axes, of either handedness."""
    shape = draw(st.tuples(*[st.integers(12, 26)] * 3))
    spacing = [draw(st.floats(0.6, 5.0)) for _ in range(3)]
    angles = [draw(st.floats(-35.0, 35.0)) for _ in range(3)]
    order = draw(st.sampled_from(list(itertools.permutations(range(3)))))
    signs = [draw(st.sampled_from([1.0, -1.0])) for _ in range(3)]
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine[:3, :3] = (turn @ np.diag(signs)[:, list(order)]) * spacing
    affine[:3, 3] = [draw(st.floats(-200, 200)) for _ in range(3)]
    return Grid(shape, affine)


def ras_spacing(grid: Grid) -> tuple[float, float, float]:
    """Return the native spacing in the order of the run: nearest to right, anterior, superior."""
    from medgen.volumes import ras_permutation

    axes, _ = ras_permutation(grid.affine)
    x, y, z = (float(grid.spacing_mm[axis]) for axis in axes)
    return x, y, z


several = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])


@several
@given(
    grids(),
    st.integers(0, 99),
    st.sampled_from(["edge", "reflect"]),
    st.sampled_from([PERCENTILE, Z_SCORE]),
)
def test_an_identity_converts_a_volume_to_itself_borders_included(
    grid: Grid, seed: int, padding: str, scale: OwnScale
) -> None:
    volume = Volume(head(grid.shape, seed), grid)
    converted = identity_converter(ras_spacing(grid), scale, padding=padding)({"mr": volume}).volume
    assert converted.grid.same_as(grid, tolerance_mm=1e-6)
    np.testing.assert_allclose(converted.data, volume.data, rtol=0, atol=0.01)


@several
@given(grids(), st.sampled_from(["linear", "spline"]))
def test_through_another_spacing_a_volume_comes_back_on_its_own_grid(
    grid: Grid, interpolation: str
) -> None:
    """A world-linear ramp survives linear resampling, so every voxel is in its place."""
    indices = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    world = grid.to_world(indices)
    world -= world.reshape(-1, 3).mean(axis=0)
    extent = np.abs(world).max()
    ramp = world @ np.array([1.0, 0.7, -0.4]) / extent
    distance = np.linalg.norm(world @ grid.directions / (grid.spacing_mm * grid.shape), axis=-1)
    values = np.where(distance < 0.42, 500 + 100 * ramp, 0).astype(np.float32)
    volume = Volume(values, grid)
    spacing = tuple(0.75 * mm for mm in ras_spacing(grid))
    converter = identity_converter(spacing, interpolation=interpolation)  # type: ignore[arg-type]
    converted = converter({"mr": volume}).volume
    assert converted.grid.same_as(grid, tolerance_mm=1e-6)
    deep = distance < 0.2
    np.testing.assert_allclose(converted.data[deep], values[deep], rtol=0, atol=3.0)
    assert np.abs(converted.data - values)[distance > 0.8].max(initial=0.0) < 60


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha", ".nrrd"])
@pytest.mark.parametrize("handedness", [1.0, -1.0])
def test_a_file_comes_back_as_it_was(tmp_path: Path, suffix: str, handedness: float) -> None:
    turn = Rotation.from_euler("xyz", [8, -11, 5], degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([handedness, 1, 1])[:, [2, 0, 1]] * [1.0, 2.5, 1.5]
    affine[:3, 3] = [-40.0, 12.5, 88.0]
    grid = Grid((22, 14, 18), affine)
    source, output = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    write_volume(source, Volume(head(grid.shape, 0), grid), dtype="float32")
    converter = identity_converter(ras_spacing(grid))
    convert_files(converter, {"mr": source}, output, Provenance("w", "c", "s"))
    before, after = open_volume(source), open_volume(output)
    assert after.grid.same_as(before.grid, tolerance_mm=1e-4)
    np.testing.assert_allclose(after.data, before.data, rtol=0, atol=0.01)
