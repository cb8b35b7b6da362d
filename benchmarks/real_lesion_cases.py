"""Real lesions of two origins in one table: old persons as source, two patients with MS as target.

The target came without skull, so the source is stripped too: else the skull would be the domain.
What still differs between the two is listed in `lesion_adaptation.md`.
"""

from __future__ import annotations

import csv
import io
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.files import write_text
from medgen.preparation import Outcome, Request, prepare_table
from medgen.volumes import ARBITRARY, Volume, open_volume, write_volume

SITE, SOURCE, TARGET = "site", "nichart", "ms"
COLUMNS = ("flair", "t1", "lesion", "brain")
RAW = {
    "flair": "flair.nii.gz",
    "t1": "t1.nii.gz",
    "lesion": "wml_on_flair.nii.gz",
    "brain": "brain_on_t1.nii.gz",
}
PREPARED = {
    "flair": "flair.nii.gz",
    "t1": "t1_on_flair.nii.gz",
    "lesion": "lesion.nii.gz",
    "brain": "brain_on_flair.nii.gz",
}
TEST, VALIDATION, SEED = 4, 2, 0
Files = Mapping[str, Path]


def write_cases(data: Path, output: Path) -> Path:
    """Register, strip and divide the source, mask the target; return the table of both."""
    folders = sorted((data / "t1_flair").glob("subject*"))
    split = drawn_split([folder.name for folder in folders])
    outcome = register(folders, output)
    print("\n".join(verdicts(outcome, output, split)), flush=True)
    cases: dict[str, Files] = {}
    for record in outcome.records:
        if record.verdict == "ok":
            cases[record.case] = strip(output / "prepared" / record.case, output / record.case)
    words = {case: (SOURCE, split[case]) for case in cases}
    for folder in sorted((data / "ms_lesions").glob("patient*")):
        cases[folder.name] = masked(folder, output / folder.name)
        words[folder.name] = (TARGET, "train")  # its images are learned from, its labels never
    write_text(output / "cases.csv", table_text(cases, words, output))
    return output / "cases.csv"


def drawn_split(names: Sequence[str]) -> dict[str, str]:
    """Return the split of every source person, drawn before anything is registered."""
    drawn = random.Random(SEED).sample(sorted(names), len(names))
    split = dict.fromkeys(names, "train") | dict.fromkeys(drawn[:TEST], "test")
    return split | dict.fromkeys(drawn[TEST : TEST + VALIDATION], "validation")


def register(folders: Sequence[Path], output: Path) -> Outcome:
    """Carry each T1 and its brain mask onto the FLAIR that the lesions were marked on."""
    cases = {folder.name: {n: folder / file for n, file in RAW.items()} for folder in folders}
    words = dict.fromkeys(cases, ("", ""))
    write_text(output / "raw.csv", table_text(cases, words, output))
    request = Request(fixed="flair", moving=("t1",), carry={"brain": "t1", "lesion": "flair"})
    return prepare_table(output / "raw.csv", request, output / "prepared")


def strip(prepared: Path, output: Path) -> Files:
    """Write a person's images with 0 outside the brain; return the files by column."""
    files = {name: prepared / file for name, file in PREPARED.items()}
    brain = open_volume(files["brain"]).data > 0
    for name in ("flair", "t1"):
        volume, files[name] = open_volume(files[name]), output / f"{name}.nii.gz"
        stripped = Volume(within(volume.data, brain), volume.grid, ARBITRARY)
        write_volume(files[name], stripped, dtype="float32")
    return files


def masked(folder: Path, output: Path) -> Files:
    """Write the brain of a patient without a skull; return the files by column."""
    files = {name: folder / f"{name}.nii.gz" for name in COLUMNS}
    flair, t1 = (open_volume(files[name]) for name in ("flair", "t1"))
    brain = Volume(known(flair.data, t1.data).astype(np.uint8), flair.grid, "label")
    files["brain"] = output / "brain.nii.gz"
    write_volume(files["brain"], brain, dtype="uint8")
    return files


def within(values: NDArray[Any], brain: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return values (X, Y, Z) with 0 outside a mask."""
    return np.where(brain, values, 0).astype(np.float32)


def known(*images: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where any image (X, Y, Z) differs from 0; resampling left values below 0, too."""
    return np.asarray(np.any([image != 0 for image in images], axis=0), np.bool_)


def table_text(
    cases: Mapping[str, Files], words: Mapping[str, tuple[str, str]], folder: Path
) -> str:
    """Return a table of cases, each a patient with a site and a split; cells as from a folder."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["case", "patient", SITE, "split", *COLUMNS])
    for case, files in cases.items():
        paths = [os.path.relpath(files[column], folder) for column in COLUMNS]
        writer.writerow([case, case, *words[case], *paths])
    return stream.getvalue()


def verdicts(outcome: Outcome, output: Path, split: Mapping[str, str]) -> list[str]:
    """Return what became of each person as Markdown; cases that are not `ok` are left out."""
    lines = ["| case | split | verdict | moved (mm) | edges (mm) | FLAIR's grid | lesions (ml) |"]
    lines.append("|---|---|---|---:|---:|---|---:|")
    for record in outcome.records:
        (moved,) = (each for each in record.results if each.kind == "moved")
        edges = moved.after.get("edge_distance_mm") or float("nan")
        lesion = open_volume(output / "prepared" / record.case / PREPARED["lesion"])
        volume = float((lesion.data > 0).sum()) * lesion.grid.voxel_mm3 / 1000.0
        cells = [record.case, split[record.case], record.verdict]
        cells += [f"{moved.numbers['moved_mm']:.1f}", f"{edges:.2f}"]
        cells += ["x".join(map(str, lesion.grid.shape)), f"{volume:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines
