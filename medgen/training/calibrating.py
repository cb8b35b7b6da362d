"""The last thing that a training of anomalies does: measure healthy cases it did not learn from."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch

from medgen.calibration import (
    VOXELS_PER_CASE,
    Calibration,
    check_case_rate,
    check_voxel_rate,
    fit_calibration,
    picked,
)
from medgen.config import Config
from medgen.conversion import Converter, converter_of
from medgen.data import Row
from medgen.method import Method
from medgen.problems import ConfigurationError, Interrupted, MedgenError, Problem
from medgen.runs import (
    Model,
    RunFolder,
    Statistics,
    load_model,
    measuring_digest,
    standing_calibration,
    weights_digest,
    write_calibration,
)
from medgen.training.cohort import Cohort
from medgen.training.domains import healthy, scores_anomalies
from medgen.training.statistics import source_digests
from medgen.volumes import open_volume

logger = logging.getLogger(__name__)

Report = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, and how many there are."""


def check_rates(cohort: Cohort, config: Config, method: Method) -> None:
    """Refuse false-positive shares that the healthy cases are too few for, before any training.

    The share of voxels has a default, so that without a case it is not refused: there is no mask.

    Raises:
        ConfigurationError: E_CALIBRATION_RATE.
    """
    if not scores_anomalies(method):
        return
    settings = config.convert.anomaly
    cases = len(healthy(cohort.table, cohort.rows("calibrate"), config.roles, method))
    if settings.case_false_positives is not None:
        check_case_rate(settings.case_false_positives, cases)
    if cases:
        check_voxel_rate(settings.voxel_false_positives, cases * VOXELS_PER_CASE)


def check_kept(cohort: Cohort, config: Config, method: Method, statistics: Statistics) -> None:
    """Refuse healthy cases whose images weights were learned from or chosen by.

    In this training, since a file is in the table twice, or in one that it starts from: what they
    look like to those weights says nothing of new cases.

    Raises:
        ConfigurationError: E_CALIBRATION_SEEN, of every such case.
    """
    sources = config.roles.source.columns
    problems = [
        Problem(
            "E_CALIBRATION_SEEN",
            "the case is to be calibrated on, and weights were learned from its image or chosen by "
            "it: it is in the table under another split as well, or the run of --from had it",
            "calibrate on other cases, or leave --from out",
            row.case,
        )
        for row in healthy(cohort.table, cohort.rows("calibrate"), config.roles, method)
        if source_digests(cohort, [row.case], sources) & statistics.learned
    ]
    if problems:
        raise ConfigurationError(problems)


def calibrate(
    folder: RunFolder,
    config: Config,
    rows: Sequence[Row],
    *,
    device: torch.device,
    report: Report = lambda what, done, total: None,
) -> Calibration | None:
    """Leave a calibration of the run's weights in its model, or the one that is there and stands.

    The weights are read from the run, so that what is measured is what `convert` will use. Without
    rows there is none.

    Raises:
        Refusal: a case cannot be converted; the residuals do not vary.
        Interrupted: by Ctrl-C; nothing is written, and resuming measures anew.
    """
    if not rows:
        return None
    standing = standing_calibration(folder, config, weights_digest(folder, config))
    if standing is not None:
        return standing
    folder.calibration.unlink(missing_ok=True)
    try:
        model = load_model(folder.path, device=device)
        calibration = _measured(model, converter_of(model, device=device), rows, report)
    except KeyboardInterrupt:
        message = "stopped while healthy cases were measured; the weights are saved"
        raise Interrupted(Problem("E_INTERRUPTED", message, "use --resume")) from None
    write_calibration(folder, calibration)
    logger.info(
        "calibrated",
        extra={"fields": {"cases": calibration.cases, "patients": calibration.patients}},
    )
    return calibration


def _measured(
    model: Model, converter: Converter, rows: Sequence[Row], report: Report
) -> Calibration:
    """Return what the rows look like to the model."""
    residuals, scores = [], []
    settings = model.config.convert.anomaly
    what = "measuring healthy cases"
    report(what, 0, len(rows))
    for done, row in enumerate(rows, start=1):
        try:
            given = converter.preprocessing.given
            anomaly = converter.anomaly_of({c: open_volume(row.cells[c]) for c in given})
        except MedgenError as error:
            raise error.at(case=row.case) from None
        residuals.append(picked(anomaly.residual[anomaly.inside]))
        scores.append({str(name): score for name, score in anomaly.scores.items()})
        report(what, done, len(rows))
    calibration = fit_calibration(
        residuals,
        scores,
        direction=settings.direction,
        patients=len({row.patient.casefold() for row in rows}),
        weights_digest=model.weights_digest,
        settings_digest=measuring_digest(model.config),
    )
    # Masks can leave fewer voxels than there may be: better said now than by every conversion.
    check_voxel_rate(settings.voxel_false_positives, calibration.voxels)
    return calibration
