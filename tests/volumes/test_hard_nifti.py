"""The acceptance list of hard NIfTI files: which of them are read, and as what, or refused.

What the rows are made of is tested field by field in test_nifti, test_forms and test_streams; here
each thing that other tools read wrongly in silence stands once, whole, at the gate.
"""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from medgen.problems import Refusal
from medgen.volumes import Grid, open_volume

Codes = Callable[[Callable[[], object]], list[str]]
Make = Callable[[Path], Path]

VALUES = np.random.default_rng(4).integers(-1000, 2000, (5, 6, 4)).astype(np.int16)
AFFINE = np.array([[2.0, 0, 0, -10], [0, 1.5, 0, -20], [0, 0, 3.0, 5], [0, 0, 0, 1]])
LEFT_HANDED = AFFINE @ np.diag([-1.0, 1, 1, 1])
SHEARED = AFFINE @ np.array([[1, 0.2, 0, 0], [0, 1, 0.1, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
SHIFTED = AFFINE + np.array([[0, 0, 0, 0.5]] + [[0] * 4] * 3)
NOWHERE = np.where(np.eye(4), np.nan, AFFINE)


def image(
    values: Any = VALUES,
    *,
    sform: Any = AFFINE,
    qform: Any = AFFINE,
    codes: tuple[int, int] = (1, 1),
    units: str = "mm",
    scale: tuple[float, float] | None = None,
    kind: Any = nibabel.Nifti1Image,
) -> bytes:
    made = kind(values, None, dtype=values.dtype)
    made.header.set_qform(qform, code=codes[1])
    made.header["sform_code"] = codes[0]
    for name, row in zip(("srow_x", "srow_y", "srow_z"), sform, strict=False):
        made.header[name] = row
    made.header.set_xyzt_units(units)
    if scale:
        raw = bytearray(made.to_bytes())
        made.header["scl_slope"], made.header["scl_inter"] = scale
        made.header["vox_offset"] = 352
        raw[:348] = made.header.binaryblock
        return bytes(raw)
    return bytes(made.to_bytes())


def plain(content: bytes) -> Make:
    return _writer("scan.nii", content)


def packed(content: bytes) -> Make:
    return _writer("scan.nii.gz", content)


def _writer(name: str, content: bytes) -> Make:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def with_bad_crc() -> bytes:
    whole = bytearray(gzip.compress(image()))
    whole[-8:-4] = (zlib.crc32(b"other") & 0xFFFFFFFF).to_bytes(4, "little")
    return bytes(whole)


def bomb(promised: int = 4) -> bytes:
    """Return 64 MiB of zeros behind a header that promises four slices."""
    return gzip.compress(image(VALUES[..., :promised]) + bytes(64 << 20))


def spoilt(value: float) -> Any:
    values = VALUES.astype(np.float32)
    values[1, 2, 3] = value
    return values


WHOLE = gzip.compress(image())
READ: list[tuple[str, Make, Any, Any]] = [
    # case, file, values, affine
    ("plain", plain(image()), VALUES, AFFINE),
    ("compressed", packed(WHOLE), VALUES, AFFINE),
    ("left-handed", plain(image(sform=LEFT_HANDED, qform=LEFT_HANDED)), VALUES, LEFT_HANDED),
    ("sheared, sform alone", plain(image(sform=SHEARED, codes=(1, 0))), VALUES, SHEARED),
    ("qform alone", plain(image(codes=(0, 1))), VALUES, AFFINE),
    ("forms 0.05 mm apart", plain(image(sform=AFFINE * 0.1 + SHIFTED * 0.1 + AFFINE * 0.8)),
     VALUES, AFFINE * 0.9 + SHIFTED * 0.1),
    ("scl_slope", plain(image(scale=(0.5, -3))), VALUES * 0.5 - 3, AFFINE),
    ("NIfTI-2", plain(image(kind=nibabel.Nifti2Image)), VALUES, AFFINE),
    ("4D of one", plain(image(VALUES[..., None])), VALUES, AFFINE),
    ("unknown units", plain(image(units="unknown")), VALUES, AFFINE),
]  # fmt: skip

REFUSED: list[tuple[str, Make, list[str]]] = [
    # case, file, codes
    ("short .nii", plain(image()[:-7]), ["E_TRUNCATED"]),
    ("truncated .nii.gz", packed(WHOLE[: len(WHOLE) // 2]), ["E_TRUNCATED"]),
    ("bad gzip CRC", packed(with_bad_crc()), ["E_CHECKSUM"]),
    ("bomb", packed(bomb()), ["E_TRAILING_DATA"]),
    ("NaN voxel", plain(image(spoilt(np.nan))), ["E_NONFINITE"]),
    ("infinite voxel", plain(image(spoilt(np.inf))), ["E_NONFINITE"]),
    ("NaN in the affine", plain(image(sform=NOWHERE)), ["E_BAD_AFFINE"]),
    ("complex", plain(image(VALUES.astype(np.complex64))), ["E_VOXEL_TYPE"]),
    ("forms 0.5 mm apart", plain(image(sform=SHIFTED)), ["E_FORMS_DISAGREE"]),
    ("sheared sform beside a qform", plain(image(sform=SHEARED)), ["E_FORMS_DISAGREE"]),
    ("no forms", plain(image(codes=(0, 0))), ["E_NO_FORM"]),
    ("metres", plain(image(units="meter")), ["E_UNITS"]),
    ("4D", plain(image(np.stack([VALUES, VALUES], axis=-1))), ["E_FOUR_DIMENSIONS"]),
    ("everything at once", plain(image(spoilt(np.nan), codes=(0, 0), units="meter")),
     ["E_NO_FORM", "E_UNITS", "E_NONFINITE"]),
]  # fmt: skip


@pytest.mark.parametrize(("case", "make", "values", "affine"), READ, ids=[row[0] for row in READ])
def test_read(tmp_path: Path, case: str, make: Make, values: Any, affine: Any) -> None:
    volume = open_volume(make(tmp_path))
    np.testing.assert_array_equal(volume.data, values)
    assert volume.grid.same_as(Grid(VALUES.shape, affine), 1e-3)


@pytest.mark.parametrize(("case", "make", "expected"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused(tmp_path: Path, codes: Codes, case: str, make: Make, expected: list[str]) -> None:
    path = make(tmp_path)
    assert codes(lambda: open_volume(path)) == expected
    with pytest.raises(Refusal) as caught:
        open_volume(path)
    for problem in caught.value.problems:
        assert "\n" not in str(problem)
        assert tmp_path.name not in str(problem)


def test_a_bomb_costs_no_memory(tmp_path: Path, codes: Codes) -> None:
    path = packed(bomb())(tmp_path)
    tracemalloc.start()
    try:
        codes(lambda: open_volume(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
