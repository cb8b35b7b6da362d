"""Why each key is proposed: short sentences with the figures that they rest on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from medgen.config import Config
from medgen.conversion import plan_tiling
from medgen.networks import GeneratorBlock, ResNetGeneratorOptions
from medgen.planning.budget import GB, Budget
from medgen.planning.editing import Change
from medgen.planning.facts import Survey
from medgen.planning.footprint import sizes_of
from medgen.planning.generators import SHORTEST, alike, depth_of, generators_of, has_depth
from medgen.planning.search import (
    BATCH,
    FLOPS_A_STEP,
    LEAST_OVERLAP,
    VOXELS_A_STEP,
    Choice,
    extent_voxels,
    keeps_batch,
    overlap_of,
)
from medgen.planning.shapes import Size, pads
from medgen.planning.spacing import COARSEST_MM, FLATTEST, Resolved, share_seen

BOUNDS = {
    "memory": "more voxels would not fit the memory",
    "time": "more voxels would take too long a step",
    "work": "more voxels would cost too much arithmetic a step",
    "body": "it is as large as the median body allows",
    "least": "it is the smallest that the networks take",
}


def changes_of(
    given: Config, choice: Choice, resolved: Resolved, survey: Survey, budget: Budget
) -> Iterator[Change]:
    """Yield the proposed keys with their reasons; `given` is the configuration to be changed."""
    config = choice.config
    spacing = config.preprocessing.spacing_mm
    yield Change(
        ("preprocessing", "spacing_mm"),
        list(spacing),
        _of_spacing(config, resolved, survey, choice),
    )
    yield from _of_generators(given, choice, budget)
    yield Change(("train", "patch"), list(config.train.patch), _of_patch(choice, survey, budget))
    yield Change(("train", "batch_size"), config.train.batch_size, _of_batch(given, choice, budget))
    yield from _of_conversion(given, config, survey)


def summary_of(choice: Choice, survey: Survey, budget: Budget, given: float | None) -> list[str]:
    """Return what the plan rests on, for the top of the file.

    `given` is the arithmetic of a step of the configuration that was given, with its own networks,
    patch and batch, where it can be made.
    """
    cost = f"{choice.footprint.flops / 1e9:.0f} GFLOP"
    if given:
        times = choice.footprint.flops / given
        cost += f", {times:.2g} times that of the given file's own networks, patch and batch"
    device = "a processor (no GPU)" if budget.device_type == "cpu" else "a CUDA device"
    found = [
        f"for {len(survey.training)} training cases, {device}, {budget.precision}, "
        f"memory {budget.origin}.",
        f"training should take {choice.bytes / GB:.1f} GB of it in all; a step costs {cost}.",
    ]
    if budget.device_type == "cpu":
        narrow = "half the features, and " if has_depth(choice.config) else ""
        found.append(
            f"without a GPU time is what is short: {narrow}no more voxels a step than the shipped "
            "defaults."
        )
    return [*found, *_of_chain(choice.config)]


def _of_chain(config: Config) -> Iterator[str]:
    """Say how many trainings a chain is: each stage but the last also one for every fold."""
    chain = config.chain
    if chain is None or config.fed_column is None:
        return
    folds = f"{chain.folds} of folds and 1 of all cases" if chain.folds > 1 else "1"
    yield (
        f"a chain of {chain.stages} stages is {chain.trainings} trainings of "
        f"{config.train.steps} steps: {folds} for each stage but the last, and 1 for the last."
    )


def _of_spacing(config: Config, resolved: Resolved, survey: Survey, choice: Choice) -> str:
    spacing = config.preprocessing.spacing_mm
    text = (
        f"median spacing of {resolved.column!r} in the training cases is "
        f"{_figures(resolved.median_mm)} mm."
    )
    if resolved.flattened:
        text += f" No axis is more than {FLATTEST:g} times as coarse as the finest."
    if spacing != resolved.spacing_mm:
        text += (
            f" Made coarser, at most {COARSEST_MM:g} mm, so that a patch holds about "
            f"an eighth of the median body."
        )
    seen = share_seen(spacing, survey.median_extent_mm(), config.train.patch)
    return f"{text} A patch holds {seen:.0%} of it." if spacing != resolved.spacing_mm else text


def _of_generators(given: Config, choice: Choice, budget: Budget) -> Iterator[Change]:
    """Yield the keys of every generator that the plan decides, or all of one that it exchanges."""
    config = choice.config
    before = generators_of(given)
    for name, generator in generators_of(config).items():
        keys = depth_of(generator, SHORTEST[-1], device_type=budget.device_type)
        if not keys:
            continue
        path = ("methods", config.method, name)
        old = _block(given, name)
        new = _block(config, name)
        if generator.name != before[name].name:
            swap = _of_swap(choice, before[name].name, sorted(old.keys() - new.keys()))
            found = [Change(path, new, f"{swap} {_of_depth(generator, new, config, budget)}")]
        else:
            reasons = _of_keys(generator, new, config, budget)
            former = {key: getattr(before[name], key) for key in keys}
            found = [
                Change((*path, key), new[key], _instead(former[key], new[key]) + reasons[key])
                for key in keys
            ]
        yield from found
        for method in alike(given).get(name, ()):
            same = f"as in {config.method}, whose {name} it shares."
            yield from (
                Change(("methods", method, *change.path[2:]), change.value, same)
                for change in found
            )


def _instead(former: Any, value: Any) -> str:
    """Name the value that comments around the key may still speak of, where there is another."""
    plain = list(former) if isinstance(former, tuple) else former
    return "" if plain == value else f"in place of {plain}: "


def _block(config: Config, name: str) -> dict[str, Any]:
    """Return what a configuration says of one generator."""
    return dict((config.methods.get(config.method) or {}).get(name) or {})


def _of_swap(choice: Choice, name: str, lost: list[str]) -> str:
    assert choice.instead_of is not None
    times = choice.footprint.flops / choice.instead_of.footprint.flops
    size = _product(choice.config.train.patch)
    theirs = choice.instead_of.config.train
    text = (
        f"there is memory for a stronger network than {name!r} with patches of {size} voxels, "
        f"on the same grid; a step costs {times:.2g} times that of the {name!r} which "
        f"`medgen plan --keep-network` plans ({theirs.batch_size} patches of "
        f"{_product(theirs.patch)})."
    )
    return f"{text} Not among its keys: {', '.join(lost)}." if lost else text


def _of_keys(
    generator: GeneratorBlock, new: Mapping[str, Any], config: Config, budget: Budget
) -> dict[str, str]:
    """Return the reasons of the keys that depth decides, whichever network has them."""
    if generator.name == "pix2pix_unet":
        width = f"features at first {_place(budget)}."
        return {"levels": _of_halvings(generator.divisor, config), "channels": width}
    if isinstance(generator, ResNetGeneratorOptions):
        return {"channels": _of_full_resolution(generator, budget)}
    return {
        "channels": _of_depth(generator, new, config, budget),
        "features": "half of the first level's",
        "blocks": "residual blocks per stage; as given, for so many stages.",
    }


def _of_depth(
    generator: GeneratorBlock, new: Mapping[str, Any], config: Config, budget: Budget
) -> str:
    channels = new["channels"]
    bottom = [length // generator.divisor for length in config.train.patch]
    return (
        f"{len(channels)} levels leave {_product(bottom)} voxels of a patch at the coarsest; "
        f"{channels[0]} features at first {_place(budget)}."
    )


def _of_full_resolution(generator: ResNetGeneratorOptions, budget: Budget) -> str:
    return (
        f"features at full resolution {_place(budget)}; {generator.depth} residual blocks, by "
        f"which an answer's voxel sees {generator.receptive_field} voxels along an axis."
    )


def _of_halvings(divisor: int, config: Config) -> str:
    """Say what is left of a patch by a network of halvings, and why there are no more of them."""
    patch = config.train.patch
    left = [length // divisor for length in patch]
    text = f"halvings of {_product(patch)} voxels, which leave {_product(left)}"
    if min(left) == 1:
        return f"{text}: the binary logarithm of the patch's shortest axis."
    return f"{text}; with one more, patches would be multiples of {2 * divisor}."


def _place(budget: Budget) -> str:
    return "on a processor" if budget.device_type == "cpu" else "on a GPU"


def _of_patch(choice: Choice, survey: Survey, budget: Budget) -> str:
    config = choice.config
    extent = extent_voxels(config, survey)
    sizes = sizes_of(config)
    text = f"the median cropped body is {_product([round(length) for length in extent])} voxels; "
    if sizes.fixed is not None:
        text += "the networks take patches of this size alone"
    elif pads(config.train.patch, extent):
        text += _of_padding(config.train.patch, extent, choice)
    else:
        text += BOUNDS[choice.bound]
    if choice.bound == "time":
        text += f" ({VOXELS_A_STEP[budget.device_type]} voxels)"
    if choice.bound == "work":
        text += f" ({FLOPS_A_STEP[budget.device_type] / 1e9:.0f} GFLOP)"
    text += f". Multiples of {sizes.divisor}." if sizes.divisor > 1 else "."
    margin = choice.footprint.margin
    return f"{text} The network sees {margin} voxels more on each side." if margin else text


def _of_padding(patch: Size, extent: Sequence[float], choice: Choice) -> str:
    """Say that a shorter body is rounded up, and what bounds the other axes."""
    text = f"shorter axes are rounded up to {min(patch)}, the least that the networks take"
    if all(n > length + 1 for n, length in zip(patch, extent, strict=True)):
        return text
    bound = "the others are as long as the body allows" if choice.bound == "body" else ""
    return f"{text}; {bound or BOUNDS[choice.bound]}"


def _of_batch(given: Config, choice: Choice, budget: Budget) -> str:
    size = choice.config.train.batch_size
    kept = keeps_batch(given)
    if kept and size == given.train.batch_size:
        return f"as given: a step has so many patches of each domain ({given.method})."
    if kept:
        return f"{size + 1} would take more than {budget.usable_bytes / GB:.1f} GB, or too long."
    if size == BATCH:
        return "two patches average out chance; larger ones or more steps are worth more."
    if size < BATCH:
        return f"two would take more than {budget.usable_bytes / GB:.1f} GB, or too long a step."
    return "no larger patch fits the median body, so memory and time allow more of them."


def _of_conversion(given: Config, config: Config, survey: Survey) -> Iterator[Change]:
    extent = [math.ceil(length) for length in extent_voxels(config, survey)]
    tiling = plan_tiling(
        extent,
        patch=config.train.patch,
        window="auto",
        overlap=config.convert.overlap_voxels,
        divisor=sizes_of(config).divisor,
    )
    yield Change(
        ("convert", "window"),
        "auto",
        "near the training patch where norms measure the window: far larger ones cost accuracy.",
    )
    quarter = f"a quarter of the patch's shortest axis, at least {LEAST_OVERLAP}"
    overlap = config.convert.overlap_voxels
    if overlap > overlap_of(config.train.patch):
        quarter = f"as given, which is more than {quarter}"
    yield Change(
        ("convert", "overlap_voxels"),
        overlap,
        f"{quarter}; windows over the median body: {len(tiling)}.",
    )


def _figures(values: tuple[float, ...]) -> str:
    return " x ".join(f"{value:.4g}" for value in values)


def _product(values: Sequence[int]) -> str:
    return " x ".join(map(str, values))
