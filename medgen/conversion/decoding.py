"""From a method's encoded answer to a volume's values on the source's own grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from medgen.conversion.finite import check_finite
from medgen.conversion.lesion_table import Lesion, measure_lesions, summary_of
from medgen.conversion.parts import find_parts
from medgen.data import Classes, Codec, PreparedSource, Preprocessing
from medgen.volumes import Volume

Array = NDArray[Any]
Keep = NDArray[np.bool_] | None
"""Voxels (X, Y, Z) of the working grid whose answer counts; None means all."""

UNIT_OF_LABELS = "label"


class Decoded(NamedTuple):
    """What an encoded answer means."""

    data: Array
    """Values on the native grid."""
    facts: Mapping[str, Any]
    """Plain JSON values."""
    lesions: tuple[Lesion, ...] | None = None
    """The connected parts that were to be listed; None where none were."""
    beside: Mapping[str, Volume] = MappingProxyType({})
    """Further volumes on the same grid, by what is added to the answer's name for their files."""


class Decoder(Protocol):
    """What one kind of answer means."""

    @property
    def unit(self) -> str:
        """Return the unit of the decoded values."""

    @property
    def background(self) -> NDArray[np.float32]:
        """Return the encoded answer (K,) of a voxel where nothing is."""

    def decode(self, encoded: NDArray[np.float32], keep: Keep, prepared: PreparedSource) -> Decoded:
        """Return values on the native grid, and what is worth knowing of them.

        `encoded` is (K, X, Y, Z) on the working grid, and may be written into.

        Raises:
            Refusal: E_ANSWER_NOT_FINITE.
        """


@dataclass(frozen=True)
class ImageDecoder:
    """An image in the target's scale."""

    preprocessing: Preprocessing
    codec: Codec

    @property
    def unit(self) -> str:
        """Return the target's unit."""
        return self.codec.unit

    @property
    def background(self) -> NDArray[np.float32]:
        """Return the target's background, encoded."""
        return self.codec.encode(np.full(1, self.codec.background, dtype=np.float32))

    def decode(self, encoded: NDArray[np.float32], keep: Keep, prepared: PreparedSource) -> Decoded:
        """Return physical values, float32."""
        codec = self.codec
        values = np.asarray(codec.decode(encoded[0]), dtype=np.float32)
        check_finite(values)
        if keep is not None:
            values = np.where(keep, values, np.float32(codec.background))
        values, clipped = self._clip(values, keep)
        data = self.preprocessing.restore(values, prepared, background=codec.background)
        if codec.clip:  # a spline overshoots at edges
            np.clip(data, codec.low, codec.high, out=data)
        return Decoded(data, {"background": codec.background, "clipped_voxels": clipped})

    def _clip(self, values: Array, keep: Keep) -> tuple[Array, int]:
        """Clip to the target's window where it has one, and count the voxels that it changes."""
        codec = self.codec
        if not codec.clip:
            return values, 0
        # Rounding in the codec is no clipping: a millionth of the window is allowed.
        slack = 1e-6 * (codec.high - codec.low)
        beyond = (values < codec.low - slack) | (values > codec.high + slack)
        clipped = int(np.count_nonzero(beyond if keep is None else beyond & keep))
        return np.clip(values, codec.low, codec.high), clipped


@dataclass(frozen=True)
class LabelsDecoder:
    """Probabilities of classes, the background's first."""

    preprocessing: Preprocessing
    classes: Classes
    keep_largest: tuple[str, ...] = ()
    """Classes of which only the largest connected part is kept; the rest becomes background."""
    minimum_ml: Mapping[str, float] = field(default_factory=dict)
    """By class, the volume below which a connected part becomes background, after that."""
    lesions: tuple[str, ...] = ()
    """Classes whose connected parts are listed."""

    @property
    def unit(self) -> str:
        """Return the unit of labels."""
        return UNIT_OF_LABELS

    @property
    def background(self) -> NDArray[np.float32]:
        """Return certainty of background."""
        certain = np.zeros(self.classes.count, dtype=np.float32)
        certain[0] = 1.0
        return certain

    def decode(self, encoded: NDArray[np.float32], keep: Keep, prepared: PreparedSource) -> Decoded:
        """Return label values, uint8: the likeliest class of each native voxel.

        Probabilities travel back, each by itself so that two native volumes are held at a time:
        class numbers cannot be interpolated. Those of a class whose parts are listed travel once
        more, since only then it is known which parts stay.
        """
        check_finite(encoded)
        if keep is not None:
            encoded[:, ~keep] = self.background[:, None]
        best = self._likeliest(encoded, prepared)
        ml = prepared.native.voxel_mm3 / 1000.0
        removed_parts, removed = self._remove_strays(best, ml)
        counts = np.bincount(best.ravel(), minlength=self.classes.count)[1:]
        written = self.classes.written
        volumes = {
            name: round(float(count) * ml, 3) for name, count in zip(written, counts, strict=True)
        }
        facts: dict[str, Any] = {"background": 0, "clipped_voxels": 0}
        facts |= {"labels": self.classes.described(), "volume_ml": volumes}
        facts |= {"removed_ml": round(removed * ml, 3), "removed_parts": removed_parts}
        lesions = self._listed(encoded, best, prepared)
        if lesions is not None:
            facts["lesions"] = summary_of(lesions, self.lesions)
        return Decoded(self.classes.label_values(best), facts, lesions)

    def _likeliest(
        self, encoded: NDArray[np.float32], prepared: PreparedSource
    ) -> NDArray[np.uint8]:
        """Return the index of the likeliest class of each native voxel; of equal ones the least."""
        best = np.zeros(prepared.native.shape, dtype=np.uint8)
        largest = self._restored(encoded, 0, prepared)
        for index in range(1, len(encoded)):
            restored = self._restored(encoded, index, prepared)
            likelier = restored > largest
            best[likelier] = index
            np.maximum(largest, restored, out=largest)
        return best

    def _restored(
        self, encoded: NDArray[np.float32], index: int, prepared: PreparedSource
    ) -> NDArray[np.float32]:
        """Return the probability of one class on the native grid."""
        outside = float(self.background[index])
        return self.preprocessing.restore(encoded[index], prepared, background=outside)

    def _remove_strays(self, indices: NDArray[np.uint8], voxel_ml: float) -> tuple[int, int]:
        """Clear parts that are not wanted, in place; count the parts and the voxels cleared."""
        removed_parts = removed = 0
        for index, name in enumerate(self.classes.written, start=1):
            largest_only, minimum_ml = name in self.keep_largest, self.minimum_ml.get(name, 0.0)
            if not largest_only and not minimum_ml:
                continue
            parts = find_parts(indices == index)
            strays = parts.strays(
                largest_only=largest_only, minimum_ml=minimum_ml, voxel_ml=voxel_ml
            )
            indices[parts.box][strays[parts.numbers]] = 0
            removed_parts += int(strays.sum())
            removed += int(parts.sizes[strays].sum())
        return removed_parts, removed

    def _listed(
        self, encoded: NDArray[np.float32], indices: NDArray[np.uint8], prepared: PreparedSource
    ) -> tuple[Lesion, ...] | None:
        """Return the connected parts of the classes to be listed; None where there is no such."""
        if not self.lesions:
            return None
        found: list[Lesion] = []
        for index, name in enumerate(self.classes.written, start=1):
            region = indices == index
            if name in self.lesions and region.any():
                probability = self._restored(encoded, index, prepared)
                affine = prepared.native.affine
                found += measure_lesions(region, probability, affine, name=name)
        return tuple(found)
