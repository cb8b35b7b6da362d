from collections.abc import Callable
from typing import Any

import pytest
import torch

from medgen.planning import footprint
from medgen.planning.lent import StandIn, lent_doubts


def borrowing(config: Callable[..., Any], weight: float) -> Any:
    generator = {"name": "unet", "channels": [4, 8], "features": 4}
    block = {"generator": generator, "lambda_features": weight}
    train = {"patch": [24, 24, 24], "batch_size": 1}
    return config(methods={"regression": block}, train=train)


@pytest.mark.parametrize("size", [(3, 5, 7), (24, 24, 24), (30, 41, 26)])
def test_an_image_of_any_size_has_features(
    size: tuple[int, int, int], config: Callable[..., Any]
) -> None:
    lent = StandIn(config())
    image = torch.zeros(1, 1, *size, requires_grad=True)
    features = lent(image)
    assert len(features) > 1
    sum(level.square().sum() for level in features).backward()  # type: ignore[union-attr]
    assert image.grad is not None
    assert all(weight.grad is None for weight in lent.weights())


def test_a_step_with_feature_losses_takes_the_lent_network_too(
    config: Callable[..., Any],
) -> None:
    plain = footprint(borrowing(config, 0.0), device_type="cpu", precision="fp32")
    lent = footprint(borrowing(config, 1.0), device_type="cpu", precision="fp32")
    weights = sum(4 * weight.numel() for weight in StandIn(config()).weights())
    assert lent.live_bytes > plain.live_bytes + weights
    assert lent.flops > plain.flops
    assert lent.weight_bytes == plain.weight_bytes  # no optimizer keeps states for it


def test_what_cannot_be_known_of_it_is_said(config: Callable[..., Any]) -> None:
    (doubt,) = lent_doubts(borrowing(config, 1.0))
    assert doubt.code == "W_PLAN_FEATURES"
    assert "24 x 24 x 24" in doubt.message
    assert "2 x 2 x 2 mm" in doubt.message
    assert lent_doubts(borrowing(config, 0.0)) == []
