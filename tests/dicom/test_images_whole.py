import itertools
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from derived_sources import (
    facts_of,
    read_files,
    source_series,
    valid_slices,
    write_answer,
)
from dicom_corpus import CANARIES
from dicom_judges import (
    entity_complaints,
)
from pydicom.dataset import Dataset

from medgen.dicom.values import quiet
from medgen.dicom.writing import digest_of_folder
from medgen.files import remove_leftovers
from medgen.problems import Refusal


def test_a_failure_in_the_middle_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_series("MR")
    write_answer(tmp_path / "answer", source)
    before = digest_of_folder(tmp_path / "answer")
    calls = itertools.count()
    whole = pydicom.dcmwrite

    def failing(*arguments: Any, **options: Any) -> None:
        if next(calls) == 3:
            raise OSError(28, "No space left on device")
        whole(*arguments, **options)

    monkeypatch.setattr("pydicom.dcmwrite", failing)
    with pytest.raises(Refusal, match="E_UNWRITABLE: the series cannot be written: No space left"):
        write_answer(tmp_path / "answer", source, data=np.ones(source.shape))
    assert [path.name for path in tmp_path.iterdir()] == ["answer"]
    assert digest_of_folder(tmp_path / "answer") == before


@pytest.mark.parametrize("keyword", ["PixelData", "ImagePositionPatient", "RescaleSlope"])
def test_a_file_that_reads_back_wrong_is_never_given_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keyword: str
) -> None:
    whole = pydicom.dcmwrite

    def damaging(path: Path, dataset: Dataset, **options: Any) -> None:
        if dataset.InstanceNumber == 3:
            value = dataset[keyword].value
            if keyword == "PixelData":
                dataset.add_new(keyword, "OW", bytes(len(value)))
            else:
                setattr(dataset, keyword, ["0.5", "0", "0"][: 3 if keyword[0] == "I" else 1])
        whole(path, dataset, **options)

    monkeypatch.setattr("pydicom.dcmwrite", damaging)
    with pytest.raises(Refusal, match="E_READ_BACK: file 3 read back differs"):
        write_answer(tmp_path / "answer", source_series("MR"))
    assert list(tmp_path.iterdir()) == []


def test_a_kill_in_the_middle_leaves_no_folder(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import os, pathlib, sys
        import pydicom
        from derived_sources import DERIVATION, answer_values, source_series
        from medgen.dicom.images import write_image_series
        whole, written = pydicom.dcmwrite, []
        def dying(*arguments, **options):
            if len(written) == 3:
                os.kill(os.getpid(), 9)
            written.append(whole(*arguments, **options))
        pydicom.dcmwrite = dying
        source = source_series("MR")
        write_image_series(
            pathlib.Path(sys.argv[1]), answer_values(source.shape, "HU"), source.affine,
            unit="HU", source=source, derivation=DERIVATION,
        )
        """
    )
    root = Path(__file__).parents[2]
    paths = {"PYTHONPATH": f"{root}{os.pathsep}{root / 'tests' / 'support'}"}
    command = [sys.executable, "-c", program, str(tmp_path / "answer")]
    ended = subprocess.run(command, env={**os.environ, **paths}, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not (tmp_path / "answer").exists()
    assert len(list(tmp_path.iterdir())) == 1
    assert remove_leftovers(tmp_path) == 1
    assert list(tmp_path.iterdir()) == []


def test_odd_headers_are_written_without_a_word_about_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    slices = valid_slices("MR")
    with quiet():
        for one in slices:
            one.SpecificCharacterSet = "ISO_IR 100"
            one.StudyDescription = "DOE^JANE " * 20
            one.PatientComments = "\N{SNOWMAN} JANE"
            one.add_new("PatientAge", "AS", "MRN123 is no age")
            one.StudyInstanceUID, one.FrameOfReferenceUID = "1.2.03", "1.2.04"
            one.SOPInstanceUID = f"1.2.05.{one.InstanceNumber}"
        source = facts_of(slices)
    write_answer(tmp_path / "answer", source)
    said = caplog.text + "".join(capsys.readouterr())
    assert not any(canary in said for canary in CANARIES)
    assert read_files(tmp_path / "answer")[0].PatientID == "MRN123"


def test_what_cannot_be_encoded_is_refused_without_a_word_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quoting(path: Path, dataset: Dataset, **options: Any) -> None:
        raise ValueError(f"cannot write {dataset.PatientName}")

    monkeypatch.setattr("pydicom.dcmwrite", quoting)
    with pytest.raises(Refusal, match=r"E_UNWRITABLE: .*cannot be encoded") as caught:
        write_answer(tmp_path / "answer", source_series("MR"))
    assert not any(canary in str(caught.value) for canary in CANARIES)
    assert caught.value.__suppress_context__
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("characters", ["ISO_IR 100", "ISO_IR 192", "ISO 2022 IR 87", None])
def test_names_keep_their_bytes_in_every_character_set(
    tmp_path: Path, characters: str | None
) -> None:
    name = {"ISO_IR 100": "Müller^Jörg", "ISO_IR 192": "Müller^Łucja", None: "Doe^Jane"}
    written = name.get(characters, "Yamada^Tarou=山田^太郎")

    def rename(header: Dataset) -> None:
        if characters is None:
            del header.SpecificCharacterSet
        else:
            header.SpecificCharacterSet = (
                ["", characters] if characters.startswith("ISO 2022") else characters
            )
        header.PatientName = written

    source = source_series("MR", folder=tmp_path / "source", change=rename)
    write_answer(tmp_path / "answer", source)
    assert read_files(tmp_path / "answer")[0].PatientName == written
    assert entity_complaints(tmp_path.rglob("*.dcm")) == ""
