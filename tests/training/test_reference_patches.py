"""Reference patches: where they lie, and which of them is nearest."""

from collections.abc import Sequence

import numpy as np
import pytest

from medgen.data import CachedCase
from medgen.training import reference_patches
from medgen.training.reference_patches import around, nearest, scattered
from medgen.volumes import Grid

SHAPE = (12, 14, 10)
BODY = (slice(2, 11), slice(1, 12), slice(0, 9))
SIZE = (4, 4, 4)


def make_case(seed: int, shape: tuple[int, int, int] = SHAPE) -> CachedCase:
    rng = np.random.default_rng(seed)
    body = np.zeros((1, *shape), np.uint8)
    body[0][BODY] = 1
    arrays = {
        "source": rng.uniform(-1, 1, (2, *shape)).astype(np.float32),
        "body": body,
        "mask": body,
        "inside": np.flatnonzero(body[0]).astype(np.int32),
    }
    return CachedCase(f"c{seed}", arrays, {}, Grid(shape, np.eye(4)), (True, True))


@pytest.fixture
def cases() -> Sequence[CachedCase]:
    return [make_case(seed) for seed in range(3)]


def test_spots_are_fixed_by_the_seed_and_every_case_has_as_many(
    cases: Sequence[CachedCase],
) -> None:
    state = np.random.get_state()[1].copy()  # type: ignore[union-attr]
    found, again, other = (
        scattered(cases, SIZE, 12, inside_mask=0.9, seed=seed) for seed in ((1, 0), (1, 0), (2, 0))
    )
    assert found.spots == again.spots != other.spots
    assert [spot.case for spot in found.spots] == [0, 1, 2] * 4
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # type: ignore[index]


def test_a_patch_is_cut_from_its_spot(cases: Sequence[CachedCase]) -> None:
    found = scattered(cases, SIZE, 6, inside_mask=1.0, seed=(0,))
    for number, (case, start) in enumerate(found.spots):
        x, y, z = start
        expected = cases[case].arrays["source"][:, x : x + 4, y : y + 4, z : z + 4]
        np.testing.assert_array_equal(found.read(number), expected)


def test_parts_are_all_patches_in_order(
    cases: Sequence[CachedCase], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = scattered(cases, SIZE, 7, inside_mask=1.0, seed=(0,))
    monkeypatch.setattr(reference_patches, "CHUNK_BYTES", 3 * found.read(0).nbytes)
    parts = list(found.chunks())
    assert [first for first, _ in parts] == [0, 3, 6]
    np.testing.assert_array_equal(np.concatenate([part for _, part in parts]), found.first(7))


def test_a_place_runs_from_one_end_of_the_body_to_the_other(cases: Sequence[CachedCase]) -> None:
    found = around(cases, (3, 3, 3), np.zeros(3), 2)
    assert [spot.case for spot in found.spots] == [0, 1]
    assert found.spots[0].start == (5, 5, 3)  # the body's middle is voxel 6, 6, 4
    np.testing.assert_allclose(found.places(), 0, atol=1e-6)
    np.testing.assert_allclose(around(cases, (3, 3, 3), np.ones(3), 1).places()[0, 0], 1.0)


@pytest.mark.parametrize("size", [(4, 4, 4), (5, 3, 1), (4, 14, 3)])
def test_a_patch_around_a_place_says_that_place(
    cases: Sequence[CachedCase], size: tuple[int, int, int]
) -> None:
    spread = scattered(cases, size, 9, inside_mask=1.0, seed=(3,))
    for number, where in enumerate(spread.places()):
        found = around(cases, size, where, 3)
        assert found.spots[0].start == spread.spots[number].start
        np.testing.assert_allclose(found.places(), np.repeat(where[None], 3, 0), atol=1e-5)


def test_a_small_volume_goes_on_at_its_border() -> None:
    found = scattered([make_case(0)], (12, 14, 16), 1, inside_mask=1.0, seed=(0,))
    patch = found.read(0)
    assert patch.shape == (2, 12, 14, 16)
    np.testing.assert_array_equal(patch[..., 0], patch[..., 2])
    assert around([make_case(0)], (12, 14, 16), np.zeros(3), 1).read(0).shape == patch.shape


def test_the_nearest_is_what_a_search_by_hand_finds(
    cases: Sequence[CachedCase], monkeypatch: pytest.MonkeyPatch
) -> None:
    references = scattered(cases, SIZE, 20, inside_mask=0.5, seed=(1,))
    monkeypatch.setattr(reference_patches, "CHUNK_BYTES", 6 * references.read(0).nbytes)
    images = np.random.default_rng(0).uniform(-1, 1, (5, 2, *SIZE)).astype(np.float32)
    found = nearest(images, references, flip_axes=(0, 2))
    every = references.first(20)
    for image, distance, patch in zip(images, found.distances, found.patches, strict=True):
        gaps = []
        for axes in ((), (2,), (4,), (2, 4)):
            flipped = np.flip(every, axes)
            gaps += [(float(((image - one) ** 2).mean() ** 0.5), one) for one in flipped]
        least, one = min(gaps, key=lambda gap: gap[0])
        assert distance == pytest.approx(least, rel=1e-6)
        np.testing.assert_array_equal(patch, one)


def test_a_copy_is_found_though_it_is_mirrored(cases: Sequence[CachedCase]) -> None:
    references = scattered(cases, SIZE, 20, inside_mask=0.5, seed=(1,))
    copy = np.flip(references.read(13), 1)[None]
    assert nearest(copy, references, flip_axes=(0,)).distances[0] == 0.0
    assert nearest(copy, references).distances[0] > 0.1


def test_a_search_can_be_stopped(cases: Sequence[CachedCase]) -> None:
    references = scattered(cases, SIZE, 20, inside_mask=0.5, seed=(1,))

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nearest(references.first(2), references, check=stop)
