"""Volumes as the scales of their columns promise them: of that modality, in that unit."""

from __future__ import annotations

from collections.abc import Mapping

from medgen.config import Scale, SharedScale
from medgen.data.intensity import unit_of
from medgen.data.modality import check_modality
from medgen.problems import Problem, Refusal
from medgen.volumes import Volume, in_unit


def in_promised_units(
    volumes: Mapping[str, Volume], intensity: Mapping[str, Scale]
) -> dict[str, Volume]:
    """Return the volumes in the units that their scales promise; others as they are.

    Raises:
        Refusal: E_MODALITY or E_UNIT where a file's own header contradicts the column's name or
            scale, E_SUV; of every column.
    """
    found: dict[str, Volume] = {}
    problems: list[Problem] = []
    for column, volume in volumes.items():
        scale = intensity.get(column)
        try:
            if scale is not None:
                check_modality(column, volume)
            found[column] = in_unit(volume, _promised(scale, intensity)) if scale else volume
        except Refusal as error:
            problems += error.at(column=column).problems
    if problems:
        raise Refusal(problems)
    return found


def _promised(scale: Scale, intensity: Mapping[str, Scale]) -> str:
    """Return the unit that a scale promises; one that is shared promises the other column's."""
    return unit_of(intensity[scale.column] if isinstance(scale, SharedScale) else scale)


def notes_of(volumes: Mapping[str, Volume]) -> tuple[str, ...]:
    """Return what reading left out of the volumes, or put right, a line each."""
    return tuple(
        f"column {column}: {note.message}" for column, v in volumes.items() for note in v.notes
    )
