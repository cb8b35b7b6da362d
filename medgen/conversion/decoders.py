"""Which decoder reads an answer, by its kind."""

from __future__ import annotations

from medgen.calibration import Calibration
from medgen.config import ConvertConfig
from medgen.conversion.anomaly_decoder import AnomalyDecoder
from medgen.conversion.decoding import Decoder, ImageDecoder, LabelsDecoder
from medgen.data import PreparedSource, Preprocessing
from medgen.method import Answer


def decoder_of(
    answer: Answer,
    preprocessing: Preprocessing,
    prepared: PreparedSource,
    settings: ConvertConfig,
    *,
    lesions: tuple[str, ...] = (),
    calibration: Calibration | None = None,
) -> Decoder:
    """Return what reads a method's answer to a prepared case.

    Args:
        answer: one that `Converter.wanted` lets pass.
        preprocessing: the run's own, which carries values back to the native grid.
        prepared: the case, with the scales that decode it.
        settings: how label maps are cleaned, and anomalies measured.
        lesions: classes of a label map whose connected parts are listed.
        calibration: what healthy cases' anomalies were like, if that was measured.
    """
    if answer.kind == "labels":
        return LabelsDecoder(
            preprocessing,
            preprocessing.classes,
            keep_largest=settings.keep_largest,
            minimum_ml=settings.minimum_ml,
            lesions=lesions,
        )
    if answer.kind == "image":
        (codec,) = prepared.target_codecs.values()
        return ImageDecoder(preprocessing, codec)
    columns = preprocessing.source_columns
    column = settings.anomaly.column or columns[0]
    return AnomalyDecoder(
        preprocessing,
        prepared.source_codecs[column],
        settings.anomaly,
        column,
        columns.index(column),
        len(columns),
        calibration,
    )
