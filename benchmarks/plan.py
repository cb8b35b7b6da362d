"""Is `medgen plan` worth following? Its memory against the measured one; its scores against ours.

    python benchmarks/plan.py steps CONFIG --data cases.csv --output plan_steps
    python benchmarks/plan.py networks CONFIG --data cases.csv --output plan_networks --limits 8 24
    python benchmarks/plan.py memory CONFIG --data cases.csv --output plan_memory --limits 2 8 24
    python benchmarks/plan.py compare CONFIG --data cases.csv --output plan_compare --minutes 30

`steps` makes a few real steps of several sizes, each in a process of its own, and compares the peak
with the tensors that the plan counts. `networks` tells which network is planned for each limit, as
for a GPU elsewhere, and how long planning took. `memory` plans for each limit as for a GPU
elsewhere (on a processor time bounds a plan long before memory does), keeping the given network,
trains a few real steps of it as a process of its own, under a hard limit on its memory, and reports
the peak above what importing the program takes. `compare` trains the given and the planned
configuration for the same computing time, with the same seed and split, converts the test cases
with both, and prints the mean absolute errors.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from medgen.cohort import Options, cases_of_table, convert_cohort
from medgen.config import Config, read_config
from medgen.data import prefetch
from medgen.evaluation import evaluate, match_table
from medgen.files import write_text
from medgen.metrics import profile_named
from medgen.planning import Budget, budget_of, footprint, plan
from medgen.planning.footprint import STATES
from medgen.planning.generators import generators_of
from medgen.runs import Precision, RunFolder, load_model
from medgen.training import Loop, Session, prepare_session, train

GB = 10**9


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["steps", "networks", "memory", "compare"])
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--limits", type=float, nargs="+", default=[2.0, 8.0, 24.0], help="GB")
    parser.add_argument("--steps", type=int, default=3, help="memory: real steps for each limit")
    parser.add_argument("--minutes", type=float, default=30.0, help="compare: for each training")
    parser.add_argument("--mask-column", help="compare: where to score; default: the outline")
    chosen = parser.parse_args()
    given = chosen.output / "given.yaml"
    write_text(given, chosen.config.read_text(encoding="utf-8"))
    measurements = {"steps": steps, "networks": networks, "memory": memory, "compare": compare}
    for row in measurements[chosen.what](given, chosen):
        print(row, flush=True)


SIZES: tuple[tuple[Precision, int, int, list[int]], ...] = (
    ("fp32", 64, 2, [32, 64, 128, 256]),
    ("bf16", 64, 2, [32, 64, 128, 256]),
    ("bf16", 96, 2, [32, 64, 128, 256]),
    ("bf16", 96, 2, [16, 32, 64, 128, 128]),
    ("bf16", 96, 4, [16, 32, 64, 128, 128]),
    ("fp32", 96, 2, [32, 64, 128, 256, 256]),
)
"""Precision, patch, batch and channels of the steps to measure."""

STEPS = """
import sys
from pathlib import Path
import torch
from medgen.config import read_config
from medgen.runs import RunFolder, assemble
from medgen.training import Loop

config = read_config(Path(sys.argv[1]), sys.argv[3:])
def peak():
    # Not ru_maxrss: a new program inherits that of the process which started it.
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

before = peak()
method, specs = assemble(config)
shape = (config.train.batch_size, 1, *config.train.patch)
batch = {key: torch.rand(shape) for key in frozenset().union(*method.reads)}
loop = Loop(method, specs, config, RunFolder(Path()), batch=lambda step: batch,
            device=torch.device("cpu"), precision=sys.argv[2])
for _ in range(3):
    loop.step(batch)
print((peak() - before) * 1024)
"""


def steps(given: Path, chosen: argparse.Namespace) -> Iterator[str]:
    """Yield a table: what lives at one time, what is reserved for it, what a process took."""
    yield "| method | channels | batch x patch | | live | reserved | measured | over the live |"
    yield "|---|---|---|---|---:|---:|---:|---:|"
    for method in ("regression", "conditional_gan"):
        for precision, patch, batch, channels in SIZES:
            settings = [
                f"method={method}",
                f"methods.{method}.generator.channels={channels}",
                f"train.patch=[{patch}, {patch}, {patch}]",
                f"train.batch_size={batch}",
                *chosen.set,
            ]
            command = [sys.executable, "-c", STEPS, str(given), precision, *settings]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            used = int(output)
            config = read_config(given, settings)
            found = footprint(config, device_type="cpu", precision=precision)
            over = (used - STATES * found.weight_bytes) / found.live_bytes
            sizes = (found.live_bytes, found.bytes, used)
            figures = " | ".join(f"{size / GB:.2f} GB" for size in sizes)
            yield (
                f"| {method} | {channels} | {batch} x {patch}³ | {precision} "
                f"| {figures} | {over:.2f} |"
            )


def planned(
    given: Path, chosen: argparse.Namespace, name: str, memory_gb: float | None, device: str
) -> tuple[Path, int]:
    """Write the plan's configuration; return it and the bytes that it reckons with."""

    def budget(config: Config) -> Budget:
        return budget_of(memory_gb=memory_gb, device=device, precision=config.train.precision)

    found = plan(given, chosen.data, budget, name=name, keep_network=True)
    write_text(chosen.output / name, found.text)
    return chosen.output / name, found.choice.bytes


def networks(given: Path, chosen: argparse.Namespace) -> Iterator[str]:
    """Yield a table: what is planned for each limit, without and with the exchange of networks."""
    yield "| limit | | network | levels | batch x patch | spacing | planned | a step | planning |"
    yield "|---:|---|---|---:|---|---|---:|---:|---:|"
    for limit in chosen.limits:

        def budget(config: Config, limit: float = limit) -> Budget:
            return budget_of(memory_gb=limit, device="cuda", precision=config.train.precision)

        for keep_network in (True, False):
            begun = time.process_time()
            found = plan(given, chosen.data, budget, name="planned.yaml", keep_network=keep_network)
            took = time.process_time() - begun
            config = found.choice.config
            (generator,) = generators_of(config).values()
            size = " x ".join(map(str, config.train.patch))
            spacing = " x ".join(f"{mm:g}" for mm in config.preprocessing.spacing_mm)
            yield (
                f"| {limit:g} GB | {'kept' if keep_network else ''} | {generator.name} "
                f"| {generator.divisor.bit_length()} | {config.train.batch_size} x {size} "
                f"| {spacing} mm | {found.choice.bytes / GB:.1f} GB "
                f"| {found.choice.footprint.flops / 1e12:.1f} TFLOP | {took:.0f} s |"
            )


def memory(given: Path, chosen: argparse.Namespace) -> Iterator[str]:
    """Yield a table: the limit, the plan, and what training took at its peak."""
    code = "import medgen.cli.app, medgen.training"
    imported, _ = peak([sys.executable, "-c", code], limit=None)
    yield f"importing the program takes {imported / GB:.2f} GB; peaks are above it"
    yield "| limit | batch x patch | spacing | planned | measured | within the limit |"
    yield "|---:|---|---|---:|---:|---|"
    for limit in chosen.limits:
        name = f"planned_{limit:g}.yaml"
        path, expected = planned(given, chosen, name, limit, "cuda")
        settings = [
            f"train.steps={chosen.steps}",
            f"train.validate.every_steps={chosen.steps}",
            *chosen.set,
        ]
        config = read_config(path, settings)
        command = [sys.executable, "-m", "medgen", "train", str(path), "--data", str(chosen.data)]
        command += ["--run", str(chosen.output / f"run_{limit:g}"), "--overwrite", "--quiet"]
        command += ["--cache", str(chosen.output / "cache")]
        command += [word for setting in settings for word in ("--set", setting)]
        used, code_ = peak(command, limit=int(limit * GB))
        size = " x ".join(map(str, config.train.patch))
        spacing = " x ".join(f"{mm:g}" for mm in config.preprocessing.spacing_mm)
        verdict = "yes" if code_ == 0 and used - imported <= limit * GB else f"NO (exit {code_})"
        yield (
            f"| {limit:g} GB | {config.train.batch_size} x {size} | {spacing} mm "
            f"| {expected / GB:.2f} GB | {(used - imported) / GB:.2f} GB | {verdict} |"
        )


def peak(command: Sequence[str], *, limit: int | None) -> tuple[int, int]:
    """Run a process, if wanted under a hard limit on its private memory; peak bytes, exit code."""

    def bounded() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    process = subprocess.Popen(command, preexec_fn=bounded, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    return usage.ru_maxrss * 1024, os.waitstatus_to_exitcode(status)


def compare(given: Path, chosen: argparse.Namespace) -> Iterator[str]:
    """Yield a table: both configurations, their steps in the same time, and their errors."""
    path, _ = planned(given, chosen, "planned.yaml", None, chosen.device)
    paths = {"given": given, "planned": path}
    seconds = step_seconds(paths, chosen)
    yield f"{chosen.minutes:g} minutes of computing for each training"
    yield "| | batch x patch | seconds a step | steps | trained | test cases | MAE |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    for name, path in paths.items():
        steps = max(1, round(chosen.minutes * 60 / seconds[name]))
        settings = [f"train.steps={steps}", f"train.validate.every_steps={steps}"]
        config = read_config(path, [*chosen.set, *settings])
        session = prepared(config, chosen)
        run = chosen.output / name
        clock = clock_of(session)
        begun = clock()
        train(session, run, overwrite=True)
        took = clock() - begun
        errors = scored(session, run, chosen)
        size = " x ".join(map(str, config.train.patch))
        yield (
            f"| {name} | {config.train.batch_size} x {size} | {seconds[name]:.2f} | {steps} "
            f"| {took / 60:.1f} min | {len(errors)} | {statistics.mean(errors):.2f} |"
        )


def step_seconds(paths: dict[str, Path], chosen: argparse.Namespace) -> dict[str, float]:
    """Return the median time of a step of each, in turn, so that a drifting machine slows both."""
    taken: dict[str, list[float]] = {name: [] for name in paths}
    with contextlib.ExitStack() as stack:
        streams = {}
        for name, path in paths.items():
            session = prepared(read_config(path, chosen.set), chosen)
            loop = loop_of(session)
            batches = stack.enter_context(contextlib.closing(prefetch(session.batch, 0, 10**9)))
            streams[name] = (session, loop, batches)
            loop.step(next(batches))
        for _ in range(5):
            for name, (session, loop, batches) in streams.items():
                clock = clock_of(session)
                begun = clock()
                for _ in range(4):
                    loop.step(next(batches))
                taken[name].append((clock() - begun) / 4)
    return {name: statistics.median(times) for name, times in taken.items()}


def clock_of(session: Session) -> Callable[[], float]:
    """Return the clock: computing time on a processor that others use too, else real time."""
    return time.process_time if session.device.type == "cpu" else time.perf_counter


def prepared(config: Config, chosen: argparse.Namespace) -> Session:
    """Return a session; the cache is shared by all."""
    cache = chosen.output / "cache"
    return prepare_session(config, data=chosen.data, cache=cache, device=chosen.device)


def loop_of(session: Session) -> Loop:
    """Return a loop that writes no run."""
    return Loop(
        session.method,
        session.specs,
        session.config,
        RunFolder(Path()),
        batch=session.batch,
        device=session.device,
        precision=session.precision,
    )


def scored(session: Session, run: Path, chosen: argparse.Namespace) -> list[float]:
    """Convert the test cases and return the mean absolute error of each."""
    model = load_model(run, device=session.device)
    cases = cases_of_table(chosen.data, model, split="test")
    answers = chosen.output / f"{run.name}_answers"
    convert_cohort(model, cases, answers, device=session.device, options=Options(overwrite=True))
    roles = session.config.roles
    assert roles.target is not None
    matched = match_table(
        answers, chosen.data, column=roles.target.columns[0], mask_column=chosen.mask_column
    )
    report = chosen.output / f"{run.name}_report"
    profile = session.config.train.validate_.profile
    evaluate(matched, profile_named(profile), report, overwrite=True)
    with (report / "scores.csv").open(encoding="utf-8", newline="") as stream:
        return [float(row["mae"]) for row in csv.DictReader(stream)]


if __name__ == "__main__":
    main()
