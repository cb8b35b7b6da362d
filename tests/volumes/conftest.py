"""Grids of every kind, and small files to damage."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from medgen.problems import Refusal
from medgen.volumes import Grid, Volume

AFFINE = np.array([[2.0, 0, 0, -10], [0, 1.5, 0, -20], [0, 0, 3.0, 5], [0, 0, 0, 1]])


@st.composite
def _grids(
    draw: st.DrawFn, *, sheared: bool = True, low: int = 2, high: int = 9, oblique: bool = True
) -> Grid:
    """Draw permuted, flipped (left-handed too), anisotropic, oblique and sheared grids."""
    shape = draw(st.tuples(*[st.integers(low, high)] * 3))
    spacing = np.array(draw(st.tuples(*[st.floats(0.4, 4.0)] * 3)))
    matrix = np.eye(3)[:, draw(st.permutations(range(3)))]
    matrix = matrix * draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
    if oblique:
        angles = draw(st.tuples(*[st.floats(-180, 180)] * 3))
        matrix = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ matrix
    if sheared:
        shear = np.eye(3)
        shear[0, 1], shear[0, 2], shear[1, 2] = draw(st.tuples(*[st.floats(-0.3, 0.3)] * 3))
        matrix = shear @ matrix
    affine = np.eye(4)
    affine[:3, :3] = matrix * spacing
    affine[:3, 3] = draw(st.tuples(*[st.floats(-200, 200)] * 3))
    return Grid(shape, affine)


@pytest.fixture(scope="session")
def grids() -> Callable[..., st.SearchStrategy[Grid]]:
    return _grids


@pytest.fixture(scope="session")
def random_values() -> Callable[[Grid], NDArray[np.float32]]:
    def make(grid: Grid) -> NDArray[np.float32]:
        return np.random.default_rng(0).normal(0, 400, grid.shape).astype(np.float32)

    return make


@pytest.fixture
def volume() -> Volume:
    grid = Grid((5, 6, 4), AFFINE)
    return Volume(np.arange(120, dtype=np.int16).reshape(grid.shape) - 60, grid, "HU")


@pytest.fixture
def nifti(tmp_path: Path) -> Callable[..., Path]:
    """Return a writer of NIfTI files by nibabel, whose header fields a test then breaks."""

    def write(
        data: NDArray[Any] | None = None,
        *,
        name: str = "scan.nii.gz",
        affine: NDArray[Any] | None = AFFINE,
        codes: tuple[int, int] = (1, 1),
        version: type[nibabel.Nifti1Image] = nibabel.Nifti1Image,
        **fields: Any,
    ) -> Path:
        values = np.arange(120, dtype=np.int16).reshape(5, 6, 4) if data is None else data
        image = version(values, affine, dtype=values.dtype)
        image.header.set_sform(affine, code=codes[0])
        image.header.set_qform(affine, code=codes[1])
        raw = bytearray(image.to_bytes())
        header = image.header.copy()
        header["vox_offset"] = 352 if version is nibabel.Nifti1Image else 544
        header["sform_code"], header["qform_code"] = codes
        for field, value in fields.items():
            header[field] = value
        raw[: len(header.binaryblock)] = header.binaryblock
        path = tmp_path / name
        path.write_bytes(gzip.compress(bytes(raw)) if name.lower().endswith(".gz") else bytes(raw))
        return path

    return write


@pytest.fixture(scope="session")
def codes() -> Callable[[Callable[[], object]], list[str]]:
    """Return a function that tells with which codes a call is refused."""

    def refused(call: Callable[[], object]) -> list[str]:
        with pytest.raises(Refusal) as caught:
            call()
        assert all(problem.message and problem.advice for problem in caught.value.problems)
        return [problem.code for problem in caught.value.problems]

    return refused
