"""The commands that fit the columns found: registration where needed, then a configuration."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from types import MappingProxyType

from medgen.config import shipped_configs
from medgen.config.plain_yaml import load_plain
from medgen.data.modality import modality_of
from medgen.discovery.columns import Kind, kind_of

_DEMO, _UNPAIRED = "_demo", "unpaired_"
_PREPARED = "prepared"
_PAIR, _PAIR_OF_MR, _LABELS = "mr_to_ct", "cross_modality_mr", "tissue_segmentation"
"""What to start from for two images, and for an image with labels, that nothing is made for."""


ENOUGH = 0.1
"""A step is proposed for columns that at least this share of the rows, and one, hold together."""


@dataclass(frozen=True)
class _Choice:
    """A shipped configuration, what to call the copy, and what to change in it."""

    copied: str
    name: str
    edit: str
    needs: tuple[str, ...]
    """The columns that it makes a row use."""


@dataclass(frozen=True)
class _Rows:
    """The columns of a table, in its order, and those that each of its rows holds."""

    columns: Sequence[str]
    rows: Sequence[Set[str]]

    def holding(self, columns: Iterable[str]) -> int:
        """Return how many rows hold all of some columns."""
        wanted = set(columns)
        return sum(wanted <= row for row in self.rows)

    def enough(self, columns: Iterable[str]) -> bool:
        """Tell whether so many rows hold all of some columns that a step is worth proposing."""
        return self.holding(columns) >= max(1.0, ENOUGH * len(self.rows))

    def share(self, columns: Iterable[str]) -> str:
        """Return a remark where only some of the rows can take part."""
        count = self.holding(columns)
        if count == len(self.rows):
            return ""
        return f"{count} of {len(self.rows)} cases have all of its columns"

    def of(self, kind: Kind) -> list[str]:
        """Return the columns of images, labels or masks."""
        return [column for column in self.columns if kind_of(column) == kind]


def next_steps(
    columns: Sequence[str],
    rows: Sequence[Set[str]],
    *,
    table: str,
    same_grids: bool,
    same_frames: bool = True,
    drawn_on: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Return command lines for a shell, each with its reason behind a `#` where it needs one.

    `columns` are in the table's order, `rows` tells which of them each row holds, `table` is how
    the user named it; `drawn_on` tells of labels and masks which image shares their grid, where one
    does.
    """
    held = _Rows(columns, rows)
    steps = []
    fixed, moving = _to_register(held)
    if moving and not (same_grids and same_frames):
        why = "grids differ" if same_frames else "frames of reference differ"
        step, held = _registration(held, fixed, moving, table, drawn_on, why)
        steps.append(step)
        table = f"{_PREPARED}/cases.csv"
    table = shlex.quote(table)
    choices = _choices(held)
    if not choices:
        lone = len(columns) > 1 and max(map(len, rows), default=0) < 2
        why = "no case has two columns" if lone else "none fits these columns as it is"
        steps.append(f"medgen init  # lists the configurations; {why}")
        return steps
    for index, choice in enumerate(choices):
        remarks = [remark for remark in (choice.edit, held.share(choice.needs)) if remark]
        note = "or: " * (index > 0) + "; ".join(remarks)
        note = f"  # {note.rstrip(' :')}" if note else ""
        steps.append(f"medgen init {choice.copied} --output {choice.name}.yaml{note}")
    name = choices[0].name
    return [
        *steps,
        f"medgen plan {name}.yaml --data {table} --output planned.yaml",
        f"medgen train planned.yaml --data {table} --run runs/{name}",
    ]


def _to_register(held: _Rows) -> tuple[str, list[str]]:
    """Return the image to stay, and those that enough rows hold beside it, to register to it.

    Of the images with at least half as many partners as any has, the first in order stays.
    """
    images = held.of("image")
    partners = {
        image: sum(held.holding((image, other)) for other in images if other != image)
        for image in images
    }
    most = max(partners.values(), default=0)
    fixed = next((image for image in images if most and 2 * partners[image] >= most), "")
    return fixed, [one for one in images if fixed and one != fixed and held.enough((fixed, one))]


def _registration(
    held: _Rows,
    fixed: str,
    moving: Sequence[str],
    table: str,
    drawn_on: Mapping[str, str],
    why: str,
) -> tuple[str, _Rows]:
    """Return the command that registers images to the first, and what its table will hold.

    What moves gets the name of both: `flair_on_t1`, and `lesion_on_t1` that was drawn on it.
    """
    images = [fixed, *moving]
    others = [*held.of("label"), *held.of("mask")]
    anchors = {one: drawn_on[one] if drawn_on.get(one) in images else fixed for one in others}
    carried = {one: anchor for one, anchor in anchors.items() if held.enough((one, anchor, fixed))}
    hounsfield = [column for column in images if modality_of(column) == "ct"]
    options = {
        "--fixed": fixed,
        "--moving": ",".join(moving),
        "--carry": ",".join(f"{column}={image}" for column, image in carried.items()),
        "--hu": ",".join(hounsfield),
    }
    given = [word for option, text in options.items() if text for word in (option, text)]
    command = ["medgen", "prepare", "--data", table, "--output", _PREPARED, *given]
    guessed = ", ".join(column for column in carried if drawn_on.get(column) != carried[column])
    alone = len(held.rows) - held.holding([fixed])
    notes = [f"{why}: register"]
    notes += [f"check what {guessed} was drawn on"] if guessed else []
    notes += (
        [f"{alone} of {len(held.rows)} cases have no {fixed} and are left out"] if alone else []
    )
    stay = {fixed, *(column for column, image in carried.items() if image == fixed)}
    made = {one: one if one in stay else f"{one}_on_{fixed}" for one in (*images, *carried)}
    rows = [{made[one] for one in row if one in made} for row in held.rows if fixed in row]
    columns = [made[one] for one in held.columns if one in made]
    return f"{shlex.join(command)}  # {'; '.join(notes)}", _Rows(columns, rows)


def _choices(held: _Rows) -> list[_Choice]:
    """Return configurations to start from, the best first: those that fit, or else the nearest."""
    fitting = _fitting(held)
    if fitting:
        return [
            _Choice(name, name, _edit(name, needs, replaced, held), needs)
            for name, needs, replaced in fitting
        ]
    shipped = shipped_configs()
    choices = []
    pair = _together(held, held.of("image"), held.of("image"))
    nearest = _PAIR_OF_MR if pair and modality_of(pair[1]) == "mr" else _PAIR
    if pair and nearest in shipped:
        first, second = pair
        edit = f"then write source: [{first}], target: [{second}], and their intensity"
        name = f"{first}_to_{second.partition('_on_')[0]}"
        choices.append(_Choice(nearest, name, edit, pair))
    labels = held.of("label") or held.of("mask")
    usable = held.of("label") or len(held.of("image")) == 1
    pair = _together(held, held.of("image"), labels) if usable else None
    if pair and _LABELS in shipped:
        image, label = pair
        is_label = kind_of(label) == "label"
        masks = [one for one in held.of("mask") if is_label and held.enough((*pair, one))]
        classes = "its classes in labels" if is_label else f"labels: {{{_class_of(label)}: 1}}"
        mask = f", mask: {masks[0]}" if masks else ""
        edit = (
            f"then write source: [{image}], label: [{label}]{mask} in roles, {classes}, and "
            f"{image} in intensity"
        )
        choices.append(_Choice(_LABELS, f"{label}_segmentation", edit, (*pair, *masks[:1])))
    return choices


def _together(held: _Rows, firsts: Sequence[str], seconds: Sequence[str]) -> tuple[str, str] | None:
    """Return the first two columns, one of each kind, that enough rows hold together."""
    for first in firsts:
        for second in seconds:
            if first != second and held.enough((first, second)):
                return first, second
    return None


def _class_of(mask: str) -> str:
    return mask.partition("_on_")[0]


def _edit(name: str, needs: tuple[str, ...], replaced: Mapping[str, str], held: _Rows) -> str:
    """Return what to change in a configuration that fits: stand-ins, classes, and the mask."""
    shown = ", ".join(f"{column} for {wanted}" for wanted, column in replaced.items())
    edits = [f"write {shown} in roles and intensity"] if shown else []
    if name == _LABELS:
        edits.append("check its classes in labels")
        masks = [one for one in held.of("mask") if held.enough((*needs, one))]
        edits += [f"write mask: {masks[0]} in roles"] if masks else []
    return f"then {', '.join(edits)}" if edits else ""


def _fitting(held: _Rows) -> list[tuple[str, tuple[str, ...], Mapping[str, str]]]:
    """Return the configurations whose roles enough rows can fill, with what, and the stand-ins.

    Those that fit as they are come first.
    """
    found = []
    for name, text in shipped_configs().items():
        # Any two contrasts fit a pair of MR; and who has pairs does better than to learn without.
        if name.endswith(_DEMO) or name == _PAIR_OF_MR or name.startswith(_UNPAIRED):
            continue
        roles = load_plain(text)["roles"]
        if {"target", "label"} <= roles.keys():  # which row is of which domain, no column says
            continue
        if not {"target", "label"} & roles.keys():  # and none says which cases are healthy
            continue
        wanted = _wanted(roles)
        replaced: dict[str, str] = {}
        for column in wanted:
            if column not in held.columns:
                used = [one for one in wanted if one in held.columns] + list(replaced.values())
                replaced[column] = _stand_in(column, used, held) or column
        needs = tuple(replaced.get(column, column) for column in wanted)
        if held.enough(needs):
            found.append((name, needs, replaced))
    return sorted(found, key=lambda fit: len(fit[2]))


def _wanted(roles: Mapping[str, object]) -> list[str]:
    """Return the columns that roles need; the mask may be measured instead."""
    wanted: list[str] = []
    for name in ("source", "target", "label"):
        role = roles.get(name, [])
        columns = role.get("columns", []) if isinstance(role, Mapping) else role
        wanted += [str(column) for column in columns] if isinstance(columns, list | tuple) else []
    return wanted


def _stand_in(column: str, used: Sequence[str], held: _Rows) -> str | None:
    """Return another image of the same modality that enough rows hold beside those used.

    Labels have none: they have classes of their own.
    """
    if kind_of(column) != "image":
        return None
    for other in held.of("image"):
        alike = modality_of(other) == modality_of(column)
        if alike and other not in used and held.enough((*used, other)):
            return other
    return None
