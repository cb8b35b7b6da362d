"""What is found against an answer beside what the monitor says."""

from __future__ import annotations

import math

import pytest

from medgen.conversion.answer_checks import judged_trust, seam_trust, volume_trust
from medgen.conversion.monitor import Judgement
from medgen.conversion.trust import Finding, Trust, Verdict

USUAL = {"brain": (1000.0, 1500.0), "lesion": (0.0, 20.0), "never": (0.0, 0.0)}


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        ({"brain": 1200.0, "lesion": 5.0, "never": 3.0}, ()),
        ({"brain": 4000.0, "lesion": 59.0}, ()),
        ({"brain": 4600.0}, ("brain",)),
        ({"brain": 300.0}, ("brain",)),
        ({"brain": 0.0, "lesion": 0.0}, ("brain",)),  # lesions may be missing, a brain may not
        ({"brain": 1200.0, "lesion": 61.0}, ("lesion",)),
    ],
)
def test_volumes_are_held_against_the_training_cases(
    found: dict[str, float], wrong: tuple[str, ...]
) -> None:
    trust = volume_trust(found, USUAL)
    assert tuple(each.reason.split()[0] for each in trust.findings) == wrong
    assert {each.check for each in trust.findings} <= {"volume"}
    assert all(value is None or math.isfinite(value) for value in trust.measures.values())


@pytest.mark.parametrize(
    ("energy", "verdict"), [(None, "pass"), (1.2, "pass"), (1.6, "warn"), (3.5, "fail")]
)
def test_seams_are_graded(energy: float | None, verdict: Verdict) -> None:
    trust = seam_trust(energy)
    assert trust.verdict == verdict
    assert trust.measures == ({} if energy is None else {"answer.seams": energy})
    assert verdict == "pass" or f"{energy:.2f} times as rough" in trust.reasons[0]


def test_what_the_monitor_cannot_know_is_none() -> None:
    found = Finding("outline", "warn", "changed outline: ...")
    unknown = math.nan
    judged = Judgement(unknown, 20.0, 0.7, unknown, unknown, 0.4, ("changed outline",), (found,))
    trust = judged_trust(judged)
    assert trust.findings == (found,)
    assert trust.measures["answer.contrast"] is None
    assert trust.measures["answer.spread"] is None
    assert trust.measures["answer.outline_dice"] == 0.7
    assert "answer.faults" not in trust.measures
    assert judged_trust(None) == Trust()
