"""What variational autoencoders share: drawing, the ramp of beta, and new images."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from medgen.method import Clock, Generative, Setting
from medgen.methods import VAE
from medgen.methods.dense_latent import drawn
from medgen.networks import DenseAutoencoderOptions

NETWORK = DenseAutoencoderOptions(window=(8, 8, 8), channels=(4, 4), kernel=3, latent=5)


def build(**options: Any) -> VAE:
    torch.manual_seed(0)
    return VAE(Setting(1, 1, "linear"), network=NETWORK, **options).eval()


def test_latents_are_drawn_from_their_distributions() -> None:
    torch.manual_seed(0)
    mean, log_sigma = torch.tensor([[3.0, -1.0]]), torch.tensor([[0.5, 2.0]]).log()
    latents = drawn(mean.repeat(20_000, 1), log_sigma.repeat(20_000, 1))
    torch.testing.assert_close(latents.mean(0), mean[0], rtol=0, atol=0.05)
    torch.testing.assert_close(latents.std(0), log_sigma.exp()[0], rtol=0.02, atol=0)


@pytest.mark.parametrize(
    ("warm_up", "progress", "share"),
    [(0.0, 0.0, 1.0), (0.5, 0.0, 0.0), (0.5, 0.25, 0.5), (0.5, 0.5, 1.0), (0.5, 1.0, 1.0)],
)
def test_beta_rises_with_the_clock(warm_up: float, progress: float, share: float) -> None:
    clock = Clock(step=0, stage="", progress=progress, run_progress=0.0)
    assert build(beta_warm_up=warm_up).risen(clock) == pytest.approx(share)


def test_its_window_and_latent_are_the_networks() -> None:
    method = build()
    assert isinstance(method, Generative)
    assert (method.window, method.latent, method.windows_at_once) == ((8, 8, 8), 5, 16)
    assert (method.divisor, method.margin) == (1, 0)


def test_latents_become_images_at_their_place_or_in_the_middle() -> None:
    latent = torch.randn(3, 5)
    with torch.no_grad():
        plain, located = build(), build(located=True)
        assert plain.generate(latent).shape == (3, 1, 8, 8, 8)
        middle = located.generate(latent)
        assert torch.equal(middle, located.generate(latent, torch.zeros(3, 3)))
        assert not torch.equal(middle, located.generate(latent, torch.ones(3, 3)))


def test_a_method_that_knows_no_places_is_given_none() -> None:
    with pytest.raises(ValueError, match="knows no places"):
        build().generate(torch.randn(1, 5), torch.zeros(1, 3))
