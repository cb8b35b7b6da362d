import re

from medgen.preparation.pages import index_page
from medgen.preparation.record import Record, Result
from medgen.preparation.request import Request
from medgen.problems import Problem

REQUEST = Request(fixed="t1", moving=("flair",), masks=("brain",))


def record(case: str, verdict: str) -> Record:
    reasons = () if verdict == "ok" else ("edges lie <9> mm apart",)
    scores = {"outline_dice": 0.9, "edge_distance_mm": None}
    result = Result(
        "flair",
        "flair_on_t1",
        "moved",
        verdict,  # type: ignore[arg-type]
        reasons,
        picture="flair_on_t1.png",
        before=scores,
        after=scores,
        numbers={"seen": 0.774, "turned_degrees": 3.0},
    )
    return Record(case, "done", "", results=(result,), files={"masks.png": ""})


def test_what_was_refused_comes_first_and_every_picture_is_shown() -> None:
    broken = Record("d", "done", "", problems=(Problem("E_BAD_HEADER", "broken", "mend"),))
    page = index_page(
        REQUEST, [record("a", "ok"), record("b", "doubtful"), record("c", "failed"), broken]
    )
    places = [page.index(f"<h2>{case} ") for case in "cdba"]
    assert places == sorted(places)
    assert all(f'src="{case}/flair_on_t1.png"' in page for case in "abc")
    assert 'src="a/masks.png"' in page
    assert "edges lie &lt;9&gt; mm apart" in page
    assert "E_BAD_HEADER" in page
    assert "77.4 %" in page
    assert '<label for="only-failed">refused 2</label>' in page


def test_the_page_needs_no_network_and_no_script() -> None:
    page = index_page(REQUEST, [record("a", "ok"), record("b", "ok")])
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert re.search(r"default-src 'none'; img-src data: 'self' file:", page)
    anchors = set(re.findall(r'href="#([\w-]+)"', page))
    assert anchors <= set(re.findall(r'id="([\w-]+)"', page))
    assert {"case-1", "case-2"} <= anchors
