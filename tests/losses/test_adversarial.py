"""The adversarial losses against their papers: values and gradients in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from medgen.losses import Adversarial, discriminator_loss, generator_loss, undecided_loss

KINDS = get_args(Adversarial)
LOGITS = (-5.0, -1.0, -0.3, 0.0, 0.4, 1.0, 3.0)


def logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


REAL: Mapping[str, Callable[[float], float]] = {
    "least_squares": lambda x: (x - 1) ** 2,
    "bce": lambda x: -math.log(logistic(x)),
    "hinge": lambda x: max(0.0, 1 - x),
}
FAKE: Mapping[str, Callable[[float], float]] = {
    "least_squares": lambda x: x**2,
    "bce": lambda x: -math.log(1 - logistic(x)),
    "hinge": lambda x: max(0.0, 1 + x),
}
GENERATOR: Mapping[str, Callable[[float], float]] = {
    "least_squares": lambda x: (x - 1) ** 2,
    "bce": lambda x: -math.log(logistic(x)),
    "hinge": lambda x: -x,
}


def gradient(loss: Tensor, logits: Tensor) -> float:
    return float(torch.autograd.grad(loss, logits)[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("real", LOGITS)
@pytest.mark.parametrize("fake", LOGITS)
def test_discriminator_values(kind: Adversarial, real: float, fake: float) -> None:
    loss = discriminator_loss(kind, torch.tensor([real]), torch.tensor([fake]))
    assert loss.item() == pytest.approx(0.5 * (REAL[kind](real) + FAKE[kind](fake)), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fake", LOGITS)
def test_generator_values(kind: Adversarial, fake: float) -> None:
    loss = generator_loss(kind, torch.tensor([fake]))
    assert loss.item() == pytest.approx(GENERATOR[kind](fake), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "logit", "expected"),
    [
        ("least_squares", -5.0, -12.0),
        ("least_squares", 1.0, 0.0),
        ("least_squares", 3.0, 4.0),
        ("bce", -5.0, -logistic(5.0)),
        ("bce", 0.0, -0.5),
        ("hinge", -5.0, -1.0),
        ("hinge", 5.0, -1.0),
    ],
)
def test_generator_gradients(kind: Adversarial, logit: float, expected: float) -> None:
    fake = torch.tensor([logit], requires_grad=True)
    assert gradient(generator_loss(kind, fake), fake) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "logit", "of_real", "of_fake"),
    [
        ("least_squares", -5.0, -6.0, -5.0),
        ("bce", -5.0, -0.5 * logistic(5.0), 0.5 * logistic(-5.0)),
        ("hinge", -5.0, -0.5, 0.0),
        ("hinge", 5.0, 0.0, 0.5),
    ],
)
def test_discriminator_gradients(
    kind: Adversarial, logit: float, of_real: float, of_fake: float
) -> None:
    real, fake = (torch.tensor([logit], requires_grad=True) for _ in range(2))
    gradients = torch.autograd.grad(discriminator_loss(kind, real, fake), (real, fake))
    assert [g.item() for g in gradients] == pytest.approx([of_real, of_fake], abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@given(real=st.floats(-6, 6), fake=st.floats(-6, 6), step=st.floats(0.01, 1.0))
def test_the_players_pull_against_each_other(
    kind: Adversarial, real: float, fake: float, step: float
) -> None:
    """Below 1 a fake's higher logit never hurts the generator; above 0 it never helps its judge."""
    low, high = torch.tensor([fake]), torch.tensor([fake + step])
    truth = torch.tensor([real])
    if fake + step <= 1:
        assert generator_loss(kind, high) <= generator_loss(kind, low)
    if fake >= 0:
        assert discriminator_loss(kind, truth, high) >= discriminator_loss(kind, truth, low)


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_means_over_patches_whatever_their_shape(kind: Adversarial) -> None:
    logits = torch.randn(2, 1, 3, 4, 5)
    flat = logits.flatten()
    torch.testing.assert_close(generator_loss(kind, logits), generator_loss(kind, flat))
    each = torch.stack([generator_loss(kind, x) for x in flat])
    torch.testing.assert_close(generator_loss(kind, logits), each.mean())
    assert discriminator_loss(kind, logits, flat[:7]).shape == ()


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_float32_and_finite_for_extreme_bf16_logits(kind: Adversarial) -> None:
    logits = torch.tensor([-1000.0, 1000.0], dtype=torch.bfloat16, requires_grad=True)
    for loss in (generator_loss(kind, logits), discriminator_loss(kind, logits, logits)):
        assert loss.dtype == torch.float32
        assert loss.isfinite()
        assert torch.autograd.grad(loss, logits)[0].isfinite().all()


@pytest.mark.parametrize(
    ("kind", "of_label"),
    [
        ("least_squares", lambda x, t: (x - t) ** 2),
        ("bce", lambda x, t: -t * x + math.log1p(math.exp(x))),
    ],
)
@pytest.mark.parametrize(("real", "fake"), [(0.5, -0.4), (-2.0, 3.0)])
def test_smoothed_labels_cover_their_ranges(
    kind: Adversarial, of_label: Callable[[float, float], float], real: float, fake: float
) -> None:
    """The mean over many labels is the integral over the ranges; no label lies beyond them."""
    torch.manual_seed(0)
    many = torch.ones(200_000)
    loss = discriminator_loss(kind, real * many, fake * many, smooth_labels=True)
    expected = 0.5 * sum(
        sum(of_label(logit, low + (high - low) * (i + 0.5) / 100) for i in range(100)) / 100
        for logit, low, high in ((real, 0.7, 1.2), (fake, 0.0, 0.3))
    )
    assert loss.item() == pytest.approx(expected, rel=3e-3)


def test_smoothed_labels_are_drawn_for_each_logit_and_call_and_stay_in_their_ranges() -> None:
    """With least squares the gradient is logit minus label: the labels can be read off it."""
    torch.manual_seed(1)
    real, fake = (torch.zeros(1000, requires_grad=True) for _ in range(2))
    drawn = []
    for _ in range(2):
        loss = discriminator_loss("least_squares", real, fake, smooth_labels=True)
        gradients = torch.autograd.grad(loss, (real, fake))
        drawn.append([-1000 * gradient for gradient in gradients])
    of_real, of_fake = drawn[0]
    assert 0.7 <= of_real.min() < 0.72
    assert 1.18 < of_real.max() <= 1.2001
    assert 0.0 <= of_fake.min() < 0.02
    assert 0.28 < of_fake.max() <= 0.3001
    assert len(of_real.unique()) > 900
    assert not torch.equal(of_real, drawn[1][0])


def test_smoothed_labels_come_from_the_global_generator() -> None:
    logits = torch.randn(50)
    results = []
    for _ in range(2):
        torch.manual_seed(5)
        results.append(discriminator_loss("bce", logits, logits, smooth_labels=True))
    assert torch.equal(*results)
    state = torch.get_rng_state()
    discriminator_loss("bce", logits, logits)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_hinge_loss_has_no_labels_to_smooth() -> None:
    with pytest.raises(ValueError, match="hinge"):
        discriminator_loss("hinge", torch.zeros(2), torch.zeros(2), smooth_labels=True)


def test_an_undecided_discriminator_has_log_two_and_no_pull() -> None:
    logits = torch.tensor(LOGITS, requires_grad=True)
    loss = undecided_loss(logits)
    each = [-0.5 * math.log(logistic(x)) - 0.5 * math.log(1 - logistic(x)) for x in LOGITS]
    assert loss.item() == pytest.approx(sum(each) / len(each), rel=1e-6)
    (gradient,) = torch.autograd.grad(loss, logits)
    expected = [(logistic(x) - 0.5) / len(LOGITS) for x in LOGITS]
    assert gradient.tolist() == pytest.approx(expected, abs=1e-7)
    assert undecided_loss(torch.zeros(3)).item() == pytest.approx(math.log(2))
    assert undecided_loss(torch.zeros(3, dtype=torch.bfloat16)).dtype == torch.float32
