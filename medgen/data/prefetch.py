"""Work made ahead of its use: in background threads, in order, without owning randomness."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetch(
    make: Callable[[int], T], start: int, stop: int, *, ahead: int = 4, workers: int = 1
) -> Generator[T, None, None]:
    """Yield `make(start)` to `make(stop - 1)` in order, with up to `ahead` made beforehand.

    An error of `make` is raised where its item would have come, after those before it. Closing
    the iterator, or leaving it by an error, drops what was not begun and waits for the threads.
    """
    if ahead < 1 or workers < 1:
        raise ValueError(f"ahead ({ahead}) and workers ({workers}) must be at least 1")
    pending: deque[Future[T]] = deque()
    executor = ThreadPoolExecutor(workers, thread_name_prefix="medgen-prefetch")
    try:
        following = start
        for _ in range(start, stop):
            while following < stop and len(pending) < ahead:
                pending.append(executor.submit(make, following))
                following += 1
            yield pending.popleft().result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
