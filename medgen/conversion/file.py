"""A case on disk: source files in, the answer's file and its provenance sidecar out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from medgen.conversion.converter import Converted, Converter, Progress
from medgen.conversion.decoding import UNIT_OF_LABELS
from medgen.conversion.derived import write_dicom
from medgen.conversion.lesion_file import DIGEST, lesion_table_beside, own_table
from medgen.conversion.lesion_table import table_of
from medgen.conversion.provenance import NOTICE, Provenance, versions
from medgen.dicom import SeriesFacts
from medgen.files import remove_whole, sha256_of_json, write_json, write_text
from medgen.problems import MedgenError
from medgen.volumes import Volume, digest_of, open_volume, volume_name, write_volume

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

    Where the run lists lesions, `NAME_lesions.tsv` is written too.

    Args:
        converter: the model at work.
        inputs: the files by source column.
        output: the volume to write, int16 where the unit is HU, uint8 for labels, else float32.
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
    """Write an answer in every form asked for, its lesion table, if any, and its sidecar.

    The old sidecar goes before the new volume and the new one comes last: whenever the process is
    killed, a sidecar describes the volume and the table beside it. A DICOM series is derived from
    `template`, or from the first source.

    Raises:
        Refusal: the answer cannot be written; then no form of it is there.
    """
    facts = dict(converted.facts)
    sidecar = sidecar_of(outputs.main)
    remove(own_table(outputs.main, sidecar))
    sidecar.unlink(missing_ok=True)
    table = None if converted.lesions is None else lesion_table_beside(outputs.main)
    remove(table)
    digests = {column: volume.digest for column, volume in volumes.items()}
    clipped = int(facts.pop("clipped_voxels"))
    warnings = tuple(facts.pop("warnings"))
    noted: dict[str, Any] = {}
    dicom = ""
    if outputs.series is not None:
        series = write_dicom(outputs.series, converted, volumes, provenance, template=template)
        dicom = digest_of(outputs.series)
        noted["dicom"] = {
            "digest": dicom,
            "files": len(series.files),
            "clipped_voxels": series.clipped_voxels,
        }
        if series.clipped_voxels:
            doubt = f"{series.clipped_voxels} voxels are clipped to what DICOM's 16 bits can hold"
            warnings = (*warnings, doubt)
    main = dicom
    if outputs.file is not None:
        dtype: Literal["int16", "uint8", "float32"] = "float32"
        dtype = DTYPES.get(converted.volume.unit.upper(), dtype)
        try:
            written = write_volume(outputs.file, converted.volume, dtype=dtype)
        except BaseException:
            remove(outputs.series)
            raise
        main = written.digest
        noted["dtype"] = dtype
        clipped += written.clipped_voxels
    elif outputs.series is not None:
        clipped += series.clipped_voxels
    listed = "" if converted.lesions is None else table_of(converted.lesions)
    if table is not None:
        noted[DIGEST] = hashlib.sha256(listed.encode()).hexdigest()
    content = {
        "notice": NOTICE,
        "versions": versions(),
        "weights_digest": provenance.weights_digest,
        "config_digest": provenance.config_digest,
        "settings_digest": provenance.settings_digest,
        "input_digests": digests,
        "seen_in_training": not provenance.seen.isdisjoint(digests.values()),
        **_doses(provenance),
        "output_digest": main,
        **noted,
        "clipped_voxels": clipped,
        "warnings": list(warnings),
        **facts,
    }
    try:
        if table is not None:
            write_text(table, listed)
        write_json(sidecar, content)
    except Exception:  # an answer that a next call could not tell from a foreign file
        for output in (outputs.file, outputs.series, table):
            remove(output)
        raise
    return Record(digest_of_inputs(digests), main, clipped, warnings, dicom)


def _doses(provenance: Provenance) -> dict[str, Any]:
    doses = provenance.dose_fractions
    return {"trained_dose_fractions": list(doses)} if doses else {}


def remove(output: Path | None) -> None:
    """Remove what is there of an answer: a file, or the folder of a DICOM series."""
    if output is not None:
        remove_whole(output)


def sidecar_of(output: Path) -> Path:
    """Return where the provenance of an output lies."""
    return output.with_name(f"{volume_name(output)}.json")


def digest_of_inputs(digests: Mapping[str, str]) -> str:
    """Return one digest for a case's files: the file's own where there is one."""
    return next(iter(digests.values())) if len(digests) == 1 else sha256_of_json(dict(digests))
