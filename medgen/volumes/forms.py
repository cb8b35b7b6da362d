"""Which of a NIfTI header's two affines to believe, and when to believe neither."""

from __future__ import annotations

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from medgen.problems import Problem
from medgen.volumes.grid import Grid, affine_problems

Affine = NDArray[np.float64]

FORM_TOLERANCE_MM = 0.1
_EXPORT = "convert it again from its original series, for example with dcm2niix"


def choose_affine(
    header: Nifti1Header, shape: tuple[int, int, int]
) -> tuple[Affine | None, list[Problem]]:
    """Return the RAS affine of a header, or what keeps it from having one.

    The sform where it is coded, else the qform. Both coded must agree to 0.1 mm everywhere in
    the volume, since readers differ in which they believe.
    """
    problems = _spacing_problems(header)
    sform, qform = None, None
    try:
        with np.errstate(invalid="ignore", over="ignore"):
            sform = _sform(header)
            qform = None if problems else _qform(header)
    except (HeaderDataError, ValueError):
        problems.append(Problem("E_BAD_AFFINE", "the qform is not a rotation", _EXPORT))
    forms = [form for form in (sform, qform) if form is not None]
    for form in forms:
        problems += [problem for problem in affine_problems(form) if problem not in problems]
    if not forms and not problems:
        message = "neither sform nor qform is coded: left and right are unknown"
        problems.append(Problem("E_NO_FORM", message, _EXPORT))
    if problems:
        return None, problems
    if sform is not None and qform is not None:
        problems += _disagreement(header, Grid(shape, sform), Grid(shape, qform))
    return forms[0], problems


def _spacing_problems(header: Nifti1Header) -> list[Problem]:
    spacing = np.asarray(header["pixdim"][1:4], dtype=np.float64)
    if np.isfinite(spacing).all() and spacing.min() > 0:
        return []
    message = "a voxel spacing is zero, negative or not finite"
    return [Problem("E_BAD_SPACING", message, _EXPORT)]


def _sform(header: Nifti1Header) -> Affine | None:
    form = header.get_sform(coded=True)[0]
    return None if form is None else np.asarray(form, dtype=np.float64)


def _qform(header: Nifti1Header) -> Affine | None:
    if header["pixdim"][0] == 0:
        header["pixdim"][0] = 1  # what the standard takes 0 to mean
    form = header.get_qform(coded=True)[0]
    return None if form is None else np.asarray(form, dtype=np.float64)


def _disagreement(header: Nifti1Header, sform: Grid, qform: Grid) -> list[Problem]:
    gaps = np.linalg.norm(sform.corners() - qform.corners(), axis=1)
    distance = float(gaps.max())
    if distance <= FORM_TOLERANCE_MM or _rounding_only(header, sform):
        return []
    message = f"sform and qform place the volume up to {distance:.1f} mm apart"
    advice = "find out which is right, and set the other's code to 0"
    return [Problem("E_FORMS_DISAGREE", message, advice)]


def _rounding_only(header: Nifti1Header, sform: Grid) -> bool:
    """Tell whether the qform is the sform, as well as single precision can say it.

    Near half a turn the fourth quaternion component is the root of a small difference of the
    stored three, and a healthy file's forms may lie a few tenths of a millimetre apart.
    """
    directions = sform.directions
    if not np.allclose(directions.T @ directions, np.eye(3), atol=1e-4):
        return False
    ideal = header.copy()
    ideal.set_qform(sform.affine, code=1)
    names = ("quatern_b", "quatern_c", "quatern_d")
    stored, wanted = (np.array([float(h[name]) for name in names]) for h in (header, ideal))
    places = ("qoffset_x", "qoffset_y", "qoffset_z")
    moved = max(abs(float(header[name]) - float(ideal[name])) for name in places)
    turned = min(np.abs(stored - wanted).max(), np.abs(stored + wanted).max())
    same_spacing = np.allclose(header["pixdim"][:4], ideal["pixdim"][:4], rtol=1e-5)
    return bool(turned < 1e-6 and moved < FORM_TOLERANCE_MM and same_spacing)
