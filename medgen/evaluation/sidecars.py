"""What a conversion noted beside its answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from medgen.volumes import volume_name


@dataclass(frozen=True)
class Sidecar:
    """What a conversion noted beside its answer; `labels` is as the file gives it."""

    seen_in_training: bool | None = None
    unit: str | None = None
    output_digest: str | None = None
    labels: object = None
    remarks: tuple[str, ...] = ()


def read_sidecar(prediction: Path) -> Sidecar:
    """Read NAME.json beside a prediction: whether training saw the case, the unit, the labels."""
    path = prediction.with_name(f"{volume_name(prediction)}.json")
    if not path.is_file():
        return Sidecar()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        return Sidecar(remarks=("the sidecar beside the prediction is not a JSON object",))
    seen, unit, digest = (content.get(key) for key in ("seen_in_training", "unit", "output_digest"))
    return Sidecar(
        seen if isinstance(seen, bool) else None,
        unit if isinstance(unit, str) else None,
        digest if isinstance(digest, str) else None,
        content.get("labels"),
    )
