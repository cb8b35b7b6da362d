"""The pool of past fakes: what it keeps, what it hands back, and that it survives a resume."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from medgen.methods.image_pool import ImagePool


def fakes(first: int, count: int = 1) -> Tensor:
    """Return images (count, 2, 2, 3, 2), each of one number that tells it from all others."""
    numbers = torch.arange(first, first + count, dtype=torch.float32)
    return numbers.reshape(-1, 1, 1, 1, 1).expand(-1, 2, 2, 3, 2).clone()


def numbers(images: Tensor) -> list[int]:
    if images.ndim < 5:
        return []
    flat = images.flatten(1)
    assert (flat == flat[:, :1]).all(), "images were mixed"
    return [int(number) for number in flat[:, 0]]


def filled(size: int) -> ImagePool:
    pool = ImagePool(size)
    pool.exchange(fakes(0, size))
    return pool


@given(size=st.integers(1, 7), batch=st.integers(1, 3), steps=st.integers(1, 4))
def test_until_it_is_full_every_fake_is_kept_and_returned(
    size: int, batch: int, steps: int
) -> None:
    pool = ImagePool(size)
    for step in range(steps):
        new = fakes(step * batch, batch)
        returned = pool.exchange(new)
        room = max(0, size - step * batch)
        assert torch.equal(returned[:room], new[:room])
        assert returned.shape == new.shape
    assert len(pool.images) == min(size, batch * steps)


@given(seed=st.integers(0, 2**31), size=st.integers(1, 5))
def test_once_full_a_fake_is_returned_or_takes_the_place_of_the_one_that_is(
    seed: int, size: int
) -> None:
    torch.manual_seed(seed)
    pool = filled(size)
    for number in range(size, size + 10):
        before = numbers(pool.images)
        (returned,) = numbers(pool.exchange(fakes(number)))
        after = numbers(pool.images)
        if returned == number:
            assert after == before
        else:
            place = before.index(returned)
            assert after == [*before[:place], number, *before[place + 1 :]]


def test_it_exchanges_half_of_the_time_and_each_place_as_often() -> None:
    torch.manual_seed(0)
    pool, draws, places = filled(4), 4000, [0] * 4
    for number in range(4, 4 + draws):
        before = numbers(pool.images)
        (returned,) = numbers(pool.exchange(fakes(number)))
        if returned != number:
            places[before.index(returned)] += 1
    deviation = (draws / 4) ** 0.5
    assert abs(sum(places) - draws / 2) < 4 * deviation
    assert all(abs(place - draws / 8) < 4 * (draws * 7 / 64) ** 0.5 for place in places)


def test_each_fake_of_a_batch_is_drawn_by_itself() -> None:
    torch.manual_seed(1)
    pool, kinds = filled(50), set()
    for step in range(20):
        returned = numbers(pool.exchange(fakes(50 + 2 * step, 2)))
        kinds.add(tuple(number >= 50 + 2 * step for number in returned))
    assert kinds == {(True, True), (True, False), (False, True), (False, False)}


def test_a_pool_of_none_is_off_and_draws_nothing() -> None:
    pool, new = ImagePool(0), fakes(3, 2)
    state = torch.get_rng_state()
    for _ in range(3):
        assert torch.equal(pool.exchange(new), new)
    assert torch.equal(torch.get_rng_state(), state)
    assert pool.images.numel() == 0


def test_filling_draws_nothing() -> None:
    state = torch.get_rng_state()
    filled(5)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("size", [0, 2])
def test_nothing_that_is_returned_or_kept_carries_a_gradient(size: int) -> None:
    torch.manual_seed(2)
    pool = ImagePool(size)
    weight = torch.ones((), requires_grad=True)
    for number in range(8):
        returned = pool.exchange(weight * fakes(number))
        assert not returned.requires_grad
        assert not pool.images.requires_grad
    assert not list(pool.parameters())


def test_what_is_kept_shares_no_memory_with_what_is_given_or_returned() -> None:
    torch.manual_seed(3)
    pool = ImagePool(2)
    for number in range(12):
        new = fakes(number)
        returned = pool.exchange(new)
        kept = numbers(pool.images)
        new.fill_(-1)
        returned.fill_(-2)
        assert numbers(pool.images) == kept


@pytest.mark.parametrize("seen", [0, 1, 3, 5, 9])
def test_a_resumed_pool_goes_on_as_if_never_stopped(seen: int, tmp_path: Path) -> None:
    """Through a file, empty, part-filled and full, into a pool that is empty or full itself."""
    torch.manual_seed(4)
    pool = ImagePool(5)
    for number in range(seen):
        pool.exchange(fakes(number))
    save_file(nn.ModuleDict({"of": pool}).state_dict(), tmp_path / "state.safetensors")
    stored = load_file(tmp_path / "state.safetensors")
    for resumed in (ImagePool(5), filled(5)):
        nn.ModuleDict({"of": resumed}).load_state_dict(stored)
        assert torch.equal(resumed.images, pool.images)
    for number in range(seen, seen + 12):
        returned = []
        for one in (pool, resumed):
            torch.manual_seed(number)
            returned.append(one.exchange(fakes(number)))
        assert torch.equal(*returned)
        assert torch.equal(pool.images, resumed.images)


def test_a_loaded_pool_does_not_alias_the_state() -> None:
    pool, resumed = filled(2), ImagePool(2)
    resumed.load_state_dict(pool.state_dict())
    resumed.images.fill_(7)
    assert numbers(pool.images) == [0, 1]


def test_a_state_without_a_pool_is_refused() -> None:
    with pytest.raises(RuntimeError, match="images"):
        ImagePool(2).load_state_dict({})
