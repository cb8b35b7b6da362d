"""The anomaly scores of an output folder: a row per case, made anew from the cases' sidecars.

The sidecars are the record; the table repeats them, and may be deleted at any time.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from medgen.cohort.manifest import Entry, Manifest, cell
from medgen.config import CASE_SCORES
from medgen.data.table import CASE_ID
from medgen.files import write_text
from medgen.problems import ConfigurationError, Problem
from medgen.volumes import volume_name

FILE_NAME = "scores.tsv"

COLUMNS = (
    "case",
    "score",
    "p",
    "unusual",
    "score_name",
    *CASE_SCORES,
    "case_threshold",
    "mask_ml",
    "column",
    "direction",
    "calibration_cases",
    "weights_digest",
)
"""The score that the configuration chose, its p-value among healthy cases, and whether it is above
the threshold for cases; then every score. Cells are empty where the run has no calibration."""
HEADER = "\t".join(COLUMNS)


class Scores:
    """The table of one folder, which is only written where there is something to list."""

    def __init__(self, folder: Path, *, wanted: bool) -> None:
        """Look at the folder's table, if it has one.

        Args:
            folder: where the answers are.
            wanted: whether this call's answers have scores. If not, a file of that name that
                convert did not write is nobody's concern.

        Raises:
            ConfigurationError: E_SCORES_FOREIGN where a file of that name is something else.
        """
        self._path = folder / FILE_NAME
        first = _first_line(self._path)
        self._own = first == HEADER
        self._keeps_off = first is not None and not self._own
        if self._keeps_off and wanted:
            message = f"{FILE_NAME} in the output folder was not written by this version of convert"
            advice = "choose another --output, or move that file away"
            raise ConfigurationError(Problem("E_SCORES_FOREIGN", message, advice))

    def write(self, manifest: Manifest, *, but: Container[str] = ()) -> None:
        """Write a row for every case that the manifest calls ok, except those of some names.

        A case without a score, or whose sidecar is of another answer than the manifest's, has none.
        """
        rows = [
            row
            for entry in sorted(manifest.entries, key=lambda entry: entry.case)
            if entry.status == "ok" and entry.case not in but and CASE_ID.fullmatch(entry.case)
            if (row := _row(entry, self._path)) is not None
        ]
        if self._keeps_off or not (rows or self._own):
            return
        write_text(self._path, "".join(f"{line}\n" for line in (HEADER, *rows)))
        self._own = True


def _first_line(path: Path) -> str | None:
    """Return the first line of a file that is there; nothing readable is an empty one."""
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return stream.readline(1 << 16).rstrip("\r\n")
    except FileNotFoundError:
        return None
    except OSError:
        return ""


def _row(entry: Entry, table: Path) -> str | None:
    """Return a case's row, or None where its sidecar tells of no score."""
    # A folder of DICOM alone may be called like a volume file; its sidecar is called after less.
    for name in dict.fromkeys([entry.case, volume_name(Path(entry.case))]):
        try:
            content = json.loads(table.with_name(f"{name}.json").read_bytes())
            if content["output_digest"] == entry.output_digest:
                values = _values(entry.case, content["anomaly"], str(content["weights_digest"]))
                return "\t".join(_cell(values[column]) for column in COLUMNS)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            continue
    return None


def _values(case: str, found: Mapping[str, Any], weights: str) -> dict[str, Any]:
    chosen = str(found["score"])
    scores: dict[str, float] = {one: float(found["scores"][one]) for one in CASE_SCORES}
    return {
        "case": case,
        "score": scores[chosen],
        "p": found["p"].get(chosen),
        "unusual": {True: "yes", False: "no"}.get(found["unusual"]),
        "score_name": chosen,
        **scores,
        "case_threshold": found["case_threshold"],
        "mask_ml": found["mask_ml"],
        "column": found["column"],
        "direction": found["direction"],
        "calibration_cases": found["calibration_cases"],
        "weights_digest": weights,
    }


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else cell(str(value))
