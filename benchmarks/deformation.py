"""How well B-splines find a known smooth deformation of a real head in another contrast.

    python benchmarks/deformation.py --heads 3

MEDGEN_REAL_DATA names the folder of the real volumes. Each T1 is given another contrast (not
monotonic, with noise) and deformed by up to 12 mm; `deform` has the undeformed T1 to go by.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medgen.data.masks import body_mask
from medgen.registration import deform
from medgen.volumes import Grid, Volume, open_volume, warp

LARGEST_MM = 12.0
SMOOTHNESS_MM = 20.0
NOISE = 0.02


def main() -> None:
    """Deform heads, find the deformations, and print what is left."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--heads", type=int, default=3)
    chosen = parser.parse_args()
    folders = sorted((Path(os.environ["MEDGEN_REAL_DATA"]) / "heads").glob("IXI*"))
    print("| head | before: mean (mm) | largest | after: mean (mm) | largest | folded | s |")
    for seed, folder in enumerate(folders[: chosen.heads]):
        head = open_volume(folder / "t1.nii.gz")
        generator = np.random.default_rng(seed)
        wanted = smooth_displacement(generator, head.grid)
        # `warp` looks up where points go: the deformed head shows at p what lies at p + wanted(p).
        other = other_contrast(generator, head)
        fixed = warp(other, head.grid, head.grid, matrix=np.eye(4), displacement_mm=wanted)
        affine = head.grid.affine
        begun = time.perf_counter()
        found = deform(head.data, affine, fixed, affine, start=np.eye(4))
        seconds = time.perf_counter() - begun
        body = body_mask(fixed, spacing_mm=head.grid.spacing_mm)
        before = np.linalg.norm(wanted[body], axis=-1)
        after = np.linalg.norm((found.displacement_mm - wanted)[body], axis=-1)
        print(
            f"| {seed + 1} | {before.mean():.2f} | {before.max():.1f} | {after.mean():.2f} "
            f"| {after.max():.1f} | {found.folded:.2%} | {seconds:.0f} |",
            flush=True,
        )


def smooth_displacement(generator: np.random.Generator, grid: Grid) -> NDArray[np.float32]:
    """Draw a displacement (X, Y, Z, 3) in mm whose largest component is `LARGEST_MM`."""
    sigma = SMOOTHNESS_MM / grid.spacing_mm
    noise = generator.normal(size=(3, *grid.shape))
    smooth = np.stack([ndimage.gaussian_filter(part, sigma) for part in noise], axis=-1)
    return np.asarray(smooth * (LARGEST_MM / np.abs(smooth).max()), np.float32)


def other_contrast(generator: np.random.Generator, head: Volume) -> NDArray[np.float32]:
    """Return the head with its middle grey brightest and its brightest tissue darker, and noise."""
    scaled = np.clip(head.data / np.percentile(head.data, 99.5), 0, 1)
    values = scaled * (1.6 - scaled) * 1.5 * (scaled > 0.06)
    return np.asarray(values + NOISE * generator.normal(size=values.shape), np.float32)


if __name__ == "__main__":
    main()
