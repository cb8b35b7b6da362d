"""The commands that fit the columns found: registration where needed, then a configuration."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from medgen.config import shipped_configs
from medgen.config.plain_yaml import load_plain
from medgen.discovery.columns import kind_of, modality_of

_DEMO = "_demo"
_PREPARED = "prepared"
_PAIR, _LABELS = "mr_to_ct", "tissue_segmentation"
"""What to start from for two images, and for an image with labels, that nothing is made for."""


@dataclass(frozen=True)
class _Choice:
    """A shipped configuration, what to call the copy, and what to change in it."""

    copied: str
    name: str
    edit: str


def next_steps(
    columns: Sequence[str],
    *,
    table: str,
    same_grids: bool,
    same_frames: bool = True,
    drawn_on: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Return command lines for a shell, each with its reason behind a `#` where it needs one.

    `columns` are in the table's order, `table` is how the user named it; `drawn_on` tells of labels
    and masks which image shares their grid, where one does.
    """
    images = [column for column in columns if kind_of(column) == "image"]
    steps = []
    if len(images) > 1 and not (same_grids and same_frames):
        why = "grids differ" if same_frames else "frames of reference differ"
        step, columns = _registration(columns, images, table, drawn_on, why)
        steps.append(step)
        table = f"{_PREPARED}/cases.csv"
    table = shlex.quote(table)
    choices = _choices(columns)
    if not choices:
        steps.append("medgen init  # lists the configurations; none fits these columns as it is")
        return steps
    for index, choice in enumerate(choices):
        note = "  # " + ("or: " * (index > 0) + choice.edit).strip() if index or choice.edit else ""
        steps.append(f"medgen init {choice.copied} --output {choice.name}.yaml{note}")
    name = choices[0].name
    return [
        *steps,
        f"medgen plan {name}.yaml --data {table} --output planned.yaml",
        f"medgen train planned.yaml --data {table} --run runs/{name}",
    ]


def _registration(
    columns: Sequence[str],
    images: Sequence[str],
    table: str,
    drawn_on: Mapping[str, str],
    why: str,
) -> tuple[str, list[str]]:
    """Return the command that registers images to the first, and the columns of its table.

    What moves gets the name of both: `flair_on_t1`, and `lesion_on_t1` that was drawn on it.
    """
    fixed, *moving = images
    carried = {c: drawn_on.get(c, fixed) for c in columns if kind_of(c) != "image"}
    hounsfield = [column for column in images if modality_of(column) == "ct"]
    options = {
        "--fixed": fixed,
        "--moving": ",".join(moving),
        "--carry": ",".join(f"{column}={image}" for column, image in carried.items()),
        "--hu": ",".join(hounsfield),
    }
    given = [word for option, text in options.items() if text for word in (option, text)]
    command = ["medgen", "prepare", "--data", table, "--output", _PREPARED, *given]
    guessed = ", ".join(column for column in carried if column not in drawn_on)
    note = f"{why}: register" + (f"; check what {guessed} was drawn on" * bool(guessed))
    stay = {fixed, *(column for column, image in carried.items() if image == fixed)}
    made = [column if column in stay else f"{column}_on_{fixed}" for column in columns]
    return f"{shlex.join(command)}  # {note}", made


def _choices(columns: Sequence[str]) -> list[_Choice]:
    """Return configurations to start from, the best first: those that fit, or else the nearest."""
    fitting = _fitting(columns)
    masks = [column for column in columns if kind_of(column) == "mask"]
    if fitting:
        return [_Choice(name, name, _edit(name, replaced, masks)) for name, replaced in fitting]
    shipped = shipped_configs()
    images = [column for column in columns if kind_of(column) == "image"]
    labels = [column for column in columns if kind_of(column) == "label"]
    choices = []
    if len(images) > 1 and _PAIR in shipped:
        first, second = images[:2]
        edit = f"then write source: [{first}], target: [{second}], and their intensity"
        name = f"{first}_to_{second.partition('_on_')[0]}"
        choices.append(_Choice(_PAIR, name, edit))
    if images and (labels or (masks and len(images) == 1)) and _LABELS in shipped:
        label = (labels or masks)[0]
        classes = "its classes in labels" if labels else f"labels: {{{_class_of(label)}: 1}}"
        mask = f", mask: {masks[0]}" if labels and masks else ""
        edit = (
            f"then write source: [{images[0]}], label: [{label}]{mask} in roles, {classes}, and "
            f"{images[0]} in intensity"
        )
        choices.append(_Choice(_LABELS, f"{label}_segmentation", edit))
    return choices


def _class_of(mask: str) -> str:
    return mask.partition("_on_")[0]


def _edit(name: str, replaced: Mapping[str, str], masks: Sequence[str]) -> str:
    """Return what to change in a configuration that fits: stand-ins, classes, and the mask."""
    shown = ", ".join(f"{column} for {wanted}" for wanted, column in replaced.items())
    edits = [f"write {shown} in roles and intensity"] if shown else []
    if name == _LABELS:
        edits.append("check its classes in labels")
        edits += [f"write mask: {masks[0]} in roles"] if masks else []
    return f"then {', '.join(edits)}" if edits else ""


def _fitting(columns: Sequence[str]) -> list[tuple[str, Mapping[str, str]]]:
    """Return the configurations whose roles these columns can fill, and what stands in for what.

    Those that fit as they are come first.
    """
    found = []
    for name, text in shipped_configs().items():
        if name.endswith(_DEMO):
            continue
        wanted = _wanted(load_plain(text)["roles"])
        replaced: dict[str, str] | None = {}
        for column in wanted:
            if replaced is not None and column not in columns:
                other = _alike(column, [c for c in columns if c not in (*wanted, *replaced)])
                replaced = {**replaced, column: other} if other else None
        if replaced is not None:
            found.append((name, replaced))
    return sorted(found, key=lambda fit: len(fit[1]))


def _wanted(roles: Mapping[str, object]) -> list[str]:
    """Return the columns that roles need; the mask may be measured instead."""
    wanted: list[str] = []
    for name in ("source", "target", "label"):
        role = roles.get(name, [])
        columns = role.get("columns", []) if isinstance(role, Mapping) else role
        wanted += [str(column) for column in columns] if isinstance(columns, list | tuple) else []
    return wanted


def _alike(column: str, others: Sequence[str]) -> str | None:
    """Return the first other image of the same modality; labels have classes of their own."""
    for other in others:
        if kind_of(other) == kind_of(column) == "image" and modality_of(other) == modality_of(
            column
        ):
            return other
    return None
