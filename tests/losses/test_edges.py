"""The edge map against scipy, its gradient, and its peace where the image is flat."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from medgen.losses import l1_loss, sobel_edges

SHAPE = (2, 2, 6, 7, 5)
SLAB = np.array([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]])
KERNEL = np.stack([SLAB, 0.0 * SLAB, -SLAB])
"""The paper's: slabs +M, 0, -M along the first axis."""


def image(seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(SHAPE, generator=generator, dtype=torch.float64).mul(2).sub(1).to(dtype)


def paper(volume: NDArray[np.float64]) -> NDArray[np.float64]:
    """The definition, in float64, of one volume (X, Y, Z)."""
    turned = (KERNEL, np.moveaxis(KERNEL, 0, 1), np.moveaxis(KERNEL, 0, 2))
    rises = [ndimage.correlate(volume, kernel, mode="constant", cval=-1.0) for kernel in turned]
    return 2 * np.tanh(np.sqrt(sum(rise**2 for rise in rises)) / 4) - 1


@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-14), (torch.float32, 2e-6)])
@given(seed=st.integers(0, 2**31), scale=st.sampled_from([0.01, 0.1, 1.0]))
def test_it_is_the_papers_in_every_channel(
    dtype: torch.dtype, error: float, seed: int, scale: float
) -> None:
    encoded = image(seed, torch.float64) * scale
    expected = np.stack([[paper(volume.numpy()) for volume in case] for case in encoded])
    edges = sobel_edges(encoded.to(dtype))
    assert edges.dtype == dtype
    assert np.abs(edges.double().numpy() - expected).max() < error


def test_inside_it_is_scipys_sobel() -> None:
    """scipy pads between its filters, so the outermost voxels are not comparable."""
    volume = image(1, torch.float64)[0, 0].numpy()
    rises = [ndimage.sobel(volume, axis) for axis in range(3)]
    expected = 2 * np.tanh(np.sqrt(sum(rise**2 for rise in rises)) / 4) - 1
    found = sobel_edges(torch.from_numpy(volume)[None, None])[0, 0].numpy()
    inner = (slice(1, -1),) * 3
    np.testing.assert_allclose(found[inner], expected[inner], rtol=1e-13, atol=1e-13)


def test_its_gradient_is_its_derivative() -> None:
    small = (image(2, torch.float64)[:1, :, :4, :3, :3] * 0.2).requires_grad_()
    assert torch.autograd.gradcheck(sobel_edges, small)


@pytest.mark.parametrize("value", [-1.0, -0.9, 0.0, 0.3, 1 / 3])
def test_where_the_image_is_flat_the_map_is_lowest_and_the_gradient_zero(value: float) -> None:
    flat = torch.full((1, 1, 9, 9, 9), value, requires_grad=True)
    edges = sobel_edges(flat)
    inner = edges[..., 1:-1, 1:-1, 1:-1]
    assert (inner == -1).all()
    (gradient,) = torch.autograd.grad(inner.sum(), flat, retain_graph=True)
    assert not gradient.any()
    (gradient,) = torch.autograd.grad(edges.sum(), flat)
    assert gradient.isfinite().all()
    assert bool(gradient.any()) == (value != -1)


def test_air_has_no_edge_to_the_air_beyond_the_image() -> None:
    assert (sobel_edges(torch.full(SHAPE, -1.0)) == -1).all()
    assert sobel_edges(torch.zeros(SHAPE))[..., 0, 3, 2].min() > 0.9


def test_gradients_are_finite_however_faint_the_edge() -> None:
    for faint in (1e-45, 1e-38, 1e-30, 1e-23, 1e-22, 1e-10):
        step = torch.zeros(1, 1, 5, 5, 5)
        step[:, :, 2:] = faint
        step.requires_grad_()
        inner = sobel_edges(step)[..., 1:-1, 1:-1, 1:-1]
        (gradient,) = torch.autograd.grad(inner.sum(), step)
        assert gradient.isfinite().all()
        assert gradient.abs().max() <= 2 * 27 * 4


def test_an_image_of_one_voxel_meets_only_the_outside() -> None:
    assert (sobel_edges(torch.full((1, 1, 1, 1, 1), 0.7)) == -1).all()


def test_the_edge_loss_tells_images_apart_and_not_an_image_from_itself() -> None:
    first, second = image(3) * 0.2, image(4) * 0.2
    first.requires_grad_()
    loss = l1_loss(sobel_edges(first), sobel_edges(second))
    (gradient,) = torch.autograd.grad(loss, first)
    assert loss > 0.05
    assert gradient.any()
    assert l1_loss(sobel_edges(first), sobel_edges(first)) == 0


def test_bf16_images_have_float32_edges_also_under_autocast() -> None:
    narrow = image(5, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        edges = sobel_edges(narrow)
    assert edges.dtype == torch.float32
    torch.testing.assert_close(edges, sobel_edges(narrow.float()))
