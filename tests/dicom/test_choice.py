from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.dicom.choice import Choice, split_choice
from medgen.problems import ConfigurationError

FOLDER = Path("cases") / "one"
CHOICES = st.builds(
    Choice,
    series=st.one_of(st.just(""), st.from_regex(r"[0-9]{1,4}(\.[0-9]{1,6}){0,8}", fullmatch=True)),
    echo=st.one_of(st.none(), st.integers(1, 99)),
    phase=st.one_of(st.none(), st.integers(1, 99)),
    unit=st.sampled_from(["", "SUV"]),
    straighten=st.booleans(),
)


@given(CHOICES)
def test_a_choice_travels_in_a_path(choice: Choice) -> None:
    assert split_choice(choice.at(FOLDER)) == (FOLDER, choice)


def test_a_path_without_a_choice_is_itself() -> None:
    assert Choice().at(FOLDER) == FOLDER
    assert split_choice(FOLDER) == (FOLDER, Choice())


def test_what_the_path_says_wins() -> None:
    path = Choice(echo=3, unit="SUV").at(Choice(echo=2, series="7").at(FOLDER))
    assert split_choice(path) == (FOLDER, Choice(series="7", echo=2, unit="SUV"))


def test_a_folder_that_is_really_named_so_is_meant(tmp_path: Path) -> None:
    (tmp_path / "#echo=2").mkdir()
    assert split_choice(tmp_path / "#echo=2") == (tmp_path / "#echo=2", Choice())


@pytest.mark.parametrize(
    "text",
    [
        *("", "echo", "echo=", "echo=0", "echo=-1", "echo=two", "echo=1,echo=2", "color=red"),
        *("straighten=yes", "unit=HU", "unit=", "series=", "series", "=3", "echo=1,,phase=2"),
        *("²", "echo=²", "echo=" + "9" * 5000),
    ],
)
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="E_CELL_SELECTOR"):
        split_choice(FOLDER / f"#{text}")


def test_the_unit_may_be_small() -> None:
    assert split_choice(FOLDER / "#unit=suv, straighten")[1] == Choice(unit="SUV", straighten=True)
