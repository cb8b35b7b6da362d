"""From volumes to arrays on the working grid, and the way back: described once, for all verbs.

Training and conversion lay the frame and measure percentiles on the first source column alone:
at conversion there is nothing else. Every column is interpolated once, from its own grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medgen.config import OwnScale, PreprocessingConfig, Roles, Scale, SharedScale
from medgen.data.channels import (
    Channels,
    Scales,
    encode_columns,
    label_channel,
    mask_column,
    placed,
    require,
)
from medgen.data.classes import Classes
from medgen.data.fed import Fed, append_fed
from medgen.data.frame import Frame, body_on, frame_of, rim_along
from medgen.data.intensity import Codec, unit_of
from medgen.data.jitter import jitters
from medgen.data.look import Look, looks_at
from medgen.data.masks import Mask, with_rim
from medgen.data.pairing import check_frames_of_reference
from medgen.data.prepared import PreparedCase, PreparedSource
from medgen.data.promised import in_promised_units, notes_of
from medgen.data.regions import regions_of
from medgen.data.stripping import stripped
from medgen.problems import Problem, Refusal
from medgen.volumes import Volume, field_of_view, resample

Array = NDArray[Any]

KEYS = frozenset({"source", "target", "label"})
"""The batch keys that a case can be prepared for; `mask` and `body` always come along."""


@dataclass(frozen=True)
class Preprocessing:
    """The run's own way from volumes to arrays."""

    roles: Roles
    settings: PreprocessingConfig
    intensity: Mapping[str, Scale]
    interpolation: Literal["linear", "spline"] = "linear"
    """How answers return to the native grid."""
    cohort: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Low and high of each cohort-scaled column, from `fit_statistics`."""
    classes: Classes = field(default_factory=lambda: Classes({}))
    """What the label column's values mean."""
    fed: Fed | None = None
    decoded: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """The same of each percentile-scaled target that no case of the source's has."""
    decodes_target: bool = True
    """Answers are images in the target's scale; False: labels, and the target is only looked at."""
    inside_mask: bool = False
    """The mask column is the body, and outside of it there is nothing: conversion is given it."""
    device: str = "cpu"
    """Where volumes are interpolated; answers are the same to rounding."""

    @property
    def source_columns(self) -> tuple[str, ...]:
        """Return the source's columns, a channel each."""
        return self.roles.source.columns

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the source's columns, and what a chain feeds."""
        return (*self.source_columns, *([self.fed.column] if self.fed else []))

    @property
    def looked_at(self) -> tuple[str, ...]:
        """Return the source's columns whose channels the method sees: none where a fed one is."""
        return () if self.fed is not None and self.fed.replaces else self.source_columns

    @property
    def given(self) -> tuple[str, ...]:
        """Return the columns whose volumes a case must have to be converted, less what is fed."""
        return (*self.source_columns, *([self.roles.mask] if self.inside_mask else []))

    @property
    def target_columns(self) -> tuple[str, ...]:
        """Return the target's columns, a channel each."""
        return self.roles.target.columns if self.roles.target else ()

    @property
    def label_column(self) -> str | None:
        """Return the label's column, if there is one."""
        return self.roles.label.columns[0] if self.roles.label else None

    def columns(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Return the columns that the batch keys need, the mask's included."""
        by_key = {
            "source": self.inputs,
            "target": self.target_columns,
            "label": (self.label_column,) if self.label_column else (),
        }
        named = [column for key in by_key if key in set(keys) for column in by_key[key]]
        named += [] if self.roles.mask == "auto" else [self.roles.mask]
        return tuple(dict.fromkeys(named))

    @property
    def jitter(self) -> tuple[bool, ...]:
        """Return for each source channel whether its intensity may be augmented."""
        own = tuple(jitters(self, column) for column in self.source_columns)
        if self.fed is None:
            return own
        return (False,) if self.fed.replaces else (*own, False)

    @property
    def target_jitter(self) -> tuple[bool, ...]:
        """Return the same for each target channel: of none where answers are held against it."""
        if self.decodes_target:
            return ()
        return tuple(jitters(self, column) for column in self.target_columns)

    def as_json(self) -> dict[str, Any]:
        """Return everything that decides the prepared arrays, as a JSON object."""
        return {
            "roles": self.roles.model_dump(mode="json"),
            "settings": self.settings.model_dump(mode="json"),
            "intensity": {
                column: scale.model_dump(mode="json", by_alias=True)
                for column, scale in self.intensity.items()
            },
            "classes": self.classes.as_json(),
            "cohort": {column: list(ends) for column, ends in self.cohort.items()},
            **({"fed": asdict(self.fed)} if self.fed else {}),
            **({"inside_mask": True} if self.inside_mask else {}),
        }

    def frame(self, volumes: Mapping[str, Volume]) -> Frame:
        """Lay the frame by the first source column, or the first target's where there is none."""
        first = self.source_columns[0]
        reference = first if first in volumes or not self.target_columns else self.target_columns[0]
        with placed(reference):
            volume = require(volumes, reference)
            unit = unit_of(self.intensity[reference])
            how: Any = {"unit": unit, "settings": self.settings, "device": self.device}
            if self.inside_mask:
                how["mask"] = lambda grid: mask_column(grid, volumes, self.roles.mask)
            return frame_of(reference, volume, **how)

    def in_units(self, volumes: Mapping[str, Volume]) -> dict[str, Volume]:
        """Return the volumes in the units that their scales promise; see `in_promised_units`."""
        return in_promised_units(volumes, self.intensity)

    def _readied(self, volumes: Mapping[str, Volume]) -> dict[str, Volume]:
        """Return the volumes in the promised units, of one frame, and cut to the mask if it is so.

        Raises:
            Refusal: see `in_units`; E_FRAME_OF_REFERENCE; E_COLUMN_EMPTY without a mask.
        """
        found = self.in_units(volumes)
        check_frames_of_reference(found)
        return stripped(found, self.roles.mask, self.intensity) if self.inside_mask else found

    def answer_unit(self, volumes: Mapping[str, Volume]) -> str:
        """Return the unit that an answer to these source volumes will have, before any is made."""
        scale: Scale = self.intensity[self.target_columns[0]]
        if isinstance(scale, SharedScale):
            column = scale.column
            scale = self.intensity[column]
            unnamed = isinstance(scale, OwnScale) and scale.unit is None
            if unnamed and column in volumes:
                return volumes[column].unit
        return unit_of(scale)

    def prepare_source(self, volumes: Mapping[str, Volume]) -> PreparedSource:
        """Prepare what conversion has: the source columns, keyed by name.

        Raises:
            Refusal: a column is missing, flat, shows no body, or does not overlap the first.
        """
        wanted = dict.fromkeys([*self.inputs, *self.given])
        volumes = self._readied({column: require(volumes, column) for column in wanted})
        frame = self.frame(volumes)
        channels = self._encode_source(frame, volumes)
        return PreparedSource(
            source=channels.encoded,
            body=frame.body,
            grid=frame.grid,
            native=frame.native,
            body_native=body_on(frame.native, frame),
            source_codecs=channels.codecs,
            target_codecs=self._answer_codecs(channels),
            warnings=(*notes_of(volumes), *channels.warnings),
            overlaps=channels.overlaps,
        )

    def prepare_case(
        self, volumes: Mapping[str, Volume], *, keys: frozenset[str] = KEYS
    ) -> PreparedCase:
        """Prepare a training case: every role in `keys` of which it has columns, and the mask.

        A case without source columns is laid out by its first target column. Voxels that a
        target or label did not see, or where its scanner padded, leave the mask.

        Raises:
            Refusal: a column is missing in a role, or unusable; the mask is empty.
        """
        volumes = self._readied(volumes)
        frame = self.frame(volumes)
        mask = self._mask(frame, volumes)
        seen: Mask = np.ones(frame.grid.shape, dtype=np.bool_)
        arrays: dict[str, Array] = {}
        codecs: dict[str, Codec] = {}
        looks: dict[str, tuple[Look, ...]] = {}
        regions = regions_of(frame.body, spacing_mm=frame.grid.spacing_mm)
        warnings: dict[str, None] = dict.fromkeys(notes_of(volumes))
        overlaps: dict[str, float] = {}
        for key, columns in (("source", self.source_columns), ("target", self.target_columns)):
            if key in keys and any(column in volumes for column in columns):
                channels = (
                    self._encode_source(frame, volumes)
                    if key == "source"
                    else self._encode(frame, volumes, columns, codecs)
                )
                arrays[key] = channels.encoded
                codecs.update(channels.codecs)
                own = self.looked_at if key == "source" else columns
                seen_of = channels.encoded, channels.codecs, volumes, frame.body, regions
                looks[key] = looks_at(own, *seen_of)
                warnings.update(dict.fromkeys(channels.warnings))
                overlaps.update(channels.overlaps)
                seen = seen & channels.seen if key == "target" else seen
        if "label" in keys and self.label_column in volumes:
            assert self.label_column is not None
            arrays["label"], labelled, doubts = label_channel(
                frame,
                volumes,
                self.label_column,
                self.classes,
                min_overlap=self.settings.min_overlap,
            )
            warnings.update({f"column {self.label_column}: {doubt}": None for doubt in doubts})
            seen = seen & labelled
        mask = mask & seen
        trained = mask
        if "source" in arrays and ("target" in arrays or "label" in arrays):
            rim = rim_along(frame, mask) & seen & ~mask
            if "target" in arrays:
                self._show_background(arrays["target"], codecs, rim)
            trained = mask | rim
        arrays["mask"] = trained[None].astype(np.uint8)
        shown = with_rim(frame.body, spacing_mm=frame.grid.spacing_mm)
        arrays["body"] = shown[None].astype(np.uint8)
        if not mask.any():
            message = "no voxel of the mask is inside every image"
            raise Refusal(Problem("E_EMPTY_MASK", message, "check the mask and the pair"))
        # Cropped to the body as at conversion, never to a mask column: windows would meet there
        # what no patch has shown, and instance norms answer to all that a window holds.
        return PreparedCase(arrays, codecs, frame.grid, tuple(warnings), overlaps, looks)

    def restore(self, values: Array, prepared: PreparedSource, *, background: float) -> Array:
        """Carry an answer (X, Y, Z) from the working grid to the source's own grid, float32.

        Edges are extended by half a voxel; beyond them the answer is `background`. A spline
        never leaves the range of the answer.
        """
        order = 3 if self.interpolation == "spline" else 1
        grids, place = (prepared.grid, prepared.native), self.device
        restored = resample(values, *grids, order=order, outside=background, device=place)
        if order == 3:
            inside = field_of_view(*grids)
            low, high = float(values.min()), float(values.max())
            restored[inside] = np.clip(restored[inside], low, high)
        return restored

    def _answer_codecs(self, channels: Channels) -> dict[str, Codec]:
        """Return what decodes an answer in each target column; nothing decodes where labels do.

        Raises:
            Refusal: E_SCALE_SHARED, E_SCALE_UNFITTED.
        """
        if not self.decodes_target:
            return {}
        scales = Scales(self.intensity, self.cohort, self.decoded)
        known = channels.codecs
        return {c: scales.codec_at_conversion(c, known) for c in self.target_columns}

    def _show_background(self, target: Array, codecs: Mapping[str, Codec], where: Mask) -> None:
        """Write the targets' background into an encoded target (C, X, Y, Z), in place."""
        for channel, column in zip(target, self.target_columns, strict=True):
            background = np.array([codecs[column].background], dtype=np.float32)
            channel[where] = codecs[column].encode(background)[0]

    def _mask(self, frame: Frame, volumes: Mapping[str, Volume]) -> Mask:
        if self.roles.mask == "auto":
            return frame.body
        return mask_column(frame.grid, volumes, self.roles.mask)

    def _encode_source(self, frame: Frame, volumes: Mapping[str, Volume]) -> Channels:
        """Return the source's channels, with what a chain feeds."""
        channels = self._encode(frame, volumes, self.source_columns, {})
        if self.fed is None:
            return channels
        scales = Scales(self.intensity, self.cohort)
        return append_fed(self.fed, frame, volumes, channels, scales=scales)

    def _encode(
        self,
        frame: Frame,
        volumes: Mapping[str, Volume],
        columns: tuple[str, ...],
        known: Mapping[str, Codec],
    ) -> Channels:
        scales, least = Scales(self.intensity, self.cohort), self.settings.min_overlap
        return encode_columns(
            frame, volumes, columns, scales=scales, known=known, min_overlap=least
        )
