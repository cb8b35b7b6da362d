"""Named sets of scores, each with its unit, its direction and its definition in words.

A profile is what a leaderboard or a field has agreed to compute, so that two numbers with one
name mean one thing. `PROFILES` is the whole list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from medgen.metrics import (
    challenge,
    computed_tomography,
    magnetic_resonance,
    positron_emission,
    reconstruction,
    segmentation,
)
from medgen.metrics import regions as by_region
from medgen.metrics.columns import Column, Measured
from medgen.metrics.labels import class_slugs
from medgen.metrics.masked import Array, Booleans, Floats, checked, refuse_shapes
from medgen.problems import ConfigurationError, Problem

Kind = Literal["image", "labels", "anomaly"]
Measurement = Callable[[Array, Array, Array, Sequence[float], Mapping[str, int]], Measured]
"""Prediction, reference and mask (X, Y, Z), the spacing in mm, and classes by name."""


@dataclass(frozen=True)
class Profile:
    """A named set of scores of one prediction against its reference.

    `unit` is that of the volumes, "HU", "arbitrary", "SUV or Bq/ml" or "label"; `details` describe
    the scores. `classes` names the label values that have columns of their own (see `for_labels`).
    `regional` are the scores of a region, for profiles that have them, and `regions` names the
    values of a region map that have columns of their own (see `for_regions`).
    """

    name: str
    title: str
    unit: str
    details: tuple[Column, ...]
    measurement: Measurement = field(repr=False)
    notes: tuple[str, ...] = ()
    kind: Kind = "image"
    classes: Mapping[str, int] = field(default_factory=dict, hash=False)
    regional: tuple[Column, ...] = ()
    regions: Mapping[str, int] = field(default_factory=dict, hash=False)
    training_only: bool = False
    """Watched by a training's validation, and nothing that answers are compared by."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the scores, the leading one first."""
        return tuple(column.name for column in self.details)

    def column(self, name: str) -> Column:
        """Return a score's unit, direction and definition."""
        return next(column for column in self.details if column.name == name)

    @property
    def overall(self) -> tuple[Column, ...]:
        """The scores of a case as a whole: not of a region, and of labels the class means."""
        if self.kind != "labels":
            return self.details[: len(self.details) - len(self.regional) * len(self.regions)]
        return self.details[: len(self.details) // (1 + len(self.classes))]

    def of_class(self, name: str) -> tuple[Column, ...]:
        """Return a class's scores, in the order of `overall`."""
        return tuple(self.column(f"{score.name}_{name}") for score in self.overall)

    def for_labels(self, names: Mapping[str, int]) -> Profile:
        """Return the profile with the class means and a column for each class and score.

        `names` gives each class its label value; the background (0) is left out, and names become
        a-z, 0-9 and _. A profile of anything else returns itself. Raises ValueError where two names
        share a value.
        """
        if self.kind != "labels":
            return self
        classes = class_slugs(names)
        return replace(self, details=segmentation.columns(classes), classes=classes)

    def of_region(self, name: str) -> tuple[Column, ...]:
        """Return a region's scores, in the order of `regional`."""
        return tuple(self.column(f"{score.name}_{name}") for score in self.regional)

    def for_regions(self, names: Mapping[str, int]) -> Profile:
        """Return the profile with a column for each region and regional score.

        `names` gives each region its value in the region map; names become a-z, 0-9 and _. Raises
        ValueError where two names share a value or the profile has no regional scores.
        """
        if not self.regional:
            raise ValueError(f"the profile {self.name} has no scores by region")
        regions = class_slugs(names)
        columns = by_region.columns(self.regional, regions)
        notes = (*self.notes, *(note for note in by_region.NOTES if note not in self.notes))
        return replace(self, details=(*self.overall, *columns), regions=regions, notes=notes)

    def in_unit(self, unit: str) -> Profile:
        """Return the profile with the unit that its volumes turned out to have."""

        def named(columns: Sequence[Column]) -> tuple[Column, ...]:
            return tuple(replace(c, unit=c.unit.replace(self.unit, unit)) for c in columns)

        return replace(self, unit=unit, details=named(self.details), regional=named(self.regional))

    def measure(
        self,
        prediction: Array,
        reference: Array,
        mask: Array,
        *,
        spacing_mm: Sequence[float],
        regions: Array | None = None,
    ) -> Measured:
        """Score volumes (X, Y, Z) in the profile's unit, and say why a score is NaN or doubtful.

        `spacing_mm` is the grid's; `regions` are label values on it, which a profile needs that
        has regions.

        Raises:
            Refusal: E_METRIC_SHAPE, E_METRIC_NONFINITE, E_EMPTY_MASK, E_METRIC_RANGE or
                E_LABEL_VALUES.
        """
        scores, remarks = self.measurement(prediction, reference, mask, spacing_mm, self.classes)
        if self.regions:
            if regions is None:
                raise ValueError(f"the profile {self.name} has regions and was given no map")
            refuse_shapes(prediction, reference, regions, role="regions")
            found = by_region.measure(prediction, reference, regions, spacing_mm, self.regions)
            scores, remarks = {**scores, **found.scores}, (*remarks, *found.remarks)
        return Measured({name: float(scores[name]) for name in self.columns}, remarks)

    def score(
        self,
        prediction: Array,
        reference: Array,
        mask: Array,
        *,
        spacing_mm: Sequence[float],
        regions: Array | None = None,
    ) -> dict[str, float]:
        """Return the scores alone, by column; see `measure`."""
        measured = self.measure(prediction, reference, mask, spacing_mm=spacing_mm, regions=regions)
        return dict(measured.scores)


def profile_named(name: str) -> Profile:
    """Return a profile that answers can be scored by.

    Raises:
        ConfigurationError: E_PROFILE, naming the known ones.
    """
    known = ", ".join(each for each, profile in PROFILES.items() if not profile.training_only)
    if name in PROFILES and PROFILES[name].training_only:
        message = f"the profile {name!r} is training's own: how well healthy cases are rebuilt"
        advice = f"score the maps of anomalies by --profile anomaly; known: {known}"
        raise ConfigurationError(Problem("E_PROFILE", message, advice))
    if name not in PROFILES:
        raise ConfigurationError(
            Problem("E_PROFILE", f"there is no profile {name!r}", f"known: {known}")
        )
    return PROFILES[name]


def _of_images(
    measure: Callable[[Floats, Floats, Booleans, Sequence[float]], Measured],
) -> Measurement:
    """Return the measurement of images, which asks for no classes."""

    def measured(
        prediction: Array,
        reference: Array,
        mask: Array,
        spacing_mm: Sequence[float],
        classes: Mapping[str, int],
    ) -> Measured:
        return measure(*checked(prediction, reference, mask), spacing_mm)

    return measured


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            name="hu",
            title="CT in Hounsfield units: errors by tissue class and overlap of bone",
            unit="HU",
            details=computed_tomography.COLUMNS,
            measurement=_of_images(computed_tomography.measure),
            notes=computed_tomography.NOTES,
        ),
        Profile(
            name="synthrad2023",
            title="Image scores of the SynthRAD2023 challenge",
            unit="HU",
            details=challenge.COLUMNS_2023,
            measurement=_of_images(challenge.measure_2023),
            notes=challenge.NOTES_2023,
        ),
        Profile(
            name="synthrad2025",
            title="Image scores of the SynthRAD2025 challenge",
            unit="HU",
            details=challenge.COLUMNS_2025,
            measurement=_of_images(challenge.measure_2025),
            notes=challenge.NOTES_2025,
        ),
        Profile(
            name="mr",
            title="MR, or any image in an arbitrary unit",
            unit="arbitrary",
            details=magnetic_resonance.COLUMNS,
            measurement=_of_images(magnetic_resonance.measure),
            notes=magnetic_resonance.NOTES,
        ),
        Profile(
            name="pet",
            title="PET in SUV or Bq/ml, with uptake by region where a region map is given",
            unit=by_region.SUV_OR_BECQUEREL,
            details=positron_emission.COLUMNS,
            measurement=_of_images(positron_emission.measure),
            notes=positron_emission.NOTES,
            regional=by_region.COLUMNS,
        ),
        Profile(
            name="segmentation",
            title="Segmentation: overlap, surfaces, volumes and detection by class",
            unit="label",
            details=segmentation.columns({}),
            measurement=segmentation.measure,
            notes=segmentation.NOTES,
            kind="labels",
        ),
        Profile(
            name="reconstruction",
            title="Reconstruction by a method that scores anomalies, in training",
            unit=reconstruction.SOURCE_UNIT,
            details=reconstruction.COLUMNS,
            measurement=_of_images(reconstruction.measure),
            notes=reconstruction.NOTES,
            kind="anomaly",
            training_only=True,
        ),
    )
}
