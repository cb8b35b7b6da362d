"""What a run folder keeps of how its training began."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from medgen.runs import RunFolder
from medgen.training import prepare_session
from medgen.training.opening import open_run, reopen_run


@pytest.mark.parametrize(("began", "goes_on"), [(1, 4), (4, 1)])
def test_another_number_of_processes_is_warned_about(
    tiny_cohort: Path,
    make_config: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    began: int,
    goes_on: int,
) -> None:
    session = prepare_session(
        make_config(), data=tiny_cohort, cache=tmp_path / "cache", device="cpu"
    )
    folder, config, cohort = RunFolder(tmp_path / "run"), session.config, session.cohort
    open_run(folder, config, cohort, session.statistics, processes=began, overwrite=False)
    with caplog.at_level(logging.WARNING):
        reopen_run(folder, config, cohort, processes=began)
        assert not _warned(caplog)
        reopen_run(folder, config, cohort, processes=goes_on)
    (record,) = _warned(caplog)
    assert record.getMessage().endswith(f"a step sees {goes_on / began:g} times the patches")


def _warned(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.WARNING]
