import pytest

from medgen.cli.gate_options import check_nan_to, choice_of
from medgen.dicom import Choice
from medgen.problems import ConfigurationError


def test_options_make_a_choice() -> None:
    assert choice_of("", None, None, False) == Choice()
    assert choice_of(" 12 ", 1, 2, True) == Choice("12", 1, 2, straighten=True)
    assert choice_of("1.2.840.5", None, None, False) == Choice("1.2.840.5")


@pytest.mark.parametrize("series", ["AX T1", "1,echo=2", "../x", "-1", "1" * 65, "²"])
def test_a_series_is_a_uid_or_a_number(series: str) -> None:
    with pytest.raises(ConfigurationError, match="E_CELL_SELECTOR") as caught:
        choice_of(series, None, None, False)
    assert series not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_to_is_finite(value: float) -> None:
    with pytest.raises(ConfigurationError, match="E_NAN_TO"):
        check_nan_to(value)
    assert check_nan_to(None) is None
    assert check_nan_to(-1024.0) == -1024.0
