"""What `convert` prints of a cohort: a verdict on a source is not hidden behind an `ok`."""

from __future__ import annotations

from pathlib import Path

import pytest

from medgen.cli.convert_results import say
from medgen.cli.terminal import Terminal
from medgen.cohort import Outcome, Result


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (Result("a", "ok", verdict="pass"), "ok"),
        (Result("a", "ok"), "ok"),
        (Result("a", "ok", verdict="warn"), "ok, warn"),
        (Result("a", "ok", verdict="fail"), "ok, fail"),
        (Result("a", "failed", verdict="fail"), "refused, fail"),
        (Result("a", "kept", verdict="fail"), "converted before, fail"),
    ],
)
def test_a_dry_run_says_what_is_found_of_a_source(
    result: Result, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    say(Terminal(), Outcome((result,), 1), tmp_path, dry_run=True)
    assert capsys.readouterr().out.splitlines()[1].split(maxsplit=1)[1].strip() == expected
