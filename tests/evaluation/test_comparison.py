import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from medgen.evaluation import compare, match_table, score_case
from medgen.evaluation.scoring import pseudonym
from medgen.evaluation.summary import scores_csv, summary_json
from medgen.files import write_json, write_text
from medgen.metrics import PROFILES
from medgen.problems import ConfigurationError

P1 = pseudonym("p1")


@pytest.fixture
def reports(cohort: Path) -> Path:
    """Write both reports' numbers as `evaluate` does, without their pages, which take seconds."""
    for name in ("prediction", "better"):
        score(cohort, name, "synthrad2023", cohort / f"report_{name}")
    return cohort


def score(cohort: Path, name: str, profile: str, output: Path) -> None:
    chosen = PROFILES[profile]
    matched = match_table(cohort / name, cohort / "cases.csv", column="ct", mask_column="body")
    results = [score_case(case, chosen)[0] for case in matched.cases]
    write_text(output / "scores.csv", scores_csv(chosen, results))
    facts = {"mask": matched.mask_source}
    write_json(output / "summary.json", summary_json(chosen, results, facts))


def test_halving_the_noise_is_found_better(reports: Path) -> None:
    found = compare(reports / "report_prediction", reports / "report_better", reports / "out")
    summary = json.loads((reports / "out/comparison.json").read_text())
    assert (summary["cases"], summary["patients"], summary["profile"]) == (4, 3, "synthrad2023")
    assert summary["first"]["name"] == "report_prediction"
    mae = summary["scores"]["mae"]
    assert mae["second_mean"] == pytest.approx(0.5 * mae["first_mean"], rel=0.01)
    assert mae["mean_difference"] == pytest.approx(mae["second_mean"] - mae["first_mean"])
    assert mae["ci95"][0] < mae["mean_difference"] < mae["ci95"][1] < 0
    assert (mae["second_better"], mae["equal"], mae["second_worse"]) == (4, 0, 0)
    psnr = summary["scores"]["psnr"]
    assert psnr["mean_difference"] == pytest.approx(20 * math.log10(2), abs=0.3)
    assert psnr["second_better"] == 4
    assert mae["holm_p"] >= mae["wilcoxon_p"]
    assert "Several scores" in summary["caution"]
    assert any("patients (3)" in warning for warning in summary["warnings"])
    page = found.page.read_text()
    assert "Research use only; not a medical device" in page
    assert page.count("data:image/png;base64,") == 1
    assert str(reports) not in page


def test_swapping_the_reports_turns_the_sign(reports: Path) -> None:
    one = compare(reports / "report_prediction", reports / "report_better", reports / "one")
    other = compare(reports / "report_better", reports / "report_prediction", reports / "other")
    for first, second in zip(one.differences, other.differences, strict=True):
        assert first.mean == pytest.approx(-second.mean)
        assert first.p_value == second.p_value
        assert first.second_better == second.second_worse


def test_a_report_against_itself_is_equal(reports: Path) -> None:
    found = compare(reports / "report_better", reports / "report_better", reports / "out")
    for difference in found.differences:
        assert difference.mean == 0.0
        assert difference.p_value == 1.0
        assert difference.equal == 4


def edit(report: Path, change: Callable[[str], str], name: str = "scores.csv") -> None:
    path = report / name
    path.write_text(change(path.read_text()))


def test_cases_in_one_report_or_seen_in_training_are_left_out_and_listed(reports: Path) -> None:
    edit(reports / "report_prediction", lambda text: text.replace("c1,", "extra,"))
    edit(reports / "report_better", lambda text: text.replace(f"c2,{P1},,", f"c2,{P1},true,"))
    found = compare(reports / "report_prediction", reports / "report_better", reports / "out")
    assert found.summary["only_in_first"] == ["extra"]
    assert found.summary["only_in_second"] == ["c1"]
    assert found.summary["left_out_as_seen_in_training"] == ["c2"]
    assert found.summary["cases"] == 2


def test_other_references_are_warned_of(reports: Path) -> None:
    path = reports / "report_better/summary.json"
    summary = json.loads(path.read_text())
    summary["cases"]["c3"]["sha256"]["reference"] = "0" * 64
    path.write_text(json.dumps(summary))
    found = compare(reports / "report_prediction", reports / "report_better", reports / "out")
    assert any("reference files differ" in w and "c3" in w for w in found.summary["warnings"])


def test_two_profiles_or_no_common_case_are_refused(reports: Path) -> None:
    score(reports, "better", "mr", reports / "report_mr")
    with pytest.raises(ConfigurationError, match=r"E_PROFILE_MISMATCH.*synthrad2023 and mr"):
        compare(reports / "report_better", reports / "report_mr", reports / "out")
    edit(reports / "report_better", lambda text: text.replace("\nc", "\nd"))
    with pytest.raises(ConfigurationError, match=r"E_NO_COMMON_CASE.*c1, c2.*d1, d2"):
        compare(reports / "report_prediction", reports / "report_better", reports / "out")
    edit(reports / "report_prediction", lambda text: text.replace(",,", ",true,"))
    with pytest.raises(ConfigurationError, match="seen in training"):
        compare(reports / "report_prediction", reports / "report_prediction", reports / "out")
    assert not (reports / "out").exists()


def test_an_earlier_comparison_is_kept_unless_asked(reports: Path) -> None:
    folders = (reports / "report_prediction", reports / "report_better", reports / "out")
    compare(*folders)
    with pytest.raises(ConfigurationError, match=r"E_EXISTS"):
        compare(*folders)
    compare(*folders, overwrite=True)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("summary.json", lambda text: "{"),
        ("summary.json", lambda text: "[]"),
        ("summary.json", lambda text: text.replace('"medgen evaluation"', '"other"')),
        ("summary.json", lambda text: text.replace('"name": "synthrad2023"', '"name": "no"')),
        ("scores.csv", lambda text: text.replace("mae", "eam")),
        ("scores.csv", lambda text: text.replace(f"c1,{P1},,", f"c1,{P1},,not a number,")),
    ],
)
def test_a_damaged_report_is_refused(
    reports: Path, name: str, change: Callable[[str], str]
) -> None:
    edit(reports / "report_better", change, name)
    with pytest.raises(ConfigurationError, match=r"E_REPORT.*second report"):
        compare(reports / "report_prediction", reports / "report_better", reports / "out")
    with pytest.raises(ConfigurationError, match="E_REPORT"):
        compare(reports / "nowhere", reports / "report_prediction", reports / "out")


def test_a_folder_that_may_name_a_patient_is_not_named(reports: Path) -> None:
    named = (reports / "report_prediction").rename(reports / "DOE^JANE")
    found = compare(named, reports / "report_better", reports / "out")
    assert (found.summary["first"]["name"], found.summary["second"]["name"]) == (
        "",
        "report_better",
    )
    for path in (reports / "out").iterdir():
        assert "DOE^JANE" not in path.read_text(encoding="utf-8")
