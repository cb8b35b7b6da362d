"""What paired methods share: the margin is trimmed, the outside hidden, features are lent."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from medgen.losses import anatomical_loss
from medgen.method import Clock, Setting
from medgen.methods import ConditionalGAN, ContextAwareGAN, EaGAN, Regression
from medgen.networks import (
    ContextFCNOptions,
    PatchDiscriminatorOptions,
    Pix2PixUNetOptions,
    UNetOptions,
)

CLOCK = Clock(0, "", 1.0, 1.0)
SETTING = Setting(1, 1, "linear")
UNET = UNetOptions(channels=(4, 8), features=4, residual_units=1)
FCN = ContextFCNOptions(channels=2, long_residual=True)
JUDGE = {"discriminator": PatchDiscriminatorOptions(channels=4, layers=1)}
METHODS = [
    (Regression, {}, "l1"),
    (ConditionalGAN, JUDGE, "l1"),
    (EaGAN, JUDGE, "l1"),
    (ContextAwareGAN, JUDGE, "l2"),
]


def build(method: Any, **options: Any) -> Any:
    torch.manual_seed(0)
    return method(SETTING, **options)


@pytest.mark.parametrize(("method", "options", "loss"), METHODS)
def test_an_identity_that_crops_makes_no_error(
    method: Any, options: Any, loss: str, make_pair: Any, descent: Any
) -> None:
    """Where the answer is the source less the margin, the source as target leaves nothing."""
    built = build(method, generator=FCN, **options)
    last = [m for m in built.generator.modules() if isinstance(m, torch.nn.Conv3d)][-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    batch = make_pair(margin=8)
    batch["target"] = batch["source"].clone()
    losses = built.train_step(batch, descent(built, rate=0.0), CLOCK)
    assert losses[loss].item() == 0.0
    shifted = {**batch, "target": batch["source"].roll(1, dims=2)}
    assert built.train_step(shifted, descent(built, rate=0.0), CLOCK)[loss].item() > 0.1


@pytest.mark.parametrize(("method", "options", "loss"), METHODS)
def test_target_and_mask_in_the_margin_move_nobody(
    method: Any, options: Any, loss: str, make_pair: Any, descent: Any
) -> None:
    batch = make_pair(margin=8)
    inner = (..., *(slice(8, -8),) * 3)
    wild = {"source": batch["source"]}
    for key in ("target", "mask"):
        wild[key] = torch.full_like(batch[key], 7.0)
        wild[key][inner] = batch[key][inner]
    moved = []
    for each in (batch, wild):
        built = build(method, generator=FCN, **options)
        built.train_step(each, descent(built), CLOCK)
        moved.append([p.detach() for p in built.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*moved, strict=True))


@pytest.mark.parametrize(("method", "options", "loss"), METHODS[1:])
def test_the_discriminator_sees_nothing_of_the_margin(
    method: Any, options: Any, loss: str, make_pair: Any, descent: Any
) -> None:
    built = build(method, generator=FCN, **options)
    sizes = []
    judge = built.discriminator.judge

    def watch(source: Tensor, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        sizes.extend([source.shape[2:], real.shape[2:], fake.shape[2:]])
        answer: tuple[Tensor, Tensor] = judge(source, real, fake)
        return answer

    built.discriminator.judge = watch
    built.train_step(make_pair(margin=8), descent(built), CLOCK)
    assert set(sizes) == {(16, 16, 16)}


def test_the_phase_comes_from_the_generator() -> None:
    shallow = Pix2PixUNetOptions(channels=4, levels=3)
    assert Regression(SETTING, generator=shallow).phase == 1
    assert Regression(SETTING).phase == Regression(SETTING).divisor


@pytest.mark.parametrize(("method", "options", "loss"), METHODS)
def test_sizes_come_from_the_generator(method: Any, options: Any, loss: str) -> None:
    assert build(method, generator=UNET, **options).margin == 0
    built = build(method, generator=FCN, **options)
    assert (built.margin, built.divisor) == (8, 1)
    assert built.infer(torch.zeros(1, 1, 32, 32, 32)).shape == (1, 1, 16, 16, 16)


class Extractor:
    """Two levels of frozen features, and what was shown."""

    def __init__(self) -> None:
        torch.manual_seed(5)
        self.weights = [torch.randn(3, 1, 3, 3, 3), torch.randn(5, 3, 3, 3, 3)]
        self.shown: list[Tensor] = []
        self.grads: list[bool] = []

    def __call__(self, image: Tensor) -> tuple[Tensor, ...]:
        self.shown.append(image.detach().clone())
        first = torch.nn.functional.conv3d(image, self.weights[0], padding=1).relu()
        second = torch.nn.functional.conv3d(first, self.weights[1], padding=1, stride=2)
        self.grads.append(second.requires_grad)
        return first, second


FEATURED = [(Regression, {}), (ConditionalGAN, JUDGE)]


@pytest.mark.parametrize(("method", "options"), FEATURED)
def test_features_are_those_of_hidden_images(
    method: Any, options: Any, make_pair: Any, descent: Any
) -> None:
    built = build(method, generator=UNET, lambda_features=3.0, **options)
    extractor = built.feature_extractor = Extractor()
    batch = make_pair()
    with torch.no_grad():
        fake = built.generator(batch["source"])
    losses = built.train_step(batch, minimize := descent(built), CLOCK)
    hidden = [torch.where(batch["mask"] > 0, image, -1.0) for image in (batch["target"], fake)]
    assert all(torch.equal(*pair) for pair in zip(extractor.shown, hidden, strict=True))
    assert extractor.grads == [False, True], "the target's features need no graph"
    expected = anatomical_loss(extractor(hidden[1]), extractor(hidden[0]))
    torch.testing.assert_close(losses["features"].detach(), expected)

    plain = build(method, generator=UNET, **options)
    plain.train_step(batch, other := descent(plain), CLOCK)
    added = minimize.log[-1][1] - other.log[-1][1]
    assert added == pytest.approx(3.0 * expected.item(), rel=1e-3)
    assert any(
        not torch.equal(one, two)
        for one, two in zip(
            minimize.gradients["generator"], other.gradients["generator"], strict=True
        )
    )


@pytest.mark.parametrize(("method", "options"), FEATURED)
def test_features_are_asked_for_where_they_have_a_weight(
    method: Any, options: Any, make_pair: Any, descent: Any
) -> None:
    assert not build(method, generator=UNET, **options).needs_features
    built = build(method, generator=UNET, lambda_features=1.0, **options)
    assert built.needs_features
    with pytest.raises(RuntimeError, match="feature_extractor"):
        built.train_step(make_pair(), descent(built), CLOCK)


@pytest.mark.parametrize(("method", "options"), FEATURED)
def test_structural_similarity_equals_monais(
    method: Any, options: Any, make_pair: Any, descent: Any
) -> None:
    from monai.losses.ssim_loss import SSIMLoss

    built = build(method, generator=UNET, lambda_ssim=7.0, mask_loss=False, **options)
    assert built.minimum_patch >= 11
    batch = {key: image for key, image in make_pair().items() if key != "mask"}
    with torch.no_grad():
        fake = built.generator(batch["source"])
    expected = SSIMLoss(3, data_range=2.0)(fake + 1, batch["target"] + 1)
    minimize = descent(built)
    losses = built.train_step(batch, minimize, CLOCK)
    torch.testing.assert_close(losses["ssim"].detach(), expected, rtol=1e-4, atol=1e-5)
    rest = (1.0 if method is Regression else 100.0) * losses["l1"] + losses.get("adversarial", 0.0)
    assert minimize.log[-1][1] == pytest.approx((rest + 7.0 * expected).item(), rel=1e-4)


@pytest.mark.parametrize("mask_loss", [False, True])
def test_structural_similarity_weighs_an_error_alike_in_the_middle_of_the_scale(
    mask_loss: bool, make_pair: Any
) -> None:
    """Encoded images are zero there: 988 HU, or a tissue of middling brightness."""
    built = build(Regression, generator=UNET, lambda_ssim=1.0, mask_loss=mask_loss)
    found = []
    for level in (-0.5, 0.0, 0.02, 0.5):
        batch = make_pair()
        batch["mask"] = torch.ones_like(batch["mask"])
        batch["target"] = level + 0.01 * batch["target"]
        pair = built.pair(batch)
        found.append(built.likeness(pair, pair.target + 0.05)["ssim"].loss().item())
    assert found == sorted(found, reverse=True), "the brighter, the less does one step matter"
    assert found[0] < 20 * found[-1]


@pytest.mark.parametrize(("method", "options"), FEATURED)
def test_every_term_is_blind_outside_the_mask(
    method: Any, options: Any, make_pair: Any, descent: Any
) -> None:
    weights = {"lambda_ssim": 1.0, "lambda_features": 1.0}
    if method is ConditionalGAN:
        weights |= {"lambda_perceptual": 1.0, "lambda_style": 1.0}
    batch = make_pair(margin=8)
    wild = {**batch, "target": torch.where(batch["mask"] > 0, batch["target"], 50.0)}
    moved = []
    for each in (batch, wild):
        built = build(method, generator=FCN, **weights, **options)
        built.feature_extractor = Extractor()
        built.train_step(each, descent(built), CLOCK)
        moved.append([p.detach() for p in built.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*moved, strict=True))
