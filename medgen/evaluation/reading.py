"""An evaluation's folder read back, and checked: it may have been edited or copied."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medgen.data.rows import CASE_ID
from medgen.evaluation.anomaly_profile import PROFILE as ANOMALY
from medgen.evaluation.summary import KIND, LEADING, SCORES, SUMMARY, TRAILING
from medgen.evaluation.units import PET_UNITS
from medgen.metrics import PROFILES, Profile
from medgen.problems import ConfigurationError, Problem


@dataclass(frozen=True)
class Entry:
    """One scored case of an evaluation."""

    patient: str
    seen_in_training: bool
    scores: Mapping[str, float]
    sha256: Mapping[str, str]


@dataclass(frozen=True)
class Report:
    """An evaluation as it lies on the disk: its profile and its scored cases."""

    name: str
    """The folder's own name; empty where it could not be a case id and may name a patient."""
    profile: Profile
    version: str
    mask: str
    cases: Mapping[str, Entry]
    merged: Mapping[int, int] = field(default_factory=dict)
    """Label values that count as another in predictions and references, and which."""
    held: frozenset[int] | None = None
    """The label values of the references before that; None where the report does not say."""


def read_report(folder: Path, label: str) -> Report:
    """Read `scores.csv` and `summary.json` of an evaluation.

    Raises:
        ConfigurationError: E_REPORT where a file is missing, not what `evaluate` writes, or of a
            profile that this version does not know.
    """
    summary = _summary(folder, label)
    described = summary.get("profile")
    described = described if isinstance(described, dict) else {}
    name = described.get("name")
    if name == "distribution":
        advice = "read their distances side by side; or evaluate with a profile that takes pairs"
        raise _refuse(label, "is of two sets without pairs, which cannot be compared", advice)
    known = {**PROFILES, ANOMALY.name: ANOMALY}
    if not isinstance(name, str) or name not in known:
        raise _refuse(label, "is of a profile that this version does not know")
    profile = _with_regions(_with_classes(known[name], described, label), described, label)
    cases = summary.get("cases")
    entries = _entries(folder, label, profile, cases if isinstance(cases, dict) else {})
    versions = summary.get("versions")
    version = versions.get("medgen") if isinstance(versions, dict) else None
    own = folder.resolve().name
    shown = own if CASE_ID.fullmatch(own) else ""
    merged, held = _merged(summary.get("labels"), label)
    made_by, mask = str(version or "unknown"), str(summary.get("mask"))
    return Report(shown, profile, made_by, mask, entries, merged, held)


def _summary(folder: Path, label: str) -> dict[str, Any]:
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except OSError:
        raise _refuse(label, f"has no readable {SUMMARY}") from None
    except (ValueError, RecursionError):
        raise _refuse(label, f"has a {SUMMARY} that is not JSON") from None
    if not isinstance(summary, dict) or summary.get("kind") != KIND:
        raise _refuse(label, f"has a {SUMMARY} that `medgen evaluate` did not write")
    return summary


def _with_classes(profile: Profile, described: Mapping[str, Any], label: str) -> Profile:
    """Return a profile of labels with the classes that the report was made with."""
    classes = described.get("classes")
    if profile.kind == "image":
        return profile
    if isinstance(classes, dict) and all(type(value) is int for value in classes.values()):
        with suppress(ValueError):
            found = profile.for_labels(classes)
            if dict(found.classes) == classes:
                return found
    raise _refuse(label, f"has a {SUMMARY} without the classes that it was made with")


def _with_regions(profile: Profile, described: Mapping[str, Any], label: str) -> Profile:
    """Return a profile with the regions, and in the unit, that the report was made with."""
    if not profile.regional:
        return profile
    regions, unit = described.get("regions"), described.get("unit")
    if isinstance(regions, dict) and all(type(value) is int for value in regions.values()):
        with suppress(ValueError):
            found = profile.for_regions(regions)
            if dict(found.regions) == regions and unit in PET_UNITS:
                return found.in_unit(unit)
    raise _refuse(label, f"has a {SUMMARY} without the unit and the regions that it was made with")


def _merged(labels: object, label: str) -> tuple[dict[int, int], frozenset[int] | None]:
    """Return the merged label values, and those that the references have where it is said."""
    if labels is None:  # a report of images
        return {}, None
    with suppress(TypeError, ValueError, AttributeError):
        if isinstance(labels, dict):
            merged = {int(value): int(new) for value, new in labels.get("merged", {}).items()}
            held = labels.get("in_references")
            return merged, None if held is None else frozenset(int(value) for value in held)
    raise _refuse(label, f"has a {SUMMARY} without the label values that were merged")


def _entries(
    folder: Path, label: str, profile: Profile, cases: Mapping[str, Any]
) -> dict[str, Entry]:
    """Read the rows with scores; failed cases have none."""
    try:
        text = (folder / SCORES).read_text(encoding="utf-8")
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error):
        raise _refuse(label, f"has no readable {SCORES}") from None
    expected = {*LEADING, *profile.columns, *TRAILING}
    if any(None in row or None in row.values() for row in rows):
        raise _refuse(label, f"has a {SCORES} whose rows differ in length")
    if rows and not expected <= set(rows[0]):
        lacking = ", ".join(sorted(expected - set(rows[0])))
        again = "evaluate again: an earlier version of medgen may have written it"
        raise _refuse(label, f"has a {SCORES} without the columns {lacking}", again)
    entries = {}
    for row in rows:
        if row["problem"]:
            continue
        try:
            scores = {column: float(row[column]) for column in profile.columns}
        except (TypeError, ValueError):
            raise _refuse(label, f"has a {SCORES} with a score that is no number") from None
        facts = cases.get(row["case"])
        hashes = facts.get("sha256") if isinstance(facts, dict) else None
        entries[row["case"]] = Entry(
            row["patient"],
            row["seen_in_training"] == "true",
            scores,
            hashes if isinstance(hashes, dict) else {},
        )
    return entries


def _refuse(
    label: str, message: str, advice: str = "name two folders that `medgen evaluate` wrote"
) -> ConfigurationError:
    return ConfigurationError(Problem("E_REPORT", f"the {label} report {message}", advice))
