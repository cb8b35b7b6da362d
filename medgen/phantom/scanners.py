"""The MR scanners: what they play (sequences), at which field, and how well they see."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medgen.phantom.randomness import jitter
from medgen.phantom.relaxation import AT_1_5_TESLA, AT_3_TESLA, Relaxation, Rows


@dataclass(frozen=True)
class SpinEcho:
    """S = PD (1 - exp(-TR/T1)) exp(-TE/T2): T2 and proton-density weighting."""

    repetition_ms: float
    echo_ms: float

    def signal(self, tissue: Relaxation) -> NDArray[np.float64]:
        """Return the signal of each tissue, 0 to 1."""
        recovered = 1.0 - np.exp(-self.repetition_ms / tissue.t1_ms)
        return np.asarray(tissue.density * recovered * np.exp(-self.echo_ms / tissue.t2_ms))

    def varied(self, generator: np.random.Generator) -> SpinEcho:
        """Return the sequence as set on another day: TE within 5 %."""
        return replace(self, echo_ms=self.echo_ms * jitter(generator, 0.05))


@dataclass(frozen=True)
class InversionRecovery:
    """S = PD |1 - 2 exp(-TI/T1) + exp(-TR/T1)| exp(-TE/T2): FLAIR."""

    repetition_ms: float
    inversion_ms: float
    echo_ms: float

    def signal(self, tissue: Relaxation) -> NDArray[np.float64]:
        """Return the magnitude of each tissue's signal, 0 to 1."""
        left = 2.0 * np.exp(-self.inversion_ms / tissue.t1_ms)
        recovered = np.abs(1.0 - left + np.exp(-self.repetition_ms / tissue.t1_ms))
        return np.asarray(tissue.density * recovered * np.exp(-self.echo_ms / tissue.t2_ms))

    def varied(self, generator: np.random.Generator) -> InversionRecovery:
        """Return the sequence as set on another day: TI and TE within 4 %."""
        return replace(
            self,
            inversion_ms=self.inversion_ms * jitter(generator, 0.04),
            echo_ms=self.echo_ms * jitter(generator, 0.04),
        )


@dataclass(frozen=True)
class PreparedGradientEcho:
    """An inversion, then a train of spoiled echoes whose middle one gives the contrast (MPRAGE).

    Between pulses magnetisation recovers with T1; under the train it goes with the shorter T1* to
    the lower M0* (Look and Locker; Deichmann et al., NeuroImage 2000;12:112-127). The signal is
    that of the steady state from one inversion to the next.
    """

    repetition_ms: float
    inversion_ms: float
    echo_ms: float
    spacing_ms: float
    echoes: int
    flip_degrees: float

    def signal(self, tissue: Relaxation) -> NDArray[np.float64]:
        """Return the magnitude of each tissue's signal, 0 to 1."""
        flip = np.radians(self.flip_degrees)
        half = 0.5 * self.spacing_ms * self.echoes
        apparent = 1.0 / (1.0 / tissue.t1_ms - np.log(np.cos(flip)) / self.spacing_ms)
        ceiling = -np.expm1(-self.spacing_ms / tissue.t1_ms)
        ceiling = ceiling / -np.expm1(-self.spacing_ms / apparent)
        before = np.exp(-(self.inversion_ms - half) / tissue.t1_ms)
        train = np.exp(-half / apparent)
        after = np.exp(-(self.repetition_ms - self.inversion_ms - half) / tissue.t1_ms)
        # Each part maps M to M slope + offset; a full cycle's fixed point is the steady state.
        slope, offset = -before, 1.0 - before
        middle = slope * train, offset * train + ceiling * (1.0 - train)
        end = middle[0] * train, middle[1] * train + ceiling * (1.0 - train)
        whole = end[0] * after, end[1] * after + 1.0 - after
        start = whole[1] / (1.0 - whole[0])
        echo = np.abs(middle[0] * start + middle[1]) * np.sin(flip)
        return np.asarray(tissue.density * echo * np.exp(-self.echo_ms / tissue.t2_ms))

    def varied(self, generator: np.random.Generator) -> PreparedGradientEcho:
        """Return the sequence as set on another day: TI within 4 %, flip angle within 12 %."""
        return replace(
            self,
            inversion_ms=self.inversion_ms * jitter(generator, 0.04),
            flip_degrees=self.flip_degrees * jitter(generator, 0.12),
        )


@dataclass(frozen=True)
class SpoiledGradientEcho:
    """The Ernst signal: S = PD sin a (1 - E1) / (1 - E1 cos a) exp(-TE/T2), E1 = exp(-TR/T1)."""

    repetition_ms: float
    echo_ms: float
    flip_degrees: float

    def signal(self, tissue: Relaxation) -> NDArray[np.float64]:
        """Return the signal of each tissue, 0 to 1."""
        flip = np.radians(self.flip_degrees)
        decay = np.exp(-self.repetition_ms / tissue.t1_ms)
        ernst = np.sin(flip) * (1.0 - decay) / (1.0 - decay * np.cos(flip))
        return np.asarray(tissue.density * ernst * np.exp(-self.echo_ms / tissue.t2_ms))

    def varied(self, generator: np.random.Generator) -> SpoiledGradientEcho:
        """Return the sequence as set on another day: flip angle within 12 %."""
        return replace(self, flip_degrees=self.flip_degrees * jitter(generator, 0.12))


Sequence = SpinEcho | InversionRecovery | PreparedGradientEcho | SpoiledGradientEcho
Contrast = Literal["t1", "t2", "pd", "flair"]
CONTRASTS: tuple[Contrast, ...] = ("t1", "t2", "pd", "flair")


@dataclass(frozen=True)
class Scanner:
    """One MR scanner and its protocol; `noise` is relative to the mean signal of white matter."""

    name: str
    tissues: Rows
    sequences: dict[Contrast, Sequence]
    blur_mm: float
    """Full width at half maximum of its point spread."""
    noise: float
    gain: float


ONE = Scanner(
    name="one",
    tissues=AT_3_TESLA,
    sequences={
        "t1": PreparedGradientEcho(
            repetition_ms=2300.0,
            inversion_ms=900.0,
            echo_ms=3.0,
            spacing_ms=7.0,
            echoes=176,
            flip_degrees=8.0,
        ),
        "t2": SpinEcho(repetition_ms=5000.0, echo_ms=95.0),
        "pd": SpinEcho(repetition_ms=3000.0, echo_ms=14.0),
        "flair": InversionRecovery(repetition_ms=9000.0, inversion_ms=2500.0, echo_ms=110.0),
    },
    blur_mm=1.7,
    noise=0.035,
    gain=250.0,
)

TWO = Scanner(
    name="two",
    tissues=AT_1_5_TESLA,
    sequences={
        "t1": SpoiledGradientEcho(repetition_ms=20.0, echo_ms=4.6, flip_degrees=26.0),
        "t2": SpinEcho(repetition_ms=3400.0, echo_ms=115.0),
        "pd": SpinEcho(repetition_ms=2200.0, echo_ms=22.0),
        "flair": InversionRecovery(repetition_ms=7000.0, inversion_ms=2150.0, echo_ms=135.0),
    },
    blur_mm=2.8,
    noise=0.065,
    gain=110.0,
)

SCANNERS = {scanner.name: scanner for scanner in (ONE, TWO)}
