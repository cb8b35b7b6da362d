"""CPU seconds of a training step and of an answer of every anomaly method, in windows of one size.

    python benchmarks/anomaly_steps.py [--patch 32] [--repeats 3]

Networks are those of `configs/anomaly_detection_demo.yaml`, in 3D, one torch thread, fp32. A
search of 10 steps is timed and what the paper's 500 would take is multiplied out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

from medgen.config import read_config
from medgen.method import Clock, Method, OptimizerSpec, Stage
from medgen.methods.placed import PLACES
from medgen.runs import assemble
from medgen.training.players import Players

CONFIG = Path(__file__).parents[1] / "configs" / "anomaly_detection_demo.yaml"
METHODS = ("denoising_autoencoder", "vae", "vae_gan", "ano_gan", "f_ano_gan")
BATCH, WINDOWS, SEARCHED, PUBLISHED = 8, 8, 10, 500


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patch", type=int, default=32, help="voxels along each axis; 32")
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(f"| method | stage | s a step of {BATCH} patches | s a window |\n|---|---|---:|---:|")
    for name in METHODS:
        sets = [f"method={name}", f"train.patch={json.dumps([chosen.patch] * 3)}"]
        sets += [f"methods.ano_gan.search_steps={SEARCHED}"] if name == "ano_gan" else []
        method, specs = assemble(read_config(CONFIG, sets))
        channels = 1 + (PLACES if method.located else 0)
        source = torch.randn(BATCH, channels, *[chosen.patch] * 3)
        answer = answered(method, source[:WINDOWS], chosen.repeats) / WINDOWS
        said = f"{answer:.3f}"
        if name == "ano_gan":
            said += (
                f" with {SEARCHED} steps, so {answer * PUBLISHED / SEARCHED:.1f} with {PUBLISHED}"
            )
        for stage in method.stages or (Stage("", frozenset(method.players()), 1.0),):
            step = stepped(method, specs, stage, source, chosen.repeats)
            print(f"| {name} | {stage.name} | {step:.2f} | {said} |", flush=True)


def stepped(
    method: Method,
    specs: dict[str, OptimizerSpec],
    stage: Stage,
    source: torch.Tensor,
    repeats: int,
) -> float:
    """Return the median CPU time of a step, where every player of the stage moves."""
    method.train()
    players = Players(method, specs, gradient_clip=1.0)
    players.moving = stage.players
    took = []
    for _ in range(1 + repeats):  # the first one is slower
        begun = time.process_time()
        method.train_step({"source": source}, players, Clock(0, stage.name, 0.5, 0.5))
        took.append(time.process_time() - begun)
    return statistics.median(took[1:])


def answered(method: Method, source: torch.Tensor, repeats: int) -> float:
    """Return the median CPU time of answering windows."""
    method.eval()
    took = []
    for _ in range(1 + repeats):
        begun = time.process_time()
        with torch.no_grad():
            method.infer(source)
        took.append(time.process_time() - begun)
    return statistics.median(took[1:])


if __name__ == "__main__":
    main()
