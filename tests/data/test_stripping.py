from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medgen.data.stripping import stripped
from medgen.problems import Refusal
from medgen.volumes import Grid, Volume


def masked(volumes):
    """Return volumes with a mask column: the inner half of the head, on a grid of its own."""
    found = volumes()
    fine = Grid((80, 88, 72), np.diag([1.0, 1.0, 1.0, 1.0]))
    inside = np.zeros(fine.shape, dtype=np.uint8)
    inside[20:60, 22:66, 18:54] = 1
    return {**found, "brain": Volume(inside, fine, unit="label")}


def of_mask(preprocessing, config):
    roles = {"source": ["mr"], "target": ["ct"], "mask": "brain"}
    made = preprocessing(config(roles=roles))
    return replace(made, inside_mask=True, decodes_target=False)


def test_what_lies_outside_is_background(volumes, config):
    found = masked(volumes)
    cut = stripped(found, "brain", config().intensity)
    assert cut["mr"].data[0, 0, 0] == 0
    assert cut["mr"].data[20, 22, 18] == found["mr"].data[20, 22, 18]
    outside = np.ones(found["mr"].grid.shape, dtype=bool)
    outside[9:31, 10:34, 8:28] = False
    assert (cut["mr"].data[outside] == 0).all()
    assert (cut["ct"].data[outside] == -1024).all()
    assert np.array_equal(cut["brain"].data, found["brain"].data)


def test_the_mask_is_the_body_in_training_and_in_conversion(volumes, config, preprocessing):
    found = masked(volumes)
    made = of_mask(preprocessing, config)
    assert made.given == ("mr", "brain")
    source = made.prepare_source(found)
    case = made.prepare_case(found, keys=frozenset({"source"}))
    assert source.grid.same_as(case.grid)
    assert np.array_equal(source.source, case.arrays["source"])
    assert np.array_equal(source.body, case.arrays["mask"][0] > 0)
    whole = replace(made, inside_mask=False).prepare_source(found)
    assert source.body.sum() < 0.7 * whole.body.sum()
    # Its own percentiles: those of the mask, not of the head around it.
    assert source.source_codecs["mr"] != whole.source_codecs["mr"]
    assert (source.source[0][~source.body] <= source.source[0][source.body].min() + 0.5).all()


def test_a_case_without_its_mask_is_refused(volumes, config, preprocessing):
    with pytest.raises(Refusal, match="no image in this column"):
        of_mask(preprocessing, config).prepare_source(volumes())


def test_an_empty_mask_is_refused(volumes, config, preprocessing):
    found = masked(volumes)
    found["brain"] = found["brain"].with_data(np.zeros_like(found["brain"].data))
    with pytest.raises(Refusal, match="no voxel of the mask"):
        of_mask(preprocessing, config).prepare_source(found)


def test_it_makes_another_cache_entry(config, preprocessing):
    made = of_mask(preprocessing, config)
    assert made.as_json() != replace(made, inside_mask=False).as_json()
