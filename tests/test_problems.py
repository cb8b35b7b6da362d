import pytest

from medgen.problems import (
    ConfigurationError,
    Exit,
    GuardStop,
    Interrupted,
    MedgenError,
    NothingFound,
    Problem,
    Refusal,
)

PROBLEM = Problem("E_UNITS", "lengths are in metres", "rewrite the header")


def test_a_problem_says_code_place_message_and_advice() -> None:
    assert str(PROBLEM) == "E_UNITS: lengths are in metres -> rewrite the header"
    placed = PROBLEM.at(case="c01", column="mr")
    assert str(placed).startswith("E_UNITS [case c01, column mr]: ")
    assert str(Problem("E_X", "wrong")) == "E_X: wrong"


def test_a_place_is_kept_unless_another_is_given() -> None:
    placed = PROBLEM.at(case="c01").at(column="ct")
    assert (placed.case, placed.column) == ("c01", "ct")
    assert placed.at(case="c02").case == "c02"
    assert PROBLEM.case is None


def test_json_leaves_out_what_is_empty() -> None:
    assert Problem("E_X", "wrong").as_json() == {"code": "E_X", "message": "wrong"}
    assert set(PROBLEM.at(case="c", column="d").as_json()) == {
        "code",
        "message",
        "advice",
        "case",
        "column",
    }


def test_an_error_carries_every_problem() -> None:
    error = Refusal([PROBLEM, Problem("E_NONFINITE", "3 voxels are NaN")])
    assert [problem.code for problem in error.problems] == ["E_UNITS", "E_NONFINITE"]
    assert str(error).splitlines() == [str(problem) for problem in error.problems]
    assert Refusal(PROBLEM).problems == (PROBLEM,)
    assert Refusal(problem for problem in [PROBLEM]).problems == (PROBLEM,)


def test_an_error_moves_to_a_case_and_keeps_its_kind() -> None:
    placed = Refusal([PROBLEM]).at(case="c01", column="mr")
    assert isinstance(placed, Refusal)
    assert placed.problems[0].case == "c01"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MedgenError, Exit.INTERNAL),
        (ConfigurationError, Exit.USAGE),
        (NothingFound, Exit.NOTHING_FOUND),
        (Refusal, Exit.ALL_FAILED),
        (GuardStop, Exit.GUARD),
        (Interrupted, Exit.INTERRUPTED),
    ],
)
def test_every_error_has_its_exit_code(error: type[MedgenError], code: Exit) -> None:
    assert error(PROBLEM).exit_code is code
    assert issubclass(error, MedgenError)


def test_exit_codes_are_the_documented_ones() -> None:
    assert {code.name: int(code) for code in Exit} == {
        "OK": 0,
        "INTERNAL": 1,
        "USAGE": 2,
        "NOTHING_FOUND": 3,
        "ALL_FAILED": 4,
        "GUARD": 5,
        "SOME_FAILED": 8,
        "INTERRUPTED": 130,
    }
