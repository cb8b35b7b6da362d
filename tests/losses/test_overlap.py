"""Cross-entropy and Dice: against their definitions, masked, and quiet where nothing is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from monai.losses import DiceLoss

from medgen.losses import cross_entropy_loss, dice_loss, shrink_label

SHAPE = (2, 3, 4, 5, 6)


def maps(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(SHAPE, generator=generator)
    label = torch.randint(0, 3, (2, 1, 4, 5, 6), generator=generator)
    mask = (torch.rand((2, 1, 4, 5, 6), generator=generator) < 0.4).float()
    return logits, label, mask


def test_cross_entropy_is_torchs_over_the_masks_voxels() -> None:
    logits, label, mask = maps()
    torch.testing.assert_close(
        cross_entropy_loss(logits, label), F.cross_entropy(logits, label[:, 0])
    )
    inside = mask[:, 0] > 0
    expected = F.cross_entropy(logits.movedim(1, -1)[inside], label[:, 0][inside])
    torch.testing.assert_close(cross_entropy_loss(logits, label, mask), expected)


def test_dice_is_monais_over_the_whole_batch() -> None:
    logits, label, _ = maps()
    monai = DiceLoss(
        include_background=False,
        to_onehot_y=True,
        softmax=True,
        batch=True,
        smooth_nr=0.0,
        smooth_dr=0.0,
    )
    torch.testing.assert_close(dice_loss(logits, label), monai(logits, label))


def test_dice_is_blind_outside_the_mask() -> None:
    logits, label, mask = maps()
    other = torch.where(mask > 0, label, (label + 1) % 3)
    noisy = torch.where(mask > 0, logits, torch.full_like(logits, 7.0))
    torch.testing.assert_close(dice_loss(logits, label, mask), dice_loss(noisy, other, mask))


def test_a_certain_right_answer_costs_nothing() -> None:
    _, label, _ = maps()
    certain = 50.0 * F.one_hot(label[:, 0], 3).movedim(-1, 1).float()
    assert dice_loss(certain, label) < 1e-5
    assert cross_entropy_loss(certain, label) < 1e-5


def test_a_class_that_the_batch_lacks_does_not_count() -> None:
    logits, label, _ = maps()
    without = label.clamp(max=1)
    two = torch.stack([logits[:, 0], logits[:, 1], torch.full_like(logits[:, 0], -50.0)], 1)
    torch.testing.assert_close(
        dice_loss(two, without), dice_loss(logits[:, :2], without), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("loss", [cross_entropy_loss, dice_loss])
def test_an_empty_mask_or_label_gives_zero_and_no_gradient(loss) -> None:
    logits, label, mask = maps()
    logits.requires_grad_()
    value = loss(logits, label, torch.zeros_like(mask))
    value.backward()
    assert value == 0
    assert not logits.grad.any()
    assert dice_loss(logits, torch.zeros_like(label)) == 0


def test_losses_of_bf16_logits_are_float32() -> None:
    logits, label, mask = maps()
    for loss in (cross_entropy_loss, dice_loss):
        assert loss(logits.bfloat16(), label, mask).dtype == torch.float32


def test_a_shrunk_label_stays_a_label() -> None:
    label = torch.from_numpy(np.arange(8).reshape(1, 1, 8, 1, 1).repeat(2, 3).repeat(2, 4) * 30)
    half = shrink_label(label, torch.Size((4, 1, 1)))
    assert half.dtype == torch.int64
    assert set(half.unique().tolist()) <= set(label.unique().tolist())
    assert half.shape == (1, 1, 4, 1, 1)
    assert shrink_label(label, label.shape[2:]) is label
