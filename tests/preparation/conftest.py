"""Small heads in two contrasts, the second one moved, and registrations that cost nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import medgen.preparation.aligning as aligning
import medgen.preparation.case as case_module
from medgen.registration import Registration, Verdict
from medgen.volumes import Grid, Volume, write_volume

SPACING = 4.0
SHAPE = (32, 34, 30)
SHIFT_MM = (8.0, -4.0, 4.0)
"""How far the flair has to move: whole voxels, so that nothing is interpolated."""


def grid_at(offset: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Grid:
    affine = np.diag([SPACING, SPACING, SPACING, 1.0])
    affine[:3, 3] = np.array([-62.0, -66.0, -58.0]) + offset
    return Grid(SHAPE, affine)


def head(grid: Grid, contrast: str) -> NDArray[np.float32]:
    """Return a lopsided head, seen at a grid's voxels: bright skin, grey brain, dark ventricle."""
    points = grid.to_world(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1))
    x, y, z = np.moveaxis(points, -1, 0)
    skin = (x / 44) ** 2 + (y / 52) ** 2 + (z / 46) ** 2
    brain = (x / 35) ** 2 + ((y + 2) / 43) ** 2 + ((z - 3) / 37) ** 2
    inside = ((x - 8) / 9) ** 2 + (y / 18) ** 2 + ((z - 6) / 8) ** 2
    nose = ((x - 3) / 8) ** 2 + ((y - 52) / 10) ** 2 + ((z + 15) / 12) ** 2
    level = {"t1": (600, 400, 120), "flair": (500, 250, 40)}[contrast]
    values = np.where((skin < 1) | (nose < 1), level[0], 3.0)
    values = np.where(brain < 1, level[1] + 60 * np.cos(x / 7) * np.sin(y / 9 + z / 8), values)
    return np.where(inside < 1, level[2], values).astype(np.float32)


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """Return a table of three cases whose flair (and its lesion) lies SHIFT_MM away."""
    folder = tmp_path / "hospital"
    away = (-SHIFT_MM[0], -SHIFT_MM[1], -SHIFT_MM[2])
    rows = ["case,patient,split,scanner,t1,flair,lesion,label"]
    for number, split in enumerate(("train", "train", "test")):
        case = f"c{number}"
        t1, flair = head(grid_at(), "t1"), head(grid_at(), "flair")
        lesion = np.zeros(SHAPE, np.uint8)
        lesion[12:15, 10 + number : 14 + number, 14:17] = 1
        there = grid_at(away)
        write_volume(folder / f"{case}_t1.nii.gz", Volume(t1, grid_at()), dtype="int16")
        write_volume(folder / f"{case}_flair.nii.gz", Volume(flair, there), dtype="float32")
        write_volume(folder / f"{case}_lesion.nii.gz", Volume(lesion, there), dtype="uint8")
        write_volume(folder / f"{case}_label.nii.gz", Volume(lesion, grid_at()), dtype="uint8")
        files = [f"{case}_{name}.nii.gz" for name in ("t1", "flair", "lesion", "label")]
        rows.append(",".join([case, f"p{number}", split, "A", *files]))
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    return folder / "cases.csv"


Quick = Callable[..., list[str]]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Quick:
    """Return a way to fake registrations: they find SHIFT_MM at once and get given verdicts.

    Pictures are faked too: they have a test of their own.
    """

    def fake(*verdicts: str) -> list[str]:
        left, calls = list(verdicts), []

        def register(*images: object, transform: str, search: bool) -> Registration:
            assert search
            calls.append(transform)
            matrix = np.eye(4)
            matrix[:3, 3] = SHIFT_MM
            return Registration(matrix, 1.0, 0.5, 0.1, 3)

        def judge(*measured: object, **options: object) -> Verdict:
            name = left.pop(0) if left else "ok"
            return Verdict(name, () if name == "ok" else ("edges lie 9 mm apart",))  # type: ignore[arg-type]

        monkeypatch.setattr(aligning, "register", register)
        monkeypatch.setattr(aligning, "judge", judge)
        for picture in ("picture_of", "picture_of_masks"):
            monkeypatch.setattr(case_module, picture, lambda *parts, **names: b"PNG")
        return calls

    return fake
