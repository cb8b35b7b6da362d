"""A trained stage's answers to a table's rows: what the next stage of a chain is fed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from medgen.conversion import Converter, converter_of
from medgen.data import Row
from medgen.files import write_json
from medgen.problems import MedgenError
from medgen.runs import choose_device, load_model
from medgen.volumes import digest_of, open_volume, write_volume

RECORD = "answers.json"


def answer_rows(
    run: Path,
    rows: Sequence[Row],
    place: Path,
    *,
    device: str = "auto",
    report: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Path]:
    """Convert the rows that have every source image into `place`, and return the files by case.

    The values are float32, so that the next stage is trained on what conversion will hand it in
    memory. Answers that the same weights gave before are kept.

    Raises:
        ConfigurationError: the run cannot be used.
        Refusal: a case cannot be converted.
    """
    place_on = choose_device(device)
    model = load_model(run, device=place_on)
    converter = converter_of(model, device=place_on)
    known = _known(place)
    answers: dict[str, Path] = {}
    usable = [row for row in rows if all(c in row.cells for c in converter.preprocessing.inputs)]
    for done, row in enumerate(usable, start=1):
        path = place / f"{row.case}.nii.gz"
        if not _stands(path, known.get(row.case), model.weights_digest):
            digest = _answer(converter, row, path)
            known[row.case] = {"weights": model.weights_digest, "answer": digest}
            write_json(place / RECORD, known)
        answers[row.case] = path
        report(done, len(usable))
    return answers


def _answer(converter: Converter, row: Row, path: Path) -> str:
    """Write one case's answer, and return its digest."""
    try:
        volumes = {c: open_volume(row.cells[c]) for c in converter.preprocessing.inputs}
        return write_volume(path, converter(volumes).volume, dtype="float32").digest
    except MedgenError as error:
        raise error.at(case=row.case) from None


def _known(place: Path) -> dict[str, Mapping[str, str]]:
    """Return what was answered before, by case; nothing where that is not known."""
    try:
        known = json.loads((place / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _stands(path: Path, entry: Mapping[str, str] | None, weights: str) -> bool:
    if entry is None or not path.is_file():
        return False
    return entry.get("weights") == weights and entry.get("answer") == digest_of(path)
