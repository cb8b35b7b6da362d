"""The structure losses against loops, histograms and MONAI, and what they can and cannot see."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import GlobalMutualInformationLoss
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.stats import entropy
from torch import Tensor
from torch.nn import functional

from medgen.losses import mutual_information_loss, normalised_gradient_loss
from medgen.losses.structure import _blocks
from medgen.networks import UNetOptions
from medgen.problems import ConfigurationError

Loss = Callable[..., Tensor]
LOSSES = [normalised_gradient_loss, mutual_information_loss]
both = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
seeds = st.integers(0, 2**31)


def smooth(seed: int = 0, length: int = 24, batch: int = 2) -> Tensor:
    """Return smooth blobs in (-1, 1)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(batch, 1, *(max(3, length // 4),) * 3, generator=generator)
    return functional.interpolate(coarse, (length,) * 3, mode="trilinear").tanh()


def other_contrast(image: Tensor) -> Tensor:
    """Return another scanner's image of the same anatomy: neither rising nor falling with it."""
    return torch.where(image > 0.4, 0.9, 0.2 - image.square())


def half(seed: int, like: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(len(like), 1, 4, 4, 4, generator=generator)
    return (functional.interpolate(coarse, like.shape[2:], mode="trilinear") > 0).float()


def ngf_by_loops(
    source: NDArray[np.float64], answer: NDArray[np.float64], mask: NDArray[np.float64]
) -> float:
    """Follow the paper's definition voxel by voxel."""
    terms = []
    steps = np.eye(3, dtype=int)
    for one, other, inside in zip(source[:, 0], answer[:, 0], mask[:, 0], strict=True):
        places = [
            p
            for p in np.ndindex(one.shape)
            if all(0 < i < n - 1 for i, n in zip(p, one.shape, strict=True))
            and inside[p]
            and all(inside[tuple(p + s)] and inside[tuple(p - s)] for s in steps)
        ]
        fields = []
        for image in (one, other):
            slopes = np.array(
                [[(image[tuple(p + s)] - image[tuple(p - s)]) / 2 for s in steps] for p in places]
            ).reshape(-1, 3)
            lengths = np.linalg.norm(slopes, axis=1)
            eta = (lengths.mean() if len(places) else 0.0) + 0.01
            fields.append(slopes / np.sqrt(lengths**2 + eta**2)[:, None])
        terms.extend(1 - (fields[0] * fields[1]).sum(1) ** 2)
    return float(np.mean(terms))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_normalised_gradients_are_their_definition(masked: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    source, answer = (torch.rand(2, 1, 5, 6, 7, generator=generator) * 2 - 1 for _ in range(2))
    mask = (torch.rand(2, 1, 5, 6, 7, generator=generator) < 0.9).float()
    inside = mask if masked else torch.ones_like(mask)
    expected = ngf_by_loops(*(one.double().numpy() for one in (source, answer, inside)))
    loss = normalised_gradient_loss(source, answer, mask if masked else None)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def mi_by_loops(
    source: NDArray[np.float64], answer: NDArray[np.float64], weight: NDArray[np.float64], bins: int
) -> tuple[float, float]:
    """Return H(source | answer) and H(source) of one block by SciPy's spline and entropies."""
    window = BSpline.basis_element([-2, -1, 0, 1, 2], extrapolate=False)
    places = []
    for image in (source, answer):
        mean = np.average(image, weights=weight)
        deviation = np.sqrt(np.average((image - mean) ** 2, weights=weight)) + 0.01
        share = np.clip((image - mean) / (6 * deviation) + 0.5, 0, 1)
        places.append(1 + share * (bins - 3))
    joint = np.zeros((bins, bins))
    for row, place, each in zip(np.rint(places[0]).astype(int), places[1], weight, strict=True):
        joint[row] += each * np.nan_to_num(window(place - np.arange(bins)))
    return float(entropy(joint.ravel()) - entropy(joint.sum(0))), float(entropy(joint.sum(1)))


@pytest.mark.parametrize("bins", [8, 16])
@pytest.mark.parametrize("masked", [False, True])
def test_mutual_information_is_its_definition(bins: int, masked: bool) -> None:
    """Blocks of 5, 6 and 7 voxels: an axis of 13 is cut into 7 and 6."""
    generator = torch.Generator().manual_seed(bins)
    source = torch.randn(1, 1, 5, 13, 6, generator=generator)
    answer = torch.randn(1, 1, 5, 13, 6, generator=generator) + source.square()
    mask = (torch.rand(source.shape, generator=generator) < 0.7).float()
    weight = mask if masked else torch.ones_like(mask)
    known = np.zeros(2)
    for part in (slice(0, 7), slice(7, 13)):
        inside = weight[0, 0, :, part].double().numpy().ravel()
        voxels = [one[0, 0, :, part].double().numpy().ravel() for one in (source, answer)]
        known += inside.sum() * np.array(mi_by_loops(*voxels, inside, bins))
    loss = mutual_information_loss(source, answer, mask if masked else None, block=6, bins=bins)
    assert loss.item() == pytest.approx(known[0] / known[1], rel=1e-4)


def test_of_few_greys_and_many_bins_it_is_that_of_the_plain_histogram() -> None:
    generator = torch.Generator().manual_seed(3)
    source = torch.randint(0, 3, (1, 1, 10, 10, 10), generator=generator)
    chance = torch.randint(0, 4, source.shape, generator=generator)
    answer = torch.where(chance > 0, (source * 2) % 3, chance)
    counts, _, _ = np.histogram2d(
        source.numpy().ravel(), answer.numpy().ravel(), bins=(range(4), range(4))
    )
    shares = counts / counts.sum()
    known = entropy(shares.ravel(), np.outer(shares.sum(1), shares.sum(0)).ravel())
    loss = mutual_information_loss(source.float(), answer.float(), bins=400)
    assert loss.item() == pytest.approx(1 - known / entropy(shares.sum(1)), abs=1e-5)


def test_it_ranks_shifts_as_monais_global_one_does() -> None:
    source = smooth(1, 32, 1)
    answer = other_contrast(source)
    monai = GlobalMutualInformationLoss("gaussian", num_bins=16)
    shifted = [answer.roll(voxels, 2) for voxels in (0, 1, 2, 4, 8)]
    mine = [mutual_information_loss(source, one, block=32).item() for one in shifted]
    theirs = [monai((one + 1) / 2, (source + 1) / 2).item() for one in shifted]
    assert mine == sorted(mine)
    assert theirs == sorted(theirs)
    assert np.corrcoef(mine, theirs)[0, 1] > 0.95


@both
@settings(max_examples=15)
@given(seed=seeds)
def test_neither_can_see_that_an_answer_is_inverted(loss: Loss, seed: int) -> None:
    """Known blindness: polarity is anchored by other terms, and watched by the monitor."""
    source = smooth(seed, 12)
    answer = other_contrast(source)
    mask = half(seed, source)
    torch.testing.assert_close(loss(source, -answer, mask), loss(source, answer, mask))
    torch.testing.assert_close(loss(source, -source, mask), loss(source, source, mask))


@both
@pytest.mark.parametrize("axis", [2, 3, 4])
def test_they_rise_with_every_voxel_of_a_shift(loss: Loss, axis: int) -> None:
    source = smooth(2)
    inner = (slice(None), slice(None), *[slice(3, -3)] * 3)
    for answer in (source, other_contrast(source)):
        values = [
            loss(source[inner], answer.roll(voxels, axis)[inner]).item() for voxels in range(4)
        ]
        assert all(b > a + 0.01 for a, b in pairwise(values)), values


@both
def test_they_rise_with_a_warp(loss: Loss) -> None:
    source = smooth(3)
    answer = other_contrast(source)
    still = functional.affine_grid(torch.eye(3, 4)[None].repeat(2, 1, 1), [2, 1, 24, 24, 24], False)
    bend = torch.sin(3 * still.flip(-1))
    values = [
        loss(source, functional.grid_sample(answer, still + size * bend, align_corners=False))
        for size in (0.0, 0.1, 0.2)  # 0, 1.2 and 2.4 voxels at most
    ]
    assert all(b > a + 0.01 for a, b in pairwise(values)), values


@both
def test_descending_moves_a_shifted_answer_back(loss: Loss) -> None:
    """The gradient points to where the anatomy is, by the one number that a shift is."""
    source = smooth(4)
    answer = other_contrast(source)
    still = functional.affine_grid(torch.eye(3, 4)[None].repeat(2, 1, 1), [2, 1, 24, 24, 24], False)
    for start in (-0.1, 0.1):
        shift = torch.tensor(start, requires_grad=True)
        moved = functional.grid_sample(answer, still + shift, align_corners=False)
        (gradient,) = torch.autograd.grad(loss(source, moved), shift)
        assert gradient * start > 0


@both
@settings(max_examples=15)
@given(seed=seeds, level=st.floats(-2, 2), contrast=st.floats(0.3, 3))
def test_the_answers_level_and_contrast_change_little(
    loss: Loss, seed: int, level: float, contrast: float
) -> None:
    source = smooth(seed, 12)
    answer = other_contrast(source)
    changed = loss(source, level + contrast * answer)
    torch.testing.assert_close(changed, loss(source, answer), rtol=0, atol=0.05)


def test_local_information_bears_a_contrast_that_changes_along_the_patch() -> None:
    source = smooth(5, 32, 1)
    answer = torch.cat([source[:, :, :16], -0.5 * source[:, :, 16:] + 0.5], 2)
    local = mutual_information_loss(source, answer, block=16)
    torch.testing.assert_close(
        local, mutual_information_loss(source, source, block=16), atol=0.02, rtol=0
    )
    assert mutual_information_loss(source, answer, block=32) > local + 0.1


@both
@settings(max_examples=15)
@given(seed=seeds, scale=st.floats(0, 1e3))
def test_they_lie_between_zero_and_one_with_finite_gradients(
    loss: Loss, seed: int, scale: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    source = smooth(seed, 12)
    answer = scale * torch.randn(source.shape, generator=generator)
    answer.requires_grad_()
    value = loss(source, answer, half(seed, source))
    assert 0 <= value <= 1
    assert torch.autograd.grad(value, answer)[0].isfinite().all()


@both
def test_gradients_reach_every_sample_of_an_answer(loss: Loss) -> None:
    source = smooth(6)
    answer = other_contrast(source).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(source, answer), answer)
    assert gradient.isfinite().all()
    assert all(((one != 0).float().mean() > 0.9) for one in gradient)


@both
def test_their_gradients_are_their_derivatives(loss: Loss) -> None:
    source = smooth(7, 7).double()
    answer = (other_contrast(source) + 0.1 * smooth(8, 7)).requires_grad_()
    mask = torch.ones_like(source)
    mask[..., 0] = 0
    assert torch.autograd.gradcheck(lambda a: loss(source, a, mask), answer, fast_mode=True)


@both
@pytest.mark.parametrize("level", [-1.0, 0.0, 0.3, 50.0])
def test_flat_images_have_finite_values_and_gradients(loss: Loss, level: float) -> None:
    image = smooth(9, 12)
    flat = torch.full_like(image, level)
    for source, answer in ((image, flat), (flat, image), (flat, flat)):
        answer = answer.clone().requires_grad_()
        value = loss(source, answer)
        (gradient,) = torch.autograd.grad(value, answer)
        assert 0 <= value <= 1
        assert gradient.isfinite().all()
        assert gradient.abs().max() < 1e-3
    assert loss(image, flat) == pytest.approx(1.0)
    assert mutual_information_loss(flat, image) == 0


@both
def test_rounding_to_bfloat16_makes_no_structure_in_a_flat_answer(loss: Loss) -> None:
    source = smooth(10)
    faint = (0.9 + 1e-3 * source).bfloat16()
    assert faint.unique().numel() <= 3
    assert loss(source, faint) > 0.9
    answer = other_contrast(source)
    assert loss(source, answer.bfloat16()) == pytest.approx(loss(source, answer).item(), abs=0.01)


@both
def test_autocast_and_narrow_images_are_computed_in_float32(loss: Loss) -> None:
    source, answer = smooth(11), other_contrast(smooth(11)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        narrow = loss(source, answer)
    assert narrow.dtype == torch.float32
    assert torch.equal(narrow, loss(source, answer.float()))


@both
@settings(max_examples=15)
@given(seed=seeds, wild=st.floats(-100, 100))
def test_what_lies_outside_the_mask_has_neither_value_nor_gradient(
    loss: Loss, seed: int, wild: float
) -> None:
    source = smooth(seed, 12)
    answer, mask = other_contrast(source), half(seed, source)
    other = torch.where(mask > 0, answer, wild).requires_grad_()
    value = loss(torch.where(mask > 0, source, -wild), other, mask)
    torch.testing.assert_close(value, loss(source, answer, mask))
    (gradient,) = torch.autograd.grad(value, other)
    assert (gradient[mask == 0] == 0).all()


@both
def test_an_empty_mask_gives_zero_and_no_gradient(loss: Loss) -> None:
    source = smooth(12, 12)
    answer = other_contrast(source).requires_grad_()
    nothing = torch.zeros_like(source)
    value = loss(source, answer, nothing)
    assert value == 0
    assert not torch.autograd.grad(value, answer)[0].any()
    one = torch.cat([torch.ones_like(source[:1]), nothing[1:]])
    torch.testing.assert_close(loss(source, answer, one), loss(source[:1], answer[:1]))


@both
def test_the_first_channels_are_compared(loss: Loss) -> None:
    source, answer, more = smooth(13, 12), smooth(14, 12), smooth(15, 12)
    alone = loss(source, answer)
    assert torch.equal(loss(torch.cat([source, more], 1), answer), alone)
    assert torch.equal(loss(source, torch.cat([answer, more, more], 1)), alone)
    assert not torch.equal(loss(more, answer), alone)


@both
@pytest.mark.parametrize("axis", [2, 3, 4])
def test_a_patch_that_is_too_short_is_refused_with_both_numbers(loss: Loss, axis: int) -> None:
    whole = torch.zeros(1, 1, 3, 3, 3)
    assert loss(whole, whole) in (0, 1)
    short = whole.narrow(axis, 0, 2)
    with pytest.raises(ConfigurationError, match=r"E_PATCH_SIZE.*\b3\b.*\b2\b"):
        loss(short, short)


@given(shape=st.tuples(*[st.integers(1, 40)] * 3), block=st.integers(4, 24))
def test_blocks_are_nearly_equal_and_lose_no_voxel(shape: tuple[int, int, int], block: int) -> None:
    blocks = _blocks(torch.ones(2, 1, *shape), block)
    assert blocks.sum() == 2 * np.prod(shape)
    lengths = [-(-n // max(1, round(n / block))) for n in shape]
    assert blocks.shape[1] == np.prod(lengths)
    assert all(length < 1.5 * block + 1 for length in lengths)


@both
def test_a_loss_costs_little_beside_the_smallest_networks_step(loss: Loss) -> None:
    source, answer = (torch.rand(2, 1, 32, 32, 32) for _ in range(2))
    network = UNetOptions(channels=(8, 16, 32)).build(
        source_channels=1, target_channels=1, activation="tanh"
    )

    def seconds(step: Callable[[], Tensor]) -> float:
        times = []
        for _ in range(5):
            start = time.process_time()
            step().backward()
            times.append(time.process_time() - start)
        return min(times)

    answer.requires_grad_()
    assert seconds(partial(loss, source, answer)) < seconds(lambda: network(source).mean())
