"""The segmenter: one player, two losses, probabilities out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from medgen.losses import cross_entropy_loss, dice_loss
from medgen.method import Clock, Setting
from medgen.methods import Segmenter
from medgen.networks import ResidualEncoderUNetOptions, UNetOptions
from medgen.problems import ConfigurationError

CLOCK = Clock(0, "", 0.0, 0.0)
NETWORK = UNetOptions(channels=(4, 8, 16), features=4, residual_units=1)
SETTING = Setting(2, 1, "linear", classes=3)


def build(setting: Setting = SETTING, **options: Any) -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(setting, **{"network": NETWORK, **options})


@pytest.fixture
def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    source = torch.randn((2, 2, 12, 12, 12), generator=generator)
    label = torch.randint(0, 3, (2, 1, 12, 12, 12), generator=generator)
    return {"source": source, "label": label, "mask": (source[:, :1] > 0).float()}


def moves_of(method: Segmenter, batch: dict[str, Tensor]) -> list[float]:
    moves: list[float] = []
    method.train_step(batch, lambda player, loss: moves.append(loss.item()), CLOCK)
    return moves


def test_its_one_move_lowers_both_losses_by_their_weights(batch: dict[str, Tensor]) -> None:
    method = build(lambda_cross_entropy=2.0, lambda_dice=3.0)
    logits = method.segmenter.network(batch["source"])
    parts = [
        loss(logits, batch["label"], batch["mask"]) for loss in (cross_entropy_loss, dice_loss)
    ]
    expected = 2.0 * parts[0].item() + 3.0 * parts[1].item()
    assert moves_of(method, batch) == [pytest.approx(expected, rel=1e-4)]


def test_without_a_masked_loss_it_reads_no_mask(batch: dict[str, Tensor]) -> None:
    assert build().reads == (frozenset({"source", "label", "mask"}),)
    method = build(mask_loss=False)
    assert method.reads == (frozenset({"source", "label"}),)
    other = {**batch, "mask": torch.zeros_like(batch["mask"])}
    assert moves_of(method, batch) == moves_of(method, other)


def test_deep_supervision_adds_a_head_for_each_coarser_level(batch: dict[str, Tensor]) -> None:
    deep = build(deep_supervision=True)
    assert [head.convolution.in_channels for head in deep.segmenter.heads] == [4]
    sizes = [tuple(logits.shape[1:]) for logits in deep.segmenter.logits(batch["source"])]
    assert sizes == [(3, 12, 12, 12), (3, 6, 6, 6)]
    assert not build().segmenter.heads


def test_its_answer_does_not_depend_on_the_coarser_heads(batch: dict[str, Tensor]) -> None:
    deep = build(deep_supervision=True).eval()
    with torch.no_grad():
        before = deep.infer(batch["source"])
        for parameter in deep.segmenter.heads.parameters():
            parameter.fill_(float("nan"))
        assert torch.equal(deep.infer(batch["source"]), before)
        finest = deep.segmenter.network.head(deep.features(batch["source"])[0])
    torch.testing.assert_close(finest.softmax(dim=1), before)


def test_it_answers_with_probabilities(batch: dict[str, Tensor]) -> None:
    with torch.no_grad():
        answer = build().eval().infer(batch["source"])
    assert answer.shape == (2, 3, 12, 12, 12)
    assert (answer >= 0).all()
    torch.testing.assert_close(answer.sum(dim=1), torch.ones(2, 12, 12, 12))


def test_it_has_two_classes_at_least() -> None:
    """So that a listing can build it without data."""
    assert build(Setting(1, 1, "linear")).infer(torch.randn(1, 1, 12, 12, 12)).shape[1] == 2


def test_features_come_from_full_resolution_downwards(batch: dict[str, Tensor]) -> None:
    features = build().features(batch["source"])
    assert [tuple(f.shape[1:]) for f in features] == [(4, 12, 12, 12), (4, 6, 6, 6)]


@pytest.mark.parametrize("deep_supervision", [False, True])
def test_it_takes_any_network_with_a_decoder(
    batch: dict[str, Tensor], deep_supervision: bool
) -> None:
    network = ResidualEncoderUNetOptions(channels=(3, 4, 6), blocks=(1, 1, 1))
    method = build(network=network, deep_supervision=deep_supervision)
    assert len(moves_of(method, batch)) == 1
    assert [f.shape[1] for f in method.features(batch["source"])] == [3, 4]
    assert [head.convolution.in_channels for head in method.segmenter.heads] == (
        [4] if deep_supervision else []
    )
    assert method.infer(batch["source"]).shape == (2, 3, 12, 12, 12)


def test_classes_are_not_added_to_a_source() -> None:
    """Three channels and three classes, so that the network itself would see no mistake."""
    network = NETWORK.model_copy(update={"long_residual": True})
    with pytest.raises(ConfigurationError, match="a segmenter answers with classes") as caught:
        build(Setting(3, 1, "linear", classes=3), network=network)
    assert caught.value.problems[0].code == "E_LONG_RESIDUAL"


def test_losses_that_learn_from_no_label_are_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(lambda_cross_entropy=0.0, lambda_dice=0.0)
    assert [problem.code for problem in caught.value.problems] == ["E_NO_LOSS"]
