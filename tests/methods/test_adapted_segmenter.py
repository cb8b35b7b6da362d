"""The adapted segmenter: who moves whom, by how much, and what is never looked at."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, conv3d

from medgen.losses import cross_entropy_loss, dice_loss
from medgen.method import Clock, Setting
from medgen.methods import AdaptedSegmenter
from medgen.networks import (
    DeepMedicOptions,
    DomainDiscriminatorOptions,
    ResidualEncoderUNetOptions,
    UNetOptions,
)
from medgen.problems import ConfigurationError

LATE = Clock(0, "", 1.0, 1.0)
NETWORK = UNetOptions(channels=(4, 8, 16), features=4, residual_units=1)
NARROW = DeepMedicOptions(channels=(4, 4, 5, 5), hidden=(6,), dropout=0.0)
JUDGE = DomainDiscriminatorOptions(channels=4, layers=2)
SETTING = Setting(2, 2, "linear", classes=3)


def build(setting: Setting = SETTING, **options: Any) -> AdaptedSegmenter:
    torch.manual_seed(0)
    return AdaptedSegmenter(setting, **{"network": NETWORK, "discriminator": JUDGE, **options})


def batch_of(margin: int = 0, voxels: int = 12) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (2, 2, *(voxels + 2 * margin,) * 3)
    images = (torch.randn(shape, generator=generator) for _ in range(3))
    batch = dict(zip(("source", "source_at_large", "target"), images, strict=True))
    label = torch.randint(0, 3, (2, 1, *shape[2:]), generator=generator)
    return {**batch, "label": label, "mask": (batch["source"][:, :1] > 0).float()}


def moves_of(method: AdaptedSegmenter, batch: dict[str, Tensor], clock: Clock = LATE) -> Any:
    moves: list[tuple[str, float]] = []
    losses = method.train_step(batch, lambda p, loss: moves.append((p, loss.item())), clock)
    return moves, {name: loss.item() for name, loss in losses.items()}


@pytest.mark.parametrize("network", [NETWORK, NARROW], ids=["unet", "deep_medic"])
@pytest.mark.parametrize("adversarial", ["reversal", "confusion", "inverted"])
def test_a_step_is_the_papers_objective_written_out(network: Any, adversarial: Any) -> None:
    method = build(network=network, adversarial=adversarial, lambda_adversarial=0.5, ramp_from=0.0)
    batch = batch_of(method.margin)
    three = torch.cat([batch["source"], batch["source_at_large"], batch["target"]])
    logits, features = method.segmenter.tap(three, method.taps)
    inner = slice(method.margin, method.margin + 12)
    label, mask = (batch[key][:, :, inner, inner, inner] for key in ("label", "mask"))
    cross_entropy = cross_entropy_loss(logits[:2], label, mask).item()
    dice = dice_loss(logits[:2], label, mask).item()
    of_source, of_target = method.discriminator(features[2:]).chunk(2)
    truth = torch.ones_like(of_source)
    domain = 0.5 * (
        binary_cross_entropy_with_logits(of_source, truth)
        + binary_cross_entropy_with_logits(of_target, 1 - truth)
    )
    inverted = binary_cross_entropy_with_logits(of_target, truth)
    both = torch.cat([of_source, of_target])
    undecided = binary_cross_entropy_with_logits(both, torch.full_like(both, 0.5))
    confusion = {"reversal": -domain, "inverted": inverted, "confusion": undecided}[adversarial]
    method = build(network=network, adversarial=adversarial, lambda_adversarial=0.5, ramp_from=0.0)
    moves, losses = moves_of(method, batch)
    assert [player for player, _ in moves] == ["discriminator", "segmenter"]
    assert moves[0][1] == pytest.approx(domain.item(), rel=1e-4)
    expected = cross_entropy + dice + 0.5 * confusion.item()
    assert moves[1][1] == pytest.approx(expected, rel=1e-4)
    assert losses["adversarial"] == pytest.approx(confusion.item(), rel=1e-4)


@pytest.mark.parametrize(
    ("progress", "share"), [(0.0, 0.0), (0.2, 0.0), (0.35, 0.5), (0.5, 1.0), (1.0, 1.0)]
)
def test_the_adversarial_weight_grows_between_its_two_ends(progress: float, share: float) -> None:
    method = build(lambda_adversarial=0.5, ramp_from=0.2, ramp_to=0.5)
    (_, (_, total)), losses = moves_of(method, batch_of(), Clock(0, "", progress, progress))
    supervised = losses["cross_entropy"] + losses["dice"]
    assert total == pytest.approx(supervised + 0.5 * share * losses["adversarial"], rel=1e-4)


def test_the_papers_ramp_is_the_default() -> None:
    method = build()
    assert (method.lambda_adversarial, method.ramp_to) == (0.05, 1.0)
    assert method.ramp_from == pytest.approx(10 / 35)


def test_the_papers_network_and_layers_are_the_default() -> None:
    with torch.device("meta"):
        method = AdaptedSegmenter(Setting(1, 1, "linear", classes=2))
    assert method.segmenter.name == "deep_medic"
    assert method.taps == ("layer_4", "layer_6", "layer_8", "hidden_1")
    assert (method.margin, method.divisor, method.phase) == (24, 3, 3)
    first = next(method.discriminator.parameters())
    assert first.shape[1] == 2 * (40 + 40 + 50) + 150


def test_without_the_adversarial_term_nothing_of_the_target_is_looked_at() -> None:
    method = build(lambda_adversarial=0.0)
    batch = batch_of()
    broken = {**batch, "target": batch["target"] * float("nan")}
    broken["source_at_large"] = broken["target"]
    moves, losses = moves_of(method, broken)
    assert [player for player, _ in moves] == ["segmenter"]
    assert set(losses) == {"cross_entropy", "dice"}
    assert moves[0][1] == pytest.approx(sum(losses.values()))


def test_a_discriminator_of_several_moves_judges_anew_before_each() -> None:
    method = build(discriminator_moves=3)
    moves: list[tuple[str, float]] = []

    def minimize(player: str, loss: Tensor) -> None:
        moves.append((player, loss.item()))
        if player == "discriminator":
            own = list(method.discriminator.parameters())
            with torch.no_grad():
                for weight, slope in zip(own, torch.autograd.grad(loss, own), strict=True):
                    weight -= 0.1 * slope

    losses = method.train_step(batch_of(), minimize, LATE)
    *judged, (last, _) = moves
    assert [player for player, _ in judged] == ["discriminator"] * 3
    assert last == "segmenter"
    first, second, third = (value for _, value in judged)
    assert first > second > third > -losses["adversarial"].item()


def test_the_discriminator_never_sees_the_patches_drawn_around_labels() -> None:
    batch = batch_of()
    other = {**batch, "source": batch["source"] * 3.0}
    (first, _), (second, _) = moves_of(build(), batch)[0], moves_of(build(), other)[0]
    # Instance norms keep the patches of a batch apart.
    assert first[1] == pytest.approx(second[1], rel=1e-6)


def test_a_segmenter_that_is_moved_confuses_a_discriminator_that_stands_still() -> None:
    batch = batch_of()
    batch["target"] = batch["target"] + conv3d(
        batch["target"], torch.ones(2, 2, 3, 3, 3), padding=1
    )
    method = build(lambda_adversarial=1.0, ramp_from=0.0, lambda_cross_entropy=0.1, lambda_dice=0.0)
    players = {name: list(module.parameters()) for name, module in method.players().items()}
    optimizers = {name: torch.optim.Adam(own, lr=3e-3) for name, own in players.items()}
    frozen = False
    domain: list[float] = []

    def minimize(player: str, loss: Tensor) -> None:
        if player == "discriminator":
            domain.append(loss.item())
        if frozen and player == "discriminator":
            return
        if not frozen and player == "segmenter":
            return
        optimizers[player].zero_grad()
        loss.backward(inputs=players[player])
        optimizers[player].step()

    for _ in range(40):
        method.train_step(batch, minimize, LATE)
    learned = domain[-1]
    frozen = True
    for _ in range(25):
        method.train_step(batch, minimize, LATE)
    assert learned < 0.6 < 0.7 < domain[-1]


def test_both_answers_are_the_same_network_and_probabilities() -> None:
    method = build().eval()
    image = batch_of()["target"]
    with torch.no_grad():
        forward, target = method.infer(image), method.infer(image, "target")
    assert torch.equal(forward, target)
    assert torch.allclose(target.sum(1), torch.ones(2, 12, 12, 12), atol=1e-5)
    sources = {name: answer.source for name, answer in method.answers.items()}
    assert sources == {"forward": "source", "target": "target"}


def test_a_diagnosis_tells_alike_domains_from_unlike_ones_and_repeats_itself() -> None:
    method = build(network=NARROW).eval()
    generator = torch.Generator().manual_seed(1)
    voxels = 12 + 2 * method.margin
    drawn = [torch.randn((8, 2, *(voxels,) * 3), generator=generator) for _ in range(2)]
    alike = dict(zip(("source", "target"), drawn, strict=True))
    before = torch.get_rng_state()
    near = method.diagnose(alike)
    assert method.diagnose(alike) == near
    assert torch.equal(torch.get_rng_state(), before)
    far = method.diagnose({**alike, "target": 2.0 * drawn[1]})  # no channel's mean need differ
    assert set(near) == set(method.diagnoses) == {"domain_advantage", "discriminator_advantage"}
    assert near["domain_advantage"] < 0.2 < 0.5 < far["domain_advantage"]
    assert set(build(lambda_adversarial=0.0).eval().diagnose(alike)) == {"domain_advantage"}


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"ramp_from": 0.5, "ramp_to": 0.5}, "E_RAMP"),
        ({"taps": ("layer_4",)}, "E_TAPS"),
        ({"network": NETWORK.model_copy(update={"long_residual": True})}, "E_LONG_RESIDUAL"),
        ({"lambda_cross_entropy": 0.0, "lambda_dice": 0.0}, "E_NO_LOSS"),
        ({"setting": Setting(2, 1, "linear", classes=2)}, "E_DOMAIN_CHANNELS"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], code: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(**options)
    assert [problem.code for problem in caught.value.problems] == [code]


def test_any_segmenter_network_can_be_adapted_with_any_taps() -> None:
    residual = ResidualEncoderUNetOptions(channels=(4, 6), blocks=(1, 1))
    for network, taps in ((residual, ("level_0",)), (NETWORK, ("level_0", "level_1"))):
        method = build(network=network, taps=taps)
        assert [player for player, _ in moves_of(method, batch_of())[0]] == [
            "discriminator",
            "segmenter",
        ]
