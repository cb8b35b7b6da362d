"""The gradient difference loss against numpy, its invariances, and its mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from medgen.losses import gradient_difference_loss

SHAPE = (2, 2, 4, 5, 6)
seeds = st.integers(0, 2**31)


def images(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    prediction, target = (torch.randn(SHAPE, generator=generator) for _ in range(2))
    mask = (torch.rand((2, 1, *SHAPE[2:]), generator=generator) < 0.6).float()
    return prediction, target, mask


def reference(
    prediction: NDArray[np.float64], target: NDArray[np.float64], inside: NDArray[np.bool_]
) -> float:
    """The definition, voxel by voxel: both ends of a difference must be inside."""
    total = 0.0
    for axis in (2, 3, 4):
        terms = []
        for here in np.ndindex(prediction.shape):
            there = tuple(i + (a == axis) for a, i in enumerate(here))
            if there[axis] == prediction.shape[axis] or not (inside[here] and inside[there]):
                continue
            steep = abs(target[there] - target[here]) - abs(prediction[there] - prediction[here])
            terms.append(steep**2)
        total += float(np.mean(terms))
    return total


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_its_definition(masked: bool, seed: int) -> None:
    prediction, target, mask = images(seed)
    inside = np.broadcast_to(mask.numpy() > 0, SHAPE) if masked else np.ones(SHAPE, dtype=bool)
    expected = reference(prediction.double().numpy(), target.double().numpy(), inside)
    loss = gradient_difference_loss(prediction, target, mask if masked else None)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@given(seed=seeds, shift=st.floats(-3, 3), scale=st.floats(0.1, 4))
def test_it_knows_no_brightness_and_grows_with_the_square_of_contrast(
    seed: int, shift: float, scale: float
) -> None:
    prediction, target, mask = images(seed)
    loss = gradient_difference_loss(prediction, target, mask)
    shifted = gradient_difference_loss(prediction + shift, target, mask)
    torch.testing.assert_close(shifted, loss, rtol=1e-4, atol=1e-5)
    scaled = gradient_difference_loss(scale * prediction, scale * target, mask)
    torch.testing.assert_close(scaled, scale**2 * loss, rtol=1e-4, atol=1e-5)


@given(seed=seeds)
def test_it_is_symmetric_and_zero_for_equals_only(seed: int) -> None:
    prediction, target, _ = images(seed)
    loss = gradient_difference_loss(prediction, target)
    assert loss > 0
    torch.testing.assert_close(gradient_difference_loss(target, prediction), loss)
    assert gradient_difference_loss(target, target) == 0
    # Steepness has no direction: an image and its negative are equally steep.
    assert gradient_difference_loss(-target, target) == 0


@given(seed=seeds, wild=st.floats(-1e4, 1e4))
def test_what_lies_outside_the_mask_has_neither_value_nor_gradient(seed: int, wild: float) -> None:
    prediction, target, mask = images(seed)
    other = torch.where(mask > 0, prediction, wild).requires_grad_()
    loss = gradient_difference_loss(other, target, mask)
    torch.testing.assert_close(loss, gradient_difference_loss(prediction, target, mask))
    (gradient,) = torch.autograd.grad(loss, other)
    assert (gradient[mask.expand(SHAPE) == 0] == 0).all()


def test_an_empty_mask_or_one_without_neighbours_gives_zero_and_no_gradient() -> None:
    prediction, target, mask = images()
    board = torch.from_numpy(np.indices(SHAPE[2:]).sum(0) % 2).float().expand_as(mask)
    prediction.requires_grad_()
    for nothing in (torch.zeros_like(mask), board):
        loss = gradient_difference_loss(prediction, target, nothing)
        (gradient,) = torch.autograd.grad(loss, prediction)
        assert loss == 0
        assert not gradient.any()


def test_its_gradient_is_its_derivative() -> None:
    prediction, target, mask = (one[:1, :1, :3, :3, :3].double() for one in images(7))
    prediction.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: gradient_difference_loss(x, target, mask), prediction)


def test_an_axis_of_one_voxel_adds_nothing() -> None:
    prediction, target, mask = (one[:, :, :, :1] for one in images())
    flat = gradient_difference_loss(prediction, target, mask)
    assert flat.isfinite()
    turned = [one.movedim(3, 4) for one in (prediction, target, mask)]
    torch.testing.assert_close(gradient_difference_loss(*turned), flat)


def test_it_is_computed_in_float32() -> None:
    prediction, target, mask = images()
    loss = gradient_difference_loss(prediction.bfloat16(), target, mask)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(
        loss, gradient_difference_loss(prediction.bfloat16().float(), target, mask)
    )
