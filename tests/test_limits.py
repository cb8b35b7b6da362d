import pytest

from medgen.limits import file_size_problems, size_problems
from medgen.volumes import Limits


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((4096, 2, 2), []),
        ((4097, 2, 2), ["E_TOO_LARGE"]),
        ((2000, 2000, 400), ["E_TOO_LARGE"]),
        ((512, 512, 1), ["E_TOO_FEW_SLICES"]),
        ((1, 5000, 512), ["E_TOO_LARGE", "E_TOO_FEW_SLICES"]),
        ((32767, 32767, 32767), ["E_TOO_LARGE"]),
        ((9, 9, 9, 1), []),
    ],
)
def test_shapes(shape: tuple[int, ...], expected: list[str]) -> None:
    assert [problem.code for problem in size_problems(shape, Limits())] == expected


def test_messages_carry_both_numbers() -> None:
    (problem,) = size_problems((30, 5, 5), Limits(voxels_per_axis=20))
    assert "30 x 5 x 5" in problem.message
    assert "20 per axis" in problem.message


@pytest.mark.parametrize(("size", "code"), [(0, "E_EMPTY_FILE"), (101, "E_TOO_LARGE"), (100, None)])
def test_file_sizes(size: int, code: str | None) -> None:
    found = file_size_problems(size, Limits(file_bytes=100))
    assert [problem.code for problem in found] == ([code] if code else [])
