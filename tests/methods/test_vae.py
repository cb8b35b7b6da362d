"""The VAE: the objective's bookkeeping by torch's distributions, restoration, places, slices."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from medgen.method import Clock, Setting
from medgen.methods import METHODS, VAE
from medgen.methods.dense_latent import Beta, WarmUp
from medgen.networks import DenseAutoencoderOptions

NETWORK = DenseAutoencoderOptions(window=(8, 8, 8), channels=(4, 4), kernel=3, latent=5)
SLICES = NETWORK.model_copy(update={"window": (16, 16, 1), "spatial_dims": 2})
START = Clock(0, "", 0.0, 0.0)


def build(network: DenseAutoencoderOptions = NETWORK, channels: int = 2, **options: Any) -> VAE:
    torch.manual_seed(0)
    return VAE(Setting(channels, 1, "linear"), network=network, **options)


def images(size: int = 3, channels: int = 2, window: Any = (8, 8, 8), seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((size, channels, *window), generator=generator) * 2 - 1


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Return the weights of a VAE that knows a few smooth images."""
    method = build()
    optimizer = torch.optim.Adam(method.parameters(), lr=5e-3)

    def minimize(player: str, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for _ in range(40):
        method.train_step({"source": smooth()}, minimize, START)
    return method.state_dict()


@pytest.fixture
def trained(weights: dict[str, Tensor]) -> VAE:
    method = build()
    method.load_state_dict(weights)
    return method.eval()


def smooth() -> Tensor:
    return torch.nn.functional.interpolate(images(4, window=(2, 2, 2)), (8, 8, 8), mode="trilinear")


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_what_is_lowered_is_the_sums_over_the_number_of_values(beta: float) -> None:
    """N times the loss is the mean over the batch of sum |x - x'| + beta KL."""
    method, source = build(beta=beta), images()
    lowered: list[Tensor] = []
    torch.manual_seed(5)
    losses = method.train_step({"source": source}, lambda _, loss: lowered.append(loss), START)

    torch.manual_seed(5)
    mean, log_sigma = method.autoencoder.encoder(source)
    posterior = Normal(mean, log_sigma.exp())
    latent = posterior.rsample()
    reconstruction = method.autoencoder.decoder(latent)
    summed = (source - reconstruction).abs().sum(dim=(1, 2, 3, 4))
    divergence = kl_divergence(posterior, Normal(0.0, 1.0)).sum(dim=1)
    expected = (summed + beta * divergence).mean()
    torch.testing.assert_close(lowered[0] * (2 * 8**3), expected)
    torch.testing.assert_close(losses["l1"], (source - reconstruction).abs().mean())
    if beta > 0:
        torch.testing.assert_close(losses["divergence"], divergence.mean())


def test_beta_warms_up_by_the_clock_and_is_logged_as_it_is() -> None:
    method, source = build(beta=3.0, beta_warm_up=0.5), images()
    totals, divergences = [], []
    for progress in (0.0, 0.25, 0.5, 1.0):
        lowered: list[Tensor] = []
        torch.manual_seed(5)
        losses = method.train_step(
            {"source": source},
            lambda _, loss, kept=lowered: kept.append(loss),  # type: ignore[misc]
            Clock(0, "", progress, 0.0),
        )
        totals.append((lowered[0] - losses["l1"]).item())
        divergences.append(losses["divergence"].item())
    whole = 3.0 * divergences[0] / (2 * 8**3)
    assert divergences == pytest.approx([divergences[0]] * 4)
    assert totals == pytest.approx([0.0, 0.5 * whole, whole, whole], abs=1e-6)


def test_an_answer_is_the_residual_of_the_mean_and_its_objective() -> None:
    method, source = build(beta=2.0).eval(), images()
    with torch.no_grad():
        answer = method.infer(source)
        mean, log_sigma = method.autoencoder.encoder(source)
        residual = source - method.autoencoder.decoder(mean)
    assert answer.shape == (3, 3, 8, 8, 8)
    torch.testing.assert_close(answer[:, :2], residual)
    divergence = kl_divergence(Normal(mean, log_sigma.exp()), Normal(0.0, 1.0)).sum(dim=1)
    score = residual.abs().mean(dim=(1, 2, 3, 4)) + 2.0 * divergence / (2 * 8**3)
    torch.testing.assert_close(answer[:, 2], score[:, None, None, None].expand(3, 8, 8, 8))


def test_a_bounded_source_is_answered_through_a_tanh() -> None:
    torch.manual_seed(0)
    setting = Setting(1, 1, "linear", source_head="tanh")
    method = VAE(setting, network=NETWORK).eval()
    with torch.no_grad():
        assert method.generate(1000 * torch.randn(2, 5)).abs().max() <= 1.0


def score(method: VAE, source: Tensor, steps: int) -> Tensor:
    method.search_steps = steps
    with torch.no_grad():
        return method.infer(source)[:, -1, 0, 0, 0]


def test_restoration_lowers_the_score_of_every_window(trained: VAE) -> None:
    odd = smooth()
    odd[:, :, 2:5, 2:5, 2:5] = 1.0
    scores = [score(trained, odd, steps) for steps in (0, 5, 20)]
    assert (scores[1] < scores[0]).all()
    assert (scores[2] < scores[1]).all()


def test_restoration_never_raises_a_score_however_long_its_steps(trained: VAE) -> None:
    trained.restoration_rate = 50.0
    before, after = (score(trained, smooth(), steps) for steps in (0, 3))
    assert (after <= before * (1 + 1e-6)).all()


def test_restoration_is_deterministic_and_knows_no_neighbours(trained: VAE) -> None:
    trained.search_steps = 10
    source = smooth() + 0.2 * images(4)
    torch.manual_seed(1)
    with torch.no_grad():
        together = trained.infer(source)
        torch.manual_seed(2)
        assert torch.equal(trained.infer(source), together)
        alone = torch.cat([trained.infer(one[None]) for one in source])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)


def test_restoration_gives_no_parameter_a_gradient() -> None:
    method = build(restoration_steps=2).eval()
    for context in (torch.no_grad, torch.enable_grad):
        with context():
            answer = method.infer(images())
        assert all(parameter.grad is None for parameter in method.parameters())
        assert answer.isfinite().all()


def test_a_place_changes_the_answer() -> None:
    method = build(located=True).eval()
    here, there = (
        torch.cat([images(), torch.full((3, 3, 8, 8, 8), value)], dim=1) for value in (0.0, 0.8)
    )
    with torch.no_grad():
        answers = [method.infer(source) for source in (here, there)]
    assert answers[0].shape == (3, 3, 8, 8, 8)
    assert (answers[0] - answers[1]).abs().max() > 1e-3


def test_a_known_place_is_learned() -> None:
    """Two windows that differ in their place alone are told apart by it alone."""
    method = build(located=True, channels=1, beta=0.0)
    places = torch.tensor([-1.0, 1.0])[:, None, None, None, None].expand(2, 3, 8, 8, 8)
    source = torch.cat([torch.zeros(2, 1, 8, 8, 8), places], dim=1)
    latent = torch.zeros(2, 5)
    optimizer = torch.optim.Adam(method.autoencoder.decoder.parameters(), lr=2e-2)
    for _ in range(40):
        image = method.autoencoder.decoder(latent, source[:, 1:, 0, 0, 0])
        loss = (image - 0.5 * source[:, 1:2]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2  # 0.5 without the place


def test_slices_are_learned_and_answered() -> None:
    method = build(SLICES)
    source = images(window=(16, 16, 1))
    method.train_step({"source": source}, lambda _, loss: loss.backward(), START)
    assert all(parameter.grad is not None for parameter in method.parameters())
    with torch.no_grad():
        assert method.eval().infer(source).shape == (3, 3, 16, 16, 1)
    assert method.window == (16, 16, 1)


def test_the_optimizer_is_the_studys() -> None:
    assert METHODS["vae"] is VAE
    spec = build().optimizers()["autoencoder"]
    assert (spec.name, spec.learning_rate, spec.betas) == ("adam", 1e-4, (0.5, 0.999))


@pytest.mark.parametrize(("option", "value"), [(Beta, -1.0), (WarmUp, 1.5), (WarmUp, -0.1)])
def test_options_are_strict(option: Any, value: float) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(option).validate_python(value)
