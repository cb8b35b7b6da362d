"""The SSIM loss against MONAI's and scikit-image's, masked, and on patches that are too short."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import SSIMLoss
from skimage.metrics import structural_similarity

from medgen.losses import SSIM_WINDOW, hide_outside, ssim_loss
from medgen.problems import ConfigurationError

SHAPE = (2, 2, 13, 15, 12)


def images(
    seed: int = 0, noise: float = 0.3, shape: tuple[int, ...] = SHAPE
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(shape, generator=generator) * 2 - 1
    prediction = target + noise * torch.randn(shape, generator=generator)
    mask = (torch.rand((shape[0], 1, *shape[2:]), generator=generator) < 0.4).float()
    return prediction, target, mask


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("data_range", [1.0, 2.0, 4024.0])
def test_value_and_gradient_are_monais(noise: float, data_range: float) -> None:
    prediction, target, _ = images(1, noise)
    prediction, target = prediction * data_range / 2, target * data_range / 2
    prediction.requires_grad_()
    mine = ssim_loss(prediction, target, data_range=data_range)
    theirs = SSIMLoss(spatial_dims=3, data_range=data_range)(prediction, target)
    assert mine.item() == pytest.approx(theirs.item(), abs=1e-5)
    (gradient,) = torch.autograd.grad(mine, prediction)
    (expected,) = torch.autograd.grad(theirs, prediction)
    # Gradients are per unit of the image; a whole range is what the tolerance is a share of.
    assert (gradient - expected).abs().max() * data_range < 1e-5
    if noise:
        assert (gradient - expected).norm() < 1e-4 * expected.norm()


def test_smooth_images_are_judged_as_by_monai() -> None:
    """Flat and smooth regions are where variances round below zero."""
    ramp = torch.linspace(-1, 1, 16)
    target = (ramp[:, None, None] * ramp[:, None] + ramp).clamp(-0.5)[None, None]
    prediction = (0.9 * target + 0.05).requires_grad_()
    mine, theirs = (
        loss(prediction, target) for loss in (ssim_loss, SSIMLoss(spatial_dims=3, data_range=2.0))
    )
    assert mine.item() == pytest.approx(theirs.item(), abs=1e-5)
    (gradient,) = torch.autograd.grad(mine, prediction)
    (expected,) = torch.autograd.grad(theirs, prediction)
    assert (gradient - expected).abs().max() < 1e-5


def test_under_a_mask_it_is_the_mean_of_scikit_images_map() -> None:
    prediction, target, mask = images(2, shape=(1, 1, 14, 13, 16))
    _, similarity = structural_similarity(
        target[0, 0].double().numpy(),
        prediction[0, 0].double().numpy(),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=2.0,
        full=True,
    )
    inner = (slice(5, -5),) * 3
    inside = mask[0, 0].numpy()[inner] > 0
    assert 0 < inside.sum() < inside.size
    expected = 1 - similarity[inner][inside].mean()
    assert ssim_loss(prediction, target, mask).item() == pytest.approx(expected, abs=1e-5)
    everywhere = ssim_loss(prediction, target, torch.ones_like(mask))
    torch.testing.assert_close(everywhere, ssim_loss(prediction, target))


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), noise=st.floats(0.05, 2.0))
def test_it_is_symmetric_bounded_and_zero_for_equals_only(seed: int, noise: float) -> None:
    prediction, target, mask = images(seed, noise)
    mask[..., 6, 7, 6] = 1
    loss = ssim_loss(prediction, target, mask)
    assert 0 < loss <= 2
    torch.testing.assert_close(ssim_loss(target, prediction, mask), loss)
    assert ssim_loss(target, target, mask) == 0


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), wild=st.floats(-100, 100))
def test_hidden_what_lies_outside_the_mask_has_neither_value_nor_gradient(
    seed: int, wild: float
) -> None:
    prediction, target, mask = images(seed)
    other = torch.where(mask > 0, prediction, wild).requires_grad_()

    def masked(image: torch.Tensor) -> torch.Tensor:
        return ssim_loss(hide_outside(image, mask), hide_outside(target, mask), mask)

    loss = masked(other)
    assert torch.equal(loss, masked(prediction))
    (gradient,) = torch.autograd.grad(loss, other)
    assert (gradient[mask.expand(SHAPE) == 0] == 0).all()


def test_a_mask_without_the_centre_of_a_window_gives_zero_and_no_gradient() -> None:
    prediction, target, mask = images(3)
    prediction.requires_grad_()
    rim = torch.ones_like(mask)
    rim[..., 5:-5, 5:-5, 5:-5] = 0
    for nothing in (torch.zeros_like(mask), rim):
        loss = ssim_loss(prediction, target, nothing)
        (gradient,) = torch.autograd.grad(loss, prediction)
        assert loss == 0
        assert not gradient.any()


def test_its_gradient_is_its_derivative() -> None:
    prediction, target, mask = (one[:1, :1, :12, :11, :11].double() for one in images(4))
    prediction.requires_grad_()
    mask[..., 5, 5, 5] = 1
    assert torch.autograd.gradcheck(
        lambda x: ssim_loss(x, target, mask), prediction, fast_mode=True
    )


@pytest.mark.parametrize("axis", [2, 3, 4])
def test_a_patch_that_is_shorter_than_the_window_is_refused_with_both_numbers(axis: int) -> None:
    whole = torch.zeros(1, 1, SSIM_WINDOW, SSIM_WINDOW, SSIM_WINDOW)
    assert ssim_loss(whole, whole) == 0
    short = whole.narrow(axis, 0, 10)
    with pytest.raises(ConfigurationError, match=r"E_PATCH_SIZE.*\b11\b.*\b10\b"):
        ssim_loss(short, short)


def test_autocast_does_not_round_its_windows() -> None:
    prediction, target, mask = images(5, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        loss = ssim_loss(prediction, target, mask)
        narrow = ssim_loss(prediction.bfloat16(), target, mask)
    assert torch.equal(loss, ssim_loss(prediction, target, mask))
    assert narrow.dtype == torch.float32
    assert torch.equal(narrow, ssim_loss(prediction.bfloat16().float(), target, mask))


@pytest.mark.parametrize(("level", "noise"), [(1000.0, 0.0), (1000.0, 0.01), (-400.0, 3.0)])
def test_values_far_beyond_the_scale_are_judged_within_bounds(level: float, noise: float) -> None:
    """Linear heads and hot lesions leave [-1, 1] by far, where float32 variances drown."""
    prediction, target, _ = (level + noise * one for one in images(6))
    for other in (target, torch.zeros_like(target)):
        far = prediction.clone().requires_grad_()
        loss = ssim_loss(far, other)
        assert 0 <= loss <= 2
        assert torch.autograd.grad(loss, far)[0].isfinite().all()
    exact = ssim_loss(prediction.double(), target.double())
    assert ssim_loss(prediction, target).item() == pytest.approx(exact.item(), abs=0.05)


@pytest.mark.parametrize("level", [300.0, 777.0, 1001.3, 5003.7])
def test_rounding_far_beyond_the_scale_cannot_carry_the_loss_out_of_its_bounds(
    level: float,
) -> None:
    flat = torch.full((1, 1, 11, 11, 11), level)
    for share in torch.linspace(0.3, 0.95, 14).tolist():
        assert 0 <= ssim_loss(flat, share * flat) <= 2
