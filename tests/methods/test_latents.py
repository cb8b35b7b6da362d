"""Latents are functions of seed and number; walks stay at the radius of draws."""

import numpy as np
import pytest
import torch

from medgen.methods.latents import draw_latents, spherical_walk


def test_a_latent_is_the_same_however_many_are_drawn() -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    few, many = draw_latents(7, range(2), 16), draw_latents(7, range(9), 16)
    assert torch.equal(many[:2], few)
    assert torch.equal(draw_latents(7, [8, 1], 16), many[[8, 1]])
    assert not torch.equal(draw_latents(8, range(2), 16), few)
    assert torch.equal(torch.get_rng_state(), state)


def test_latents_are_of_a_standard_normal() -> None:
    drawn = draw_latents(0, range(64), 500)
    assert drawn.dtype == torch.float32
    assert abs(float(drawn.mean())) < 0.02
    assert float(drawn.std()) == pytest.approx(1.0, abs=0.02)


def test_a_walk_turns_evenly_from_end_to_end() -> None:
    start, end = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
    walk = spherical_walk(start, end, 4).numpy()
    angles = np.degrees(np.arctan2(walk[:, 1], walk[:, 0]))
    np.testing.assert_allclose(angles, [0, 30, 60, 90], atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(walk, axis=1), 2.0, rtol=1e-6)


def test_a_walk_keeps_the_length_that_a_line_would_lose() -> None:
    start, end = draw_latents(1, range(2), 256)
    walk = spherical_walk(start, end, 5)
    torch.testing.assert_close(walk[[0, -1]], torch.stack([start, end]))
    assert float(walk[2].norm()) > 0.95 * float(start.norm())
    assert float(((start + end) / 2).norm()) < 0.8 * float(start.norm())


@pytest.mark.parametrize("end", [[1.0, 2.0], [2.0, 4.0], [-1.0, -2.0]])
def test_latents_without_a_great_circle_are_joined_by_a_line(end: list[float]) -> None:
    start = torch.tensor([1.0, 2.0])
    walk = spherical_walk(start, torch.tensor(end), 3)
    torch.testing.assert_close(walk[1], (start + torch.tensor(end)) / 2)
