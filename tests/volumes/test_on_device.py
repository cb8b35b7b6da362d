import numpy as np
import pytest
import torch

from medgen.volumes import Grid, oblique, on_device, resample, separable


@pytest.mark.parametrize("shape", [(20, 17, 23), (1, 5, 4)])
def test_products_agree_with_the_processors(shape: tuple[int, int, int]) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    matrices = [
        separable.linear(shape[0], 31, scale=0.6, offset=-0.4),
        None,
        separable.linear(shape[2], 9, scale=-2.4, offset=19.5) @ separable.gaussian(shape[2], 0.9),
    ]
    ours = on_device.along(values, matrices, device="cpu")
    np.testing.assert_allclose(ours, separable.along(values, matrices), atol=2e-6)


@pytest.mark.parametrize("slab_voxels", [1 << 24, 500])
def test_samples_agree_with_the_processors(
    slab_voxels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_device, "_SLAB_VOXELS", slab_voxels)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(9, 1, 12)).astype(np.float32)
    matrix = np.eye(4)
    matrix[:3, :3] += rng.normal(size=(3, 3)) * 0.2
    ours = on_device.sample(values, matrix, (10, 11, 12), device="cpu")
    np.testing.assert_allclose(ours, oblique.sample(values, matrix, (10, 11, 12)), atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("turn", [0.0, 0.1])
def test_a_cuda_device_gives_what_the_processor_gives(turn: float) -> None:
    values = np.random.default_rng(0).normal(0, 500, (60, 70, 50)).astype(np.float32)
    affine = np.diag([1.7, 0.8, 1.2, 1.0])
    affine[0, 1], affine[:3, 3] = turn, (-3.0, 2.0, 4.0)
    source, destination = Grid(values.shape, np.eye(4)), Grid((40, 80, 44), affine)
    ours = resample(values, source, destination, outside=-1.0, device="cuda")
    theirs = resample(values, source, destination, outside=-1.0)
    np.testing.assert_allclose(ours, theirs, atol=1e-2)
