"""What `convert` prints of a cohort, for a person or a machine."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgen.cli.terminal import Terminal

if TYPE_CHECKING:
    from medgen.cohort import Outcome, Result


def say(terminal: Terminal, outcome: Outcome, output: Path, *, dry_run: bool) -> None:
    """Print a dry run's verdicts, or one line on what was written."""
    if dry_run:
        columns = ["case", "verdict", "problems"]
        terminal.table(columns, [_verdict(result) for result in outcome.results])
        return
    counts = Counter(result.status for result in outcome.results)
    parts = [f"{counts['ok']} converted"]
    parts += [f"{counts['kept']} kept from before"] if counts["kept"] else []
    parts += [f"{counts['failed']} failed"] if counts["failed"] else []
    doubts = Counter(result.verdict for result in outcome.results)
    parts += [f"{doubts['fail']} not to be believed"] if doubts["fail"] else []
    parts += [f"{doubts['warn']} doubtful"] if doubts["warn"] else []
    left = outcome.cases - len(outcome.results)
    parts += [f"{left} not begun or not finished"] if left else []
    terminal.say(f"{output}: {', '.join(parts)}")


def _verdict(result: Result) -> list[str]:
    verdict = {"ok": "ok", "failed": "refused", "kept": "converted before"}[result.status]
    if result.verdict not in ("", "pass"):
        verdict += f", {result.verdict}"
    codes = dict.fromkeys(problem.code for problem in result.problems)
    return [result.case, verdict, ", ".join(codes)]


def summary(outcome: Outcome, *, dry_run: bool) -> dict[str, Any]:
    """Return the outcome for a machine; the paths are left to the manifest's folder."""
    return {
        "cases": outcome.cases,
        "dry_run": dry_run,
        "convertible" if dry_run else "converted": outcome.count("ok"),
        "kept": outcome.count("kept"),
        "failed": outcome.count("failed"),
        "interrupted": outcome.interrupted,
        "results": [
            {
                "case": result.case,
                "status": result.status,
                "problems": [problem.as_json() for problem in result.problems],
                "verdict": result.verdict,
                "reasons": list(result.reasons),
                "warnings": list(result.warnings),
                "seconds": result.seconds,
            }
            for result in outcome.results
        ],
    }
