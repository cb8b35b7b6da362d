"""The probe: nothing where domains are alike, all where they are apart, and what lies between."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from medgen.methods.domain_probe import domain_probe

Change = Callable[[Tensor, Tensor], Tensor]


def patches(seed: int, *, channels: int = 8, cases: int = 4, voxels: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(cases, channels, voxels, voxels, voxels, generator=generator)


def linear_advantage(source: Tensor, target: Tensor) -> float:
    """Fit a linear classifier by least squares on one half, and judge the other, both ways."""
    total = 0.0
    for fitted, judged in ((slice(0, 2), slice(2, 4)), (slice(2, 4), slice(0, 2))):
        rows = [d[fitted].movedim(1, -1).flatten(0, -2).double() for d in (source, target)]
        new = [d[judged].movedim(1, -1).flatten(0, -2).double() for d in (source, target)]
        design = torch.nn.functional.pad(torch.cat(rows), (0, 1), value=1.0)
        truth = torch.cat([torch.ones(len(rows[0])), -torch.ones(len(rows[1]))]).double()
        solution = torch.linalg.lstsq(design, truth[:, None]).solution
        answers = [torch.nn.functional.pad(n, (0, 1), value=1.0) @ solution for n in new]
        total += float((answers[0] > 0).double().mean() + (answers[1] <= 0).double().mean()) / 4
    return max(0.0, 2 * total - 1)


@pytest.mark.parametrize("channels", [1, 8, 100])
def test_domains_that_are_alike_give_no_advantage(channels: int) -> None:
    figures = [
        domain_probe(patches(2 * seed, channels=channels), patches(2 * seed + 1, channels=channels))
        for seed in range(10, 16)
    ]
    assert max(figures) < 0.08
    assert sum(figures) / 6 < 0.03


def test_domains_that_are_apart_are_told_apart() -> None:
    target = patches(1)
    target[:, 3] += 8.0
    assert domain_probe(patches(0), target) > 0.99


def test_a_shift_of_the_mean_is_seen_nearly_as_well_as_it_can_be() -> None:
    target = patches(1)
    target[:, 0] += 1.0
    # Two Gaussians a distance of one apart are told apart with an advantage of 2 Phi(1/2) - 1.
    best = math.erf(0.5 / math.sqrt(2))
    assert best - 0.08 < domain_probe(patches(0), target) < best + 0.06


@pytest.mark.parametrize("kind", ["spread", "correlation"])
def test_it_sees_differences_that_no_linear_probe_can(kind: str) -> None:
    source, target = patches(0), patches(1)
    if kind == "spread":
        target[:, 0] *= 3.0
    else:
        target[:, 0] = 0.95 * target[:, 1] + math.sqrt(1 - 0.95**2) * target[:, 0]
    assert linear_advantage(source, target) < 0.08
    assert domain_probe(source, target) > 0.35


def test_cases_that_lie_in_both_halves_would_be_recognised() -> None:
    """Each case has a level of its own in every channel, drawn alike in both domains."""
    figures = []
    for seed in range(3):
        levels = torch.Generator().manual_seed(seed)
        source, target = (
            patches(2 * seed + n, cases=16, voxels=4)
            + 3 * torch.randn(16, 8, 1, 1, 1, generator=levels)
            for n in range(2)
        )
        leaky = domain_probe(source.repeat(2, 1, 1, 1, 1), target.repeat(2, 1, 1, 1, 1))
        figures.append((domain_probe(source, target), leaky))
    assert all(leaky > clean + 0.2 for clean, leaky in figures)
    assert sum(clean for clean, _ in figures) / 3 < 0.3


def test_the_same_features_and_seed_give_the_same_figure() -> None:
    source, target = patches(0), patches(1) * 1.5
    assert domain_probe(source, target) == domain_probe(source, target)
    assert domain_probe(source, target) != domain_probe(source, target, seed=1)


def test_the_global_generator_is_left_alone_and_its_seed_does_not_matter() -> None:
    source, target = patches(0), patches(1) * 1.5
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = domain_probe(source, target)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(1)
    assert domain_probe(source, target) == first


def test_what_surrounds_the_call_has_no_effect() -> None:
    source, target = patches(0), patches(1) * 1.5
    plain = domain_probe(source, target)
    with torch.no_grad():
        assert domain_probe(source, target) == plain
    with torch.inference_mode():
        assert domain_probe(source.clone(), target.clone()) == plain
    with torch.autocast("cpu", torch.bfloat16):
        assert domain_probe(source, target) == plain
    followed = source.clone().requires_grad_()
    assert domain_probe(followed, target) == plain
    assert followed.grad is None


def test_features_of_any_layout_unit_and_precision_will_do() -> None:
    source, target = patches(0), patches(1) * 2.0
    plain = domain_probe(source, target)
    last = torch.channels_last_3d
    assert domain_probe(source.to(memory_format=last), target.to(memory_format=last)) == plain
    assert domain_probe(1e4 * source + 5e4, 1e4 * target + 5e4) == pytest.approx(plain, abs=0.02)
    assert domain_probe(source.bfloat16(), target.bfloat16()) == pytest.approx(plain, abs=0.05)


def test_batches_and_grids_may_differ_and_a_middle_patch_is_left_out() -> None:
    source, target = patches(0, cases=5, voxels=6), patches(1, cases=2, voxels=8) * 2.0
    plain = domain_probe(source, target)
    assert plain > 0.3
    source[2] = float("nan")
    assert domain_probe(source, target) == plain


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_features_that_are_not_finite_have_no_figure(wrong: float) -> None:
    target = patches(1, voxels=4)
    target[3, 2, 0, 0, 0] = wrong
    assert math.isnan(domain_probe(patches(0, voxels=4), target))


def test_constant_features_give_no_advantage() -> None:
    """A segmenter that has died is not one that has adapted, but its features tell nothing."""
    source = torch.full((4, 8, 4, 4, 4), 0.1)
    assert domain_probe(source, source.clone()) == 0.0
    target = patches(1, voxels=4)
    target[2:] = 1.0
    assert 0.0 <= domain_probe(patches(0, voxels=4), target) <= 1.0


def test_a_constant_that_differs_between_domains_is_seen() -> None:
    constant = torch.ones(4, 8, 4, 4, 4)
    assert domain_probe(constant, 1.001 * constant) == 1.0


@pytest.mark.parametrize(("cases", "channels"), [(1, 8), (4, 7)])
def test_one_patch_or_other_channels_are_refused(cases: int, channels: int) -> None:
    with pytest.raises(ValueError, match="two patches of each domain, with the same channels"):
        domain_probe(patches(0), patches(1, cases=cases, channels=channels))
