"""Ea-GAN against its paper, written out by hand."""

from __future__ import annotations

import inspect
from typing import Any, get_type_hints

import pytest
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from medgen.config import TrainConfig
from medgen.method import Clock, Setting
from medgen.methods import EaGAN
from medgen.networks import PatchDiscriminatorOptions, UNetOptions

GENERATOR = UNetOptions(channels=(4, 8), features=4, residual_units=1)
DISCRIMINATOR = PatchDiscriminatorOptions(channels=4, layers=1, norm="batch", padding=2)
KINDS = ["generator", "discriminator"]


def at(progress: float) -> Clock:
    return Clock(0, "", progress, progress)


def build(**options: Any) -> EaGAN:
    torch.manual_seed(0)
    return EaGAN(Setting(1, 1, "tanh"), generator=GENERATOR, discriminator=DISCRIMINATOR, **options)


def edges_of(image: Tensor) -> Tensor:
    """Return the paper's edge map: three kernels of slabs +M, 0, -M, and a bound norm."""
    smooth = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]])
    slabs = torch.stack([smooth, torch.zeros(3, 3), -smooth])
    kernels = torch.stack([slabs, slabs.permute(1, 0, 2), slabs.permute(1, 2, 0)])[:, None]
    filtered = F.conv3d(F.pad(image, (1,) * 6, value=-1.0), kernels)
    norm = (filtered.square().sum(1, keepdim=True) + 1e-12).sqrt()  # flat: no infinite gradient
    return 2 * torch.tanh(norm / 4) - 1


def papers_step(method: EaGAN, batch: dict[str, Tensor], kind: str, rate: float) -> list[float]:
    """Make one step after the ramp: separate passes, least squares, nothing of ours."""
    generator, discriminator = method.generator, method.discriminator
    source, target, mask = batch["source"], batch["target"], batch["mask"]

    def judge(image: Tensor) -> Tensor:
        image = image * mask - (1 - mask)
        seen = torch.cat([image, edges_of(image)], dim=1) if kind == "discriminator" else image
        logits: Tensor = discriminator(source, seen)
        return logits

    def descend(module: torch.nn.Module, loss: Tensor) -> None:
        module.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in module.parameters():
                assert parameter.grad is not None
                parameter.sub_(rate * parameter.grad)

    fake = generator(source)
    d_loss = 0.5 * (((judge(target) - 1) ** 2).mean() + (judge(fake.detach()) ** 2).mean())
    descend(discriminator, d_loss)
    adversarial = ((judge(fake) - 1) ** 2).mean()
    l1 = ((fake - target).abs() * mask).sum() / mask.sum()
    difference = edges_of(fake * mask - (1 - mask)) - edges_of(target * mask - (1 - mask))
    edge = (difference.abs() * mask).sum() / mask.sum()
    descend(generator, adversarial + 300.0 * l1 + 100.0 * edge)
    return [loss.item() for loss in (d_loss, adversarial, l1, edge)]


@pytest.mark.parametrize("kind", KINDS)
def test_two_steps_equal_the_papers_written_out(kind: Any, make_pair: Any, descent: Any) -> None:
    ours, theirs = build(edges=kind), build(edges=kind)
    minimize = descent(ours, rate=1e-4)
    for seed in range(2):
        batch = make_pair(seed)
        losses = ours.train_step(batch, minimize, at(1.0))
        expected = papers_step(theirs, batch, kind, 1e-4)
        assert list(losses) == ["discriminator", "adversarial", "l1", "edge"]
        assert [loss.item() for loss in losses.values()] == pytest.approx(expected, rel=1e-4)
    for left, right in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-5)
    assert [player for player, _ in minimize.log] == ["discriminator", "generator"] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_only_in_dea_the_judgement_reaches_the_generator_through_edges(
    kind: Any, make_pair: Any, descent: Any
) -> None:
    """By the adversarial loss alone, with and without the gradient of the edge map."""
    options = {"lambda_l1": 0.0, "lambda_edge": 0.0, "mask_loss": False, "edges": kind}
    batch = {key: image for key, image in make_pair().items() if key != "mask"}
    ours, other = build(**options), build(**options)
    ours.train_step(batch, minimize := descent(ours, rate=0.0), at(1.0))
    fake = other.generator(batch["source"])
    seen = {
        "generator": [fake],
        "discriminator": [fake, edges_of(fake)],
        "cut": [fake, edges_of(fake).detach()],
    }
    gradients = {}
    for name, channels in seen.items():
        if name == kind or (name == "cut" and kind == "discriminator"):
            logits = other.discriminator(batch["source"], torch.cat(channels, dim=1))
            gradients[name] = torch.autograd.grad(
                ((logits - 1) ** 2).mean(), list(other.generator.parameters()), retain_graph=True
            )
    scale = max(float(g.abs().max()) for g in minimize.gradients["generator"])
    for mine, theirs in zip(minimize.gradients["generator"], gradients[kind], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4 * scale)
    if kind == "discriminator":
        pairs = zip(minimize.gradients["generator"], gradients["cut"], strict=True)
        assert max(float((a - b).abs().max()) for a, b in pairs) > 0.05 * scale


def test_each_of_two_targets_has_edges_of_its_own(make_pair: Any, descent: Any) -> None:
    torch.manual_seed(0)
    method = EaGAN(Setting(2, 2, "linear"), generator=GENERATOR, discriminator=DISCRIMINATOR)
    batch, other = make_pair(0), make_pair(1)
    for key in ("source", "target"):
        batch[key] = torch.cat([batch[key], 20.0 * other[key]], dim=1)  # as hot as PET may be
    shown: list[Tensor] = []
    judge = method.discriminator.judge

    def watch(source: Tensor, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        shown.extend([source, real])
        return judge(source, real, fake)

    method.discriminator.judge = watch  # type: ignore[method-assign]
    losses = method.train_step(batch, descent(method, rate=0.0), at(1.0))
    hidden = torch.where(batch["mask"] > 0, batch["target"], -1.0)
    edges = [edges_of(channel) for channel in hidden.split(1, dim=1)]
    torch.testing.assert_close(shown[1], torch.cat([hidden, *edges], dim=1), atol=1e-5, rtol=1e-4)
    assert torch.equal(shown[0], batch["source"])
    assert all(loss.isfinite() for loss in losses.values())


@pytest.mark.parametrize(
    ("progress", "ramp", "share"),
    [(0.0, 0.2, 0.0), (0.1, 0.2, 0.5), (0.2, 0.2, 1.0), (0.9, 0.2, 1.0), (0.0, 0.0, 1.0)],
)
def test_the_edges_weight_rises_with_the_clock(
    progress: float, ramp: float, share: float, make_pair: Any, descent: Any
) -> None:
    method = build(edge_ramp=ramp)
    minimize = descent(method, rate=0.0)
    losses = method.train_step(make_pair(), minimize, at(progress))
    rest = losses["adversarial"] + 300.0 * losses["l1"]
    expected = (rest + share * 100.0 * losses["edge"]).item()
    assert losses["edge"].item() > 0.1
    assert minimize.log[1][1] == pytest.approx(expected, rel=1e-5)


def test_the_papers_numbers_are_the_defaults() -> None:
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(EaGAN.__init__).parameters.items()
    }
    assert defaults["edge_ramp"] == pytest.approx(20 / 150)
    assert (defaults["lambda_l1"], defaults["lambda_edge"]) == (300.0, 100.0)
    assert defaults["edges"] == "discriminator"
    assert defaults["generator"].name == "pix2pix_unet"
    assert defaults["generator"].divisor == 64 == TrainConfig().patch[0]  # the authors' unet_64
    judge = defaults["discriminator"]
    assert (judge.channels, judge.layers, judge.norm, judge.padding) == (64, 3, "batch", 2)
    assert {(s.name, s.learning_rate, s.betas) for s in build().optimizers().values()} == {
        ("adam", 2e-4, (0.5, 0.999))
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_discriminator_is_shown_this_steps_pairs_and_no_others(
    kind: Any, make_pair: Any, descent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The authors' pool mixed real pairs with fakes, and fakes with older ones."""
    method, batch = build(edges=kind, mask_loss=False), make_pair()
    shown: list[Tensor] = []
    judge = method.discriminator.judge

    def watch(source: Tensor, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        shown.extend([source, real, fake])
        return judge(source, real, fake)

    monkeypatch.setattr(method.discriminator, "judge", watch)
    for seed in range(3):
        batch = make_pair(seed)
        with torch.no_grad():
            fake = method.generator(batch["source"])
        shown.clear()
        method.train_step(batch, descent(method), at(1.0))
        assert torch.equal(shown[0], batch["source"])
        assert torch.equal(shown[1][:, :1], batch["target"])
        assert torch.equal(shown[2][:, :1], fake)
        assert [image.shape[1] for image in shown[1:]] == [2 if kind == "discriminator" else 1] * 2
        assert not shown[2].requires_grad


def test_a_block_that_leaves_keys_out_keeps_the_papers() -> None:
    hints = get_type_hints(EaGAN.__init__, include_extras=True)
    judges: TypeAdapter[Any] = TypeAdapter(hints["discriminator"])
    for name in ({}, {"name": "patch_discriminator"}):
        judge = judges.validate_python({**name, "channels": 8})
        assert (judge.channels, judge.layers, judge.norm, judge.padding) == (8, 3, "batch", 2)
    assert judges.validate_python({"norm": "instance"}).norm == "instance"
    assert judges.validate_python({"name": "context_discriminator"}).hidden == (512, 128)
    generators: TypeAdapter[Any] = TypeAdapter(hints["generator"])
    assert generators.validate_python({"levels": 5}).name == "pix2pix_unet"
    assert generators.validate_python({"name": "unet"}).name == "unet"


def test_smoothed_labels_follow_torchs_seed(make_pair: Any, descent: Any) -> None:
    def discriminator_loss(seed: int, **options: Any) -> float:
        method = build(smooth_labels=True, **options)
        torch.manual_seed(seed)
        return method.train_step(make_pair(), descent(method), at(1.0))["discriminator"].item()

    assert discriminator_loss(1) == discriminator_loss(1)
    assert discriminator_loss(1) != discriminator_loss(2)
    assert discriminator_loss(1, adversarial="bce") == discriminator_loss(1, adversarial="bce")


def test_labels_are_sharp_unless_asked_for(make_pair: Any, descent: Any) -> None:
    found = set()
    for seed in range(2):
        method = build()
        torch.manual_seed(seed)
        found.add(method.train_step(make_pair(), descent(method), at(1.0))["discriminator"].item())
    assert len(found) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_outside_the_mask_reaches_a_player(kind: Any, make_pair: Any, descent: Any) -> None:
    batch = make_pair()
    wild = {**batch, "target": torch.where(batch["mask"] > 0, batch["target"], 50.0)}
    trained = []
    for each in (batch, wild):
        method = build(edges=kind)
        method.train_step(each, descent(method), at(1.0))
        trained.append([p.detach() for p in method.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*trained, strict=True))


def test_a_flat_answer_and_an_empty_mask_are_survived(make_pair: Any, descent: Any) -> None:
    """The norm of the edges has no gradient where an image is flat."""
    batch = make_pair()
    batch["mask"].zero_()
    method = build()
    losses = method.train_step(batch, descent(method), at(1.0))
    assert losses["edge"].item() == losses["l1"].item() == 0.0
    assert all(parameter.isfinite().all() for parameter in method.parameters())


def test_terms_without_a_weight_cost_nothing(
    make_pair: Any, descent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> Tensor:
        raise AssertionError("computed in vain")

    monkeypatch.setattr("medgen.methods.ea_gan.sobel_edges", never)
    monkeypatch.setattr("medgen.methods.ea_gan.l1_loss", never)
    method = build(edges="generator", lambda_edge=0.0, lambda_l1=0.0)
    losses = method.train_step(make_pair(), descent(method), at(1.0))
    assert list(losses) == ["discriminator", "adversarial"]


@pytest.mark.parametrize(
    ("option", "good", "bad"),
    [
        ("generator", {"name": "pix2pix_unet", "levels": 4}, {"name": "resnet"}),
        ("edges", "generator", "both"),
        ("adversarial", "bce", "hinge"),
        ("edge_ramp", 0, 1.5),
        ("lambda_edge", 0, -1),
        ("smooth_labels", True, "perhaps"),
    ],
)
def test_options_are_typed_for_the_configuration(option: str, good: Any, bad: Any) -> None:
    hints = get_type_hints(EaGAN.__init__, include_extras=True)
    adapter: TypeAdapter[Any] = TypeAdapter(hints[option])
    adapter.validate_python(good)
    with pytest.raises(ValidationError):
        adapter.validate_python(bad)
