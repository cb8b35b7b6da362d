from __future__ import annotations

import numpy as np
import pytest

from medgen.data import Cache, fit_decoding, fit_statistics, prepare_cohort, read_table
from medgen.problems import Refusal
from medgen.volumes import Volume, open_volume

COHORT = {"mr": {"scale": "percentile"}, "ct": {"scale": "cohort", "low": 5, "high": 95}}


def test_one_error_lists_every_refused_case(tmp_path, cohort_table, volumes, preprocessing):
    path = cohort_table(tmp_path, cases=4)
    (tmp_path / "c1_mr.nii.gz").write_bytes(b"nonsense")
    table = read_table(path, columns=["mr", "ct"])

    def opener(cell):
        volume = open_volume(cell)
        if cell.name == "c3_ct.nii.gz":
            return Volume(np.roll(volume.data, 20, axis=0), volume.grid)
        return volume

    with pytest.raises(Refusal) as error:
        prepare_cohort(table.rows, preprocessing(), Cache(tmp_path / "k"), open_cell=opener)
    places = {(problem.case, problem.column) for problem in error.value.problems}
    assert places == {("c1", "mr"), ("c3", "ct")}
    assert str(tmp_path) not in str(error.value)


def test_cohort_statistics_are_medians_inside_the_body(
    tmp_path, cohort_table, config, preprocessing
):
    table = read_table(cohort_table(tmp_path, cases=3), columns=["mr", "ct"])
    way = preprocessing(config(intensity=COHORT))
    fitted = fit_statistics(way, table.rows)
    ends = []
    for row in table.rows:
        volumes = {column: open_volume(path) for column, path in row.cells.items()}
        prepared = preprocessing().prepare_case(volumes)
        decoded = prepared.codecs["ct"].decode(prepared.arrays["target"][0])
        ends.append(np.percentile(decoded[preprocessing().prepare_source(volumes).body], [5, 95]))
    np.testing.assert_allclose(fitted["ct"], np.median(ends, axis=0), atol=1e-2)
    assert set(fitted) == {"ct"}


def test_what_no_image_answer_is_decoded_by_is_not_fitted(tmp_path, config, preprocessing):
    scales = {"mr": {"scale": "z_score"}, "t1": {"scale": "percentile"}}
    roles = {"source": ["mr"], "target": ["t1"], "label": ["seg"]}
    way = preprocessing(config(roles=roles, intensity=scales, labels={"lesion": 1}))
    assert fit_statistics(way, []) == {}
    assert fit_decoding(way, [], ["mr", "seg"]) == {}
    with pytest.raises(Refusal, match=r"E_COHORT_EMPTY \[column t1\]"):
        fit_decoding(way, [], ["t1", "seg"])


def test_nothing_to_fit_opens_nothing(tmp_path, cohort_table, preprocessing):
    table = read_table(cohort_table(tmp_path, cases=1), columns=["mr", "ct"])

    def refuse(path):
        raise AssertionError("opened")

    assert fit_statistics(preprocessing(), table.rows, refuse) == {}


def test_a_cohort_scale_without_cases_is_refused(config, preprocessing):
    way = preprocessing(config(intensity=COHORT))
    with pytest.raises(Refusal, match=r"E_COHORT_EMPTY \[column ct\]"):
        fit_statistics(way, [])
