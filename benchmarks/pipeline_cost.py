"""What the data pipeline costs: training steps per second with it, against steps on a fixed batch.

    python benchmarks/pipeline_cost.py CONFIG --data cases.csv [--set KEY=VALUE ...]

The two are timed in turn, block by block in one process, so that a drifting machine slows both.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
from pathlib import Path

import torch

from medgen.config import read_config
from medgen.data import prefetch
from medgen.runs import RunFolder
from medgen.training import Loop, Session, prepare_session


def main() -> None:
    """Time blocks of steps and print both rates and the cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="steps in a block")
    options = parser.parse_args()
    config = read_config(options.config, options.set)
    session = prepare_session(config, data=options.data, cache=options.cache, device=options.device)
    loop = Loop(
        session.method,
        session.specs,
        config,
        RunFolder(Path()),
        batch=session.batch,
        device=session.device,
        precision=session.precision,
    )
    fixed, streamed = measure(session, loop, options.blocks, options.steps)
    print(f"device {session.device}, {session.precision}, {torch.get_num_threads()} threads")
    print(f"fixed batch     {fixed:.3f} steps/s")
    print(f"with the pipeline {streamed:.3f} steps/s, cost {1 - streamed / fixed:.1%}")


def measure(session: Session, loop: Loop, blocks: int, steps: int) -> tuple[float, float]:
    """Return the median steps per second on a fixed batch and through the pipeline."""
    fixed_batch = session.batch(0)
    rates: dict[str, list[float]] = {"fixed": [], "streamed": []}
    for _ in range(3):
        loop.step(fixed_batch)
    with contextlib.closing(prefetch(session.batch, 1, 10**9)) as stream:
        for _ in range(blocks):
            rates["fixed"].append(_rate(loop, session, lambda: fixed_batch, steps))
            # Batches made ahead while nobody waited would flatter the pipeline: use them up first.
            for _ in range(8):
                loop.step(next(stream))
            rates["streamed"].append(_rate(loop, session, lambda: next(stream), steps))
    return statistics.median(rates["fixed"]), statistics.median(rates["streamed"])


def _rate(loop: Loop, session: Session, batch: object, steps: int) -> float:
    assert callable(batch)
    _wait(session)
    start = time.perf_counter()
    for _ in range(steps):
        loop.step(batch())
    _wait(session)
    return steps / (time.perf_counter() - start)


def _wait(session: Session) -> None:
    if session.device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
