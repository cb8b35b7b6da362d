"""A case on disk: source files in, the answer's file and its provenance sidecar out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from medgen.conversion.beside import BESIDE, Outputs, own_beside
from medgen.conversion.converter import Converter
from medgen.conversion.decoding import UNIT_OF_LABELS
from medgen.conversion.derived import write_dicom
from medgen.conversion.lesion_file import DIGEST, LESIONS, lesion_table_beside
from medgen.conversion.lesion_table import table_of
from medgen.conversion.progress import Progress
from medgen.conversion.provenance import NOTICE, Provenance, versions
from medgen.conversion.stages import Converted
from medgen.conversion.trust import Trust, Verdict
from medgen.conversion.uncertainty import DEVIATION
from medgen.dicom import SeriesFacts
from medgen.files import remove_whole, sha256_of_json, write_json, write_text
from medgen.problems import MedgenError
from medgen.volumes import Volume, digest_of, open_volume, write_volume

DTYPES: Mapping[str, Literal["int16", "uint8"]] = {"HU": "int16", UNIT_OF_LABELS.upper(): "uint8"}
"""How units of whole numbers are written; everything else is float32."""


@dataclass(frozen=True)
class Record:
    """What one conversion left on the disk."""

    input_digest: str
    output_digest: str
    clipped_voxels: int
    warnings: tuple[str, ...]
    dicom_digest: str = ""
    """Of the DICOM series, where one was written."""
    verdict: Verdict = "pass"
    """Whether the answer may be believed."""
    reasons: tuple[str, ...] = ()
    """Why not, the gravest first."""


def convert_files(
    converter: Converter,
    inputs: Mapping[str, Path],
    output: Path,
    provenance: Provenance,
    *,
    nan_to: float | None = None,
    progress: Progress | None = None,
) -> Record:
    """Convert a case's source files into `output`, with `NAME.json` beside it.

    Where the run lists lesions, `NAME_lesions.tsv` is written too; where it scores anomalies and is
    calibrated, `NAME_z` and `NAME_mask`; where the converter has an uncertainty, `NAME_std`.

    Args:
        converter: the model at work.
        inputs: the files by source column.
        output: the volume to write: int16 for images in HU, uint8 for labels, else float32.
        provenance: what the sidecar says of the model.
        nan_to: the value that non-finite source voxels take; refused where left out.
        progress: called with the windows done and their number; may raise to stop.

    Raises:
        ConfigurationError: the answer or the window cannot be had from this method.
        Refusal: a file or the case cannot be used, or the answer is not finite.
    """
    volumes = open_sources(inputs, nan_to=nan_to)
    converted = converter(volumes, progress=progress)
    return write_converted(converted, volumes, Outputs(output), provenance)


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
    converted: Converted,
    volumes: Mapping[str, Volume],
    outputs: Outputs,
    provenance: Provenance,
    *,
    template: SeriesFacts | None = None,
) -> Record:
    """Write an answer in every form asked for, what lies beside it, if any, and its sidecar.

    The old sidecar goes before the new volume and the new one comes last: whenever the process is
    killed, a sidecar describes the volume and what is beside it. A DICOM series is derived from
    `template`, or from the first source.

    Raises:
        Refusal: the answer cannot be written; then no form of it is there.
    """
    facts = dict(converted.facts)
    listed = converted.lesions is not None
    beside = outputs.beside([*([LESIONS] if listed else []), *converted.beside])
    for path in (*own_beside(outputs), *beside):
        remove(path)
    outputs.sidecar.unlink(missing_ok=True)
    digests = {column: volume.digest for column, volume in volumes.items()}
    clipped = int(facts.pop("clipped_voxels"))
    warnings = tuple(facts.pop("warnings"))
    try:
        noted: dict[str, Any] = {}
        if outputs.series is not None:
            noted |= _write_series(outputs, converted, volumes, provenance, template)
        dicom = noted.get("dicom", {"digest": "", "clipped_voxels": 0})
        lost = dicom["clipped_voxels"]
        main, more = dicom["digest"], lost
        if lost:
            doubt = f"{lost} voxels are clipped to what DICOM's 16 bits can hold"
            warnings = (*warnings, doubt)
        if outputs.file is not None:
            main, more, said = _write_volumes(outputs, converted)
            noted |= said
        clipped += more
        if converted.lesions is not None:
            table = table_of(converted.lesions)
            noted[DIGEST] = hashlib.sha256(table.encode()).hexdigest()
            write_text(lesion_table_beside(outputs.main), table)
        noted |= {"output_digest": main, "clipped_voxels": clipped, "warnings": list(warnings)}
        content = {**_made_by(provenance, digests), **noted, **facts}
        write_json(outputs.sidecar, content)
    except Exception:  # an answer that a next call could not tell from a foreign file
        for output in (outputs.file, outputs.series, *beside):
            remove(output)
        raise
    trust = converted.trust or Trust()
    return Record(
        digest_of_inputs(digests),
        main,
        clipped,
        warnings,
        dicom["digest"],
        trust.verdict,
        trust.reasons,
    )


def _write_series(
    outputs: Outputs,
    converted: Converted,
    volumes: Mapping[str, Volume],
    provenance: Provenance,
    template: SeriesFacts | None,
) -> dict[str, Any]:
    """Write the DICOM series of an answer and beside it; return what the sidecar notes of them."""
    assert outputs.series is not None
    write = partial(write_dicom, volumes=volumes, provenance=provenance, template=template)
    written = write(outputs.series, converted)
    beside: dict[str, str] = {}
    for name in converted.beside:
        folder = outputs.series_beside(name)
        assert folder is not None
        write(folder, converted, name=name)
        beside[name] = digest_of(folder)
    noted = {
        "digest": digest_of(outputs.series),
        "files": len(written.files),
        "clipped_voxels": written.clipped_voxels,
        **({BESIDE: beside} if beside else {}),
    }
    return {"dicom": noted, **({BESIDE: beside} if beside else {})}


def _write_volumes(outputs: Outputs, converted: Converted) -> tuple[str, int, dict[str, Any]]:
    """Write the file of an answer and those beside it.

    Returns the answer's digest, how many of its voxels are clipped, and what the sidecar notes.
    """
    assert outputs.file is not None
    # A residual in HU is a small difference of numbers that were never whole.
    dtype = _dtype(converted.volume, whole=converted.facts.get("kind") != "anomaly")
    written = write_volume(outputs.file, converted.volume, dtype=dtype)
    beside: dict[str, str] = {}
    for name, volume in converted.beside.items():
        path = outputs.volume_beside(name)
        assert path is not None
        dtype_beside = _dtype(volume, whole=name != DEVIATION)
        beside[name] = write_volume(path, volume, dtype=dtype_beside).digest
    noted = {"dtype": dtype, **({BESIDE: beside} if beside else {})}
    return written.digest, written.clipped_voxels, noted


def _dtype(volume: Volume, *, whole: bool = True) -> Literal["int16", "uint8", "float32"]:
    return DTYPES.get(volume.unit.upper(), "float32") if whole else "float32"


def _made_by(provenance: Provenance, digests: Mapping[str, str]) -> dict[str, Any]:
    """Return what a sidecar says of the model and of the volumes that it was given."""
    doses = provenance.dose_fractions
    return {
        "notice": NOTICE,
        "versions": versions(),
        "weights_digest": provenance.weights_digest,
        "config_digest": provenance.config_digest,
        "settings_digest": provenance.settings_digest,
        "input_digests": dict(digests),
        "seen_in_training": not provenance.seen.isdisjoint(digests.values()),
        **({"trained_dose_fractions": list(doses)} if doses else {}),
    }


def remove(output: Path | None) -> None:
    """Remove what is there of an answer: a file, or the folder of a DICOM series."""
    if output is not None:
        remove_whole(output)


def digest_of_inputs(digests: Mapping[str, str]) -> str:
    """Return one digest for a case's files: the file's own where there is one."""
    return next(iter(digests.values())) if len(digests) == 1 else sha256_of_json(dict(digests))
