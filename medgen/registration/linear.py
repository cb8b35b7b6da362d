"""Rigid and affine registration of one image to another, by mutual information.

Images are arrays with their voxel-to-world affine (RAS+, mm); the answer is a matrix between two
worlds, never a resampled picture: `matrix @ moving_affine` is the moving image's new place.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from medgen.registration.climbing import (
    Climb,
    as_affine,
    fixed_to_moving,
    linear_transform,
    score,
    world_matrix,
)
from medgen.registration.images import (
    Array,
    Image,
    Matrix,
    Transform,
    check_images,
    failed,
    image_of,
    one_thread,
    sitk,
    thinned,
)
from medgen.registration.search import Scene, Start, starts

LARGEST_SCALING = 2.0
UPRIGHT, TURNED = 9, 4
"""How many starts are climbed, without and with a quarter or half turn."""
FIRST_ITERATIONS, FIRST_SAMPLES = 60, 3000
"""How far and how finely: enough to tell hills apart."""
FINALISTS = 3
"""How many of them to the top."""
RANKING_MM = 4.0
TURN_HANDICAP = 0.8
"""What the information of a quarter or half turn counts: headers seldom lie about orientation, and
a symmetric body looks alike the other way round."""
RIVAL = 0.9
"""The share of the best information from which a start that ends elsewhere is a second answer."""


@dataclass(frozen=True, eq=False)
class Registration:
    """Where the moving image has to go, and how well the two images then agree."""

    matrix: Matrix
    """(4, 4), from the moving image's world to the fixed image's world, both RAS+ in mm."""
    score: float
    """Mattes mutual information over the fixed image, in nats; 0 is chance, higher is better."""
    start_score: float
    """The same before the first step, from the start that won."""
    spread_mm: float
    """How far the independent starts that score nearly as well as the best end from it: the
    largest displacement at the corners of the fixed body's box; NaN where only one start ran."""
    starts: int
    """How many starts were climbed."""


def register(
    moving: Array,
    moving_affine: Array,
    fixed: Array,
    fixed_affine: Array,
    *,
    transform: Literal["rigid", "affine"] = "affine",
    search: bool = False,
    resolution_mm: float = 4.0,
    iterations: int = 150,
    samples: int = 15_000,
) -> Registration:
    """Find the rigid or affine map that lays `moving` over `fixed`.

    The start is the better of the two worlds as they are and the centres of intensity laid over
    each other; with `search`, many shifts, tilts and turns are tried as well, and the best few
    climbed. From there mutual information (Mattes et al. 2003) is climbed over a pyramid that ends
    at `resolution_mm`, first by the six rigid parameters, then by all twelve. Values are only
    clipped to their 0.5th and 99.5th percentile: the modalities may differ. The same input gives
    the same answer, since the samples are drawn from a fixed seed and one thread does the sums.

    Args:
        moving: (X, Y, Z) voxel values of any real type.
        moving_affine: (4, 4) voxel index to RAS+ mm; oblique and left-handed are fine.
        fixed: (X, Y, Z).
        fixed_affine: (4, 4).
        transform: `rigid` keeps size and shape; `affine` adds scaling and shear.
        search: start from many places, for headers that cannot be trusted; takes ten times as long.
        resolution_mm: images finer than this are smoothed and thinned to it.
        iterations: largest number of steps at each level.
        samples: about how many fixed voxels the metric looks at in a step.

    Raises:
        Refusal: E_REGISTRATION_INPUT for an array that is not 3D, finite and varying;
            E_REGISTRATION_SHEAR for an affine whose axes are not perpendicular;
            E_REGISTRATION_FAILED where the images share no region, or the answer shrinks or
            stretches by more than two.
    """
    check_images(moving, moving_affine, fixed, fixed_affine)
    with one_thread():
        still = thinned(image_of(fixed, fixed_affine), resolution_mm)
        mobile = thinned(image_of(moving, moving_affine), resolution_mm)
        climb = Climb(still, mobile, iterations, samples)
        try:
            found = _from_many(climb) if search else _from_two(climb, rigid=transform == "rigid")
            top = found.transform
            if transform == "affine":
                top = climb(as_affine(top), (2, 1))
            end_score = score(still, mobile, top)
        except RuntimeError:
            raise failed("the images share no region that could be matched") from None
    matrix = world_matrix(top)
    stretch = np.linalg.svd(matrix[:3, :3], compute_uv=False)
    if stretch.max() > LARGEST_SCALING or stretch.min() < 1 / LARGEST_SCALING:
        raise failed(f"the answer scales by {stretch.min():.2f} to {stretch.max():.2f}")
    return Registration(matrix, end_score, found.start_score, found.spread_mm, found.starts)


@dataclass(frozen=True)
class _Rigid:
    """What the rigid climbs found."""

    transform: Transform
    start_score: float
    spread_mm: float
    starts: int


def _from_two(climb: Climb, *, rigid: bool) -> _Rigid:
    """Climb from the better of the headers and the centres of intensity."""
    start, start_score = _best_start(climb.fixed, climb.moving)
    top = climb(start, (4, 2))
    return _Rigid(climb(top, (1,)) if rigid else top, start_score, math.nan, 1)


def _from_many(climb: Climb) -> _Rigid:
    """Climb part of the way from many starts, and to the top from the best of them."""
    scene = Scene.of(climb.fixed, climb.moving, resolution_mm=RANKING_MM, step=1)
    first = replace(climb, iterations=FIRST_ITERATIONS, samples=FIRST_SAMPLES)
    ends = []
    for start in starts(climb.fixed, climb.moving, upright=UPRIGHT, turned=TURNED):
        with contextlib.suppress(RuntimeError):  # a start may share nothing with the other image
            ends.append(_end(first, (4, 2), start, start.transform(), scene))
    tops = []
    for end in sorted(ends, key=lambda end: -end.score)[:FINALISTS]:
        with contextlib.suppress(RuntimeError):
            tops.append(_end(climb, (2, 1), end.start, end.transform, scene))
    if not tops:
        raise RuntimeError
    best = max(tops, key=lambda top: top.score)
    rivals = [top for top in tops if top.score >= RIVAL * best.score]
    spread = max(scene.apart_mm(best.matrix, rival.matrix) for rival in rivals)
    # As an affine transform, since no versor reaches half a turn.
    top = linear_transform(best.matrix, best.start.centre)
    begin = linear_transform(best.start.matrix(), best.start.centre)
    return _Rigid(top, score(climb.fixed, climb.moving, begin), spread, len(ends))


@dataclass(frozen=True, eq=False)
class _End:
    """Where a climb from a start ended."""

    start: Start
    transform: Transform
    matrix: Matrix
    """(4, 4), fixed world to moving world, LPS+."""
    score: float


def _end(
    climb: Climb, factors: tuple[int, ...], start: Start, transform: Transform, scene: Scene
) -> _End:
    """Climb on from where a start has come to."""
    straight = replace(climb, moving=start.straightened(climb.moving))
    end = straight(transform, factors)
    matrix = start.whole(fixed_to_moving(end))
    handicap = TURN_HANDICAP if start.turned else 1.0
    return _End(start, end, matrix, handicap * scene.score(matrix))


def _best_start(fixed: Image, moving: Image) -> tuple[Transform, float]:
    """Choose between trusting the headers and laying the centres of intensity over each other."""
    centred = sitk.Euler3DTransform(
        sitk.CenteredTransformInitializer(
            fixed,
            moving,
            sitk.Euler3DTransform(),
            sitk.CenteredTransformInitializerFilter.MOMENTS,
        )
    )
    trusted = sitk.Euler3DTransform(centred)
    trusted.SetTranslation((0.0, 0.0, 0.0))
    scored = [(score(fixed, moving, centred), centred)]
    with contextlib.suppress(RuntimeError):  # headers of two worlds may not overlap at all
        scored.append((score(fixed, moving, trusted), trusted))
    best, start = max(scored, key=lambda pair: pair[0])
    return start, best
