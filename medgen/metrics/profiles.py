"""Named sets of scores, each with its unit, its direction and its definition in words.

A profile is what a leaderboard or a field has agreed to compute, so that two numbers with one
name mean one thing. `PROFILES` is the whole list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from medgen.metrics import challenge, computed_tomography, magnetic_resonance
from medgen.metrics.columns import Column, Measured
from medgen.metrics.masked import Array, checked
from medgen.problems import ConfigurationError, Problem


@dataclass(frozen=True)
class Profile:
    """A named set of scores of one prediction against its reference.

    `unit` is that of the volumes, "HU" or "arbitrary"; `details` describe the scores.
    """

    name: str
    title: str
    unit: str
    details: tuple[Column, ...]
    measurement: Callable[[Array, Array, Array], Measured] = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the scores, the leading one first."""
        return tuple(column.name for column in self.details)

    def column(self, name: str) -> Column:
        """Return a score's unit, direction and definition."""
        return next(column for column in self.details if column.name == name)

    def measure(
        self,
        prediction: Array,
        reference: Array,
        mask: Array,
    ) -> Measured:
        """Score volumes (X, Y, Z) in the profile's unit, and say why a score is NaN or doubtful.

        Raises:
            Refusal: E_METRIC_SHAPE, E_METRIC_NONFINITE, E_EMPTY_MASK or E_METRIC_RANGE.
        """
        measured = self.measurement(*checked(prediction, reference, mask))
        scores = {name: float(measured.scores[name]) for name in self.columns}
        return Measured(scores, measured.remarks)

    def score(
        self,
        prediction: Array,
        reference: Array,
        mask: Array,
    ) -> dict[str, float]:
        """Return the scores alone, by column; see `measure`."""
        return dict(self.measure(prediction, reference, mask).scores)


def profile_named(name: str) -> Profile:
    """Return a profile.

    Raises:
        ConfigurationError: E_PROFILE, naming the known ones.
    """
    if name not in PROFILES:
        known = ", ".join(PROFILES)
        raise ConfigurationError(
            Problem("E_PROFILE", f"there is no profile {name!r}", f"known: {known}")
        )
    return PROFILES[name]


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            name="hu",
            title="CT in Hounsfield units: errors by tissue class and overlap of bone",
            unit="HU",
            details=computed_tomography.COLUMNS,
            measurement=computed_tomography.measure,
            notes=computed_tomography.NOTES,
        ),
        Profile(
            name="synthrad2023",
            title="Image scores of the SynthRAD2023 challenge",
            unit="HU",
            details=challenge.COLUMNS_2023,
            measurement=challenge.measure_2023,
            notes=challenge.NOTES_2023,
        ),
        Profile(
            name="synthrad2025",
            title="Image scores of the SynthRAD2025 challenge",
            unit="HU",
            details=challenge.COLUMNS_2025,
            measurement=challenge.measure_2025,
            notes=challenge.NOTES_2025,
        ),
        Profile(
            name="mr",
            title="MR, or any image in an arbitrary unit",
            unit="arbitrary",
            details=magnetic_resonance.COLUMNS,
            measurement=magnetic_resonance.measure,
            notes=magnetic_resonance.NOTES,
        ),
    )
}
