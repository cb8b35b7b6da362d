"""Perceptual, style and anatomical losses against their definitions in numpy."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from medgen.losses import anatomical_loss, perceptual_loss, style_loss

Layers = tuple[Tensor, ...]
Loss = Callable[[Layers, Layers], Tensor]

SHAPES = ((2, 1, 4, 4, 5), (2, 3, 4, 4, 5), (2, 5, 2, 2, 3))
LOSSES = [perceptual_loss, style_loss, anatomical_loss]


def layers(seed: int, dtype: torch.dtype = torch.float32) -> Layers:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(shape, generator=generator).to(dtype) for shape in SHAPES)


def test_perceptual_is_the_sum_of_mean_absolute_differences() -> None:
    mine, theirs = layers(0), layers(1)
    expected = sum(
        float(np.abs(a.numpy() - b.numpy()).mean()) for a, b in zip(mine, theirs, strict=True)
    )
    assert perceptual_loss(mine, theirs).item() == pytest.approx(expected, rel=1e-5)


def test_style_is_medgans_distance_of_gram_matrices() -> None:
    mine, theirs = layers(0), layers(1)
    expected = 0.0
    for pair in zip(mine, theirs, strict=True):
        channels, voxels = pair[0].shape[1], pair[0][0, 0].numel()
        distances = []
        for a, b in zip(*(one.double().numpy() for one in pair), strict=True):
            distance = 0.0
            for m, n in itertools.product(range(channels), repeat=2):
                gram = [(x[m] * x[n]).sum() / (voxels * channels) for x in (a, b)]
                distance += (gram[0] - gram[1]) ** 2
            distances.append(distance)
        expected += np.mean(distances) / (4 * channels**2)
    assert style_loss(mine, theirs).item() == pytest.approx(expected, rel=1e-5)


def test_anatomical_is_the_mean_l1_of_directions() -> None:
    mine, theirs = layers(0), layers(1)
    terms = []
    for pair in zip(mine, theirs, strict=True):
        a, b = (x.double().numpy() for x in pair)
        a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
        terms.append(np.abs(a - b).mean())
    assert anatomical_loss(mine, theirs).item() == pytest.approx(np.mean(terms), rel=1e-4)


def test_style_is_blind_to_places_and_keeps_samples_apart() -> None:
    mine = layers(0)[1:]
    shuffled = tuple(x.flip(2, 3) for x in mine)
    assert style_loss(shuffled, mine).item() == pytest.approx(0, abs=1e-9)
    # One Gram matrix for the whole batch would not notice samples that changed places.
    assert style_loss(tuple(x.flip(0) for x in mine), mine) > 1e-4


@given(seed=st.integers(0, 2**31), scale=st.floats(0.01, 1000))
def test_anatomical_knows_directions_only(seed: int, scale: float) -> None:
    mine, theirs = layers(seed)[1:], layers(seed + 1)[1:]
    scaled = tuple(scale * x for x in mine)
    torch.testing.assert_close(
        anatomical_loss(scaled, theirs), anatomical_loss(mine, theirs), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("loss", LOSSES)
@given(seed=st.integers(0, 2**31))
def test_symmetric_and_zero_for_equals(loss: Loss, seed: int) -> None:
    mine, theirs = layers(seed), layers(seed + 1)
    assert loss(mine, mine) == 0
    assert loss(mine, theirs) > 0
    torch.testing.assert_close(loss(mine, theirs), loss(theirs, mine))


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_derivatives(loss: Loss) -> None:
    mine = tuple(x.double().requires_grad_() for x in layers(2)[1:])
    theirs = tuple(x.double() for x in layers(3)[1:])
    assert torch.autograd.gradcheck(
        lambda *maps: loss(maps, theirs), mine, fast_mode=True, atol=1e-6
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("value", [0.0, 1e-30, 1e-8, 1e8])
def test_gradients_are_finite_for_dead_and_huge_features(loss: Loss, value: float) -> None:
    mine = torch.full((1, 4, 2, 2, 2), value, requires_grad=True)
    result = loss((mine,), (torch.ones(1, 4, 2, 2, 2),))
    (gradient,) = torch.autograd.grad(result, mine)
    assert result.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES)
def test_bf16_features_give_the_float32_loss_also_under_autocast(loss: Loss) -> None:
    mine, theirs = layers(4, torch.bfloat16), layers(5, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        result = loss(mine, theirs)
    assert result.dtype == torch.float32
    wide = loss(tuple(x.float() for x in mine), tuple(x.float() for x in theirs))
    torch.testing.assert_close(result, wide)


@pytest.mark.parametrize("loss", LOSSES)
def test_features_of_different_networks_are_refused(loss: Loss) -> None:
    with pytest.raises(ValueError, match="3 and 2 layers"):
        loss(layers(0), layers(1)[:2])
    with pytest.raises(ValueError, match="0 and 0 layers"):
        loss((), ())
