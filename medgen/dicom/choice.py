"""Which part of an ambiguous DICOM folder is meant, and how it may travel in a path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from medgen.problems import ConfigurationError, Problem

MARK = "#"
_DIGITS = 9
_ADVICE = "write FOLDER/#series=UID,echo=N,phase=N,unit=SUV,straighten, or any of these"


@dataclass(frozen=True)
class Choice:
    """Pick one volume from a DICOM folder.

    `series` is a SeriesInstanceUID or a SeriesNumber; `echo` counts the echo times present in
    rising order from 1, and `phase` the temporal positions likewise. `unit` "SUV" asks for PET in
    standardised uptake values instead of Bq/ml. `straighten` allows tilted or unevenly spaced
    slices to be resampled.
    """

    series: str = ""
    echo: int | None = None
    phase: int | None = None
    unit: str = ""
    straighten: bool = False

    def __str__(self) -> str:
        """Return the choice as it stands in a path, without the mark; "" where nothing is said."""
        words = []
        for field in fields(self):
            value = vars(self)[field.name]
            if value is True:
                words.append(field.name)
            elif value not in (None, "", False):
                words.append(f"{field.name}={value}")
        return ",".join(words)

    def over(self, other: Choice) -> Choice:
        """Return this choice, completed by another where it says nothing."""
        said = {name: value for name, value in vars(self).items() if value not in (None, "", False)}
        return replace(other, **said)

    def at(self, path: Path) -> Path:
        """Return a path that carries this choice; what the path says already wins."""
        folder, own = split_choice(path)
        text = str(own.over(self))
        return folder / f"{MARK}{text}" if text else folder


def split_choice(path: Path) -> tuple[Path, Choice]:
    """Return the folder or file and the choice of a path such as `series/#echo=2`.

    Raises:
        ConfigurationError: E_CELL_SELECTOR where the choice cannot be understood.
    """
    if not path.name.startswith(MARK) or os.path.exists(path):  # no error where it is too long
        return path, Choice()
    return path.parent, _parse(path.name[len(MARK) :])


def _parse(text: str) -> Choice:
    said: dict[str, str] = {}
    for word in text.split(","):
        name, equals, value = (part.strip() for part in word.partition("="))
        if name in said or not name or bool(equals) != bool(value):
            raise _unknown("it is not NAME=VALUE, or a name comes twice")
        said[name] = value
    unknown = sorted(set(said) - {field.name for field in fields(Choice)})
    if unknown:
        raise _unknown("a name in it is not known")
    if said.get("straighten") or said.get("unit", "SUV").upper() != "SUV":
        raise _unknown("straighten takes no value, and the only unit to ask for is SUV")
    return Choice(
        series=_filled(said, "series"),
        echo=_count(said, "echo"),
        phase=_count(said, "phase"),
        unit=_filled(said, "unit").upper(),
        straighten="straighten" in said,
    )


def _filled(said: Mapping[str, str], name: str) -> str:
    value = said.get(name)
    if value == "":
        raise _unknown(f"{name} has no value")
    return value or ""


def _count(said: Mapping[str, str], name: str) -> int | None:
    if name not in said:
        return None
    value = said[name]
    if not (value.isascii() and value.isdigit() and len(value) <= _DIGITS) or int(value) < 1:
        raise _unknown(f"{name} is not a whole number from 1 on")
    return int(value)


def _unknown(why: str) -> ConfigurationError:
    message = f"the choice behind # cannot be understood: {why}"
    return ConfigurationError(Problem("E_CELL_SELECTOR", message, _ADVICE))
