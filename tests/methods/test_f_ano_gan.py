"""f-AnoGAN against its paper: who moves when, down which loss, and what a window scores."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from medgen.losses import gradient_penalty
from medgen.method import Clock, Setting
from medgen.methods import FAnoGAN
from medgen.networks import ResidualGanOptions

SMALL = ResidualGanOptions(window=(8, 8, 8), channels=4, levels=1, latent=4)


def build(channels: int = 1, **options: Any) -> FAnoGAN:
    torch.manual_seed(0)
    setting = Setting(channels, 1, "linear", source_head="tanh")
    return FAnoGAN(setting, **{"network": SMALL, **options})


def images(seed: int = 0, size: int = 3, channels: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(size, channels, 8, 8, 8, generator=generator) * 2 - 1


def at(step: int, stage: str = "gan") -> Clock:
    return Clock(step, stage, 0.0, 0.0)


@pytest.mark.parametrize(("critic_steps", "expected"), [(5, [0, 5, 10]), (1, list(range(11)))])
def test_the_generator_moves_once_for_so_many_moves_of_the_critic(
    critic_steps: int, expected: list[int], descent: Any
) -> None:
    method = build(critic_steps=critic_steps)
    moved, names = [], set()
    for step in range(11):
        losses = method.train_step(
            {"source": images()}, minimize := descent(method, 1e-3), at(step)
        )
        players = [player for player, _ in minimize.log]
        assert players[0] == "critic"
        moved += [step] if players[1:] == ["generator"] else []
        names.add(tuple(losses))
    assert moved == expected
    assert names == {("critic", "penalty", "generator")}  # the log's columns stay the same


def test_a_step_is_wgan_gps(descent: Any) -> None:
    method, other, real = build(), build(), images()
    torch.manual_seed(1)
    losses = method.train_step({"source": real}, minimize := descent(method), at(0))
    torch.manual_seed(1)
    fake = other.generator(torch.randn(3, 4)).detach()
    distance = other.critic(fake).mean() - other.critic(real).mean()
    penalty = gradient_penalty(other.critic, real, fake)
    assert losses["critic"].item() == pytest.approx(distance.item(), rel=1e-4, abs=1e-5)
    assert losses["penalty"].item() == pytest.approx(penalty.item(), rel=1e-4)
    total = distance.item() + 10.0 * penalty.item()
    assert minimize.log[0][1] == pytest.approx(total, rel=1e-4)
    drawn = other.generator(torch.randn(3, 4))
    moved = build()
    moved.load_state_dict(method.state_dict())
    assert losses["generator"].item() == pytest.approx(-moved.critic(drawn).mean().item(), rel=1e-3)
    assert minimize.log[1] == ("generator", losses["generator"].item())


def test_the_second_stage_moves_the_encoder_alone(descent: Any) -> None:
    method = build(lambda_features=0.5)
    for player in ("generator", "critic"):
        method.players()[player].eval()  # as the loop has those who rest
    before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    real = images()
    losses = method.train_step({"source": real}, minimize := descent(method), at(3, "encoder"))
    changed = {
        name.split(".")[0]
        for name, tensor in method.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert changed == {"encoder"}
    assert [player for player, _ in minimize.log] == ["encoder"]

    method.load_state_dict(before)
    drawn = method.generator(method.encoder(real))
    apart = method.critic.features(drawn) - method.critic.features(real)
    expected = [(drawn - real).square().mean().item(), apart.square().mean().item()]
    assert [loss.item() for loss in losses.values()] == pytest.approx(expected, rel=1e-4)
    assert minimize.log[0][1] == pytest.approx(expected[0] + 0.5 * expected[1], rel=1e-4)


def test_a_window_scores_what_the_encoder_learned_to_lower() -> None:
    method = build(2, lambda_features=2.0).eval()
    window = images(channels=2)
    with torch.no_grad():
        found = method.infer(window)
        for one, answer in zip(window, found, strict=True):
            drawn = method.generator(method.encoder(one[None]))
            apart = method.critic.features(one[None]) - method.critic.features(drawn)
            score = (one - drawn[0]).square().mean() + 2.0 * apart.square().mean()
            torch.testing.assert_close(answer[:2], one - drawn[0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(answer[2], score.expand(8, 8, 8), atol=1e-5, rtol=1e-4)


def test_one_pass_answers_a_window() -> None:
    method, passes = build().eval(), []
    method.generator.register_forward_hook(lambda *_: passes.append("generator"))
    method.encoder.register_forward_hook(lambda *_: passes.append("encoder"))
    with torch.no_grad():
        method.infer(images())
    assert passes == ["encoder", "generator"]


@pytest.mark.slow
def test_it_learns_to_tell_what_it_was_never_shown() -> None:
    """Blobs at two places in training; a window with both scores higher than one with either."""
    method = build(critic_steps=1, network=SMALL.model_copy(update={"channels": 8}))
    options = {"generator": 2e-3, "critic": 2e-3, "encoder": 5e-3}
    adams = {
        name: torch.optim.Adam(player.parameters(), lr=options[name], betas=(0.0, 0.9))
        for name, player in method.players().items()
    }

    def minimize(player: str, loss: Tensor) -> None:
        adams[player].zero_grad()
        loss.backward(inputs=list(method.players()[player].parameters()))
        adams[player].step()

    low, high = torch.full((1, 8, 8, 8), -0.8), torch.full((1, 8, 8, 8), -0.8)
    low[:, 1:4, 1:4, 1:4], high[:, 4:7, 4:7, 4:7] = 0.8, 0.8
    healthy = torch.stack([low, high] * 4)
    torch.manual_seed(0)
    for step in range(120):
        method.train_step({"source": healthy}, minimize, at(step))
    for player in (method.generator, method.critic):
        player.eval()
    for step in range(80):
        method.train_step({"source": healthy}, minimize, at(step, "encoder"))
    method.eval()
    with torch.no_grad():
        known = method.infer(healthy[:2])[:, -1, 0, 0, 0]
        strange = method.infer(torch.maximum(low, high)[None])[:, -1, 0, 0, 0]
    assert strange.min() > 1.5 * known.max()


def test_slices_and_places() -> None:
    network = ResidualGanOptions(
        window=(16, 16, 1), channels=4, levels=2, latent=4, spatial_dims=2, encoded="linear"
    )
    method = build(network=network, located=True).eval()
    assert method.window == (16, 16, 1)
    image, place = torch.rand(2, 1, 16, 16, 1), torch.zeros(2, 3, 16, 16, 1)
    with torch.no_grad():
        here, there = (method.infer(torch.cat([image, p], dim=1)) for p in (place, place + 0.9))
        assert here.shape == (2, 2, 16, 16, 1)
        assert not torch.allclose(here, there, atol=1e-5)
        drawn = method.generate(torch.randn(5, 4))
    assert drawn.shape == (5, 1, 16, 16, 1)


def test_the_papers_numbers_are_the_defaults() -> None:
    method = build()
    assert (method.critic_steps, method.lambda_penalty, method.lambda_features) == (5, 10.0, 1.0)
    specs = method.optimizers()
    for player in ("generator", "critic"):
        spec = specs[player]
        assert (spec.name, spec.learning_rate, spec.betas) == ("adam", 1e-4, (0.0, 0.9))
    assert (specs["encoder"].name, specs["encoder"].learning_rate) == ("rmsprop", 5e-5)
    assert [(stage.name, stage.fraction) for stage in method.stages] == [
        ("gan", 0.8),
        ("encoder", 0.2),
    ]
    assert (ResidualGanOptions().latent, ResidualGanOptions().encoded) == (128, "tanh")
