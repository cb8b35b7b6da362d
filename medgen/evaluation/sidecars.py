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
    kind: str | None = None
    """What the answer is: an image, labels or an anomaly."""
    remarks: tuple[str, ...] = ()


def read_sidecar(prediction: Path) -> Sidecar:
    """Read NAME.json beside a prediction: whether training saw the case, the unit, the labels."""
    content = content_beside(prediction)
    if content is None:
        return Sidecar()
    if not isinstance(content, dict):
        return Sidecar(remarks=("the sidecar beside the prediction is not a JSON object",))
    seen, unit, dicom = (content.get(key) for key in ("seen_in_training", "unit", "dicom"))
    kind = content.get("kind")
    digests = (content.get("output_digest"), dicom.get("digest") if isinstance(dicom, dict) else "")
    return Sidecar(
        seen if isinstance(seen, bool) else None,
        unit if isinstance(unit, str) else None,
        frozenset(digest for digest in digests if isinstance(digest, str) and digest),
        content.get("labels"),
        kind if isinstance(kind, str) else None,
    )


def content_beside(prediction: Path) -> object:
    """Return what NAME.json beside a volume holds; None without one, False where it is no JSON."""
    place, _ = split_choice(prediction)
    return _content(place.with_name(f"{volume_name(place)}.json"))


def belongs_to_another(volume: Path) -> bool:
    """Tell whether a volume is part of another's answer: NAME_KEY, which NAME.json lists `beside`.

    A volume with a sidecar of its own is an answer of its own, whatever it is called.
    """
    place, _ = split_choice(volume)
    name = volume_name(place)
    stem, _, key = name.rpartition("_")
    if not stem or place.with_name(f"{name}.json").is_file():
        return False
    return key in listed_beside(_content(place.with_name(f"{stem}.json")))


def listed_beside(content: object) -> dict[str, frozenset[str]]:
    """Return the digests of what a sidecar lists beside its answer, by name, in every form."""
    found: dict[str, frozenset[str]] = {}
    if not isinstance(content, dict):
        return found
    dicom = content.get("dicom")
    for form in (content, dicom if isinstance(dicom, dict) else {}):
        listed = form.get("beside")
        for name, digest in listed.items() if isinstance(listed, dict) else ():
            if isinstance(digest, str) and digest:
                found[name] = found.get(name, frozenset()) | {digest}
    return found


def _content(path: Path) -> object:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return False if content is None else content
