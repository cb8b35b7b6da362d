"""A cohort small enough to score in a blink: a bright ball of bone in soft tissue in air."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medgen.volumes import Grid, Volume, digest_of, write_volume

SHAPE = (22, 20, 18)
AFFINE = np.array([[-3.0, 0, 0, 30], [0, 3.0, 0, -28], [0, 0, 4.0, -33], [0, 0, 0, 1]])
CASES = ("c1", "c2", "c3", "c4")
PATIENTS = {"c1": "p1", "c2": "p1", "c3": "p2", "c4": "p3"}
Write = Callable[..., Path]


def head(seed: int) -> np.ndarray:
    """Return a CT of a ball in HU."""
    random = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    radius = np.sqrt((grid**2).sum(axis=0))
    values = np.where(radius < 0.8, 40.0, -1000.0)
    values[(radius > 0.6) & (radius < 0.75)] = 900.0
    return values + random.normal(0, 10, SHAPE)


def body() -> np.ndarray:
    """Return the mask of the ball."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    return (np.sqrt((grid**2).sum(axis=0)) < 0.9).astype(np.uint8)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a volume below the test's folder."""

    def write(
        name: str, values: np.ndarray, affine: np.ndarray = AFFINE, *, dtype: str = "float32"
    ) -> Path:
        shape = (values.shape[0], values.shape[1], values.shape[2])
        path = tmp_path / name
        write_volume(path, Volume(values, Grid(shape, affine)), dtype=dtype)  # type: ignore[arg-type]
        return path

    return write


@pytest.fixture
def cohort(tmp_path: Path, write: Write) -> Path:
    """Write four cases of three patients with references, predictions, masks and a table."""
    rows = ["case,patient,split,ct,body"]
    for index, case in enumerate(CASES):
        reference = head(index)
        noise = np.random.default_rng(100 + index).normal(0, 20 * (index + 1), SHAPE)
        write(f"reference/{case}.nii.gz", reference)
        write(f"prediction/{case}.mha", reference + noise)
        write(f"better/{case}.nii.gz", reference + 0.5 * noise)
        write(f"mask/{case}.nii.gz", body(), dtype="uint8")
        split = "train" if case == "c4" else "test"
        rows.append(f"{case},{PATIENTS[case]},{split},reference/{case}.nii.gz,mask/{case}.nii.gz")
    (tmp_path / "cases.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def shells(seed: int, shift: int = 0) -> np.ndarray:
    """Return a core (2) in a shell (1), with holes, moved by some voxels along the first axis."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    radius = np.sqrt((grid**2).sum(axis=0))
    values = np.where(radius < 0.4, 2, np.where(radius < 0.7, 1, 0))
    values[np.random.default_rng(seed).random(SHAPE) < 0.05] = 0
    return np.roll(values, shift, 0).astype(np.uint8)


@pytest.fixture
def labelled(tmp_path: Path, write: Write) -> Path:
    """Write four cases of three patients with label volumes, worse from case to case."""
    rows = ["case,patient,label"]
    for index, case in enumerate(CASES):
        write(f"reference/{case}.nii.gz", shells(index), dtype="uint8")
        write(f"prediction/{case}.nii.gz", shells(index, 1 + index), dtype="uint8")
        write(f"better/{case}.nii.gz", shells(index, index), dtype="uint8")
        rows.append(f"{case},{PATIENTS[case]},reference/{case}.nii.gz")
    (tmp_path / "cases.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


SPOTS = {"s1": (11, 10, 9), "s2": (8, 10, 9), "s3": (11, 13, 9), "s4": (11, 10, 12)}
ANOMALIES = ("h1", "h2", "h3", "h4", *SPOTS)


def spot(case: str, radius: float = 2.0) -> np.ndarray:
    """Return a case's lesion: a ball, or nothing in a healthy case."""
    if case not in SPOTS:
        return np.zeros(SHAPE, np.uint8)
    places = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"))
    away = places - np.array(SPOTS[case]).reshape(3, 1, 1, 1)
    return (np.sqrt((away**2).sum(axis=0)) <= radius).astype(np.uint8)


@pytest.fixture
def answer(tmp_path: Path, write: Write) -> Callable[..., Path]:
    """Return a function that writes a map as convert does: with sidecar, z-map and mask."""

    def answer(
        folder: str,
        case: str,
        values: np.ndarray,
        score: float,
        *,
        threshold: float | None = 2.0,
        cut: float | None = 2.5,
        direction: str = "both",
        more: Mapping[str, Any] | None = None,
    ) -> Path:
        path = write(f"{folder}/{case}.nii.gz", values)
        beside = {}
        if cut is not None:
            found = {"z": (values, "float32"), "mask": (np.abs(values) > cut, "uint8")}
            for key, (data, dtype) in found.items():
                other = write(f"{folder}/{case}_{key}.nii.gz", 1.0 * data, dtype=dtype)
                beside[key] = digest_of(other)
        facts = {
            "direction": direction,
            "column": "t1",
            "score": "map_top",
            "scores": {"map_top": score, "map_mean": -score, "window_max": 1.0},
            "p": {"map_top": 0.25},
            "case_threshold": threshold,
            "unusual": None if threshold is None else score > threshold,
            "calibration_cases": 19,
        }
        content = {
            "seen_in_training": False,
            "weights_digest": "f00d",
            "output_digest": digest_of(path),
            "anomaly": facts,
            "beside": beside,
            **(more or {}),
        }
        (tmp_path / folder / f"{case}.json").write_text(json.dumps(content))
        return path

    return answer


@pytest.fixture
def anomalies(tmp_path: Path, write: Write, answer: Callable[..., Path]) -> Path:
    """Write four healthy cases and four with a spot, dark in two, of four patients, and a table."""
    rows = ["case,patient,split,kind,lesion,brain"]
    write("brain.nii.gz", body(), dtype="uint8")
    for index, case in enumerate(ANOMALIES):
        lesion = spot(case)
        write(f"lesion/{case}.nii.gz", lesion, dtype="uint8")
        noise = np.random.default_rng(index).normal(0, 1, SHAPE)
        sign = -1.0 if case in ("s3", "s4") else 1.0
        answer("maps", case, (noise + 3.0 * sign * lesion) * body(), 1.0 + 0.3 * index)
        kind = {"h": "", "s": "dark" if sign < 0 else "bright"}[case[0]]
        rows.append(f"{case},p{index % 4},test,{kind},lesion/{case}.nii.gz,brain.nii.gz")
    (tmp_path / "cases.csv").write_text("\n".join(rows) + "\n")
    return tmp_path
