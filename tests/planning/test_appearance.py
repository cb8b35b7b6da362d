from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from medgen.planning.appearance import image_doubts


def doubts_of(surveyed: Any, case: Any, config: Any) -> list[tuple[str, str | None, str | None]]:
    return [(d.code, d.case, d.column) for d in image_doubts(surveyed(case, validation=0), config)]


def test_sound_images_raise_no_doubt(
    surveyed: Callable[..., Any], config: Callable[..., Any]
) -> None:
    assert list(image_doubts(surveyed(), config())) == []


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("W_LOOKS_LIKE_MR", {"low": 0.0, "dark": 4.0, "body": (20.0, 400.0, 900.0)}),
        (
            "W_HU_SHIFTED",
            {"low": 0.0, "dark": 24.0, "body": (200.0, 1060.0, 2400.0), "high": 2900.0},
        ),
        ("W_HU_AIR", {"low": -3024.0, "dark": -3024.0}),
        ("W_HU_AIR", {"low": -200.0, "dark": -150.0}),
        ("W_HU_HIGH", {"high": 65000.0}),
        ("W_HU_NO_BONE", {"high": 240.0, "body": (-160.0, 30.0, 235.0)}),
        ("W_FLAT", {"body": (40.0, 40.0, 40.0)}),
        ("W_FLAT", {"low": -9000.0, "body": (-5000.0, -4500.0, -4000.0)}),
    ],
)
def test_an_implausible_ct_is_named(
    code: str,
    changes: dict[str, Any],
    facts: Callable[..., Any],
    surveyed: Callable[..., Any],
    config: Callable[..., Any],
    sound: Any,
) -> None:
    case = facts("odd", columns={"mr": sound["mr"], "ct": replace(sound["ct"], **changes)})
    assert (code, "odd", "ct") in doubts_of(surveyed, case, config())


def test_a_ct_in_a_column_of_mr_is_named(
    facts: Callable[..., Any], surveyed: Callable[..., Any], config: Callable[..., Any], sound: Any
) -> None:
    case = facts("odd", columns={"mr": sound["ct"], "ct": sound["ct"]})
    assert doubts_of(surveyed, case, config()) == [("W_LOOKS_LIKE_CT", "odd", "mr")]


def test_swapped_columns_are_named_both(
    facts: Callable[..., Any], surveyed: Callable[..., Any], config: Callable[..., Any], sound: Any
) -> None:
    case = facts("odd", columns={"mr": sound["ct"], "ct": sound["mr"]})
    found = doubts_of(surveyed, case, config())
    assert set(found) == {("W_LOOKS_LIKE_CT", "odd", "mr"), ("W_LOOKS_LIKE_MR", "odd", "ct")}


def test_a_column_of_another_name_may_hold_what_it_likes(
    facts: Callable[..., Any], surveyed: Callable[..., Any], config: Callable[..., Any], sound: Any
) -> None:
    scales = {"act": {"scale": "percentile"}, "pet": {"scale": "cohort"}}
    settings = config(roles={"source": ["act"], "target": ["pet"]}, intensity=scales)
    case = facts("a", columns={"act": sound["mr"], "pet": sound["mr"]})
    assert doubts_of(surveyed, case, settings) == []


@pytest.mark.parametrize(("digest", "correlation"), [("abc", 0.2), ("", 0.99995)])
def test_one_image_in_two_columns_is_named(
    digest: str,
    correlation: float,
    facts: Callable[..., Any],
    surveyed: Callable[..., Any],
    config: Callable[..., Any],
    sound: Any,
) -> None:
    columns = {name: replace(found, digest=digest) for name, found in sound.items()}
    case = facts("odd", columns=columns, correlations={("mr", "ct"): correlation})
    assert doubts_of(surveyed, case, config()) == [("W_SAME_IMAGE", "odd", "ct")]


def test_similar_images_are_not_the_same(
    facts: Callable[..., Any], surveyed: Callable[..., Any], config: Callable[..., Any]
) -> None:
    case = facts("a", correlations={("mr", "ct"): 0.98})
    assert doubts_of(surveyed, case, config()) == []
