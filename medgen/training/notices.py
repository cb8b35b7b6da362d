"""What is worth saying of a training before its first step."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from medgen.training.domains import scores_anomalies
from medgen.training.scoring import best_by_of

if TYPE_CHECKING:
    from medgen.training.session import Session

logger = logging.getLogger(__name__)

FEW_CASES = 20
"""Training cases of a domain below which a training without pairs is warned of."""

FEW_PATIENTS = 4
"""Validation patients of a domain below which a diagnosis is warned of."""


def tell(session: Session) -> None:
    """Warn of what makes a training, or the choice of its weights, less than it seems."""
    _tell_what_decides(session)
    _tell_of_small_domains(session)
    _tell_of_few_patients(session)
    _tell_of_nothing_to_diagnose(session)
    _tell_of_no_calibration(session)


def _tell_of_few_patients(session: Session) -> None:
    """Warn where a diagnosis tells patients apart as much as domains."""
    counts = {
        "+".join(sorted(each.group.keys)): len(set(each.patients)) for each in session.examined
    }
    few = {name: count for name, count in counts.items() if count < FEW_PATIENTS}
    if few:
        listed = " and ".join(f"{count} of the {name}" for name, count in few.items())
        logger.warning(
            "few validation patients, %s: what tells them apart counts as what tells the domains "
            "apart, so read diagnose.* as a comparison between steps, not as a measure",
            listed,
        )


def _tell_of_nothing_to_diagnose(session: Session) -> None:
    """Warn where a method that diagnoses itself has no validation cases for that."""
    if session.method.examines and not session.examined:
        examined = (key for keys in session.method.examines for key in sorted(keys))
        roles = " and ".join(dict.fromkeys(examined))
        logger.warning(
            "no diagnose.* figures: they need validation cases of the %s, and not all have one",
            roles,
        )


def _tell_of_small_domains(session: Session) -> None:
    """Warn where a training without pairs has few cases to learn a domain from."""
    counts = session.statistics.counts
    found = {role: counts[f"train_{role}_cases"] for role in session.statistics.domains}
    if found and min(found.values()) < FEW_CASES:
        listed = " and ".join(f"{number} of the {role}" for role, number in found.items())
        logger.warning(
            "few training cases, %s: below some %d of each the discriminators know them by heart, "
            "and the monitor has little to go by; look at every answer",
            listed,
            FEW_CASES,
        )


def _tell_of_no_calibration(session: Session) -> None:
    """Warn where no healthy case will say what of the anomalies is unusual."""
    if scores_anomalies(session.method) and not session.calibrated:
        logger.warning(
            "no calibration case: convert will give the map and the scores, but no z-map, no mask "
            "and no p-value; hold healthy cases back by split.calibrate, or by the word calibrate "
            "in the table's split column"
        )


def _tell_what_decides(session: Session) -> None:
    """Warn where the monitor picks the weights though the configuration names a score."""
    configured = session.config.train.validate_.best_by.name
    decides = best_by_of(session.config, session.method, scored=bool(session.scored))
    if session.validated and decides.name != configured:
        logger.warning(
            "no validation case has a truth: %s picks the weights, not %s", decides.name, configured
        )
