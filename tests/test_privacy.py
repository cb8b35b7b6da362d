"""No path and no header text in anything that is written: a canary goes through every verb."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medgen.cli.app import main
from medgen.problems import Exit

CANARIES = (b"DOE^JANE", b"MRN0123456")
CONFIG = """
roles: {source: [mr], target: [ct]}
split: {validation: 0.25, test: 0.25}
preprocessing: {spacing_mm: [4, 4, 4]}
intensity:
  mr: {scale: percentile}
  ct: {scale: window, low: -1024, high: 3000, unit: HU}
method: regression
methods:
  regression: {generator: {channels: [2, 4], features: 2, residual_units: 0}}
train:
  steps: 2
  batch_size: 1
  patch: [16, 16, 16]
  save_every_steps: 1
  validate: {every_steps: 1}
"""

UNUSUAL = """
roles: {source: [mr]}
preprocessing: {spacing_mm: [8, 8, 8]}
intensity: {mr: {scale: percentile}}
method: vae
methods:
  vae: {network: {name: dense_autoencoder, channels: [2, 2], kernel: 3, bottleneck: 2, latent: 4}}
train:
  steps: 2
  batch_size: 1
  patch: [16, 16, 16]
  validate: {every_steps: 2, profile: reconstruction, best_by: {name: mae, mode: min}}
convert: {anomaly: {voxel_false_positives: 0.01}}
"""


@pytest.fixture
def hospital(tmp_path: Path) -> Path:
    """Return a folder of cases whose paths and headers name a patient."""
    folder = tmp_path / "DOE^JANE" / "MRN0123456"
    folder.mkdir(parents=True)
    rows = ["case,patient,mr,ct,pet"]
    axes = np.stack(np.meshgrid(*[np.linspace(-1.3, 1.3, 24)] * 3, indexing="ij"))
    for number in range(4):
        radius = np.sqrt((axes**2).sum(axis=0)) * (1 + 0.02 * number)
        images = {
            "mr": np.where(radius < 1, 500 + 300 * np.cos(5 * axes[0]), 5),
            "ct": np.where(radius < 1, np.where(radius > 0.9, 900, 40), -1000),
        }
        for name, values in images.items():
            write(folder / f"DOE^JANE_{number}_{name}.nii.gz", values)
        patient, name = f"DOE^JANE MRN0123456-{number}", f"DOE^JANE_{number}"
        mr = f"{name}_mr.nii.gz"
        rows.append(f"c{number},{patient},{mr},{name}_ct.nii.gz,{mr}")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "my.yaml").write_text(CONFIG, encoding="utf-8")
    return folder


def write(path: Path, values: np.ndarray) -> None:
    image = nibabel.Nifti1Image(values.astype(np.float32), np.diag([8.0, 8.0, 8.0, 1.0]))
    image.header["descrip"] = b"DOE^JANE head"
    image.header["db_name"] = b"MRN0123456"
    image.header["aux_file"] = b"DOE^JANE.img"
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def told(folder: Path) -> list[str]:
    """Return the files that hold a canary, in their bytes, unpacked, or in their name."""
    found = []
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data += gzip.decompress(data)
        name = path.relative_to(folder).as_posix().encode()
        if any(canary in data + name for canary in CANARIES):
            found.append(path.relative_to(folder).as_posix())
    return found


def test_nothing_written_names_the_patient(
    hospital: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    table, log = str(hospital / "cases.csv"), str(out / "log.jsonl")

    def verb(*arguments: object) -> int:
        return main([*map(str, arguments), "--log", log])

    train = ["train", hospital / "my.yaml", "--data", table, "--cache", out / "cache"]
    assert verb(*train, "--run", out / "run", "--device", "cpu") == Exit.OK

    (hospital / "DOE^JANE_2_mr.nii.gz").write_bytes(b"\x1f\x8bDOE^JANE is torn")
    convert = ["convert", out / "run", "--data", table, "--output", out / "ct", "--device", "cpu"]
    assert verb(*convert) == Exit.SOME_FAILED
    assert verb("convert", out / "run", "--input", hospital, "--output", out / "all") in (
        Exit.SOME_FAILED,
        Exit.ALL_FAILED,
    )
    evaluate = ["evaluate", "--prediction", out / "ct", "--data", table, "--column", "ct"]
    assert verb(*evaluate, "--output", out / "report") == Exit.OK
    assert verb(*evaluate, "--output", hospital / "report DOE^JANE") == Exit.OK
    compare = ["compare", hospital / "report DOE^JANE", out / "report"]
    assert verb(*compare, "--output", out / "comparison") == Exit.OK
    by_name = ["evaluate", "--prediction", hospital, "--reference", hospital]
    assert verb(*by_name, "--output", out / "by_name") == Exit.USAGE
    one = hospital / "DOE^JANE_0_ct.nii.gz"
    single = ["evaluate", "--prediction", one, "--reference", one, "--mask", one]
    assert verb(*single, "--output", out / "single") == Exit.OK
    plan = ["plan", hospital / "my.yaml", "--data", table, "--output", out / "planned.yaml"]
    assert verb(*plan, "--memory", "4") in (Exit.OK, Exit.SOME_FAILED)
    thin = ["thin", "--data", table, "--column", "pet", "--dose", "0.5", "--counts", "1e5"]
    assert verb(*thin, "--output", out / "thinned") == Exit.SOME_FAILED
    assert (out / "thinned" / "c0" / "pet_low.nii.gz").is_file()
    prepare = ["prepare", "--data", table, "--output", out / "prepared", "--fixed", "mr"]
    verb(*prepare, "--moving", "ct", "--transform", "rigid", "--masks", "body")
    assert (out / "prepared" / "index.html").is_file()
    (hospital / "DOE^JANE_1_ct.nii.gz").unlink()
    assert verb(*train, "--run", out / "second") == Exit.USAGE
    assert verb("info", out / "run") == Exit.OK
    shown = capfd.readouterr()
    assert not [line for line in shown.err.splitlines() if "DOE^JANE" in line]

    # The terminal of `scan` may say where a refused file lies; nothing that it writes may.
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    verb("scan", hospital.parents[1], "--output", out / "scan" / "cases.csv", "--key", key)
    assert len(list(out.rglob("*"))) > 20
    # A table holds what the user's own holds: patients, and paths to the files it is made of.
    tables = {"prepared/cases.csv", "scan/cases.csv", "thinned/cases.csv"}
    assert set(told(out)) <= tables


def test_anomalies_and_drawn_images_name_no_patient(
    hospital: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    log = str(out / "log.jsonl")
    write(hospital / "DOE^JANE_spot.nii.gz", np.pad(np.ones((3, 3, 3)), (10, 11)))
    write(hospital / "DOE^JANE_none.nii.gz", np.zeros((24, 24, 24)))
    rows = ["case,patient,split,mr,lesion"]
    for number, split in enumerate(("train", "validation", "calibrate", "test")):
        spot = "spot" if split == "test" else "none"
        files = f"DOE^JANE_{number}_mr.nii.gz,DOE^JANE_{spot}.nii.gz"
        rows.append(f"c{number},DOE^JANE MRN0123456-{number},{split},{files}")
    table = hospital / "healthy.csv"
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    (hospital / "unusual.yaml").write_text(UNUSUAL, encoding="utf-8")

    def verb(*arguments: object) -> int:
        return main([*map(str, arguments), "--log", log])

    train = ["train", hospital / "unusual.yaml", "--data", table, "--cache", out / "cache"]
    assert verb(*train, "--run", out / "run", "--device", "cpu") == Exit.OK
    convert = ["convert", out / "run", "--data", table, "--output", out / "maps"]
    assert verb(*convert, "--device", "cpu") == Exit.OK
    assert (out / "maps" / "c3_mask.nii.gz").is_file()
    evaluate = ["evaluate", "--prediction", out / "maps", "--data", table, "--column", "lesion"]
    evaluate += ["--profile", "anomaly", "--group-column", "split"]
    assert verb(*evaluate, "--output", out / "report") == Exit.OK
    draw = ["generate", out / "run", "--count", "2", "--walk", "2", "--device", "cpu"]
    assert verb(*draw, "--output", out / "drawn") == Exit.OK
    assert verb(*draw, "--output", out / "drawn") == Exit.USAGE
    assert verb("generate", hospital, "--output", out / "none") != Exit.OK
    assert len(list((out / "drawn").iterdir())) >= 10
    assert told(out) == []
    shown = capfd.readouterr()
    assert not [line for line in shown.err.splitlines() if "DOE^JANE" in line]
