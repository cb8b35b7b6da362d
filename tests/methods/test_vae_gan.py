"""The VAE-GAN: the paper's three losses with their sums, written out by hand."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from medgen.method import Clock, Setting
from medgen.methods import VAEGAN
from medgen.networks import DenseAutoencoderOptions
from medgen.problems import ConfigurationError

NETWORK = DenseAutoencoderOptions(window=(8, 8, 8), channels=(4, 6), kernel=3, latent=5)
START = Clock(0, "", 0.0, 0.0)
RATE = 0.05
VALUES = 4 * 4**3
"""Of the map that is compared: the first of two levels."""


def build(network: DenseAutoencoderOptions = NETWORK, **options: Any) -> VAEGAN:
    torch.manual_seed(0)
    return VAEGAN(Setting(1, 1, "linear"), network=network, **options)


def images(seed: int = 0, window: Any = (8, 8, 8)) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((3, 1, *window), generator=generator) * 2 - 1


def descend(module: torch.nn.Module, loss: Tensor) -> None:
    gradients = torch.autograd.grad(loss, list(module.parameters()))
    with torch.no_grad():
        for parameter, gradient in zip(module.parameters(), gradients, strict=True):
            parameter.sub_(RATE * gradient)


def larsen_step(
    method: VAEGAN, source: Tensor, *, beta: float, gamma: float, l1: float
) -> dict[str, float]:
    """Make the paper's step: sums over the features, each player's loss divided by their number."""
    encoder, decoder = method.autoencoder.encoder, method.autoencoder.decoder
    discriminator = method.discriminator

    def features(image: Tensor) -> Tensor:
        return discriminator.descent(image)[0]

    def probability(image: Tensor) -> Tensor:
        logits: Tensor = discriminator.head(discriminator.descent(image)[-1].flatten(1))
        return logits.sigmoid()

    mean, log_sigma = encoder(source)
    posterior = Normal(mean, log_sigma.exp())
    latent = posterior.rsample()
    prior_latent = torch.randn_like(latent)
    image, sample = decoder(latent), decoder(prior_latent)

    fakes = torch.cat([image, sample]).detach()
    d_loss = -0.5 * (probability(source).log().mean() + (1 - probability(fakes)).log().mean())
    descend(discriminator, d_loss)

    like = 0.5 * (features(source) - features(image)).square().sum(dim=(1, 2, 3, 4)).mean()
    prior = kl_divergence(posterior, Normal(0.0, 1.0)).sum(dim=1).mean()
    error = (image - source).abs().mean()
    descend(encoder, (beta * prior + like) / VALUES + l1 * error)

    image, sample = decoder(latent.detach()), decoder(prior_latent)
    again = 0.5 * (features(source) - features(image)).square().sum(dim=(1, 2, 3, 4)).mean()
    fooled = -torch.cat([probability(image), probability(sample)]).log().mean()
    descend(decoder, gamma / VALUES * again + fooled + l1 * (image - source).abs().mean())
    return {
        "discriminator": d_loss.item(),
        "likeness": like.item() / VALUES,
        "divergence": prior.item(),
        "adversarial": fooled.item(),
    }


@pytest.mark.parametrize(
    ("beta", "gamma", "l1"), [(1.0, 1.0, 0.0), (3.0, 20.0, 0.5)], ids=["defaults", "other"]
)
def test_a_step_is_the_papers(descent: Any, beta: float, gamma: float, l1: float) -> None:
    ours = build(beta=beta, gamma=gamma, lambda_l1=l1)
    theirs = copy.deepcopy(ours)
    for seed in range(2):
        torch.manual_seed(seed)
        losses = ours.train_step({"source": images(seed)}, descent(ours, RATE), START)
        torch.manual_seed(seed)
        expected = larsen_step(theirs, images(seed), beta=beta, gamma=gamma, l1=l1)
        found = {name: loss.item() for name, loss in losses.items() if name != "l1"}
        assert found == pytest.approx(expected, rel=1e-4)
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5, msg=name)


def test_the_players_move_in_the_papers_order(descent: Any) -> None:
    method = build()
    game = descent(method)
    method.train_step({"source": images()}, game, START)
    assert [player for player, _ in game.log] == ["discriminator", "encoder", "decoder"]


def test_the_discriminator_does_not_learn_from_the_likeness(descent: Any) -> None:
    """It would learn to see nothing: its move is the same whatever the likeness weighs."""
    moved = []
    for gamma in (1.0, 1000.0):
        method = build(gamma=gamma)
        torch.manual_seed(1)
        method.train_step({"source": images()}, descent(method), START)
        moved.append(torch.cat([p.flatten() for p in method.discriminator.parameters()]))
    assert torch.equal(*moved)


def test_an_answer_is_the_residual_and_the_encoders_objective() -> None:
    method, source = build(beta=2.0, lambda_l1=0.5).eval(), images()
    with torch.no_grad():
        answer = method.infer(source)
        mean, log_sigma = method.autoencoder.encoder(source)
        image = method.autoencoder.decoder(mean)
        seen, wanted = (method.discriminator.descent(one)[0] for one in (image, source))
    torch.testing.assert_close(answer[:, :1], source - image)
    divergence = kl_divergence(Normal(mean, log_sigma.exp()), Normal(0.0, 1.0)).sum(dim=1)
    score = (0.5 * (seen - wanted).square().sum(dim=(1, 2, 3, 4)) + 2.0 * divergence) / VALUES
    score = score + 0.5 * (source - image).abs().mean(dim=(1, 2, 3, 4))
    torch.testing.assert_close(answer[:, 1], score[:, None, None, None].expand(3, 8, 8, 8))


def test_beta_warms_up_by_the_clock(descent: Any) -> None:
    encoders = []
    for progress in (0.0, 1.0):
        method = build(beta=100.0, beta_warm_up=0.5)
        game = descent(method)
        torch.manual_seed(1)
        method.train_step({"source": images()}, game, Clock(0, "", progress, 0.0))
        encoders.append(dict(game.log)["encoder"])
    assert encoders[1] > encoders[0]


def test_every_player_is_told_the_place() -> None:
    method = build(located=True).eval()
    here, there = (
        torch.cat([images(), torch.full((3, 3, 8, 8, 8), value)], dim=1) for value in (0.0, 0.8)
    )
    with torch.no_grad():
        answers = [method.infer(source) for source in (here, there)]
        assert (answers[0] - answers[1]).abs().max() > 1e-3
        judged = [method.discriminator(images(), one[:, 1:, 0, 0, 0])[0] for one in (here, there)]
    assert not torch.equal(*judged)


def test_slices_are_learned_and_answered(descent: Any) -> None:
    method = build(NETWORK.model_copy(update={"window": (16, 16, 1), "spatial_dims": 2}))
    source = images(window=(16, 16, 1))
    method.train_step({"source": source}, descent(method), START)
    with torch.no_grad():
        assert method.eval().infer(source).shape == (3, 2, 16, 16, 1)


def test_another_level_may_be_compared() -> None:
    _, features = build(similarity_level=2).discriminator(images())
    assert features.shape == (3, 6, 2, 2, 2)
    with pytest.raises(ConfigurationError, match="3 is no level"):
        build(similarity_level=3)


def test_the_optimizers_are_the_papers() -> None:
    specs = build().optimizers()
    assert {(spec.name, spec.learning_rate) for spec in specs.values()} == {("rmsprop", 3e-4)}


def test_the_logits_of_fakes_at_their_places_are_those_of_single_passes() -> None:
    method = build(located=True)
    one, other, place = images(1), images(2), torch.rand(3, 3)
    both = method._logits_of_both(one, other, place)
    alone = torch.cat([method.discriminator(image, place)[0] for image in (one, other)])
    torch.testing.assert_close(both, alone)
    assert F.softplus(both).isfinite().all()
