from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from medgen.config import Augmentation
from medgen.data import Batches, CachedCase, Group, prefetch
from medgen.volumes import Grid

SHAPE = (20, 24, 16)
PAIR = frozenset({"source", "target", "mask", "label"})
STILL = Augmentation(flip_axes=(), rotate_degrees=0, intensity=0)


def make_case(index: int, shape: tuple[int, int, int] = SHAPE, channels: int = 1) -> CachedCase:
    """Return a case whose arrays are all functions of the place, so that crops can be compared."""
    rng = np.random.default_rng(index)
    source = rng.uniform(-1, 1, (channels, *shape)).astype(np.float32)
    mask = np.zeros((1, *shape), dtype=np.uint8)
    mask[:, 5:15, 8:18, 4:12] = 1
    arrays = {
        "source": source,
        "target": source[:1] * 0.5,
        "label": (source[:1] > 0).astype(np.uint8) * 2,
        "mask": mask,
        "inside": np.flatnonzero(mask).astype(np.int32),
    }
    return CachedCase(f"c{index}", arrays, {}, Grid(shape, np.eye(4)), (True,) * channels)


def make_batches(*, keys: frozenset[str] = PAIR, cases: int = 3, **options) -> Batches:
    defaults = {"patch": (8, 8, 8), "batch_size": 2, "augment": STILL, "seed": 7}
    group = Group(keys, [make_case(index) for index in range(cases)])
    return Batches([group], **{**defaults, **options})


def equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def test_shapes_and_types():
    batch = make_batches(margin=3).batch(0)
    assert set(batch) == PAIR
    for key, values in batch.items():
        assert values.shape == (2, 1, 14, 14, 14)
        assert values.is_contiguous()
        assert values.dtype == (torch.int64 if key == "label" else torch.float32)


@pytest.mark.parametrize("augment", [None, STILL, Augmentation(rotate_degrees=10, scale=0.1)])
def test_a_batch_is_a_function_of_seed_step_and_rank(augment):
    batches = make_batches(augment=augment)
    expected = batches.batch(5, rank=1, world=2)
    torch.manual_seed(123)
    batches.batch(6)
    assert equal(batches.batch(5, rank=1, world=2), expected)
    assert equal(make_batches(augment=augment).batch(5, rank=1, world=2), expected)
    assert not equal(batches.batch(5, rank=0), expected)
    assert not equal(batches.batch(4, rank=1, world=2), expected)
    assert not equal(make_batches(augment=augment, seed=8).batch(5, rank=1, world=2), expected)


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_out_what_one_process_draws_in_a_larger_batch(world):
    """Also over the end of a round: five cases, and no process sees one that is another's."""
    size = 2
    shared = make_batches(cases=5, augment=Augmentation(), batch_size=size)
    whole = make_batches(cases=5, augment=Augmentation(), batch_size=size * world)
    for step in range(4):
        parts = [shared.batch(step, rank, world=world) for rank in range(world)]
        joined = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
        assert equal(joined, whole.batch(step))


def test_a_rank_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="rank 2 is none of 2"):
        make_batches().batch(0, rank=2, world=2)


def test_prefetching_changes_nothing():
    batches = make_batches(augment=Augmentation())
    threaded = list(prefetch(batches.batch, 3, 9, workers=3))
    assert all(equal(batch, batches.batch(step)) for step, batch in enumerate(threaded, start=3))
    assert not any(t.name.startswith("medgen-prefetch") for t in threading.enumerate())


@pytest.mark.parametrize("augment", [STILL, Augmentation(flip_axes=(0, 1, 2), rotate_degrees=0)])
def test_the_keys_of_a_group_show_the_same_place(augment):
    batches = make_batches(augment=Augmentation(**{**augment.model_dump(), "intensity": 0}))
    for step in range(10):
        batch = batches.batch(step)
        assert torch.allclose(batch["target"], batch["source"] * 0.5)
        assert torch.equal(batch["label"], (batch["source"] > 0).long() * 2)


def test_a_turn_is_the_same_for_every_image():
    batch = make_batches(augment=Augmentation(rotate_degrees=30, scale=0.1, intensity=0)).batch(1)
    assert torch.allclose(batch["target"], batch["source"] * 0.5, atol=1e-6)
    assert set(batch["mask"].unique().tolist()) <= {0.0, 1.0}
    assert set(batch["label"].unique().tolist()) <= {0, 2}


def test_every_round_visits_each_case_once():
    batches = make_batches(cases=5, batch_size=1, keys=frozenset({"source"}))
    arrays = [make_case(index).arrays["source"] for index in range(5)]

    def drawn(step: int) -> int:
        patch = batches.batch(step)["source"].numpy()
        return next(i for i, values in enumerate(arrays) if np.isin(patch.ravel()[0], values))

    rounds = [[drawn(5 * r + i) for i in range(5)] for r in range(3)]
    assert all(sorted(cases) == list(range(5)) for cases in rounds)
    assert len({tuple(cases) for cases in rounds}) > 1


def test_patches_are_centred_in_the_mask():
    batches = make_batches(inside_mask=1.0, patch=(1, 1, 1), batch_size=8)
    assert all(bool(batches.batch(step)["mask"].all()) for step in range(5))
    anywhere = make_batches(inside_mask=0.0, patch=(1, 1, 1), batch_size=8)
    share = torch.stack([anywhere.batch(step)["mask"] for step in range(40)]).mean()
    assert float(share) == pytest.approx(800 / np.prod(SHAPE), abs=0.08)


def test_a_volume_smaller_than_the_patch_is_padded():
    batch = make_batches(patch=(24, 24, 24)).batch(0)
    assert batch["source"].shape == (2, 1, 24, 24, 24)
    assert torch.equal(batch["source"][..., 0, :, :], batch["source"][..., 2, :, :])
    assert not batch["mask"][..., :2, :, :].any()
    assert not batch["label"][..., :2, :, :].any()


def test_intensity_changes_percentile_sources_only():
    case = make_case(0, channels=2)
    still = CachedCase(case.case, case.arrays, {}, case.grid, (True, False))
    options = {"patch": (8, 8, 8), "batch_size": 1, "seed": 0}
    group = [Group(PAIR, [still])]
    changed = Batches(
        group, augment=Augmentation(flip_axes=(), rotate_degrees=0, intensity=0.2), **options
    ).batch(0)
    plain = Batches(group, augment=STILL, **options).batch(0)
    assert not torch.equal(changed["source"][:, 0], plain["source"][:, 0])
    assert torch.equal(changed["source"][:, 1], plain["source"][:, 1])
    assert torch.equal(changed["target"], plain["target"])


def test_unpaired_groups_are_zipped_and_independent():
    source = Group(frozenset({"source"}), [make_case(0), make_case(1)])
    target = Group(frozenset({"target"}), [make_case(2)])
    options = {"patch": (4, 4, 4), "batch_size": 2}
    batch = Batches([source, target], **options).batch(0)
    assert set(batch) == {"source", "target"}
    assert torch.equal(batch["source"], Batches([source], **options).batch(0)["source"])


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([], "no group"),
        ([Group(PAIR, [])], "no case"),
        ([Group(frozenset({"other"}), [make_case(0)])], "c0 has no other"),
        ([Group(PAIR, [make_case(0)]), Group(frozenset({"mask"}), [make_case(0)])], "two groups"),
    ],
)
def test_wrong_groups_are_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        Batches(groups, patch=(4, 4, 4), batch_size=1)


def labelled_case(index: int) -> CachedCase:
    """Return a case with 40 voxels of class 1 and 2 of class 3, and none of class 2."""
    plain = make_case(index)
    label = np.zeros((1, *SHAPE), dtype=np.uint8)
    label[0, 6:10, 9:11, 5:10] = 1
    label[0, 14, 17, 10:12] = 3
    flat = [np.flatnonzero(label == value).astype(np.int32) for value in (1, 2, 3)]
    arrays = {**plain.arrays, "label": label, "labelled": np.concatenate(flat)}
    counts = tuple(len(found) for found in flat)
    return CachedCase(plain.case, arrays, {}, plain.grid, plain.jitter, class_counts=counts)


def centres(foreground: float, keys: frozenset[str]) -> list[int]:
    """Return the class in the middle of 300 patches of one voxel's reach."""
    batches = Batches(
        [Group(keys, [labelled_case(0)])],
        patch=(1, 1, 1),
        batch_size=1,
        inside_mask=1.0,
        foreground=foreground,
        augment=STILL,
        seed=3,
    )
    return [int(batches.batch(step)["label"][0, 0, 0, 0, 0]) for step in range(300)]


def test_every_class_of_a_case_is_centred_on_as_often():
    found = centres(1.0, frozenset({"source", "label"}))
    assert set(found) == {1, 3}
    assert 100 < found.count(3) < 200, "two voxels are drawn as often as forty"


def test_the_rest_is_drawn_from_the_mask():
    found = centres(0.5, frozenset({"source", "label"}))
    assert 90 < found.count(0) < 190
    assert centres(0.0, frozenset({"source", "label"})).count(0) > 250


def test_a_group_that_reads_no_label_does_not_look_for_classes():
    plain = Group(frozenset({"source"}), [make_case(0)])
    labelled = Group(frozenset({"source"}), [labelled_case(0)])
    options = {"patch": (8, 8, 8), "batch_size": 2, "augment": STILL, "seed": 1}
    assert equal(Batches([plain], **options).batch(4), Batches([labelled], **options).batch(4))


def test_no_voxel_is_only_ever_context():
    """A corner is answered too, within a margin that goes on beyond the border by its edge."""
    case = make_case(0)
    corner = case.arrays["source"][0, 0, 0, 0]
    batches = make_batches(cases=1, margin=3, inside_mask=0.0)
    answered = [
        patch[0, 3:-3, 3:-3, 3:-3] for step in range(60) for patch in batches.batch(step)["source"]
    ]
    first = next(patch for patch in answered if float(patch[0, 0, 0]) == corner)
    np.testing.assert_array_equal(first.numpy(), case.arrays["source"][0, :8, :8, :8])
    whole = next(
        patch
        for step in range(60)
        for patch in batches.batch(step)["source"]
        if float(patch[0, 3, 3, 3]) == corner
    )
    assert (whole[0, :4, 3, 3] == float(corner)).all(), "as conversion pads"


def test_two_domains_each_bring_the_body_of_their_own_case():
    def with_body(index: int, key: str) -> CachedCase:
        whole = make_case(index)
        kept = {name: whole.arrays[name] for name in ("mask", "inside")}
        body = (np.abs(whole.arrays["source"]) < 0.5).astype(np.uint8)
        return CachedCase(
            whole.case,
            {key: whole.arrays["source"], "body": body, **kept},
            {},
            whole.grid,
            (False,),
        )

    groups = [
        Group(frozenset({key, f"{key}_body"}), [with_body(index, key) for index in cases])
        for key, cases in (("source", (0, 1)), ("target", (2, 3, 4)))
    ]
    turned = Augmentation(flip_axes=(0, 1), rotate_degrees=0, intensity=0.0)
    batch = Batches(groups, patch=(8, 8, 8), batch_size=4, augment=turned, seed=3).batch(5)
    assert set(batch) == {"source", "source_body", "target", "target_body"}
    for key in ("source", "target"):
        assert batch[f"{key}_body"].dtype == torch.float32
        assert torch.equal(batch[f"{key}_body"], (batch[key].abs() < 0.5).float())
    assert not torch.equal(batch["source"], batch["target"])


def test_a_case_without_a_body_is_refused():
    case = make_case(0)
    with pytest.raises(ValueError, match="has no body"):
        Batches(
            [Group(frozenset({"source", "source_body"}), [case])], patch=(8, 8, 8), batch_size=1
        )
