"""The dense discriminator: one logit each, and the map that images are compared by."""

from __future__ import annotations

import pytest
import torch

from medgen.networks import DenseAutoencoderOptions, DenseDiscriminator
from medgen.problems import ConfigurationError

OPTIONS = DenseAutoencoderOptions(window=(16, 16, 16), channels=(4, 6, 8), kernel=3)


def build(
    options: DenseAutoencoderOptions = OPTIONS, places: int = 0, level: int | None = None
) -> DenseDiscriminator:
    torch.manual_seed(0)
    return DenseDiscriminator(options, channels=1, places=places, level=level)


@pytest.mark.parametrize(
    ("level", "shape"),
    [(None, (2, 6, 4, 4, 4)), (1, (2, 4, 8, 8, 8)), (3, (2, 8, 2, 2, 2))],
)
def test_the_last_level_but_one_is_compared_or_the_one_asked_for(
    level: int | None, shape: tuple[int, ...]
) -> None:
    logits, features = build(level=level)(torch.randn(2, 1, 16, 16, 16))
    assert logits.shape == (2, 1)
    assert features.shape == shape


def test_a_single_level_is_compared_itself() -> None:
    net = build(OPTIONS.model_copy(update={"channels": (4,)}))
    assert net(torch.randn(1, 1, 16, 16, 16))[1].shape == (1, 4, 8, 8, 8)


@pytest.mark.parametrize("level", [0, 4])
def test_a_level_that_it_lacks_is_refused(level: int) -> None:
    with pytest.raises(ConfigurationError, match=f"{level} is no level .* which has 3") as caught:
        build(level=level)
    assert [problem.code for problem in caught.value.problems] == ["E_SIMILARITY_LEVEL"]


def test_an_image_is_judged_by_itself() -> None:
    """So real images and fakes may share a pass, and brightness is not normalised away."""
    net = build()
    images = torch.randn(2, 1, 16, 16, 16)
    together = net(images)
    alone = [net(image[None]) for image in images]
    for number in range(2):
        joined = torch.cat([one[number] for one in alone])
        torch.testing.assert_close(together[number], joined, rtol=1e-4, atol=1e-6)
    _, of_image = net(images)
    _, of_brighter = net(images + 0.5)
    assert (of_brighter - of_image).abs().mean() > 0.05 * of_image.abs().mean()


def test_a_place_changes_the_judgement() -> None:
    net = build(places=3)
    image = torch.randn(1, 1, 16, 16, 16)
    here, there = (net(image, torch.full((1, 3), value)) for value in (0.0, 1.0))
    assert not torch.equal(here[0], there[0])
    assert not torch.equal(here[1], there[1])


def test_both_answers_are_float32_under_bf16() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        logits, features = build()(torch.randn(1, 1, 16, 16, 16))
    assert logits.dtype == features.dtype == torch.float32
