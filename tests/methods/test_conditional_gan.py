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


def step_without_added_terms(
    method: ConditionalGAN, batch: dict[str, Tensor], minimize: Descent
) -> None:
    """Make the step as it was before terms could be added: what `make demo` was measured with."""
    source, target, mask = batch["source"], batch["target"], batch["mask"]

    def judge(images: Tensor) -> Tensor:
        times = len(images) // len(source)
        images = torch.where(mask.repeat(times, 1, 1, 1, 1) > 0.5, images, -1.0)
        logits: Tensor = method.discriminator(source.repeat(times, 1, 1, 1, 1), images)
        return logits

    fake = method.generator(source)
    real_logits, fake_logits = judge(torch.cat([target, fake.detach()])).chunk(2)
    halves = (real_logits - 1.0).square().mean() + fake_logits.square().mean()
    minimize("discriminator", 0.5 * halves)
    adversarial = (judge(fake) - 1.0).square().mean()
    weight = mask.expand_as(fake)
    l1 = ((fake - target).abs() * weight).sum() / weight.sum().clamp(min=1.0)
    minimize("generator", adversarial + 100.0 * l1)


def test_without_added_terms_nothing_changed_not_even_a_bit() -> None:
    ours, theirs = build(), build()
    for seed in range(2):
        losses = ours.train_step(random_batch(seed), Descent(ours, rate=1e-3), CLOCK)
        step_without_added_terms(theirs, random_batch(seed), Descent(theirs, rate=1e-3))
        assert list(losses) == ["discriminator", "adversarial", "l1"]
    assert all(
        torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True)
    )


MEDGAN = {"lambda_perceptual": 20.0, "lambda_style": 500.0}


def test_medgans_terms_compare_the_moved_discriminators_layers() -> None:
    method, batch = build(mask_loss=False, **MEDGAN), random_batch()
    with torch.no_grad():
        fake = method.generator(batch["source"])
    minimize = Descent(method)
    moved: list[dict[str, Tensor]] = []

    def watch(player: str, loss: Tensor) -> None:
        minimize(player, loss)
        moved.append({n: t.clone() for n, t in method.discriminator.state_dict().items()})

    losses = method.train_step(batch, watch, CLOCK)
    method.discriminator.load_state_dict(moved[0])
    with torch.no_grad():
        seen, real = (
            method.discriminator.features(batch["source"], image)
            for image in (fake, batch["target"])
        )
    assert len(seen) >= 2
    assert seen[0].shape[1] == 4
    perceptual = (fake - batch["target"]).abs().mean() + sum(
        (one - other).abs().mean() for one, other in zip(seen, real, strict=True)
    )
    torch.testing.assert_close(losses["perceptual"].detach(), perceptual, rtol=1e-4, atol=0)
    style = torch.zeros(())
    for one, other in zip(seen, real, strict=True):
        channels = one.shape[1]
        grams = [
            torch.einsum("bmxyz,bnxyz->bmn", maps, maps) / (channels * maps[0, 0].numel())
            for maps in (one, other)
        ]
        distance = (grams[0] - grams[1]).square().sum(dim=(1, 2)).mean()
        style = style + distance / (4 * channels**2)
    assert style > 0
    torch.testing.assert_close(losses["style"].detach(), style, rtol=1e-3, atol=0)
    total = losses["adversarial"] + 100.0 * losses["l1"] + 20.0 * perceptual + 500.0 * style
    assert minimize.log[1][1] == pytest.approx(total.item(), rel=1e-5)


@pytest.mark.parametrize("name", ["perceptual", "style"])
def test_medgans_terms_can_be_had_alone_and_steer_the_generator(name: str) -> None:
    method, plain = build(**{f"lambda_{name}": 10.0}), build()
    losses = method.train_step(random_batch(), Descent(method), CLOCK)
    plain.train_step(random_batch(), Descent(plain), CLOCK)
    assert list(losses) == ["discriminator", "adversarial", "l1", name]
    same = [torch.equal(*p) for p in zip(method.parameters(), plain.parameters(), strict=True)]
    players = [n.split(".")[0] for n, _ in method.named_parameters()]
    assert same == [player == "discriminator" for player in players]


def test_terms_without_a_weight_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("computed in vain")

    method = build(lambda_l1=0.0)
    method.feature_extractor = never
    monkeypatch.setattr(method.discriminator, "features", never)
    monkeypatch.setattr("medgen.methods.conditional_gan.l1_loss", never)
    monkeypatch.setattr("medgen.methods.paired.ssim_loss", never)
    losses = method.train_step(random_batch(), Descent(method), CLOCK)
    assert list(losses) == ["discriminator", "adversarial"]


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
        ("lambda_style", 1e-4, -1),
        ("lambda_features", 1, "much"),
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
