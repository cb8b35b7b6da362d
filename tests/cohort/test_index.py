"""The page of a folder: all cases, the worst first, and nothing that is not so any more."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import torch

from medgen.cohort import Entry, Manifest, cases_of_input, convert_cohort
from medgen.cohort.index import STANDINGS, standing_of, write_index
from medgen.cohort.previews import preview_of
from medgen.report.raster import Canvas
from medgen.runs import Model
from medgen.volumes import list_volumes

CPU = torch.device("cpu")


class Page(HTMLParser):
    """What a page holds: its links, its pictures, its cases in order, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.cases: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.add(tag)
        self.links += [str(found["href"])] if "href" in found else []
        self.pictures += [found] if tag == "img" else []
        self.cases += [found["class"] or ""] if tag == "section" else []

    def handle_data(self, data: str) -> None:
        self.text += data


def ok(case: str, **more: Any) -> Entry:
    return Entry(case, "ok", output_digest=f"of {case}", **more)


def lay(folder: Path, entry: Entry, **sidecar: Any) -> None:
    """Lay down what convert leaves of a case."""
    (folder / f"{entry.case}.nii.gz").touch()
    content = {"output_digest": entry.output_digest, **sidecar}
    (folder / f"{entry.case}.json").write_text(json.dumps(content))
    preview_of(folder, entry.case).parent.mkdir(exist_ok=True)
    preview_of(folder, entry.case).write_bytes(Canvas(30, 20).png())


def manifest_of(folder: Path, *entries: Entry) -> Manifest:
    manifest = Manifest(folder)
    manifest.tidy()
    for entry in entries:
        manifest.add(entry)
    return manifest


def test_the_worst_come_first_and_then_the_names(tmp_path: Path) -> None:
    entries = [
        ok("e", verdict="pass"),
        ok("d", verdict="fail"),
        ok("c", verdict="warn"),
        ok("b"),
        ok("a", verdict="pass"),
        Entry("f", "failed", code="E_NAN,E_FLAT"),
        Entry("g", "started"),
    ]
    assert write_index(tmp_path, manifest_of(tmp_path, *entries))
    page = Page(tmp_path / "index.html")
    assert [one.split()[1] for one in page.cases] == [
        "of-failed",
        "of-fail",
        "of-unfinished",
        "of-warn",
        "of-unchecked",
        "of-pass",
        "of-pass",
    ]
    order = re.findall(r"<h2>([a-g]) <span", (tmp_path / "index.html").read_text())
    assert order == ["f", "d", "g", "c", "b", "a", "e"]
    assert "E_NAN, E_FLAT" in page.text
    assert {standing_of(entry) for entry in entries} == set(STANDINGS)


def test_reasons_figures_and_links_of_an_answer(tmp_path: Path) -> None:
    findings = [
        {"check": "a", "verdict": "warn", "reason": "coarse & <thick>"},
        {"check": "b", "verdict": "fail", "reason": "no body"},
        {"check": "c", "verdict": "pass", "reason": "all well"},
    ]
    entry = ok("p1", verdict="fail", reasons="told by the manifest", seconds=3.25)
    lay(
        tmp_path,
        entry,
        trust={"verdict": "fail", "findings": findings},
        weights_digest="abc123",
        versions={"medgen": "9.8.7"},
        notice="for nobody's use",
        seen_in_training=True,
        anomaly={"score": "mean", "scores": {"mean": 1.5}, "p": {"mean": 0.25}, "unusual": False},
        uncertainty={"mean": 12.5},
        beside={"std": "x"},
    )
    (tmp_path / "p1_std.nii.gz").touch()
    (tmp_path / "p1").mkdir()
    write_index(tmp_path, manifest_of(tmp_path, entry))
    page = Page(tmp_path / "index.html")
    assert page.text.index("no body") < page.text.index("coarse & <thick>")
    assert "all well" not in page.text
    assert "told by the manifest" not in page.text
    for said in (
        "3.2 s",
        "seen in training",
        "mean 1.5, p 0.25, not unusual",
        "mean deviation 12.5",
        "abc123",
        "medgen 9.8.7",
        "for nobody's use",
        "Research use only",
    ):
        assert said in page.text
    assert set(page.links) == {
        "previews/p1.png",
        "p1.nii.gz",
        "p1/",
        "p1_std.nii.gz",
        "p1.json",
    }
    assert [one["src"] for one in page.pictures] == ["previews/p1.png"]
    assert page.pictures[0]["loading"] == "lazy"
    assert (page.pictures[0]["width"], page.pictures[0]["height"]) == ("30", "20")


def test_nothing_is_shown_of_another_answer(tmp_path: Path) -> None:
    stale, started, gone = ok("p1", verdict="pass"), ok("p2"), ok("p3", verdict="warn", reasons="r")
    lay(tmp_path, Entry("p1", "ok", output_digest="an older one"), notice="older notice")
    lay(tmp_path, started)
    started = Entry("p2", "started", output_digest=started.output_digest)
    failed = Entry("p4", "failed", code="E_NAN")
    lay(tmp_path, failed)
    kept = Entry("p5", "failed", code="E_MISSING_FILE", output_digest="of p5")
    lay(tmp_path, kept)
    write_index(tmp_path, manifest_of(tmp_path, stale, started, gone, failed, kept))
    page = Page(tmp_path / "index.html")
    assert "older notice" not in page.text
    assert [one["src"] for one in page.pictures] == ["previews/p5.png"]
    assert not [link for link in page.links if link.startswith(("p2", "p3", "p4"))]


@pytest.mark.parametrize(
    "damaged",
    ["[]", "{", "null", '{"output_digest": "of p1", "trust": [1], "versions": 3}', "[" * 9999],
)
def test_a_damaged_sidecar_is_no_obstacle(tmp_path: Path, damaged: str) -> None:
    entry = ok("p1", verdict="pass")
    lay(tmp_path, entry)
    (tmp_path / "p1.json").write_text(damaged)
    assert write_index(tmp_path, manifest_of(tmp_path, entry))
    assert len(Page(tmp_path / "index.html").cases) == 1


def test_a_manifest_cannot_put_anything_into_the_page(tmp_path: Path) -> None:
    entries = [
        Entry("../../etc/x", "ok", output_digest="d", verdict="pass"),
        Entry("<script>alert(1)</script>", "failed", code="<b>"),
        ok("p1", verdict='pass"><i>', reasons="<img src=x>"),
    ]
    write_index(tmp_path, manifest_of(tmp_path, *entries))
    page = Page(tmp_path / "index.html")
    assert not page.tags & {"script", "b", "i", "img"}
    assert page.links == []


def test_a_page_of_another_program_stays(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, ok("p1"))
    path = tmp_path / "index.html"
    path.write_text("<html>mine</html>")
    assert not write_index(tmp_path, manifest)
    assert path.read_text() == "<html>mine</html>"
    path.unlink()
    assert write_index(tmp_path, manifest)
    assert write_index(tmp_path, manifest)  # its own is replaced
    path.unlink()
    path.mkdir()
    assert not write_index(tmp_path, manifest)


def test_an_empty_manifest_has_no_page(tmp_path: Path) -> None:
    assert not write_index(tmp_path, Manifest(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_filter_needs_neither_script_nor_network(tmp_path: Path) -> None:
    write_index(tmp_path, manifest_of(tmp_path, ok("p1", verdict="pass"), ok("p2", verdict="fail")))
    text = (tmp_path / "index.html").read_text()
    assert "<script" not in text
    assert "http://" not in text
    assert "https://" not in text
    for standing in STANDINGS:
        hidden = rf"#show-{standing}:not\(:checked\) ~ \.cases \.of-{standing} {{ display: none"
        assert re.search(hidden, text)
        assert f'id="show-{standing}" checked' in text


def test_a_converted_folder(model: Model, heads: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    outcome = convert_cohort(model, cases_of_input(heads, model), output, device=CPU)
    assert outcome.count("ok") == 3
    page = Page(output / "index.html")
    assert len(page.pictures) == 3
    for link in page.links:
        assert (output / unquote(link)).exists()
    # what reads the folder sees the answers, and neither page nor pictures
    assert [found.name for found in list_volumes(output)] == ["p1", "p2", "p3"]
    pictures = {path: path.read_bytes() for path in (output / "previews").iterdir()}
    page_before = (output / "index.html").read_bytes()
    again = convert_cohort(model, cases_of_input(heads, model), output, device=CPU)
    assert again.count("kept") == 3
    assert pictures == {path: path.read_bytes() for path in (output / "previews").iterdir()}
    assert page_before == (output / "index.html").read_bytes()


def test_a_case_that_fails_later_loses_its_picture(
    model: Model, heads: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    convert_cohort(model, cases_of_input(heads, model), output, device=CPU)
    (heads / "p2.nii.gz").write_bytes(b"no volume")
    convert_cohort(model, cases_of_input(heads, model), output, device=CPU)
    page = Page(output / "index.html")
    assert sorted(str(one["src"]) for one in page.pictures) == [
        "previews/p1.png",
        "previews/p3.png",
    ]
    assert sorted(path.name for path in (output / "previews").iterdir()) == ["p1.png", "p3.png"]


def test_a_single_file_has_neither(model: Model, heads: Path, tmp_path: Path) -> None:
    output = tmp_path / "out" / "answer.nii.gz"
    cases = cases_of_input(heads / "p1.nii.gz", model)
    convert_cohort(model, cases, output, device=CPU)
    assert output.exists()
    assert not (output.parent / "index.html").exists()
    assert not (output.parent / "previews").exists()
