"""What is usual among cases, and how far one lies off."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from medgen.data import Look, Usual, fit_usual
from medgen.data.domain import FINE, LAYERS, SHARES, Face
from medgen.data.usual import Spread

CASES = 5


def look(k: int, modality: str = "", unit: str = "HU") -> Look:
    draw = np.random.default_rng(k)
    shares = tuple(np.sort(draw.normal(0.1 * k, 1.0, SHARES * FINE)).tolist())
    layers = tuple((np.arange(LAYERS) + draw.normal(0, 0.5, LAYERS)).tolist())
    figures = {"litres": (4.0 + k,), "areas": tuple(draw.uniform(0, 2, 30).tolist())}
    return Look(figures, Face(shares, 1.0 + k, layers), unit, modality)


LOOKS = [look(k) for k in range(CASES)]


def test_ranges_means_and_the_farthest_case_are_those_of_the_cases() -> None:
    usual = fit_usual(LOOKS)
    assert usual.cases == CASES
    litres = usual.figures["litres"]
    assert (litres.low, litres.mean, litres.high) == ((4.0,), (6.0,), (8.0,))
    assert litres.farthest == pytest.approx(2.5)  # the last against the mean of 4, 5, 6, 7
    rows = np.asarray([each.figures["areas"] for each in LOOKS])
    apart = [np.abs(rows[k] - np.delete(rows, k, axis=0).mean(axis=0)).mean() for k in range(CASES)]
    assert usual.figures["areas"].farthest == pytest.approx(max(apart))
    assert usual.figures["areas"].distance_to(rows[0]) == pytest.approx(
        np.abs(rows[0] - rows.mean(axis=0)).mean()
    )


def test_the_least_alike_layers_are_found() -> None:
    layers = np.asarray([each.face.layers for each in LOOKS])
    found = [
        np.corrcoef(layers[k], np.delete(layers, k, axis=0).mean(axis=0))[0, 1]
        for k in range(CASES)
    ]
    assert fit_usual(LOOKS).least_alike == pytest.approx(min(found))


def test_one_case_has_no_other_to_differ_from() -> None:
    usual = fit_usual(LOOKS[:1])
    assert usual.least_alike is None
    assert {spread.farthest for spread in usual.figures.values()} == {0.0}
    with pytest.raises(ValueError, match="case"):
        fit_usual([])


def test_what_headers_say_is_kept_once_each() -> None:
    usual = fit_usual([look(0, "MR"), look(1), look(2, "MR", "arbitrary")])
    assert usual.modalities == ("MR",)
    assert usual.units == ("HU", "arbitrary")


def test_a_layer_that_a_case_lacks_ends_the_profile() -> None:
    short = LOOKS[0].face
    cut = Look(
        LOOKS[0].figures, Face(short.shares, None, (*short.layers[:6], *[math.nan] * 4)), "HU"
    )
    usual = fit_usual([cut, *LOOKS[1:]])
    assert len(usual.domain.layers) == 6
    assert usual.least_alike is not None


def test_json_keeps_it_and_names_nobody() -> None:
    usual = fit_usual(LOOKS)
    text = json.dumps(usual.as_json(), allow_nan=False)
    assert Usual.from_json(json.loads(text)) == usual
    assert Spread.from_json(json.loads(text)["figures"]["litres"]) == usual.figures["litres"]
