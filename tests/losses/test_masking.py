"""What is hidden: everything outside, nothing inside."""

from __future__ import annotations

import pytest
import torch

from medgen.losses import hide_outside
from medgen.losses.masking import masked_mean


def test_the_outside_is_one_value_in_every_channel_and_the_inside_itself() -> None:
    image = torch.arange(48.0).reshape(2, 2, 3, 2, 2)
    mask = (torch.arange(24).reshape(2, 1, 3, 2, 2) % 3 == 0).float()
    hidden = hide_outside(image, mask)
    inside = mask.expand_as(image) > 0
    assert torch.equal(hidden[inside], image[inside])
    assert (hidden[~inside] == -1).all()
    assert (hide_outside(image, mask, 0.25)[~inside] == 0.25).all()


def test_no_gradient_flows_to_what_is_hidden_not_even_to_no_number() -> None:
    image = torch.tensor([float("nan"), 2.0]).reshape(1, 1, 2, 1, 1).requires_grad_()
    mask = torch.tensor([0.0, 1.0]).reshape(1, 1, 2, 1, 1)
    hidden = hide_outside(image, mask)
    (gradient,) = torch.autograd.grad(hidden.square().sum(), image)
    assert gradient.flatten().tolist() == [0.0, 4.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_kind_of_number_is_kept(dtype: torch.dtype) -> None:
    image = torch.ones(1, 1, 2, 2, 2, dtype=dtype)
    assert hide_outside(image, torch.zeros(1, 1, 2, 2, 2)).dtype == dtype


def test_the_masked_mean_is_the_mean_inside() -> None:
    values = torch.arange(16.0).reshape(1, 2, 2, 2, 2)
    mask = torch.zeros(1, 1, 2, 2, 2)
    mask[..., 0] = 1
    torch.testing.assert_close(masked_mean(values, mask), values[..., 0].mean())
    torch.testing.assert_close(masked_mean(values, mask.bool()), values[..., 0].mean())
    torch.testing.assert_close(masked_mean(values, None), values.mean())
    assert masked_mean(values, torch.zeros_like(mask)) == 0
