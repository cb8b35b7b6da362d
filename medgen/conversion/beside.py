"""What lies beside an answer, a table or further volumes, which the answer's sidecar vouches for.

A file of such a name that convert did not write, or that was changed since, is not its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medgen.conversion.lesion_file import DIGEST, LESIONS, lesion_table_beside
from medgen.volumes import digest_of, volume_name
from medgen.volumes.listing import suffix_of

BESIDE = "beside"
"""The sidecar's key for the SHA-256 of each volume beside the answer, by what follows its name.

As with the answer's own digest it is the file's, or the series' where there is no file; the key of
the same name in the block `dicom` is always the series'.
"""

_NAME = re.compile("[a-z]+")


@dataclass(frozen=True)
class Outputs:
    """Where an answer goes: a volume file, the folder of a DICOM series, or both."""

    file: Path | None
    series: Path | None = None

    @property
    def main(self) -> Path:
        """Return the file, or the folder where there is no file."""
        main = self.file or self.series
        if main is None:
            raise ValueError("an answer goes to a file, to a series, or to both")
        return main

    @property
    def sidecar(self) -> Path:
        """Return where the answer's provenance lies."""
        return sidecar_of(self.main)

    def volume_beside(self, name: str) -> Path | None:
        """Return the file of a volume beside the answer, in the answer's own format, if any."""
        if self.file is None:
            return None
        return self.file.with_name(f"{volume_name(self.file)}_{name}{suffix_of(self.file)}")

    def series_beside(self, name: str) -> Path | None:
        """Return the folder of a DICOM series beside the answer's own, if any."""
        if self.series is None:
            return None
        return self.series.with_name(f"{self.series.name}_{name}")

    def beside(self, names: Iterable[str]) -> tuple[Path, ...]:
        """Return the files and folders that go by these names beside the answer."""
        paths: list[Path | None] = []
        for name in names:
            if name == LESIONS:
                paths.append(lesion_table_beside(self.main))
            else:
                paths += [self.volume_beside(name), self.series_beside(name)]
        return tuple(path for path in paths if path is not None)


def sidecar_of(output: Path) -> Path:
    """Return where the provenance of an output lies."""
    return output.with_name(f"{volume_name(output)}.json")


def noted_digests(outputs: Outputs) -> dict[Path, str]:
    """Return what the sidecar says lies beside an answer, with digests; none without a sidecar.

    A DICOM series that is not among the outputs is looked for where an earlier call wrote it.
    """
    content = _read(outputs.sidecar)
    series = outputs.series or outputs.main.with_name(volume_name(outputs.main))
    where = Outputs(outputs.file, series)
    dicom = content.get("dicom")
    found: dict[Path | None, Any] = {lesion_table_beside(outputs.main): content.get(DIGEST)}
    found |= {where.volume_beside(name): digest for name, digest in _named(content).items()}
    found |= {where.series_beside(name): digest for name, digest in _named(dicom).items()}
    return {
        path: digest
        for path, digest in found.items()
        if path is not None and isinstance(digest, str) and digest
    }


def own_beside(outputs: Outputs) -> tuple[Path, ...]:
    """Return what is beside an answer just as its sidecar describes it."""
    return tuple(path for path, digest in noted_digests(outputs).items() if is_as(path, digest))


def is_as(path: Path, digest: str) -> bool:
    """Tell whether a file or the folder of a series is there and has this digest."""
    try:
        return bool(digest) and path.exists() and digest_of(path) == digest
    except OSError:
        return False


def _named(content: object) -> Mapping[str, Any]:
    """Return a sidecar's digests by name; a name that convert does not give is none of its own."""
    noted = content.get(BESIDE) if isinstance(content, dict) else None
    if not isinstance(noted, dict):
        return {}
    return {name: digest for name, digest in noted.items() if _NAME.fullmatch(name)}


def _read(sidecar: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(sidecar.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
