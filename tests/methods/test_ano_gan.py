"""AnoGAN against its paper: the search and its loss, written out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from medgen.method import Clock, Setting
from medgen.methods import AnoGAN
from medgen.networks import DcganOptions

CLOCK = Clock(0, "train", 0.0, 0.0)
SMALL = DcganOptions(window=(8, 8, 8), channels=8, levels=1, latent=4)
SLICES = DcganOptions(window=(16, 16, 1), channels=8, levels=2, latent=4, spatial_dims=2)


def build(channels: int = 1, **options: Any) -> AnoGAN:
    torch.manual_seed(0)
    setting = Setting(channels, 1, "linear", source_head="tanh")
    return AnoGAN(setting, **{"network": SMALL, "search_steps": 5, **options})


def loud(method: AnoGAN) -> AnoGAN:
    """Return the method with a generator whose images differ as latents do; in eval()."""
    with torch.no_grad():
        method.generator.dense.weight.mul_(25.0)
        method.generator.head.layer.weight.mul_(25.0)  # type: ignore[operator, union-attr]
    return method.eval()


def images(seed: int = 0, size: int = 2, channels: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(size, channels, 8, 8, 8, generator=generator) * 2 - 1


def test_a_step_is_a_dcgans(descent: Any) -> None:
    method, other, batch = build(), build(), images()
    torch.manual_seed(1)
    losses = method.train_step({"source": batch}, minimize := descent(method), CLOCK)
    torch.manual_seed(1)
    fake = other.generator(torch.randn(2, 4))
    ones, zeros = torch.ones(2, 1), torch.zeros(2, 1)
    judge = F.binary_cross_entropy_with_logits
    told = judge(other.discriminator(batch), ones) + judge(other.discriminator(fake), zeros)
    assert losses["discriminator"].item() == pytest.approx(0.5 * told.item(), rel=1e-5)
    method.load_state_dict({**method.state_dict(), **_of(other, "generator")})
    torch.manual_seed(1)
    fooled = judge(method.discriminator(method.generator(torch.randn(2, 4))), ones)
    assert losses["generator"].item() == pytest.approx(fooled.item(), rel=1e-4)
    assert [player for player, _ in minimize.log] == ["discriminator", "generator"]


def _of(method: AnoGAN, player: str) -> dict[str, Tensor]:
    return {name: t for name, t in method.state_dict().items() if name.startswith(player)}


@pytest.mark.parametrize("lambda_features", [0.0, 0.1, 1.0])
def test_the_search_is_the_papers_written_out(lambda_features: float) -> None:
    """One window, one latent, autograd's own optimizer; sums, and the score over 1024 values."""
    method = loud(build(2, lambda_features=lambda_features, search_steps=7, search_rate=0.05))
    window = images(channels=2)[:1]
    latent = method.start.clone().requires_grad_()
    optimizer = torch.optim.Adam([latent], lr=0.05)

    def loss() -> Tensor:
        drawn = method.generator(latent)
        residual = (window - drawn).abs().sum()
        apart = method.discriminator.features(window) - method.discriminator.features(drawn)
        return (1 - lambda_features) * residual + lambda_features * apart.abs().sum()

    for _ in range(7):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    found = method.infer(window)
    torch.testing.assert_close(found[:, :2], window - method.generator(latent), atol=1e-4, rtol=0)
    torch.testing.assert_close(found[0, 2, 0, 0, 0], loss() / 1024, atol=1e-5, rtol=1e-4)


def test_it_finds_an_image_that_its_generator_drew() -> None:
    """And scores it below one that no latent leads to."""
    method = loud(build(search_steps=150, search_rate=0.1))
    with torch.no_grad():
        own = method.generate(torch.randn(4, 4, generator=torch.Generator().manual_seed(9)))
    own_score = method.infer(own)[:, -1, 0, 0, 0]
    start = loud(build(search_steps=1)).infer(own)[:, -1, 0, 0, 0]
    altered = own.clone()
    altered[:, :, 2:5, 2:5, 2:5] = 1.0 - altered[:, :, 2:5, 2:5, 2:5].abs()
    altered_score = method.infer(altered)[:, -1, 0, 0, 0]
    assert (own_score < 0.1 * start).all()
    assert (altered_score > 2 * own_score).all()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
def test_an_answer_is_the_same_whatever_the_seed_and_leaves_no_trace(mode: Any) -> None:
    method, answers = loud(build(search_steps=20)), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        with mode():
            answers.append(method.infer(images()))
            assert torch.is_grad_enabled() == (mode is torch.enable_grad)
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*answers)
    assert not answers[0].requires_grad
    assert method.start.grad is None
    assert all(parameter.grad is None for parameter in method.parameters())


def test_two_builds_start_from_the_same_latent_whatever_the_seed() -> None:
    first = build()
    torch.manual_seed(77)
    second = AnoGAN(Setting(1, 1, "tanh"), network=SMALL)
    assert torch.equal(first.start, second.start)
    assert "start" not in first.state_dict()


def test_a_search_does_not_see_its_neighbours() -> None:
    """To the bit beside any others; alone but for rounding, which steps make larger."""
    method = loud(build(search_steps=60, search_rate=0.05))
    windows = images(size=3)
    wild = torch.cat([windows[:1], 5 * windows[1:]])
    assert torch.equal(method.infer(wild)[:1], method.infer(windows)[:1])
    method = loud(build(search_steps=10, search_rate=0.05))
    alone = method.infer(windows[:1])
    torch.testing.assert_close(alone, method.infer(windows)[:1], atol=1e-3, rtol=1e-3)


def test_scores_mean_the_same_in_windows_of_every_size() -> None:
    """A generator that answers nothing: the score is the mean residual of every size."""
    scores = []
    for edge in (8, 16):
        options = SMALL.model_copy(update={"window": (edge, edge, edge)})
        method = build(network=options, lambda_features=0.0).eval()
        with torch.no_grad():
            for parameter in method.generator.parameters():
                parameter.zero_()
        scores.append(float(method.infer(torch.full((1, 1, edge, edge, edge), 0.5))[0, 1, 0, 0, 0]))
    assert scores == pytest.approx([0.5, 0.5])


def test_slices() -> None:
    method = build(network=SLICES).eval()
    assert method.window == (16, 16, 1)
    assert method.infer(torch.rand(3, 1, 16, 16, 1)).shape == (3, 2, 16, 16, 1)


def test_a_place_is_told_to_both_and_kept_out_of_the_residual() -> None:
    method = loud(build(located=True))
    image, here = images(), torch.zeros(2, 3, 8, 8, 8)
    one, other = (method.infer(torch.cat([image, here + shift], dim=1)) for shift in (0.0, 0.8))
    assert one.shape == (2, 2, 8, 8, 8)
    assert not torch.allclose(one, other, atol=1e-4)
    latent = torch.randn(2, 4)
    assert torch.equal(method.generate(latent), method.generate(latent, torch.zeros(2, 3)))
    assert not torch.equal(method.generate(latent), method.generate(latent, torch.ones(2, 3)))
    with pytest.raises(ValueError, match="no places"):
        build().generate(latent, torch.zeros(2, 3))


def test_the_papers_numbers_are_the_defaults() -> None:
    method = AnoGAN(
        Setting(1, 1, "tanh"), network=DcganOptions(window=(32, 32, 1), spatial_dims=2, channels=1)
    )
    assert (method.search_steps, method.lambda_features) == (500, 0.1)
    assert {(s.name, s.learning_rate, s.betas) for s in method.optimizers().values()} == {
        ("adam", 2e-4, (0.5, 0.999))
    }
    assert DcganOptions().features == (64, 128, 256, 512)
    assert not method.located
