from collections.abc import Callable
from pathlib import Path

import pytest

from medgen.problems import Refusal
from medgen.volumes.textheader import beside, numbers, skip_to_voxels, whole_numbers

Codes = Callable[[Callable[[], object]], list[str]]


def test_numbers_are_parsed_or_refused() -> None:
    assert whole_numbers(" 1 -2  3 ") == (1, -2, 3)
    assert numbers(["1.5", "-2e3"]).tolist() == [1.5, -2000]
    for call in (lambda: whole_numbers("1 2.0"), lambda: whole_numbers("9" * 5000)):
        with pytest.raises(Refusal, match="E_BAD_HEADER"):
            call()
    with pytest.raises(Refusal, match="E_BAD_HEADER"):
        numbers(["1,5"])


def test_a_data_file_lies_in_the_headers_folder(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for name in ("scan.raw", "raw/scan.raw"):
        (tmp_path / name).touch()
        assert beside(tmp_path / "scan.mhd", name) == tmp_path / name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "raw/../../x",
        "/x",
        "C:x",
        "..\\x",
        "x\0y",
        "x%03d.raw",
        "~",
        "absent",
    ],
)
def test_other_names_are_refused(tmp_path: Path, codes: Codes, name: str) -> None:
    (tmp_path.parent / "x").touch()
    assert codes(lambda: beside(tmp_path / "scan.mhd", name)) == ["E_DATA_FILE"]


def test_minus_one_means_that_the_voxels_end_the_file() -> None:
    assert skip_to_voxels(-1, 100, (2, 3, 4), 2) == 52
    assert skip_to_voxels(-1, 10, (2, 3, 4), 2) == 0
    assert skip_to_voxels(7, 100, (2, 3, 4), 2) == 7
