"""The conditional GAN against its paper, written out by hand."""

from __future__ import annotations

import inspect
from typing import Any, get_type_hints

import pytest
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from medgen.method import Clock, Setting
from medgen.methods import ConditionalGAN
from medgen.networks import PatchDiscriminatorOptions, UNetOptions
from medgen.problems import ConfigurationError

CLOCK = Clock(0, "", 0.0, 0.0)
GENERATOR = UNetOptions(channels=(4, 8), features=4, residual_units=1)
DISCRIMINATOR = PatchDiscriminatorOptions(channels=4, layers=1)


def build(**options: Any) -> ConditionalGAN:
    torch.manual_seed(0)
    return ConditionalGAN(
        Setting(1, 1, "tanh"), generator=GENERATOR, discriminator=DISCRIMINATOR, **options
    )


def random_batch(seed: int = 0, voxels: int = 10) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 1, voxels, voxels, voxels)
    source, target = (torch.rand(shape, generator=generator) * 2 - 1 for _ in range(2))
    mask = (torch.rand(shape, generator=generator) < 0.5).float()
    return {"source": source, "target": target, "mask": mask}


class Descent:
    """Plain gradient descent, so that a step can be repeated by hand."""

    def __init__(self, method: ConditionalGAN, rate: float = 0.05) -> None:
        self.players = method.players()
        self.rate = rate
        self.log: list[tuple[str, float]] = []

    def __call__(self, player: str, loss: Tensor) -> None:
        parameters = list(self.players[player].parameters())
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.sub_(self.rate * gradient)
        self.log.append((player, loss.item()))


def pix2pix_step(method: ConditionalGAN, batch: dict[str, Tensor], rate: float) -> list[float]:
    """Make the paper's step with separate passes, least squares and no helper of ours."""
    generator, discriminator = method.generator, method.discriminator
    source, target, mask = batch["source"], batch["target"], batch["mask"]

    def shown(image: Tensor) -> Tensor:
        return image * mask - (1 - mask)

    def descend(module: torch.nn.Module, loss: Tensor) -> None:
        module.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in module.parameters():
                assert parameter.grad is not None
                parameter.sub_(rate * parameter.grad)

    fake = generator(source)
    real_logits = discriminator(source, shown(target))
    fake_logits = discriminator(source, shown(fake.detach()))
    d_loss = 0.5 * (((real_logits - 1) ** 2).mean() + (fake_logits**2).mean())
    descend(discriminator, d_loss)

    adversarial = ((discriminator(source, shown(fake)) - 1) ** 2).mean()
    l1 = ((fake - target).abs() * mask).sum() / mask.sum()
    descend(generator, adversarial + 100.0 * l1)
    return [d_loss.item(), adversarial.item(), l1.item()]


def test_two_steps_equal_the_papers_written_out() -> None:
    ours, theirs = build(), build()
    minimize = Descent(ours, rate=1e-3)
    for seed in range(2):
        batch = random_batch(seed)
        losses = ours.train_step(batch, minimize, CLOCK)
        expected = pix2pix_step(theirs, batch, 1e-3)
        assert [losses[k].item() for k in ("discriminator", "adversarial", "l1")] == pytest.approx(
            expected, rel=1e-4
        )
    for left, right in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-5)


def test_the_discriminator_moves_first() -> None:
    method = build()
    minimize = Descent(method)
    losses = method.train_step(random_batch(), minimize, CLOCK)
    assert [player for player, _ in minimize.log] == ["discriminator", "generator"]
    total = losses["adversarial"] + 100.0 * losses["l1"]
    assert minimize.log[1][1] == pytest.approx(total.item(), rel=1e-5)


@pytest.mark.parametrize("adversarial", ["least_squares", "bce", "hinge"])
def test_every_kind_of_loss_steps(adversarial: Any) -> None:
    method = build(adversarial=adversarial)
    losses = method.train_step(random_batch(), Descent(method), CLOCK)
    assert all(loss.isfinite() for loss in losses.values())


def test_lambda_l1_weighs_the_error() -> None:
    method = build(lambda_l1=0.0)
    minimize = Descent(method)
    losses = method.train_step(random_batch(), minimize, CLOCK)
    assert minimize.log[1][1] == pytest.approx(losses["adversarial"].item(), rel=1e-6)


def test_nothing_outside_the_mask_reaches_a_player() -> None:
    """A wild target there moves nobody."""
    batch = random_batch()
    wild = {**batch, "target": torch.where(batch["mask"] > 0, batch["target"], 50.0)}
    trained = []
    for each in (batch, wild):
        method = build()
        method.train_step(each, Descent(method), CLOCK)
        trained.append([p.detach() for p in method.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*trained, strict=True))


def test_without_the_mask_the_whole_patch_counts() -> None:
    method = build(mask_loss=False)
    batch = random_batch()
    del batch["mask"]
    fake = method.generator(batch["source"]).detach()
    losses = method.train_step(batch, Descent(method), CLOCK)
    torch.testing.assert_close(losses["l1"], F.l1_loss(fake, batch["target"]))


def test_an_empty_mask_is_survived() -> None:
    method = build()
    batch = random_batch()
    batch["mask"].zero_()
    losses = method.train_step(batch, Descent(method), CLOCK)
    assert losses["l1"].item() == 0
    assert all(parameter.isfinite().all() for parameter in method.parameters())


def test_the_mask_is_read_only_where_it_is_used() -> None:
    assert build().reads == (frozenset({"source", "target", "mask"}),)
    assert build(mask_loss=False).reads == (frozenset({"source", "target"}),)


def test_the_papers_optimizers() -> None:
    specs = build().optimizers()
    assert {(s.name, s.learning_rate, s.betas) for s in specs.values()} == {
        ("adam", 2e-4, (0.5, 0.999))
    }


def test_only_the_generator_is_exported() -> None:
    assert build().answering == {"generator"}


def test_the_nets_decide_the_sizes() -> None:
    method = build()
    assert (method.divisor, method.minimum_patch) == (2, 10)
    with pytest.raises(ConfigurationError, match="patch_discriminator cannot take"):
        method.train_step(random_batch(voxels=8), Descent(method), CLOCK)


@pytest.mark.parametrize(
    ("option", "good", "bad"),
    [
        ("generator", {"name": "unet", "channels": [4, 8]}, {"name": "resnet"}),
        ("discriminator", {"layers": 2}, {"layers": 0}),
        ("adversarial", "hinge", "wasserstein"),
        ("lambda_l1", 10, -1),
        ("mask_loss", False, "perhaps"),
    ],
)
def test_options_are_typed_for_the_configuration(option: str, good: Any, bad: Any) -> None:
    hints = get_type_hints(ConditionalGAN.__init__, include_extras=True)
    adapter: TypeAdapter[Any] = TypeAdapter(hints[option])
    adapter.validate_python(good)
    with pytest.raises(ValidationError):
        adapter.validate_python(bad)


def test_options_are_keywords_with_defaults() -> None:
    parameters = list(inspect.signature(ConditionalGAN.__init__).parameters.values())[2:]
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in parameters)
    assert all(p.default is not inspect.Parameter.empty for p in parameters)
