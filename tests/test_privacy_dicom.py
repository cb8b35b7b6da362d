"""A patient planted in every header and folder name of a DICOM archive leaves no trace."""

from __future__ import annotations

import bz2
import gzip
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_corpus import CT, MR, each, uid

from medgen.cli.app import main
from medgen.problems import Exit

# Long enough not to turn up by chance in the letters of an encoded picture.
CANARIES = (
    b"DOE^JANE",
    b"MRN123-",
    b"ACC4711",
    b"Springfield",
    b"Gropius",
    b"Feldpost",
    b"2.25.",
)
SHAPE, SPACING = (20, 20, 12), (6.0, 6.0, 10.0)
CONFIG = """
roles: {source: [t1], target: [ct]}
split: {validation: 0.25, test: 0.25}
preprocessing: {spacing_mm: [6, 6, 10]}
intensity:
  t1: {scale: percentile}
  ct: {scale: window, low: -1024, high: 3000, unit: HU}
method: regression
methods:
  regression: {generator: {channels: [2, 4], features: 2, residual_units: 0}}
train:
  steps: 2
  batch_size: 1
  patch: [8, 8, 8]
  save_every_steps: 1
  validate: {every_steps: 1}
"""


def head(modality: str, number: int) -> np.ndarray:
    axes = np.stack(np.meshgrid(*[np.linspace(-1.2, 1.2, n) for n in SHAPE], indexing="ij"))
    radius = np.sqrt((axes**2).sum(axis=0)) * (1 + 0.02 * number)
    if modality == CT:
        return np.rint(np.where(radius < 1, np.where(radius > 0.9, 900, 40), -1000))
    return np.rint(np.where(radius < 1, 500 + 300 * np.cos(5 * axes[0]), 5))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return a tree of four patients' MR and CT series, each patient in one frame of reference."""
    root = tmp_path / "archive"
    for number in range(4):
        patient = root / f"DOE^JANE_MRN123-{number}"
        for modality in (MR, CT):

            def change(dataset: Any, number: int = number, modality: str = modality) -> None:
                dataset.PatientID = f"MRN123-{number}"
                dataset.PatientName = f"DOE^JANE^{number}"
                dataset.StudyInstanceUID = uid("study", number)
                dataset.FrameOfReferenceUID = uid("frame", number)
                dataset.SeriesInstanceUID = uid("series", number, modality)
                dataset.SOPInstanceUID = uid("image", number, modality, dataset.InstanceNumber)

            folder = patient / f"Feldpost {modality}"
            each(
                folder,
                modality,
                change,
                shape=SHAPE,
                spacing=SPACING,
                values=head(modality, number),
            )
    return root


def unpacked(data: bytes) -> bytes:
    """Return bytes and whatever is compressed in them: gzip, bzip2, and the streams of PNG."""
    found = [data]
    if data[:2] == b"\x1f\x8b":
        found.append(gzip.decompress(data))
    if data[:3] == b"BZh":
        found.append(bz2.decompress(data))
    for match in re.finditer(rb"\x78[\x01\x5e\x9c\xda]", data):
        try:
            found.append(zlib.decompressobj().decompress(data[match.start() :], 1 << 24))
        except zlib.error:
            continue
    return b"\n".join(found)


def told(folder: Path) -> dict[str, list[bytes]]:
    """Return the canaries that each file holds, in its content or in its name."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        data = unpacked(path.read_bytes()) if path.is_file() else b""
        # UTF-16 as well: spreadsheets and databases write it.
        texts = (data, data.replace(b"\0", b""), name.encode())
        held = [canary for canary in CANARIES if any(canary in text for text in texts)]
        if held:
            found[name] = held
    return found


def test_nothing_written_names_the_patient(
    archive: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    log = out / "log.jsonl"
    (out / "my.yaml").write_text(CONFIG, encoding="utf-8")

    def verb(*arguments: object) -> int:
        return main([*map(str, arguments), "--log", str(log)])

    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    table = out / "cases.csv"
    assert verb("scan", archive, "--output", table, "--key", key) == Exit.OK
    assert verb("scan", archive, "--output", out / "numbered.csv") == Exit.OK
    prepare = ["prepare", "--data", table, "--output", out / "prepared", "--fixed", "t1"]
    verb(*prepare, "--moving", "ct", "--transform", "rigid", "--masks", "body")
    assert (out / "prepared" / "index.html").is_file()
    train = ["train", out / "my.yaml", "--data", table, "--cache", out / "cache"]
    assert verb(*train, "--run", out / "run", "--device", "cpu") == Exit.OK
    both = ["--format", "nifti,dicom", "--device", "cpu"]
    convert = ["convert", out / "run", "--data", table, "--output", out / "ct", *both]
    # Two steps teach nothing, and the answers' verdicts say so.
    assert verb(*convert) in (Exit.OK, Exit.SOME_FAILED)
    evaluate = ["evaluate", "--prediction", out / "ct", "--data", table, "--column", "ct"]
    assert verb(*evaluate, "--output", out / "report") == Exit.OK
    assert verb("inspect", archive / "DOE^JANE_MRN123-0") == Exit.ALL_FAILED
    capfd.readouterr()
    assert verb("inspect", archive / "DOE^JANE_MRN123-0" / "Feldpost MR", "--json") == Exit.OK
    shown = capfd.readouterr().out
    assert not [canary for canary in CANARIES if canary in shown.encode()]

    # And where things go wrong: a slice lost, pixels torn, a header spoilt, a whole tree as input.
    files = [sorted((archive / f"DOE^JANE_MRN123-{k}" / "Feldpost MR").iterdir()) for k in range(4)]
    files[0][4].unlink()
    files[1][4].write_bytes(files[1][4].read_bytes()[:-200])
    files[2][4].write_bytes(files[2][4].read_bytes()[:600])
    files[3][4].write_bytes(b"")
    assert verb(*train, "--run", out / "second", "--device", "cpu") == Exit.ALL_FAILED
    assert verb("convert", out / "run", "--input", archive, "--output", out / "all", *both) in (
        Exit.ALL_FAILED,
        Exit.SOME_FAILED,
    )
    assert verb(*evaluate, "--output", out / "third", "--series", "7") in set(Exit)
    for k in range(4):
        folder = archive / f"DOE^JANE_MRN123-{k}" / "Feldpost MR"
        assert verb("inspect", folder) == Exit.ALL_FAILED
    verb("scan", archive, "--output", out / "later.csv", "--key", key)
    assert verb("send", out / "ct", "--to", "PACS@127.0.0.1:1") != Exit.OK

    found = told(out)
    # A table's cells are paths to what it is made of; derived series carry their patient.
    tables = {"cases.csv", "numbered.csv", "later.csv"}
    allowed = {
        name for name in found if name in tables or re.fullmatch(r"(ct|all)/[^/]+/\d+\.dcm", name)
    }
    assert {name: held for name, held in found.items() if name not in allowed} == {}
    for name in tables & set(found):
        header, *rows = (out / name).read_text().splitlines()
        case, patient = header.split(",").index("case"), header.split(",").index("patient")
        for row in rows:
            cells = row.split(",")
            assert not [c for c in CANARIES if c.decode() in cells[case] + cells[patient]]
    assert len(list(out.rglob("*"))) > 60
