"""Verdicts: the worst finding decides."""

from __future__ import annotations

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.conversion.trust import SEVERITY, Finding, Limits, Trust, Verdict

FINDINGS = st.builds(
    Finding, st.sampled_from(["a", "b"]), st.sampled_from(SEVERITY), st.text(max_size=5)
)


@given(st.lists(FINDINGS, max_size=6))
def test_the_verdict_is_the_worst_and_reasons_come_in_its_order(findings: list[Finding]) -> None:
    trust = Trust(tuple(findings))
    ranks = [SEVERITY.index(found.verdict) for found in findings]
    assert SEVERITY.index(trust.verdict) == max(ranks, default=0)
    assert sorted(trust.reasons) == sorted(found.reason for found in findings)
    ordered = sorted(findings, key=lambda found: -SEVERITY.index(found.verdict))
    assert trust.reasons == tuple(found.reason for found in ordered)


def test_two_are_added_each_finding_once() -> None:
    one = Finding("x", "warn", "odd")
    both = Trust((one,), {"a": 1.0}) + Trust((one, Finding("y", "fail", "bad")), {"b": None})
    assert [found.check for found in both.findings] == ["x", "y"]
    assert both.measures == {"a": 1.0, "b": None}
    assert both.verdict == "fail"


def test_json_keeps_everything_but_digits() -> None:
    trust = Trust((Finding("x", "warn", "odd"),), {"a": 1.23456789, "b": None})
    value = json.loads(json.dumps(trust.as_json(), allow_nan=False))
    assert value["verdict"] == "warn"
    assert Trust.from_json(value) == Trust(trust.findings, {"a": 1.23457, "b": None})


@pytest.mark.parametrize(
    ("value", "verdict"), [(0.0, "pass"), (2.0, "pass"), (2.1, "warn"), (4.1, "fail")]
)
def test_limits_are_passed_when_they_are_met(value: float, verdict: Verdict) -> None:
    limits = Limits(2.0, 4.0)
    assert limits.verdict(value) == verdict
    assert limits.beyond("warn") == 2.0
    assert limits.beyond("fail") == 4.0


def test_a_limit_without_an_end_never_fails_and_what_is_unknown_passes() -> None:
    assert Limits(1.0).verdict(1e9) == "warn"
    for limits in (Limits(1.0), Limits(1.0, 2.0)):
        assert limits.verdict(math.nan) == "pass"
    assert list(itertools.pairwise(SEVERITY)) == [("pass", "warn"), ("warn", "fail")]
