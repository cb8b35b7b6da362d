"""The picture of a case: what it shows, what it may replace, and that it never fails a case."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medgen.cohort.previews import (
    IN_THE_WAY,
    NOT_DRAWN,
    picture_of,
    preview_of,
    remove_preview,
    write_preview,
)
from medgen.conversion import Converted
from medgen.conversion.trust import Finding, Trust
from medgen.report.raster import is_own
from medgen.volumes import Grid, Volume

GRID = Grid((40, 44, 36), np.diag([2.0, 2.0, 2.0, 1.0]))
X, Y, Z = np.meshgrid(*[np.linspace(-1, 1, count) for count in GRID.shape], indexing="ij")
BODY = X**2 + Y**2 + Z**2 < 0.6
SOURCE = Volume(np.where(BODY, 600 + 200 * X, 4.0).astype(np.float32), GRID)
HU = Volume(np.where(BODY, 40.0 + 500 * Z, -1000.0).astype(np.float32), GRID, "HU")
LABELS = Volume((BODY & (X > 0.3)).astype(np.uint8) * 7, GRID, "label")
IMAGE = Converted(HU, {"kind": "image", "answer": "forward"})


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_source_and_answer_in_grey_with_the_answer_in_its_window() -> None:
    picture = pixels(picture_of("p1", {"mr": SOURCE}, IMAGE))
    assert (picture.max(axis=2) - picture.min(axis=2)).max() < 30  # nothing is coloured
    bright = picture[len(picture) // 2 :].min(axis=2)
    assert (bright > 225).sum() < 0.01 * bright.size  # 540 HU is not the window's end


def test_a_row_more_for_what_lies_beside() -> None:
    std = Volume(np.where(BODY, 50.0 + 40 * Y, 0.0).astype(np.float32), GRID, "HU")
    plain = pixels(picture_of("p1", {"mr": SOURCE}, IMAGE))
    more = pixels(picture_of("p1", {"mr": SOURCE}, Converted(HU, IMAGE.facts, beside={"std": std})))
    assert len(more) > 1.4 * len(plain)
    assert (more[len(plain) :, :, 0] - more[len(plain) :, :, 2]).max() > 150  # orange


def test_an_anomaly_has_its_residual_z_map_and_mask() -> None:
    residual = Volume(np.where(BODY, 300 * X, 0.0).astype(np.float32), GRID)
    z = Volume(np.where(BODY, 9 * X, 0.0).astype(np.float32), GRID, "z")
    mask = Volume((X > 0.5).astype(np.uint8), GRID, "label")
    converted = Converted(
        residual, {"kind": "anomaly", "answer": "forward"}, beside={"z": z, "mask": mask}
    )
    picture = pixels(picture_of("p1", {"mr": SOURCE}, converted))
    rows = np.array_split(picture, 4)
    for row in rows[1:3]:
        assert (row[..., 0] - row[..., 2]).max() > 100
        assert (row[..., 2] - row[..., 0]).max() > 100
    yellow = np.minimum(rows[3][..., 0], rows[3][..., 1]) - rows[3][..., 2]
    assert (yellow > 60).sum() > 200


def test_labels_lie_on_the_source_and_the_planes_where_they_are() -> None:
    facts = {"kind": "labels", "answer": "forward", "labels": {"lesion": [7, 8], "other": 9}}
    picture = pixels(picture_of("p1", {"mr": SOURCE}, Converted(LABELS, facts)))
    assert (picture[..., 2] - picture[..., 0] > 60).sum() > 500  # tab10's first: blue
    unknown = pixels(picture_of("p1", {"mr": SOURCE}, Converted(LABELS, {"kind": "labels"})))
    assert (unknown[..., 2] - unknown[..., 0] > 60).sum() > 500


def test_the_reasons_stand_above() -> None:
    found = (Finding("spacing", "fail", "slices are 9 mm apart, training's up to 3 mm"),)
    judged = Converted(HU, IMAGE.facts, trust=Trust(found))
    plain = pixels(picture_of("p1", {"mr": SOURCE}, IMAGE))
    said = pixels(picture_of("p1", {"mr": SOURCE}, judged))
    assert len(said) == len(plain) + 16
    assert (said[:30, :, 0] - said[:30, :, 1]).max() > 100


def test_several_sources_of_several_grids_and_none() -> None:
    turned = Grid((36, 40, 44), GRID.affine @ np.eye(4)[:, [2, 0, 1, 3]])
    other = Volume(np.ascontiguousarray(SOURCE.data.transpose(2, 0, 1)), turned)
    two = pixels(picture_of("p1", {"t2": other, "mr": SOURCE}, IMAGE))
    one = pixels(picture_of("p1", {"mr": SOURCE}, IMAGE))
    none = pixels(picture_of("p1", {}, Converted(LABELS, {"kind": "labels"})))
    assert len(two) > len(one) > len(none)


def test_a_preview_is_written_whole_replaced_and_removed(tmp_path: Path) -> None:
    assert write_preview(tmp_path, "p1", {"mr": SOURCE}, IMAGE) == ()
    first = preview_of(tmp_path, "p1").read_bytes()
    assert is_own(first[:1024])
    assert write_preview(tmp_path, "p1", {"mr": SOURCE}, Converted(LABELS, {})) == ()
    assert preview_of(tmp_path, "p1").read_bytes() != first
    assert [path.name for path in (tmp_path / "previews").iterdir()] == ["p1.png"]
    remove_preview(tmp_path, "p1")
    remove_preview(tmp_path, "p1")
    assert list((tmp_path / "previews").iterdir()) == []


@pytest.mark.parametrize("foreign", [b"\x89PNG\r\n\x1a\n another", b"", "folder"])
def test_what_another_program_wrote_stays(tmp_path: Path, foreign: Any) -> None:
    path = preview_of(tmp_path, "p1")
    path.parent.mkdir()
    path.mkdir() if foreign == "folder" else path.write_bytes(foreign)
    assert write_preview(tmp_path, "p1", {"mr": SOURCE}, IMAGE) == (IN_THE_WAY,)
    remove_preview(tmp_path, "p1")
    assert path.is_dir() if foreign == "folder" else path.read_bytes() == foreign


def test_what_cannot_be_drawn_is_a_warning_and_leaves_no_old_picture(tmp_path: Path) -> None:
    write_preview(tmp_path, "p1", {"mr": SOURCE}, IMAGE)
    broken = Converted(HU, {"kind": "image", "labels": 3}, beside={"std": HU, "z": None})  # type: ignore[dict-item]
    assert write_preview(tmp_path, "p1", {"mr": SOURCE}, broken) == (NOT_DRAWN,)
    assert not preview_of(tmp_path, "p1").exists()
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "previews").write_text("a file")
    assert write_preview(blocked, "p1", {"mr": SOURCE}, IMAGE) == (NOT_DRAWN,)
    remove_preview(blocked, "p1")
    assert (blocked / "previews").read_text() == "a file"
