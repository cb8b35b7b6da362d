"""The context-aware GAN against its paper: sums by hand, a judge that never sees the source."""

from __future__ import annotations

from typing import Any, get_type_hints

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import TypeAdapter
from torch import Tensor, nn

from medgen.method import Clock, Setting
from medgen.methods import ContextAwareGAN
from medgen.networks import (
    ContextDiscriminatorOptions,
    ContextFCNOptions,
    PatchDiscriminatorOptions,
)

CLOCK = Clock(0, "", 0.0, 0.0)
GENERATOR = ContextFCNOptions(channels=2)
DISCRIMINATOR = ContextDiscriminatorOptions(channels=2, hidden=(4, 4))


def build(setting: Setting = Setting(1, 1, "tanh"), **options: Any) -> ContextAwareGAN:  # noqa: B008
    torch.manual_seed(0)
    chosen = {"generator": GENERATOR, "discriminator": DISCRIMINATOR, **options}
    return ContextAwareGAN(setting, **chosen)


def inner(image: Tensor) -> Tensor:
    return image[..., 8:-8, 8:-8, 8:-8]


def sums(fake: NDArray[Any], target: NDArray[Any]) -> tuple[float, float]:
    """Return the authors' two sums per sample: half the squared error, and the GDL."""
    half = 0.5 * float(((fake - target) ** 2).sum()) / len(fake)
    gradient = 0.0
    for axis in (2, 3, 4):
        steeper = abs(np.diff(target, axis=axis)) - abs(np.diff(fake, axis=axis))
        gradient += float((steeper**2).sum()) / len(fake)
    return half, gradient


@pytest.mark.parametrize("voxels", [16, 20])
def test_the_papers_balance_of_sums_holds_at_any_patch_size(
    voxels: int, make_pair: Any, descent: Any
) -> None:
    method = build(mask_loss=False)
    batch = make_pair(voxels=voxels, margin=8)
    with torch.no_grad():
        fake = method.generator(batch["source"])
    minimize = descent(method, rate=0.0)
    losses = method.train_step(batch, minimize, CLOCK)
    assert set(losses) == {"discriminator", "l2", "gradient", "adversarial"}
    half, gradient = sums(
        fake.double().numpy(), inner(batch["target"]).contiguous().double().numpy()
    )
    count = voxels**3
    with torch.no_grad():
        logits = method.discriminator(batch["source"][:, :0], fake)
    bce = F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits)).item()
    assert losses["adversarial"].item() == pytest.approx(bce, rel=1e-3)
    # A mean over forward differences has one voxel less along its axis than the patch.
    objective = half + gradient * voxels / (voxels - 1) + 0.05 * bce
    assert minimize.log[1][1] == pytest.approx(objective * 2 / count, rel=1e-4)
    assert losses["l2"].item() == pytest.approx(half * 2 / count, rel=1e-4)


def test_the_adversarial_gradient_is_weighed_the_same(make_pair: Any, descent: Any) -> None:
    """Its share of the generator's gradient, measured; ten thousandfold, to stand out."""
    batch = make_pair(margin=8)
    gradients = []
    for weight in (0.0, 500.0):
        method = build(mask_loss=False, lambda_adversarial=weight)
        method.train_step(batch, minimize := descent(method, rate=0.0), CLOCK)
        gradients.append(minimize.gradients["generator"])
    method = build(mask_loss=False)
    fake = method.generator(batch["source"])
    bce = F.softplus(-method.discriminator(batch["source"][:, :0], fake)).mean()
    wanted = torch.autograd.grad(1000.0 / 4096 * bce, list(method.generator.parameters()))
    for without, within, alone in zip(*gradients, wanted, strict=True):
        torch.testing.assert_close(within - without, alone, rtol=0.01, atol=1e-4)


def test_the_discriminator_is_a_binary_judge_moved_first(make_pair: Any, descent: Any) -> None:
    method, batch = build(mask_loss=False), make_pair(margin=8)
    with torch.no_grad():
        fake = method.generator(batch["source"])
        nothing = batch["source"][:, :0]
        real, false = (method.discriminator(nothing, i) for i in (inner(batch["target"]), fake))
    expected = 0.5 * (
        F.binary_cross_entropy_with_logits(real, torch.ones_like(real))
        + F.binary_cross_entropy_with_logits(false, torch.zeros_like(false))
    )
    minimize = descent(method)
    losses = method.train_step(batch, minimize, CLOCK)
    assert losses["discriminator"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert [player for player, _ in minimize.log] == ["discriminator", "generator"]


@pytest.mark.parametrize(
    "discriminator", [DISCRIMINATOR, PatchDiscriminatorOptions(channels=4, layers=1)]
)
def test_no_discriminator_sees_the_source(discriminator: Any, make_pair: Any, descent: Any) -> None:
    """Whichever is chosen: its first convolution has the channels of the target alone."""
    method = build(Setting(3, 1, "linear"), discriminator=discriminator)
    first = next(m for m in method.discriminator.modules() if isinstance(m, nn.Conv3d))
    assert first.in_channels == 1
    batch = make_pair(margin=8)
    batch["source"] = batch["source"].repeat(1, 3, 1, 1, 1)
    losses = method.train_step(batch, descent(method), CLOCK)
    assert all(loss.isfinite() for loss in losses.values())


def test_the_mask_limits_the_losses(make_pair: Any, descent: Any) -> None:
    batch = make_pair(margin=8)
    wild = {**batch, "target": torch.where(batch["mask"] > 0, batch["target"], 50.0)}
    trained = []
    for each in (batch, wild):
        method = build()
        method.train_step(each, descent(method), CLOCK)
        trained.append([p.detach() for p in method.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*trained, strict=True))


def test_an_empty_mask_is_survived(make_pair: Any, descent: Any) -> None:
    method, batch = build(), make_pair(margin=8)
    batch["mask"].zero_()
    losses = method.train_step(batch, descent(method), CLOCK)
    assert losses["l2"].item() == losses["gradient"].item() == 0.0
    assert all(parameter.isfinite().all() for parameter in method.parameters())


def test_terms_without_a_weight_cost_nothing(
    make_pair: Any, descent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> Tensor:
        raise AssertionError("computed in vain")

    monkeypatch.setattr("medgen.methods.context_aware_gan.gradient_difference_loss", never)
    monkeypatch.setattr("medgen.methods.context_aware_gan.generator_loss", never)
    method = build(lambda_gradient=0.0, lambda_adversarial=0.0)
    losses = method.train_step(make_pair(margin=8), descent(method), CLOCK)
    assert list(losses) == ["discriminator", "l2"]


def test_adam_with_the_authors_momentum() -> None:
    specs = build().optimizers()
    assert {(s.name, s.learning_rate, s.betas) for s in specs.values()} == {
        ("adam", 1e-4, (0.5, 0.999))
    }


def test_a_block_without_a_name_is_the_papers_network() -> None:
    hints = get_type_hints(ContextAwareGAN.__init__, include_extras=True)
    for option, name in [("generator", "context_fcn"), ("discriminator", "context_discriminator")]:
        adapter: TypeAdapter[Any] = TypeAdapter(hints[option])
        assert adapter.validate_python({"channels": 4}).name == name
