from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from medgen.data.masks import with_rim
from medgen.problems import Refusal
from medgen.volumes import Grid, Volume, field_of_view, ras_permutation

IDENTITY = {"crop": "none", "min_overlap": 0.0}


@st.composite
def placements(draw: st.DrawFn) -> tuple[tuple[int, int, int], np.ndarray]:
    """Draw an oblique, anisotropic, permuted, possibly left-handed grid."""
    shape = tuple(draw(st.integers(9, 16)) for _ in range(3))
    spacing = [draw(st.sampled_from([0.8, 1.0, 2.0, 3.5])) for _ in range(3)]
    angles = [draw(st.floats(-40, 40)) for _ in range(3)]
    order = draw(st.permutations(range(3)))
    signs = [draw(st.sampled_from([-1.0, 1.0])) for _ in range(3)]
    affine = np.eye(4)
    turned = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine[:3, :3] = turned[:, order] * signs * spacing
    affine[:3, 3] = [draw(st.floats(-200, 200)) for _ in range(3)]
    return shape, affine


def ras_spacing(affine: np.ndarray) -> list[float]:
    axes, _ = ras_permutation(affine)
    return [float(np.linalg.norm(affine[:3, axis])) for axis in axes]


@settings(max_examples=25, deadline=None)
@given(placement=placements(), spline=st.booleans())
def test_a_volume_comes_back_to_itself_everywhere(
    volumes, config, preprocessing, placement, spline
):
    shape, affine = placement
    settings_ = config(
        preprocessing={**IDENTITY, "spacing_mm": ras_spacing(affine)},
        convert={"interpolation": "spline" if spline else "linear"},
    )
    way = preprocessing(settings_)
    original = volumes(shape, affine=affine)["mr"]
    prepared = way.prepare_source({"mr": original})
    assert sorted(prepared.source.shape[1:]) == sorted(shape)
    codec = prepared.source_codecs["mr"]
    restored = way.restore(codec.decode(prepared.source[0]), prepared, background=-1e6)
    assert restored.shape == shape
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, original.data, atol=1e-3)
    assert prepared.body_native.sum() == prepared.body.sum()


@settings(max_examples=15, deadline=None)
@given(placement=placements(), spacing=st.sampled_from([1.0, 1.7, 3.0]))
def test_any_spacing_comes_back_to_its_own_grid(volumes, config, preprocessing, placement, spacing):
    shape, affine = placement
    way = preprocessing(config(preprocessing={**IDENTITY, "spacing_mm": [spacing] * 3}))
    prepared = way.prepare_source(volumes(shape, affine=affine))
    np.testing.assert_allclose(prepared.grid.spacing_mm, spacing, rtol=0.02)
    constant = np.full(prepared.grid.shape, 40.0, dtype=np.float32)
    restored = way.restore(constant, prepared, background=-1024.0)
    assert restored.shape == prepared.native.shape == prepared.body_native.shape
    np.testing.assert_allclose(restored, 40.0, atol=1e-3)


def test_a_crop_leaves_background_outside_and_the_identity_inside(volumes, config, preprocessing):
    way = preprocessing(config(preprocessing={"crop_margin_mm": 2.0}))
    original = volumes()["mr"]
    prepared = way.prepare_source({"mr": original})
    assert np.prod(prepared.grid.shape) < original.data.size
    codec = prepared.source_codecs["mr"]
    restored = way.restore(codec.decode(prepared.source[0]), prepared, background=-7.0)
    inside = field_of_view(prepared.grid, prepared.native)
    assert 0 < inside.sum() < inside.size
    np.testing.assert_allclose(restored[inside], original.data[inside], atol=1e-3)
    assert (restored[~inside] == -7.0).all()
    assert not prepared.body_native[~inside].any()


def test_training_and_conversion_see_the_same_source(volumes, config, preprocessing):
    way = preprocessing(config())
    case = volumes()
    prepared, trained = way.prepare_source(case), way.prepare_case(case)
    assert np.array_equal(prepared.source, trained.arrays["source"])
    assert prepared.source_codecs["mr"] == trained.codecs["mr"]
    assert prepared.target_codecs["ct"] == trained.codecs["ct"]
    assert prepared.grid.same_as(trained.grid)
    shown = with_rim(prepared.body, spacing_mm=prepared.grid.spacing_mm)
    assert np.array_equal(shown, trained.arrays["mask"][0])
    assert (trained.arrays["target"][0][shown & ~prepared.body] == -1.0).all()
    assert trained.overlaps["ct"] > 0.9


def test_arrays_are_contiguous_and_typed(volumes, preprocessing):
    trained = preprocessing().prepare_case(volumes())
    kinds = {key: values.dtype for key, values in trained.arrays.items()}
    bytes_ = {"mask": np.uint8, "body": np.uint8}
    assert kinds == {"source": np.float32, "target": np.float32, **bytes_}
    for values in trained.arrays.values():
        assert values.flags.c_contiguous
        assert values.shape == (1, *trained.grid.shape)
    assert np.abs(trained.arrays["target"]).max() <= 1.0


def test_a_mask_column_neither_crops_nor_measures_anything(volumes, config, preprocessing):
    case = volumes()
    small = np.zeros(case["mr"].grid.shape, dtype=np.uint8)
    small[16:24, 18:26, 14:22] = 1
    case["m"] = Volume(small, case["mr"].grid)
    roles = {"source": ["mr"], "target": ["ct"], "mask": "m"}
    way = preprocessing(config(roles=roles, preprocessing={"crop_margin_mm": 4.0}))
    trained = way.prepare_case(case)
    assert trained.arrays["mask"].sum() == small.sum()
    assert trained.codecs["mr"] == preprocessing().prepare_source(case).source_codecs["mr"]
    prepared = way.prepare_source({"mr": case["mr"]})  # no mask at conversion
    assert trained.grid.same_as(prepared.grid), "patches show what windows will hold"
    np.testing.assert_array_equal(trained.arrays["source"], prepared.source)
    assert prepared.source_codecs["mr"] == trained.codecs["mr"]


def test_what_the_target_does_not_see_leaves_the_mask(volumes, preprocessing):
    case = volumes()
    ct = case["ct"]
    case["ct"] = Volume(ct.data[:, :, :22], ct.grid.crop((0, 0, 0), (40, 44, 22)))
    trained = preprocessing().prepare_case(case)
    whole = preprocessing().prepare_case(volumes())
    top = trained.grid.to_index(ct.grid.to_world(np.array([0.0, 0.0, 22.0])))[2]
    first_unseen = round(float(top))
    assert not trained.arrays["mask"][..., first_unseen:].any()
    assert trained.arrays["mask"][..., :first_unseen].sum() > 0
    assert whole.arrays["mask"].sum() > trained.arrays["mask"].sum()
    assert (trained.arrays["target"][..., first_unseen:] == -1.0).all()


def shifted(volume: Volume, millimetres: float) -> Volume:
    affine = np.array(volume.grid.affine)
    affine[0, 3] += millimetres
    return Volume(volume.data, Grid(volume.grid.shape, affine))


@pytest.mark.parametrize("millimetres", [45.0, 1000.0])
def test_a_pair_that_does_not_overlap_is_refused_with_both_figures(
    volumes, preprocessing, millimetres
):
    case = volumes()
    case["ct"] = shifted(case["ct"], millimetres)
    with pytest.raises(Refusal, match=r"E_PAIR_OVERLAP \[column ct\].*Dice 0\.\d\d.*0\.50"):
        preprocessing().prepare_case(case)


def test_a_lower_limit_lets_a_pair_through(volumes, config, preprocessing):
    case = volumes()
    case["ct"] = shifted(case["ct"], 45.0)
    way = preprocessing(config(preprocessing={"min_overlap": 0.0}))
    assert way.prepare_case(case).overlaps == {}


def two_channels(config, **scales):
    intensity = {
        "mr": {"scale": "percentile"},
        "t2": {"scale": "percentile", "low": 1, "high": 99},
        "ct": {"scale": "window", "low": -1024, "high": 3000, "unit": "HU"},
    }
    roles = {"source": ["mr", "t2"], "target": ["ct"]}
    return config(roles=roles, intensity={**intensity, **scales})


def test_further_channels_follow_the_first_one_s_grid(volumes, config, preprocessing):
    case = volumes()
    other = volumes((56, 60, 50), spacing=1.5)["mr"]
    affine = np.array(other.grid.affine)
    affine[:3, 3] += (np.array([78.0, 86.0, 70.0]) - np.array([82.5, 88.5, 73.5])) / 2
    case["t2"] = Volume(other.data * 3, Grid(other.grid.shape, affine))
    prepared = preprocessing(two_channels(config)).prepare_source(case)
    assert prepared.source.shape == (2, *prepared.grid.shape)
    assert prepared.overlaps["t2"] > 0.8
    first, second = (prepared.source_codecs[column] for column in ("mr", "t2"))
    assert second.high == pytest.approx(3 * first.high, rel=0.15)
    case["t2"] = shifted(case["t2"], 60.0)
    with pytest.raises(Refusal, match=r"E_PAIR_OVERLAP \[column t2\]"):
        preprocessing(two_channels(config)).prepare_source(case)


def test_a_shared_scale_is_the_other_column_s_own(volumes, config, preprocessing):
    case = volumes()
    case["ct"] = Volume(case["mr"].data * 2, case["mr"].grid)
    way = preprocessing(
        config(intensity={"mr": {"scale": "percentile"}, "ct": {"scale": "shared", "with": "mr"}})
    )
    trained = way.prepare_case(case)
    assert trained.codecs["ct"] == trained.codecs["mr"]
    assert way.prepare_source({"mr": case["mr"]}).target_codecs["ct"] == trained.codecs["mr"]
    assert way.jitter == (False,)
    assert preprocessing().jitter == (True,)


def test_z_scores_are_measured_on_the_body_of_each_volume(volumes, config, preprocessing):
    scales = {"mr": {"scale": "z_score", "deviations": 2}, "ct": {"scale": "cohort"}}
    way = preprocessing(config(intensity=scales), {"ct": (0.0, 500.0)})
    case = volumes()
    prepared = way.prepare_source(case)
    inside = prepared.source[0][prepared.body].astype(np.float64)
    assert inside.mean() == pytest.approx(0.0, abs=1e-5)
    assert inside.std() == pytest.approx(0.5, abs=1e-5)
    brighter = {"mr": case["mr"].with_data(50 * case["mr"].data)}
    np.testing.assert_allclose(way.prepare_source(brighter).source, prepared.source, atol=1e-4)
    assert way.jitter == (True,)


def test_a_cohort_scale_comes_from_the_run(volumes, config, preprocessing):
    cfg = config(intensity={"mr": {"scale": "percentile"}, "ct": {"scale": "cohort"}})
    way = preprocessing(cfg, {"ct": (0.0, 500.0)})
    codec = way.prepare_source(volumes()).target_codecs["ct"]
    assert (codec.low, codec.high, codec.clip) == (0.0, 500.0, False)


def labelled(case):
    """Return label values 3 inside, 1 in the shell, 0 in the air, on the case's grid."""
    values = np.where(case["mr"].data > 600, 3, np.where(case["mr"].data > 100, 1, 0))
    return Volume(values.astype(np.int16), case["mr"].grid)


SEGMENTED = {"roles": {"source": ["mr"], "label": ["seg"]}, "labels": {"inside": 3, "shell": 1}}


def test_labels_become_class_indices_in_the_order_of_their_values(volumes, config, preprocessing):
    case = volumes()
    case["seg"] = labelled(case)
    label = preprocessing(config(**SEGMENTED)).prepare_case(case).arrays["label"]
    assert label.dtype == np.uint8
    assert label.shape[0] == 1
    assert set(np.unique(label)) == {0, 1, 2}
    way = preprocessing(config(**SEGMENTED, preprocessing={"crop": "none"}))
    same = way.prepare_case(case).arrays["label"][0]
    assert np.array_equal(same, np.array([0, 1, 0, 2], np.uint8)[case["seg"].data])


def test_a_coarser_voxel_takes_the_class_that_fills_most_of_it(volumes, config, preprocessing):
    case = volumes(spacing=1.0)
    checkers = np.indices(case["mr"].grid.shape).sum(axis=0) % 4 > 0
    case["seg"] = Volume(
        np.where(case["mr"].data > 100, np.where(checkers, 3, 1), 0), case["mr"].grid
    )
    coarse = {"spacing_mm": [4.0, 4.0, 4.0]}
    prepared = preprocessing(config(**SEGMENTED, preprocessing=coarse)).prepare_case(case)
    label = prepared.arrays["label"]
    ones, twos = (label == 1).sum(), (label == 2).sum()
    assert twos > 20 * ones, "three voxels of four hold it, so nearly every coarse one"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda seg: seg + 0.5, r"E_LABEL_VALUES \[column seg\]: labels are not whole"),
        (lambda seg: seg - 1, r"E_LABEL_VALUES \[column seg\]: labels are not whole"),
        (lambda seg: seg * 2, r"E_LABEL_VALUES \[column seg\]: the label holds 2, 6, which"),
        (lambda seg: np.where(seg == 0, 3, 0), r"E_PAIR_OVERLAP \[column seg\]: only \d+%"),
    ],
)
def test_a_label_that_cannot_be_meant_is_refused(volumes, config, preprocessing, change, message):
    case = volumes()
    seg = labelled(case)
    case["seg"] = seg.with_data(change(seg.data))
    with pytest.raises(Refusal, match=message):
        preprocessing(config(**SEGMENTED)).prepare_case(case)


def test_an_odd_label_is_warned_of(volumes, config, preprocessing):
    case = volumes()
    way = preprocessing(config(**SEGMENTED))
    case["seg"] = labelled(case)
    assert way.prepare_case(case).warnings == ()
    case["seg"] = labelled(case).with_data(np.zeros_like(labelled(case).data))
    assert way.prepare_case(case).warnings == ("column seg: nothing is labelled",)
    grid = case["mr"].grid.crop((0, 0, 0), (20, 44, 36))
    case["seg"] = Volume(labelled(case).data[:20], grid)
    other, short = way.prepare_case(case).warnings
    assert other.startswith("column seg: lies on another grid than mr")
    assert "does not reach" in short


def test_a_labelled_case_learns_the_rim_too(volumes, config, preprocessing):
    case = volumes()
    case["seg"] = labelled(case)
    way = preprocessing(config(**SEGMENTED, preprocessing={"crop": "none"}))
    mask = way.prepare_case(case).arrays["mask"][0] > 0
    body = way.prepare_source(case).body
    assert (mask & ~body).any()
    assert (mask >= body).all()


def test_a_case_of_the_target_alone_is_laid_out_by_it(volumes, config, preprocessing):
    case = volumes()
    trained = preprocessing().prepare_case({"ct": case["ct"]})
    assert set(trained.arrays) == {"target", "mask", "body"}
    shared = {"mr": {"scale": "percentile"}, "ct": {"scale": "shared", "with": "mr"}}
    with pytest.raises(Refusal, match="E_SCALE_SHARED"):
        preprocessing(config(intensity=shared)).prepare_case({"ct": case["ct"]})


def test_refusals_name_the_column(volumes, config, preprocessing):
    case = volumes()
    empty = {**case, "mr": Volume(np.zeros_like(case["mr"].data), case["mr"].grid)}
    with pytest.raises(Refusal, match=r"E_EMPTY_BODY \[column mr\]"):
        preprocessing().prepare_source(empty)
    with pytest.raises(Refusal, match=r"E_COLUMN_EMPTY \[column mr\]"):
        preprocessing().prepare_source({"ct": case["ct"]})
    roles = {"source": ["mr"], "target": ["ct"], "mask": "m"}
    with pytest.raises(Refusal, match=r"E_COLUMN_EMPTY \[column m\]"):
        preprocessing(config(roles=roles)).prepare_case(case)
    case["m"] = Volume(np.zeros(case["mr"].grid.shape), case["mr"].grid)
    with pytest.raises(Refusal, match="E_EMPTY_MASK"):
        preprocessing(config(roles=roles)).prepare_case(case)


def test_much_clipping_is_a_warning(volumes, config, preprocessing):
    scales = {
        "mr": {"scale": "percentile"},
        "ct": {"scale": "window", "low": -1024, "high": 500, "unit": "HU"},
    }
    trained = preprocessing(config(intensity=scales)).prepare_case(volumes())
    assert len(trained.warnings) == 1
    assert "column ct" in trained.warnings[0]
    assert "[-1024, 500] HU" in trained.warnings[0]
    assert preprocessing().prepare_case(volumes()).warnings == ()


def test_a_percentile_scale_may_name_the_unit_that_its_files_lack(volumes, config, preprocessing):
    scales = {
        "mr": {"scale": "percentile", "unit": "SUV"},
        "ct": {"scale": "shared", "with": "mr"},
    }
    way = preprocessing(config(intensity=scales, preprocessing={"min_overlap": 0.0}))
    case = {column: volume.with_data(abs(volume.data)) for column, volume in volumes().items()}
    prepared = way.prepare_source({"mr": case["mr"]})
    assert prepared.target_codecs["ct"].unit == way.answer_unit({"mr": case["mr"]}) == "SUV"
    counted = {c: v.with_data(v.data, unit="counts") for c, v in case.items()}
    with pytest.raises(Refusal) as caught:
        way.prepare_case(counted)
    assert [(p.code, p.column) for p in caught.value.problems] == [
        ("E_UNIT", "mr"),
        ("E_UNIT", "ct"),
    ]
    nameless = preprocessing(config(intensity={**scales, "mr": {"scale": "percentile"}}))
    assert nameless.answer_unit(counted) == "counts"
