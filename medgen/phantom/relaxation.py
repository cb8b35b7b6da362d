"""Relaxation times and proton densities of the tissues, from the literature.

T1 and T2 in ms at body temperature; proton density relative to water.

- white and grey matter, 3 T: Wansapura et al., J Magn Reson Imaging 1999;9:531-538.
- white and grey matter, muscle, 1.5 T, and muscle, 3 T: Stanisz et al., Magn Reson Med
  2005;54:507-512.
- subcutaneous fat and bone marrow, 1.5 T and 3 T: de Bazelaire et al., Radiology
  2004;230:652-659.
- cerebrospinal fluid: T1 after Lin et al., J Comput Assist Tomogr 2001;25:183-190 (about 4.2 s,
  alike at both fields); T2 about 2 s.
- vitreous and lens: after Koolstra et al., Magn Reson Med 2019;81:2551-2565 and Richdale et al.,
  J Magn Reson Imaging 2009;30:924-932, both at 7 T; the vitreous is nearly free water.
- dermis: short T2, after Richard et al., J Invest Dermatol 1991;96:120-125.
- cortical bone: T2* about 0.4 ms, after Reichert et al., Magn Reson Imaging 2005;23:611-618, so it
  gives no signal at the echo times used here; a low water content stands for partial marrow.
- deep grey matter lies between white and grey, its T2 shortened by iron; the ranges of all of
  these over studies: Bojorquez et al., Magn Reson Imaging 2017;35:69-80.
- proton densities of brain: about 0.69-0.71 in white, 0.80-0.84 in grey, 1 in CSF (Tofts,
  Quantitative MRI of the Brain, 2003, chapter 4).
- lesions and masses are the phantom's own choice, spread about grey matter on purpose, so that no
  single intensity tells them apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medgen.phantom.tissues import Tissue

Rows = dict[Tissue, tuple[float, float, float]]

AT_3_TESLA: Rows = {
    Tissue.SKIN: (900.0, 28.0, 0.65),
    Tissue.FAT: (382.0, 68.0, 0.90),
    Tissue.MUSCLE: (1412.0, 50.0, 0.78),
    Tissue.CORTICAL_BONE: (300.0, 0.5, 0.16),
    Tissue.MARROW: (586.0, 49.0, 0.72),
    Tissue.CSF: (4163.0, 2000.0, 1.00),
    Tissue.GREY: (1331.0, 110.0, 0.82),
    Tissue.WHITE: (832.0, 79.6, 0.70),
    Tissue.DEEP_GREY: (1180.0, 75.0, 0.79),
    Tissue.VITREOUS: (3600.0, 700.0, 0.98),
    Tissue.LENS: (1050.0, 28.0, 0.68),
    Tissue.WHITE_MATTER_LESION: (1300.0, 121.0, 0.81),
    Tissue.MASS: (1400.0, 112.0, 0.83),
    Tissue.OEDEMA: (1450.0, 125.0, 0.85),
}

AT_1_5_TESLA: Rows = {
    Tissue.SKIN: (800.0, 28.0, 0.65),
    Tissue.FAT: (343.0, 58.0, 0.90),
    Tissue.MUSCLE: (1008.0, 44.0, 0.78),
    Tissue.CORTICAL_BONE: (220.0, 0.5, 0.16),
    Tissue.MARROW: (549.0, 49.0, 0.72),
    Tissue.CSF: (4163.0, 2000.0, 1.00),
    Tissue.GREY: (1124.0, 95.0, 0.82),
    Tissue.WHITE: (884.0, 72.0, 0.70),
    Tissue.DEEP_GREY: (1010.0, 78.0, 0.79),
    Tissue.VITREOUS: (3600.0, 800.0, 0.98),
    Tissue.LENS: (900.0, 30.0, 0.68),
    Tissue.WHITE_MATTER_LESION: (1120.0, 106.0, 0.81),
    Tissue.MASS: (1190.0, 99.0, 0.83),
    Tissue.OEDEMA: (1250.0, 112.0, 0.85),
}

ALTERED = (Tissue.WHITE_MATTER_LESION, Tissue.MASS, Tissue.OEDEMA)

SILENT = (1000.0, 1.0, 0.0)
"""Air: any times will do, since there are no protons."""


@dataclass(frozen=True, eq=False)
class Relaxation:
    """T1 and T2 (ms) and proton density, one value per tissue in the order of `Tissue`."""

    t1_ms: NDArray[np.float64]
    t2_ms: NDArray[np.float64]
    density: NDArray[np.float64]


def draw_relaxation(rows: Rows, generator: np.random.Generator, *, spread: float) -> Relaxation:
    """Draw a person's values: each published one times 1 - spread to 1 + spread.

    Most of the spread is common to all tissues (age, water content, temperature), the rest each
    tissue's own, so that contrasts vary without vanishing.
    Lesions and masses follow the person's own grey matter to within a fifth of the spread, so
    that they stay as hard to tell from it in one person as in the next.
    """
    table = np.array([rows.get(tissue, SILENT) for tissue in Tissue])
    shared, apart = generator.uniform(-1.0, 1.0, 3), generator.uniform(-1.0, 1.0, table.shape)
    factors = 1.0 + spread * (0.6 * shared + 0.4 * apart)
    own = 1.0 + 0.2 * (factors[list(ALTERED)] - 1.0)
    factors[list(ALTERED)] = factors[Tissue.GREY] * own
    table *= np.clip(factors, 1.0 - spread, 1.0 + spread)
    return Relaxation(table[:, 0], table[:, 1], np.minimum(table[:, 2], 1.0))
