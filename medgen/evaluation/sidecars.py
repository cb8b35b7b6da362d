"""What a conversion noted beside its answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from medgen.dicom import split_choice
from medgen.volumes import volume_name


@dataclass(frozen=True)
class Sidecar:
    """What a conversion noted beside its answer; `labels` is as the file gives it."""

    seen_in_training: bool | None = None
    unit: str | None = None
    output_digests: frozenset[str] = frozenset()
    """Of the volume file and of the DICOM series, as far as they were written."""
    labels: object = None
    remarks: tuple[str, ...] = ()


def read_sidecar(prediction: Path) -> Sidecar:
    """Read NAME.json beside a prediction: whether training saw the case, the unit, the labels."""
    place, _ = split_choice(prediction)
    path = place.with_name(f"{volume_name(place)}.json")
    if not path.is_file():
        return Sidecar()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        return Sidecar(remarks=("the sidecar beside the prediction is not a JSON object",))
    seen, unit, dicom = (content.get(key) for key in ("seen_in_training", "unit", "dicom"))
    digests = (content.get("output_digest"), dicom.get("digest") if isinstance(dicom, dict) else "")
    return Sidecar(
        seen if isinstance(seen, bool) else None,
        unit if isinstance(unit, str) else None,
        frozenset(digest for digest in digests if isinstance(digest, str) and digest),
        content.get("labels"),
    )
