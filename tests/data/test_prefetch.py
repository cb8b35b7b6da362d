from __future__ import annotations

import threading
import time

import pytest

from medgen.data import prefetch


def threads() -> int:
    return sum(thread.name.startswith("medgen-prefetch") for thread in threading.enumerate())


@pytest.mark.parametrize("workers", [1, 3])
def test_in_order_whatever_takes_how_long(workers):
    def make(index: int) -> int:
        time.sleep(0.002 * (index % 3))
        return index * index

    assert list(prefetch(make, 2, 20, workers=workers)) == [i * i for i in range(2, 20)]
    assert threads() == 0


def test_makes_ahead_but_not_further():
    made: list[int] = []

    def make(index: int) -> int:
        made.append(index)
        return index

    items = prefetch(make, 0, 100, ahead=3)
    assert next(items) == 0
    assert next(items) == 1
    time.sleep(0.05)
    assert 3 <= len(made) <= 5
    items.close()
    assert threads() == 0


def test_an_error_comes_in_its_place_and_ends_the_threads():
    def make(index: int) -> int:
        if index == 2:
            raise KeyError("broken")
        return index

    items = prefetch(make, 0, 10)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(KeyError, match="broken"):
        next(items)
    assert threads() == 0


def test_an_error_of_the_consumer_ends_the_threads():
    def consume() -> None:
        for item in prefetch(lambda index: index, 0, 10):
            if item == 1:
                raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        consume()
    assert threads() == 0


def test_nothing_to_make_and_wrong_options():
    assert list(prefetch(lambda index: index, 5, 5)) == []
    with pytest.raises(ValueError, match="ahead"):
        list(prefetch(lambda index: index, 0, 1, ahead=0))
