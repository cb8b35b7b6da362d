"""From an anomaly answer to its map, its z-map and its mask on the source's own grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.calibration import Calibration, oriented
from medgen.config import AnomalyConfig
from medgen.conversion.anomaly import Anomaly, measure_anomaly
from medgen.conversion.decoding import UNIT_OF_LABELS, Decoded, Keep
from medgen.conversion.parts import find_parts
from medgen.data import Codec, PreparedSource, Preprocessing
from medgen.data.masks import Mask
from medgen.volumes import Volume

Z_MAP, MASK = "z", "mask"
BESIDE = (Z_MAP, MASK)
"""What lies beside an anomaly map where there is a calibration."""

UNIT_OF_Z = "z"
MASKED = "anomaly"
"""What the mask's one value means."""


@dataclass(frozen=True)
class AnomalyDecoder:
    """A signed residual in the source's unit, and by a calibration what of it is unusual."""

    preprocessing: Preprocessing
    codec: Codec
    """Of the column whose residual is the map."""
    settings: AnomalyConfig
    column: str
    channel: int
    """The column's place among the answer's channels."""
    channels: int
    """Of the source's images, which the answer has a residual of each of."""
    calibration: Calibration | None = None

    @property
    def unit(self) -> str:
        """Return the unit of the column whose residual is the map."""
        return self.codec.unit

    @property
    def background(self) -> NDArray[np.float32]:
        """Return no residual and no score."""
        return np.zeros(self.channels + 1, dtype=np.float32)

    def measure(self, encoded: NDArray[np.float32], prepared: PreparedSource) -> Anomaly:
        """Return what counts of an encoded answer on the working grid; see `measure_anomaly`."""
        return measure_anomaly(
            encoded,
            body=prepared.body,
            source=prepared.source,
            channel=self.channel,
            settings=self.settings,
            spacing_mm=prepared.grid.spacing_mm,
        )

    def decode(self, encoded: NDArray[np.float32], keep: Keep, prepared: PreparedSource) -> Decoded:
        """Return the map, float32, and beside it the z-map and the mask.

        Only the body counts, so that what is to keep beyond it changes nothing. The mask is cut
        from the z-map on the native grid: a threshold before would be carried back as steps.

        Raises:
            Refusal: E_ANSWER_NOT_FINITE; E_EMPTY_MASK.
            ConfigurationError: E_CALIBRATION_RATE.
        """
        anomaly = self.measure(encoded, prepared)
        inside = self._restored(anomaly.inside.astype(np.float32), prepared) >= 0.5
        data = self._restored(anomaly.residual * np.float32(self.codec.gain), prepared)
        data[~inside] = 0.0
        facts: dict[str, Any] = {
            "direction": self.settings.direction,
            "column": self.column,
            "score": self.settings.score,
            "scores": dict(anomaly.scores),
            **self._judged(anomaly),
        }
        beside: dict[str, Volume] = {}
        if self.calibration is not None:
            z = np.where(anomaly.inside, self.calibration.z(anomaly.residual), np.float32(0.0))
            z_native = self._restored(z, prepared)
            z_native[~inside] = 0.0
            mask, found = self._mask(z_native, inside, prepared.native.voxel_mm3 / 1000.0)
            facts |= found
            beside[Z_MAP] = Volume(z_native, prepared.native, UNIT_OF_Z)
            beside[MASK] = Volume(mask.astype(np.uint8), prepared.native, UNIT_OF_LABELS)
        shared = {"background": 0.0, "clipped_voxels": 0}
        return Decoded(data, {**shared, "anomaly": facts}, beside=beside)

    def _restored(
        self, values: NDArray[np.float32], prepared: PreparedSource
    ) -> NDArray[np.float32]:
        return self.preprocessing.restore(values, prepared, background=0.0)

    def _judged(self, anomaly: Anomaly) -> dict[str, Any]:
        """Return what the calibration says of the case's scores; without one, that none does."""
        calibration, rate = self.calibration, self.settings.case_false_positives
        threshold: float | None = None
        if calibration is not None and rate is not None:
            threshold = calibration.case_threshold(self.settings.score, rate)
        score = anomaly.scores[self.settings.score]
        return {
            "p": {}
            if calibration is None
            else {name: calibration.p_value(name, one) for name, one in anomaly.scores.items()},
            "case_false_positives": rate,
            "case_threshold": threshold,
            "unusual": None if threshold is None else score > threshold,
            "voxel_false_positives": self.settings.voxel_false_positives,
            "voxel_threshold_z": None,
            "mask_ml": None,
            "calibration_cases": 0 if calibration is None else calibration.cases,
        }

    def _mask(
        self, z: NDArray[np.float32], inside: Mask, voxel_ml: float
    ) -> tuple[Mask, dict[str, Any]]:
        """Return the voxels (X, Y, Z) above the threshold, less parts that are too small."""
        assert self.calibration is not None
        threshold = self.calibration.voxel_threshold(self.settings.voxel_false_positives)
        mask = inside & (oriented(z, self.settings.direction) > threshold)
        parts = find_parts(mask)
        strays = parts.strays(
            largest_only=False, minimum_ml=self.settings.minimum_ml, voxel_ml=voxel_ml
        )
        mask[parts.box] &= ~strays[parts.numbers]
        return mask, {
            "voxel_threshold_z": threshold,
            "mask_ml": round(float(mask.sum()) * voxel_ml, 3),
            "removed_ml": round(float(parts.sizes[strays].sum()) * voxel_ml, 3),
            "removed_parts": int(strays.sum()),
        }
