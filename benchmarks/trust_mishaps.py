"""What goes wrong with a source volume in practice, done to sound ones: for trust.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medgen.data import outline
from medgen.volumes import Grid, Volume, ras_permutation

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A sound case: its source, and its CT where the table has one."""

    source: Volume
    ct: Volume | None
    seed: int
    others: Mapping[str, Volume]
    """Other images of the same patient."""


Mishap = Callable[[Case], Volume | None]


def ct_for_mr(case: Case) -> Volume | None:
    """Return the case's CT in the place of its source."""
    return case.ct


def ct_from_zero(case: Case) -> Volume | None:
    """Return the CT as it is exported without its rescale intercept: no value below 0."""
    if case.ct is None:
        return None
    shifted = np.maximum(np.asarray(case.ct.data, dtype=np.float32) + 1024, 0)
    return Volume(shifted, case.ct.grid)


def _flipped(volume: Volume, ras: int) -> Volume:
    """Return the values reversed along right, anterior or superior; the header stays."""
    axes, _ = ras_permutation(volume.grid.affine)
    return volume.with_data(np.ascontiguousarray(np.flip(volume.data, axes[ras])))


def flipped_sideways(case: Case) -> Volume:
    """Swap left and right, and leave the header as it is."""
    return _flipped(case.source, 0)


def front_to_back(case: Case) -> Volume:
    """Swap front and back."""
    return _flipped(case.source, 1)


def upside_down(case: Case) -> Volume:
    """Swap top and bottom."""
    return _flipped(case.source, 2)


def turned(case: Case) -> Volume:
    """Swap two axes of the array, as a reader that takes rows for columns does."""
    axes, _ = ras_permutation(case.source.grid.affine)
    swapped = np.swapaxes(case.source.data, axes[1], axes[2])
    affine = case.source.grid.affine.copy()
    x, y, z = swapped.shape
    return Volume(np.ascontiguousarray(swapped), Grid((x, y, z), affine), case.source.unit)


def t2_like(case: Case) -> Volume:
    """Turn the order of grey inside the body, as T2 does to T1: fluid bright, white matter dark."""
    data = np.asarray(case.source.data, dtype=np.float32)
    body = _body(case)
    top = np.percentile(data[body], 99.0)
    return case.source.with_data(np.where(body, np.clip(top - data, 0, None), data))


def inverted(case: Case) -> Volume:
    """Turn the grey scale, air included."""
    data = np.asarray(case.source.data, dtype=np.float32)
    return case.source.with_data(data.max() - data)


def thick_slices(case: Case) -> Volume:
    """Average three slices into one, along superior."""
    volume = case.source
    axes, _ = ras_permutation(volume.grid.affine)
    data = np.moveaxis(np.asarray(volume.data, dtype=np.float32), axes[2], 0)
    count = len(data) // 3
    thick = np.moveaxis(data[: 3 * count].reshape(count, 3, *data.shape[1:]).mean(1), 0, axes[2])
    affine = volume.grid.affine.copy()
    affine[:3, 3] = volume.grid.to_world(np.eye(3)[axes[2]])
    affine[:3, axes[2]] *= 3
    x, y, z = thick.shape
    return Volume(np.ascontiguousarray(thick), Grid((x, y, z), affine), volume.unit)


def hidden_thick_slices(case: Case) -> Volume:
    """Do the same and interpolate back to the old grid: the header knows nothing of it."""
    axes, _ = ras_permutation(case.source.grid.affine)
    thick = np.asarray(thick_slices(case).data)
    index = (np.arange(case.source.data.shape[axes[2]]) - 1) / 3
    low = np.clip(np.floor(index).astype(int), 0, thick.shape[axes[2]] - 2)
    share = np.clip(index - low, 0, 1).reshape([-1 if k == axes[2] else 1 for k in range(3)])
    first, second = (np.take(thick, low + step, axis=axes[2]) for step in (0, 1))
    return case.source.with_data((first * (1 - share) + second * share).astype(np.float32))


def upper_half(case: Case) -> Volume:
    """Leave out what lies below the middle of the head."""
    return _half(case, 2)


def one_side(case: Case) -> Volume:
    """Leave out the left half."""
    return _half(case, 0)


def _half(case: Case, ras: int) -> Volume:
    axes, signs = ras_permutation(case.source.grid.affine)
    body = np.nonzero(_body(case).any(axis=tuple(k for k in range(3) if k != axes[ras])))[0]
    middle = int(body[0] + body[-1]) // 2
    start = [0, 0, 0]
    shape = list(case.source.grid.shape)
    if signs[ras] > 0:
        start[axes[ras]], shape[axes[ras]] = middle, shape[axes[ras]] - middle
    else:
        shape[axes[ras]] = middle
    part = tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))
    data = np.ascontiguousarray(case.source.data[part])
    return Volume(data, case.source.grid.crop(start, shape), case.source.unit)


def noisy(case: Case, share: float = 0.15) -> Volume:
    """Add Rician noise of a share of the 99th percentile inside the body."""
    data = np.asarray(case.source.data, dtype=np.float32)
    sigma = share * float(np.percentile(data[_body(case)], 99.0))
    draw = np.random.default_rng(case.seed)
    real, imaginary = (draw.normal(0, sigma, data.shape) for _ in range(2))
    found = np.sqrt(np.square(data + real) + np.square(imaginary))
    return case.source.with_data(found.astype(np.float32))


def little_noise(case: Case) -> Volume:
    """Add a third of that."""
    return noisy(case, 0.05)


def blurred(case: Case) -> Volume:
    """Smooth by a Gaussian of 3 mm."""
    sigma = [3.0 / float(mm) for mm in case.source.grid.spacing_mm]
    data = np.asarray(case.source.data, dtype=np.float32)
    return case.source.with_data(ndimage.gaussian_filter(data, sigma))


def other_scale(case: Case) -> Volume:
    """Multiply by seven, as another scanner may; scales measured on each volume take it out."""
    return case.source.with_data(np.asarray(case.source.data, dtype=np.float32) * 7)


def strong_bias(case: Case) -> Volume:
    """Multiply by a field that falls to a fifth along superior, as of a surface coil."""
    axes, _ = ras_permutation(case.source.grid.affine)
    length = case.source.data.shape[axes[2]]
    field = np.linspace(1.0, 0.2, length).reshape([-1 if k == axes[2] else 1 for k in range(3)])
    return case.source.with_data((case.source.data * field).astype(np.float32))


def metal(case: Case) -> Volume:
    """Blank a ball of 25 mm at the jaw's height with a bright rim, as a dental implant does."""
    data = np.asarray(case.source.data, dtype=np.float32).copy()
    body = _body(case)
    inside = np.argwhere(body)
    low, high = inside.min(axis=0), inside.max(axis=0)
    axes, signs = ras_permutation(case.source.grid.affine)
    centre = (low + high) / 2
    for ras, at in ((1, 0.8), (2, 0.2)):
        share = at if signs[ras] > 0 else 1 - at
        centre[axes[ras]] = low[axes[ras]] + share * (high - low)[axes[ras]]
    places = np.indices(data.shape).reshape(3, -1).T - centre
    far = np.linalg.norm(places * case.source.grid.spacing_mm, axis=1).reshape(data.shape)
    top = float(np.percentile(data[body], 99.5))
    data[far < 25] = 0
    data[(far >= 25) & (far < 30)] = 2 * top
    return case.source.with_data(data)


def stripped(case: Case) -> Volume:
    """Blank the outer 15 mm of the head, much as a brain extraction does."""
    depth = ndimage.distance_transform_edt(_body(case), sampling=case.source.grid.spacing_mm)
    return case.source.with_data(np.where(depth > 15, case.source.data, 0))


def sound(case: Case) -> Volume:
    """Change nothing."""
    return case.source


def _body(case: Case) -> NDArray[np.bool_]:
    volume = case.source
    return outline(volume.data, unit=volume.unit, spacing_mm=volume.grid.spacing_mm)


def instead(column: str) -> Mishap:
    """Return the mishap of another image of the patient in the place of the source."""
    return lambda case: case.others.get(column)


MISHAPS: Mapping[str, Mishap] = {
    "sound": sound,
    "CT for MR": ct_for_mr,
    "CT from 0 for MR": ct_from_zero,
    "left and right swapped": flipped_sideways,
    "front and back swapped": front_to_back,
    "upside down": upside_down,
    "axes swapped": turned,
    "order of grey turned, as T2 for T1": t2_like,
    "inverted": inverted,
    "slices three times as thick": thick_slices,
    "the same, interpolated back": hidden_thick_slices,
    "lower half missing": upper_half,
    "left half missing": one_side,
    "noise of 15 %": noisy,
    "noise of 5 %": little_noise,
    "blurred by 3 mm": blurred,
    "seven times as bright": other_scale,
    "a strong bias field": strong_bias,
    "metal at the jaw": metal,
    "outer 15 mm stripped": stripped,
}
