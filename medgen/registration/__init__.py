"""Registration: rigid, affine and deformable maps between two images, and a verdict on each."""

from medgen.registration.deformation import Deformation, deform, require_elastix
from medgen.registration.linear import Registration, register
from medgen.registration.scoring import Agreement, agreement
from medgen.registration.verdict import Verdict, judge

__all__ = [
    "Agreement",
    "Deformation",
    "Registration",
    "Verdict",
    "agreement",
    "deform",
    "judge",
    "register",
    "require_elastix",
]
