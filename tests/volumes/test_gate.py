import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from medgen.problems import Refusal
from medgen.volumes import Limits, Volume, open_volume, write_volume

Writer = Callable[..., Path]
Codes = Callable[[Callable[[], object]], list[str]]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("scan.hdr", "E_PAIR_FORMAT"),
        ("scan.img.gz", "E_PAIR_FORMAT"),
        ("scan.png", "E_FORMAT"),
        ("scan.gz", "E_FORMAT"),
        ("scan", "E_FORMAT"),
    ],
)
def test_other_files_are_refused_by_name(
    tmp_path: Path, codes: Codes, name: str, code: str
) -> None:
    (tmp_path / name).write_bytes(b"anything")
    assert codes(lambda: open_volume(tmp_path / name)) == [code]


def test_folders_missing_and_empty_files(tmp_path: Path, codes: Codes) -> None:
    assert codes(lambda: open_volume(tmp_path)) == ["E_NO_SERIES"]
    assert codes(lambda: open_volume(tmp_path / "absent.nii")) == ["E_MISSING_FILE"]
    for name in ("a.nii", "a.nii.gz", "a.mha", "a.nrrd"):
        (tmp_path / name).touch()
        assert codes(lambda name=name: open_volume(tmp_path / name)) == ["E_EMPTY_FILE"]  # type: ignore[misc]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_forbidden_files(nifti: Writer, codes: Codes) -> None:
    path = nifti()
    path.chmod(0)
    assert codes(lambda: open_volume(path)) == ["E_UNREADABLE"]


def test_input_errors_are_refusals(
    nifti: Writer, codes: Codes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error", "/archive/DOE^JANE/scan.nii")

    path = nifti()
    monkeypatch.setattr("medgen.volumes.gate.read_nifti", fail)
    with pytest.raises(Refusal, match="E_UNREADABLE") as caught:
        open_volume(path)
    assert "DOE" not in str(caught.value)


def test_no_message_names_the_file(nifti: Writer) -> None:
    for fields in ({"xyzt_units": 1}, {"magic": b"x"}, {"descrip": b"DOE^JANE", "datatype": 32}):
        with pytest.raises(Refusal) as caught:
            open_volume(nifti(name="DOE^JANE.nii", **fields))
        assert "DOE" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".mha", ".mhd", ".nrrd", ".nhdr"])
@pytest.mark.parametrize("compressed", [False, True])
@given(data=st.data())
@settings(max_examples=10)
def test_metaimage_and_nrrd_agree_with_simpleitk(
    grids: Any, tmp_path_factory: Any, suffix: str, compressed: bool, data: st.DataObject
) -> None:
    grid = data.draw(grids(sheared=False))
    kind = data.draw(st.sampled_from(["u1", "i2", "u2", "i4", "i8", "f4", "f8"]))
    values = np.random.default_rng(0).integers(0, 100, grid.shape).astype(kind)
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.T))
    image.SetSpacing(grid.spacing_mm.tolist())
    image.SetOrigin(grid.affine[:3, 3].tolist())
    image.SetDirection(grid.directions.ravel().tolist())
    path = tmp_path_factory.mktemp("itk") / f"scan{suffix}"
    sitk.WriteImage(image, str(path), useCompression=compressed)
    volume = open_volume(path)
    assert np.array_equal(volume.data, values)
    assert volume.data.dtype == np.dtype(kind)
    for index in ((0, 0, 0), tuple(count - 1 for count in grid.shape)):
        point = np.array(image.TransformIndexToPhysicalPoint([int(i) for i in index]))
        np.testing.assert_allclose(
            volume.grid.to_world(np.array(index)), point * (-1, -1, 1), atol=1e-6
        )


def test_a_detached_file_over_the_limit_is_refused(tmp_path: Path, codes: Codes) -> None:
    image = sitk.GetImageFromArray(np.zeros((9, 9, 9), np.uint8))
    sitk.WriteImage(image, str(tmp_path / "scan.mhd"), useCompression=False)
    limits = Limits(file_bytes=600)
    assert codes(lambda: open_volume(tmp_path / "scan.mhd", limits=limits)) == ["E_TOO_LARGE"]


def mutate(whole: bytes, chance: random.Random, header: int) -> bytes:
    """Return a file with bytes changed, cut, doubled or added, mostly in its header."""
    data = bytearray(whole)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(min(header, len(data)) if chance.random() < 0.8 else len(data))
        action = chance.randrange(6)
        if action < 3:
            data[place] = chance.randrange(256)
        elif action == 3:
            data[place] ^= 1 << chance.randrange(8)
        elif action == 4:
            data = data[:place] or bytearray(b"x")
        else:
            data[place:place] = data[place : place + chance.randint(1, 40)]
    return bytes(data)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mha", "a.nrrd", "b.mha"])
def test_mutated_files_are_refused_or_well_formed(
    tmp_path: Path, volume: Volume, name: str
) -> None:
    path = tmp_path / name
    write_volume(path, volume, dtype="float32")
    whole = path.read_bytes()
    if name == "b.mha":
        sitk.WriteImage(sitk.ReadImage(str(path)), str(path), useCompression=False)
        whole = path.read_bytes()
    chance = random.Random(name)
    verdicts = {"read": 0, "refused": 0}
    for _ in range(600):
        path.write_bytes(mutate(whole, chance, 400))
        try:
            read = open_volume(path, limits=Limits(voxels=10_000))
        except Refusal:
            verdicts["refused"] += 1
            continue
        assert read.data.shape == read.grid.shape
        assert np.isfinite(read.data).all()
        assert np.isfinite(read.grid.affine).all()
        verdicts["read"] += 1
    assert verdicts["refused"] > 100
    assert verdicts["read"] > 0
