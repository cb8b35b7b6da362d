"""The page of an output folder: every case with its preview and verdict, the worst first.

It is made anew from the manifest, the sidecars and the previews, and may be deleted at any time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from medgen.cohort.cases import DEFAULT_SUFFIX, INDEX
from medgen.cohort.manifest import Entry, Manifest
from medgen.cohort.previews import preview_of
from medgen.conversion import LESIONS, Outputs
from medgen.conversion.beside import sidecar_of
from medgen.data.table import CASE_ID
from medgen.files import write_text
from medgen.report import render

FILE_NAME = INDEX

STANDINGS = ("failed", "fail", "unfinished", "warn", "unchecked", "pass")
"""What may be said of a case, the worst first.

`failed` has no answer of this call, `unfinished` was cut short; `fail`, `warn` and `pass` are the
verdicts of trust, which an `unchecked` answer lacks.
"""

_OWN = b'<meta name="generator" content="medgen convert">'
_HEAD_BYTES = 4096
_PNG_SIZE = slice(16, 24)
_MADE_BY = {
    "answer": "answer",
    "kind": "kind",
    "unit": "unit",
    "weights_digest": "weights",
    "config_digest": "configuration",
    "settings_digest": "settings",
    "precision": "precision",
    "device": "device",
    "notice": "notice",
}
"""What of a sidecar says which model answered, and what; and its title."""


@dataclass(frozen=True)
class Listed:
    """One case on the page."""

    name: str
    standing: str
    code: str
    reasons: tuple[str, ...]
    warnings: str
    notes: tuple[str, ...]
    """Figures worth a look, as text."""
    links: tuple[tuple[str, str], ...]
    """Names of what lies beside the page, and where."""
    picture: str
    """Where the preview is; empty where there is none."""
    size: tuple[int, int]
    """The preview's width and height in pixels."""


def write_index(folder: Path, manifest: Manifest) -> bool:
    """Write `index.html` for all cases of a manifest, and tell whether it was written.

    Links are relative; what a sidecar says counts only where it is of the manifest's answer. A file
    of that name that convert did not write is left alone. Raises OSError.
    """
    path = folder / INDEX
    if not manifest.entries or not _may_replace(path):
        return False
    read = [(entry, *_sidecar_of(folder, entry)) for entry in manifest.entries]
    cases = [_listed(folder, entry, at, content) for entry, at, content in read]
    cases.sort(key=lambda case: (STANDINGS.index(case.standing), case.name))
    context = {
        "cases": cases,
        "counts": {name: sum(case.standing == name for case in cases) for name in STANDINGS},
        "made_by": _made_by([content for _, _, content in read if content]),
    }
    write_text(path, render("cohort", context))
    return True


def standing_of(entry: Entry) -> str:
    """Return what is to be said of a case in one word of `STANDINGS`."""
    if entry.status == "started":
        return "unfinished"
    if entry.status == "failed":
        return "failed"
    return entry.verdict if entry.verdict in STANDINGS else "unchecked"


def _listed(
    folder: Path, entry: Entry, where: Outputs | None, content: Mapping[str, Any]
) -> Listed:
    picture, size = "", (0, 0)
    there = entry.status != "started"  # else an earlier answer is being replaced
    if there and content:  # a picture is believed where its answer is
        preview = preview_of(folder, entry.case)
        size = _size(preview)
        picture = _link(folder, preview) if size != (0, 0) else ""
    return Listed(
        name=entry.case,
        standing=standing_of(entry),
        code=entry.code.replace(",", ", "),
        reasons=_reasons(entry, content),
        warnings=entry.warnings,
        notes=tuple(_notes(entry, content)),
        links=() if where is None or not there else tuple(_links(folder, where, content)),
        picture=picture,
        size=size,
    )


def _reasons(entry: Entry, content: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the reasons of a verdict, each by itself where the sidecar has them."""
    findings = _block(content, "trust").get("findings")
    if isinstance(findings, list):
        found = [one for one in findings if isinstance(one, dict) and one.get("verdict") != "pass"]
        found.sort(key=lambda one: one.get("verdict") != "fail")
        return tuple(str(one.get("reason", "")) for one in found)
    return (entry.reasons,) if entry.reasons else ()


def _notes(entry: Entry, content: Mapping[str, Any]) -> list[str]:
    notes = [f"{entry.seconds:.1f} s"] if entry.seconds else []
    if entry.clipped_voxels:
        notes.append(f"{entry.clipped_voxels} voxels clipped")
    if content.get("seen_in_training") is True:
        notes.append("seen in training")
    anomaly = _block(content, "anomaly")
    name = str(anomaly.get("score"))
    score = _number(_block(anomaly, "scores").get(name))
    if score is not None:
        p = _number(_block(anomaly, "p").get(name))
        judged = {"True": ", unusual", "False": ", not unusual"}.get(
            str(anomaly.get("unusual")), ""
        )
        notes.append(f"{name} {score:.4g}{'' if p is None else f', p {p:.2g}'}{judged}")
    uncertainty = _block(content, "uncertainty")
    if (mean := _number(uncertainty.get("mean"))) is not None:
        notes.append(f"mean deviation {mean:.3g}")
    return notes


def _links(folder: Path, where: Outputs, content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what there is of a case beside the page, by name."""
    found: list[tuple[str, Path | None]] = [("volume", where.file), ("DICOM", where.series)]
    beside = [str(name) for name in _block(content, "beside")]
    found += [(name, where.volume_beside(name)) for name in beside]
    found += [(f"{name} (DICOM)", where.series_beside(name)) for name in beside]
    found += [("lesions", path) for path in where.beside([LESIONS])]
    found.append(("sidecar", where.sidecar))
    return [
        (name, _link(folder, path)) for name, path in found if path is not None and path.exists()
    ]


def _sidecar_of(folder: Path, entry: Entry) -> tuple[Outputs | None, Mapping[str, Any]]:
    """Return where a case's answer lies and what its sidecar says of that very answer."""
    if not CASE_ID.fullmatch(entry.case) or not entry.output_digest:
        return None, {}
    where = Outputs(folder / f"{entry.case}{DEFAULT_SUFFIX}", folder / entry.case)
    # A folder of DICOM alone may be called like a volume file; its sidecar is called after less.
    for path in dict.fromkeys([where.sidecar, sidecar_of(folder / entry.case)]):
        try:
            content = json.loads(path.read_bytes())
            if content["output_digest"] == entry.output_digest:
                return (where if path == where.sidecar else Outputs(None, where.series)), content
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            continue
    return where, {}


def _made_by(contents: list[Mapping[str, Any]]) -> dict[str, list[tuple[str, int]]]:
    """Return what the sidecars say of model, settings and versions: each value and its cases."""
    made = {
        title: [str(content[name]) for content in contents if name in content]
        for name, title in _MADE_BY.items()
    }
    made["versions"] = [
        ", ".join(f"{name} {one}" for name, one in _block(content, "versions").items())
        for content in contents
    ]
    return {title: Counter(values).most_common() for title, values in made.items() if values}


def _block(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a block of a sidecar; nothing where it is not one."""
    block = content.get(name) if isinstance(content, dict) else None
    return block if isinstance(block, dict) else {}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _link(folder: Path, path: Path) -> str:
    return quote(path.relative_to(folder).as_posix() + ("/" if path.is_dir() else ""))


def _size(preview: Path) -> tuple[int, int]:
    """Return a PNG's width and height by its header; zeros where it is none."""
    try:
        with preview.open("rb") as stream:
            head = stream.read(24)
    except OSError:
        return 0, 0
    if len(head) < 24 or not head.startswith(b"\x89PNG"):
        return 0, 0
    size = head[_PNG_SIZE]
    return int.from_bytes(size[:4], "big"), int.from_bytes(size[4:], "big")


def _may_replace(path: Path) -> bool:
    """Tell whether there is no file of this name, or one that was written here."""
    try:
        with path.open("rb") as stream:
            return _OWN in stream.read(_HEAD_BYTES)
    except FileNotFoundError:
        return True
    except IsADirectoryError:
        return False
