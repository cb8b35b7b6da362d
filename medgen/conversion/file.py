"""A case on disk: source files in, the answer's file and its provenance sidecar out."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

import medgen
from medgen.conversion.converter import Converted, Converter, Progress
from medgen.conversion.decoding import UNIT_OF_LABELS
from medgen.files import sha256_of_json, write_json
from medgen.problems import MedgenError
from medgen.volumes import Volume, open_volume, volume_name, write_volume

NOTICE = "research use only: not a medical device, not for diagnosis or treatment"


DTYPES: Mapping[str, Literal["int16", "uint8"]] = {"HU": "int16", UNIT_OF_LABELS.upper(): "uint8"}
"""How units of whole numbers are written; everything else is float32."""


@dataclass(frozen=True)
class Provenance:
    """What made an answer; digests only, since a path may hold a patient's name."""

    weights_digest: str
    config_digest: str
    settings_digest: str
    """Of everything else that decides the voxels: the answer asked for, how NaN is treated, ..."""
    seen: frozenset[str] = frozenset()
    """SHA-256 of every source file that training or validation read."""


@dataclass(frozen=True)
class Record:
    """What one conversion left on the disk."""

    input_digest: str
    output_digest: str
    clipped_voxels: int
    warnings: tuple[str, ...]


def convert_files(
    converter: Converter,
    inputs: Mapping[str, Path],
    output: Path,
    provenance: Provenance,
    *,
    answer: str | None = None,
    nan_to: float | None = None,
    progress: Progress | None = None,
) -> Record:
    """Convert a case's source files into `output` and `NAME.json` beside it.

    Args:
        converter: the model at work.
        inputs: the files by source column.
        output: the volume to write, int16 where the unit is HU, uint8 for labels, else float32.
        provenance: what the sidecar says of the model.
        answer: which of the method's answers; the first where left out.
        nan_to: the value that non-finite source voxels take; refused where left out.
        progress: called with the windows done and their number; may raise to stop.

    Raises:
        ConfigurationError: the answer or the window cannot be had from this method.
        Refusal: a file or the case cannot be used, or the answer is not finite.
    """
    volumes = open_sources(inputs, nan_to=nan_to)
    converted = converter(volumes, answer=answer, progress=progress)
    return write_converted(converted, volumes, output, provenance)


def open_sources(inputs: Mapping[str, Path], *, nan_to: float | None = None) -> dict[str, Volume]:
    """Open a case's files through the gate.

    Raises:
        Refusal: with the problems of every column.
    """
    volumes: dict[str, Volume] = {}
    refused: MedgenError | None = None
    for column, path in inputs.items():
        try:
            volumes[column] = open_volume(path, nan_to=nan_to)
        except MedgenError as error:
            here = error.at(column=column)
            refused = type(here)((*refused.problems, *here.problems)) if refused else here
    if refused is not None:
        raise refused
    return volumes


def write_converted(
    converted: Converted, volumes: Mapping[str, Volume], output: Path, provenance: Provenance
) -> Record:
    """Write an answer and its sidecar.

    The old sidecar goes first and the new one comes last: whenever the process is killed, a
    sidecar describes the volume beside it.
    """
    facts = dict(converted.facts)
    sidecar = sidecar_of(output)
    sidecar.unlink(missing_ok=True)
    dtype: Literal["int16", "uint8", "float32"] = "float32"
    dtype = DTYPES.get(converted.volume.unit.upper(), dtype)
    written = write_volume(output, converted.volume, dtype=dtype)
    digests = {column: volume.digest for column, volume in volumes.items()}
    clipped = int(facts.pop("clipped_voxels")) + written.clipped_voxels
    warnings = tuple(facts.pop("warnings"))
    write_json(
        sidecar,
        {
            "notice": NOTICE,
            "versions": versions(),
            "weights_digest": provenance.weights_digest,
            "config_digest": provenance.config_digest,
            "settings_digest": provenance.settings_digest,
            "input_digests": digests,
            "seen_in_training": not provenance.seen.isdisjoint(digests.values()),
            "output_digest": written.digest,
            "dtype": dtype,
            "clipped_voxels": clipped,
            "warnings": list(warnings),
            **facts,
        },
    )
    return Record(digest_of_inputs(digests), written.digest, clipped, warnings)


def sidecar_of(output: Path) -> Path:
    """Return where the provenance of an output lies."""
    return output.with_name(f"{volume_name(output)}.json")


def digest_of_inputs(digests: Mapping[str, str]) -> str:
    """Return one digest for a case's files: the file's own where there is one."""
    return next(iter(digests.values())) if len(digests) == 1 else sha256_of_json(dict(digests))


def versions() -> dict[str, Any]:
    """Return the versions that decide a result."""
    return {
        "medgen": medgen.__version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }
