"""A series sent to a real archive comes back as it was: Orthanc, on a loopback of its own."""

import json
import os
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
from derived_sources import DERIVATION, answer_values, source_series
from dicom_corpus import CT, MR, OBLIQUE, PT, make_series
from dicom_encoding import IMPLICIT, JPEG_LS, RLE
from external_tools import require_tool, run_tool

from medgen.dicom.images import write_image_series
from medgen.dicom.parametric_map import write_parametric_map
from medgen.dicom.segmentation import write_segmentation

SESSION = Path(__file__).parents[1] / "support" / "orthanc_session.py"
ALONE = ["--net", "--pid", "--fork", "--kill-child"]
"""No network but its own loopback, and nothing outlives the test: the kernel ends its processes
with the first of them."""


def _alone():
    """Return the command that runs another one without a network; skip where that is forbidden."""
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = [require_tool("unshare"), *rights, *ALONE]
    if run_tool([*command, "true"]).returncode != 0:
        pytest.skip("this account or container may not make a network namespace: run as root")
    return command


def _session(folder, work):
    """Send a folder to an Orthanc and return what it said and what it has stored, by instance."""
    orthanc, _ = require_tool("Orthanc"), require_tool("ip")
    ended = run_tool(
        [*_alone(), sys.executable, SESSION, orthanc, folder, work],
        timeout=240,
        environment={"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])},
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return json.loads(ended.stdout), {str(one.SOPInstanceUID): one for one in _read(work / "back")}


@pytest.fixture(scope="module")
def exchange(tmp_path_factory):
    """Send series in several encodings, and a source with all that is derived from it; ask back."""
    place = tmp_path_factory.mktemp("orthanc")
    folder, work = place / "tree", place / "work"
    work.mkdir()
    make_series(folder / "ct", CT, shape=(24, 20, 6))
    make_series(folder / "rle", MR, shape=(24, 20, 4), seed=1, syntax=RLE)
    make_series(folder / "jpeg-ls", CT, shape=(24, 20, 4), seed=2, syntax=JPEG_LS)
    make_series(folder / "pet", PT, shape=(24, 20, 4), slope=0.5, syntax=IMPLICIT)
    source = source_series("MR", folder=folder / "mr", directions=OBLIQUE)
    where = {"affine": source.affine, "source": source, "derivation": DERIVATION}
    values = answer_values(source.shape, "HU")
    write_image_series(folder / "derived/ct", values, unit="HU", **where)
    lesions = (values > 1000).astype(np.uint8)
    write_segmentation(folder / "derived/seg", lesions, names={1: "lesion"}, **where)
    write_parametric_map(folder / "derived/map", values, quantity="uncertainty", **where)
    return folder, *_session(folder, work)


def _read(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the escape sequences that the corpus plants
        return [pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm"))]


def test_everything_is_stored(exchange):
    folder, said, stored = exchange
    count = len(list(folder.rglob("*.dcm")))
    assert said["code"] == 0, said
    assert said["complained"] == ""
    answer = json.loads(said["said"])
    assert (answer["stored"], answer["failed"]) == (count, [])
    assert said["instances"] == len(stored) == count


def test_every_value_and_encoding_comes_back_as_it_was(exchange):
    folder, _, stored = exchange
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for sent in _read(folder):
            back = stored[str(sent.SOPInstanceUID)]
            assert sent == back, sent.SOPClassUID.name
            assert sent.file_meta.TransferSyntaxUID == back.file_meta.TransferSyntaxUID


def test_what_was_derived_is_filed_under_its_sources_study(exchange):
    folder, said, _ = exchange
    source, *_ = _read(folder / "mr")
    derived = _read(folder / "derived")
    assert Counter(one.Modality for one in derived) == {
        "CT": len(_read(folder / "mr")),
        "SEG": 1,
        "OT": 1,
    }
    assert {one.StudyInstanceUID for one in derived} == {source.StudyInstanceUID}
    assert (said["patients"], said["studies"], said["series"]) == (1, 1, 8)


def test_the_archive_is_reached_by_nobody_else(tmp_path):
    """The namespace has no way out: the guard of the tests cannot see a child process."""
    seen = run_tool([*_alone(), require_tool("ip"), "-oneline", "link"])
    assert [line.split(":")[1].strip() for line in seen.stdout.splitlines()] == ["lo"]
