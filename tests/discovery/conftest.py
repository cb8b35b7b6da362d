import hashlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from dicom_corpus import MR, make_slices, save_series

from medgen.dicom.values import quiet
from medgen.discovery.walking import Entry
from medgen.volumes import Grid, Volume, write_volume
from medgen.volumes.listing import volume_name

Make = Callable[..., Path]

MASKS = ("mask", "body", "brain")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a writer of tiny volumes, each with values of its own, fit for what it is called."""

    def write(
        name: str,
        values: object = None,
        *,
        kind: str = "mr",
        spacing: float = 2.0,
        offset: float = 0.0,
        size: tuple[int, int, int] = (6, 7, 8),
    ) -> Path:
        path = tmp_path / name
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
        noise = np.random.default_rng(seed)
        made = {
            "mr": lambda: noise.integers(1, 1000, size),
            "ct": lambda: np.where(
                np.indices(size).sum(0) < 9, -1000, noise.integers(0, 900, size)
            ),
            "mask": lambda: noise.integers(0, 2, size),
            "label": lambda: noise.integers(0, 3, size),
        }
        data = made[kind]() if values is None else np.broadcast_to(np.asarray(values), size)
        affine = np.diag([spacing, spacing, spacing, 1.0])
        affine[0, 3] = offset
        volume = Volume(np.asarray(data, np.float32), Grid(size, affine))
        write_volume(path, volume, dtype="float32")
        return path

    return write


@pytest.fixture
def series(tmp_path: Path) -> Callable[..., Path]:
    """Return a writer of small DICOM series whose headers say what a test gives."""

    def write(
        folder: str,
        modality: str = MR,
        *,
        seed: int = 0,
        shape: tuple[int, int, int] = (8, 7, 5),
        first: int = 1,
        **says: object,
    ) -> Path:
        slices, _ = make_slices(modality, seed=seed, shape=shape)
        with quiet():  # a test may say what no header should
            for one in slices:
                for keyword, value in says.items():
                    setattr(one, keyword, value)
            save_series(tmp_path / folder, slices, first=first)
        return tmp_path / folder

    return write


def entries(*paths: str) -> list[Entry]:
    """Return what a walk over these files would."""
    found = [Entry(PurePosixPath(path), volume_name(Path(path))) for path in paths]
    return sorted(found, key=lambda entry: entry.path.parts)


@pytest.fixture
def listed() -> Callable[..., list[Entry]]:
    return entries
