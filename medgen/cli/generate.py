"""The verb `generate`: synthetic volumes from a run that has learned to draw them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from medgen.cli.terminal import Terminal
from medgen.problems import ConfigurationError, Problem


def generate(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(help="A trained run folder, of a generative method.")],
    output: Annotated[Path, typer.Option("--output", help="Folder to write.")],
    count: Annotated[int, typer.Option("--count", help="How many samples to draw.")] = 8,
    seed: Annotated[
        int,
        typer.Option(
            "--seed", min=0, help="Same seed, same samples: more of them leave the first unchanged."
        ),
    ] = 0,
    walk: Annotated[
        int,
        typer.Option(
            "--walk",
            metavar="STEPS",
            help="Also write the volumes on the way from sample 0 to sample 1, in so many steps, "
            "both included. Abrupt steps, or steps that look like no anatomy, say that the space "
            "between samples was not learned. walk.png shows the way in any case.",
        ),
    ] = 0,
    place: Annotated[
        str | None,
        typer.Option(
            "--place",
            metavar="X,Y,Z",
            help="Of a run with located: true, where in the body the samples' middle lies: each "
            "from -1 (left, back, lower end of the body) to 1 (right, front, upper end); 0,0,0 is "
            "the middle and the default. A negative first number needs --place=-0.5,0,0.",
        ),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the volumes of an earlier call.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON summary.")] = False,
) -> None:
    """Draw synthetic volumes from a run of vae, vae_gan, ano_gan or f_ano_gan.

    A sample has the size of the training patch and the run's spacing, around the world's origin.
    Its values are in the source column's unit where the column's scale is a window or a cohort's.
    Where it was scaled by each volume's own percentiles or z-scores, there is no volume to take
    them from: values are arbitrary, and each sidecar says how to read them. Look at samples.png
    for what a model takes for normal: it can call unusual what it cannot draw. Synthetic images can
    resemble training patients (training/previews/*/neighbours.png): treat them as such.
    """
    terminal = Terminal.of(context)
    where = None if place is None else _parsed_place(place)

    from medgen.generation import Wish
    from medgen.generation import generate as draw
    from medgen.runs import choose_device, load_model

    at = choose_device(device)
    model = load_model(run, device=at)
    wish = Wish(count=count, seed=seed, walk=walk, place=where)
    with terminal.progress("generate", total=count + walk) as bar:
        done = draw(
            model,
            output,
            wish,
            device=at,
            overwrite=overwrite,
            on_volume=lambda name: bar.advance(note=name),
        )
    if as_json:
        terminal.json({"samples": done.samples, "walk": done.steps, "units": list(done.units)})
        return
    parts = [f"{done.samples} synthetic sample{'s' if done.samples != 1 else ''}"]
    parts += [f"a walk of {done.steps} steps"] if done.steps else []
    units = ", ".join(dict.fromkeys(done.units))
    terminal.say(f"{output}: {' and '.join(parts)}, unit {units}")


def _parsed_place(text: str) -> tuple[float, float, float]:
    """Read `0.5,0,-0.2`.

    Raises:
        ConfigurationError: E_PLACE where it is not three finite numbers.
    """
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if len(found) != 3 or not all(math.isfinite(at) for at in found):
        message = "--place takes three numbers, to the right, the front and the top"
        raise ConfigurationError(Problem("E_PLACE", message, "for example --place 0.5,0,0.2"))
    return found[0], found[1], found[2]
