"""From a method's encoded answer to a volume's values on the source's own grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medgen.data import Classes, Codec, PreparedSource, Preprocessing
from medgen.problems import Problem, Refusal

Array = NDArray[Any]
Keep = NDArray[np.bool_] | None
"""Voxels (X, Y, Z) of the working grid whose answer counts; None means all."""

UNIT_OF_LABELS = "label"


class Decoder(Protocol):
    """What one kind of answer means."""

    @property
    def unit(self) -> str:
        """Return the unit of the decoded values."""

    @property
    def background(self) -> NDArray[np.float32]:
        """Return the encoded answer (K,) of a voxel where nothing is."""

    def decode(
        self, encoded: NDArray[np.float32], keep: Keep, prepared: PreparedSource
    ) -> tuple[Array, Mapping[str, Any]]:
        """Return values on the native grid, and facts as plain JSON values.

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

    def decode(
        self, encoded: NDArray[np.float32], keep: Keep, prepared: PreparedSource
    ) -> tuple[Array, Mapping[str, Any]]:
        """Return physical values, float32."""
        codec = self.codec
        values = np.asarray(codec.decode(encoded[0]), dtype=np.float32)
        _check_finite(values)
        if keep is not None:
            values = np.where(keep, values, np.float32(codec.background))
        values, clipped = self._clip(values, keep)
        data = self.preprocessing.restore(values, prepared, background=codec.background)
        if codec.clip:  # a spline overshoots at edges
            np.clip(data, codec.low, codec.high, out=data)
        return data, {"background": codec.background, "clipped_voxels": clipped}

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

    def decode(
        self, encoded: NDArray[np.float32], keep: Keep, prepared: PreparedSource
    ) -> tuple[Array, Mapping[str, Any]]:
        """Return label values, uint8: the likeliest class of each native voxel.

        Probabilities travel back, each by itself so that one native volume is held at a time:
        class numbers cannot be interpolated.
        """
        _check_finite(encoded)
        if keep is not None:
            encoded[:, ~keep] = self.background[:, None]
        best = np.zeros(prepared.native.shape, dtype=np.uint8)
        largest: Array | None = None
        for index, probability in enumerate(encoded):
            outside = float(self.background[index])
            restored = self.preprocessing.restore(probability, prepared, background=outside)
            if largest is None:
                largest = restored
                continue
            likelier = restored > largest
            best[likelier] = index
            np.maximum(largest, restored, out=largest)
        ml = prepared.native.voxel_mm3 / 1000.0
        removed = self._keep_largest(best)
        counts = np.bincount(best.ravel(), minlength=self.classes.count)[1:]
        written = self.classes.written
        volumes = {
            name: round(float(count) * ml, 3) for name, count in zip(written, counts, strict=True)
        }
        facts: dict[str, Any] = {"background": 0, "clipped_voxels": 0}
        facts |= {"labels": self.classes.described(), "volume_ml": volumes}
        facts["removed_ml"] = round(removed * ml, 3)
        return self.classes.label_values(best), facts

    def _keep_largest(self, indices: NDArray[np.uint8]) -> int:
        """Clear all but the largest part, by 26-connectivity, in place; count what is cleared."""
        removed = 0
        for index, name in enumerate(self.classes.written, start=1):
            if name not in self.keep_largest:
                continue
            parts, count = ndimage.label(indices == index, np.ones((3, 3, 3)))
            if count > 1:
                sizes = np.bincount(parts.ravel())
                sizes[0] = 0
                stray = (parts > 0) & (parts != int(sizes.argmax()))
                indices[stray] = 0
                removed += int(stray.sum())
        return removed


def _check_finite(values: Array) -> None:
    wrong = int(values.size - np.isfinite(values).sum())
    if wrong:
        message = f"{wrong} of {values.size} values of the answer are not finite"
        advice = "check the run's validation scores; with train.precision bf16, try fp32"
        raise Refusal(Problem("E_ANSWER_NOT_FINITE", message, advice))
