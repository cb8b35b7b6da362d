"""A scan as plain values: what `--json` prints, and what the terminal's tables are made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from medgen.discovery.columns import kind_of, ordered
from medgen.discovery.examination import Facts
from medgen.discovery.findings import Finding
from medgen.discovery.next_steps import next_steps
from medgen.discovery.scanning import Scan


def summarise(scan: Scan, *, table: str, keyed: bool) -> dict[str, Any]:
    """Return everything that a scan has to say as JSON values; `table` is how the user named it.

    Folders (`where`) are relative to the scanned one. They and the table may name patients.
    """
    columns = ordered([column for case in scan.cases for column in case.cells])
    return {
        "table": table if scan.cases else None,
        "keyed": keyed,
        "cases": len(scan.cases),
        "patients": len({case.patient.casefold() for case in scan.cases}),
        "sites": sorted({case.site for case in scan.cases} - {""}),
        "splits": sorted({case.split for case in scan.cases} - {""}),
        "volumes": scan.volumes,
        "other_files": scan.others,
        "left_out": dict(scan.left_out),
        "layouts": [
            {"layout": one.layout, "where": _where(one.scope), "volumes": one.volumes}
            for one in scan.layouts
        ],
        "columns": {
            column: _column(column, [f for (_, k), f in scan.facts.items() if k == column])
            for column in columns
        },
        "refused": [_finding(finding) for finding in scan.refused],
        "warnings": [_finding(finding) for finding in scan.findings if not finding.refused],
        "next": _next(scan, columns, table),
    }


def _next(scan: Scan, columns: Sequence[str], table: str) -> list[str]:
    if not scan.cases:
        return []
    return next_steps(
        columns,
        [frozenset(case.cells) for case in scan.cases],
        table=table,
        same_grids=scan.one_grid,
        same_frames=scan.one_frame,
        drawn_on=scan.drawn_on,
    )


def _column(column: str, facts: Sequence[Facts]) -> dict[str, Any]:
    """Return a column's count and ranges; spacing and size along right, anterior, superior."""
    units = sorted({found.unit for found in facts})
    return {
        "cases": len(facts),
        "kind": kind_of(column),
        "unit": units[0] if len(units) == 1 else " or ".join(units),
        "spacing_mm": [
            [round(pick, 3) for pick in (min(along), max(along))]
            for along in zip(*(found.spacing_mm for found in facts), strict=True)
        ],
        "size": [
            [min(along), max(along)] for along in zip(*(found.size for found in facts), strict=True)
        ],
        "values": [min(found.low for found in facts), max(found.high for found in facts)],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    cells = {"cells": list(finding.cells)} if finding.cells else {}
    return {**finding.problem.as_json(), "where": [_where(f.parts) for f in finding.files], **cells}


def _where(parts: Sequence[str]) -> str:
    return PurePosixPath(*parts).as_posix()
