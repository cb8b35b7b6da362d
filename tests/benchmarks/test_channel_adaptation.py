"""The shift that adaptation should undo: it does, where the labelled class is no rarity."""

import runpy
from pathlib import Path

import pytest
import torch

import medgen

PROGRAM = Path(medgen.__file__).parents[1] / "benchmarks" / "channel_adaptation.py"
BLOBS = runpy.run_path(str(PROGRAM))


def test_blobs_fill_the_share_that_was_asked_for_and_the_target_hides_them_in_one_channel() -> None:
    generator = torch.Generator().manual_seed(0)
    label = BLOBS["blobs"](0.15, 4, generator)
    assert label.float().mean().item() == pytest.approx(0.15, abs=0.01)
    for domain, gap in (("source", 1.0), ("target", 0.0)):
        first, second = BLOBS["image"](label, domain, generator).split(1, dim=1)
        for channel, expected in ((first, 1.0), (second, gap)):
            apart = channel[label > 0].mean() - channel[label == 0].mean()
            assert apart.item() == pytest.approx(expected, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("adversarial", ["confusion", "inverted"])
def test_adapting_makes_a_network_let_go_of_a_channel_that_the_target_lacks(
    adversarial: str,
) -> None:
    steps = 300
    plain = BLOBS["trained"](0.15, 0, steps, {"lambda_adversarial": 0.0})
    options = {"lambda_adversarial": 1.0, "adversarial": adversarial}
    adapted = BLOBS["trained"](0.15, 0, steps, options)
    assert plain["source"] > 0.9 > 0.5 > plain["target"]
    assert adapted["target"] > plain["target"] + 0.15
    assert adapted["source"] > 0.7
