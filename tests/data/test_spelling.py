import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.data import same_spelling


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("P-01", "p_1", True),
        ("Pat-007", "pat 7", True),
        ("Müller", "Muller", True),
        ("José", "jose", True),
        ("p0", "p00", True),
        ("p1-1", "p11", False),
        ("P1", "P10", False),
        ("A", "B", False),
        ("p\u0663", "p\u0664", False),  # Arabic 3 and 4
        ("--", "-", False),
        ("İ1", "x", False),
    ],
)
def test_spellings(one: str, other: str, same: bool) -> None:
    assert (same_spelling(one) == same_spelling(other)) is same


@given(st.text(min_size=1, max_size=120))
def test_any_name_has_a_spelling_that_signs_do_not_change(name: str) -> None:
    assert same_spelling(f"a-{name}") == same_spelling(f" A {name}_")


def test_a_number_may_be_of_any_length() -> None:
    assert same_spelling("p" + "0" * 5000 + "7") == "p.7"
