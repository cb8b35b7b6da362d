from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.inferers import sliding_window_inference
from torch import Tensor
from torch.nn import functional as F

from medgen.conversion.blending import blend, pad
from medgen.conversion.tiling import plan_tiling

NOTHING = torch.zeros(1)


def identity(windows: Tensor) -> Tensor:
    return windows


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(*[st.integers(1, 30)] * 3),
    st.integers(2, 12),
    st.integers(0, 8),
    st.sampled_from([1, 2, 4]),
    st.sampled_from(["edge", "reflect"]),
    st.integers(1, 3),
)
def test_an_identity_returns_its_input(
    shape: tuple[int, int, int], patch: int, overlap: int, divisor: int, padding: str, batch: int
) -> None:
    source = noise(2, *shape).clamp(-1, 1)  # the encoded range, for which 1e-6 is meant
    before = source.clone()
    tiling = plan_tiling(shape, patch=[patch] * 3, overlap=overlap, divisor=divisor)
    answer, skipped = blend(
        source, tiling, identity, background=torch.zeros(2), padding=padding, batch=batch
    )
    assert skipped == 0
    assert torch.equal(source, before), "the source is only read"
    torch.testing.assert_close(answer, source, rtol=0, atol=1e-6)


@pytest.mark.parametrize("padding", ["edge", "reflect"])
def test_padding_equals_numpy(padding: str) -> None:
    source = noise(2, 9, 11, 13)
    tiling = plan_tiling((9, 11, 13), patch=(8, 8, 8), margin=3, divisor=8)
    widths = [(0, 0)] + [
        (axis.before + 3, axis.padded - axis.length - axis.before + 3) for axis in tiling.axes
    ]
    expected = np.pad(source.numpy(), widths, mode="edge" if padding == "edge" else "reflect")
    np.testing.assert_array_equal(pad(source, tiling, padding).numpy(), expected)


def test_reflection_of_a_thin_axis_continues_with_its_edge() -> None:
    source = noise(1, 2, 20, 20)
    tiling = plan_tiling((2, 20, 20), patch=(16, 16, 16), margin=2)
    padded = pad(source, tiling, "reflect")
    assert torch.equal(padded[:, 0, 2:-2, 2:-2], source[:, 0])
    assert torch.equal(padded[:, -1, 2:-2, 2:-2], source[:, -1])
    assert torch.equal(padded[:, :, 1, :], padded[:, :, 3, :]), "the others are reflected"


@settings(max_examples=10, deadline=None)
@given(st.tuples(*[st.integers(3, 26)] * 3), st.integers(4, 10), st.sampled_from([1, 2, 4]))
def test_a_valid_convolution_by_windows_equals_the_whole(
    shape: tuple[int, int, int], patch: int, divisor: int
) -> None:
    kernel = noise(1, 1, 5, 5, 5, seed=1)
    source = noise(1, *shape)
    tiling = plan_tiling(shape, patch=[patch] * 3, overlap=2, margin=2, divisor=divisor)
    answer, _ = blend(source, tiling, lambda x: F.conv3d(x, kernel), background=NOTHING)
    whole = F.conv3d(F.pad(source[None], [2] * 6, mode="replicate"), kernel)[0]
    torch.testing.assert_close(answer, whole, rtol=0, atol=2e-5)


def test_a_strided_method_meets_one_phase_everywhere() -> None:
    """Block means are only reproducible when every window starts on a multiple of the divisor."""

    def blocks(windows: Tensor) -> Tensor:
        return F.interpolate(F.avg_pool3d(windows, 4), scale_factor=4)

    source = noise(1, 40, 44, 48)
    tiling = plan_tiling((40, 44, 48), patch=(16, 16, 16), overlap=5, divisor=4)
    assert len(tiling) > 8
    answer, _ = blend(source, tiling, blocks, background=NOTHING)
    torch.testing.assert_close(answer, blocks(source[None])[0], rtol=0, atol=1e-5)


def test_windows_without_voxels_to_keep_are_never_computed() -> None:
    source = noise(1, 48, 16, 16)
    keep = torch.zeros(48, 16, 16, dtype=torch.bool)
    keep[40:44, 4:8, 4:8] = True
    seen: list[int] = []

    def count(windows: Tensor) -> Tensor:
        seen.append(len(windows))
        return windows

    tiling = plan_tiling(keep.shape, patch=(16, 16, 16), window=(16, 16, 16), overlap=0)
    answer, skipped = blend(source, tiling, count, background=torch.tensor([-7.0]), keep=keep)
    assert (sum(seen), skipped) == (1, 2)
    torch.testing.assert_close(answer[:, 32:], source[:, 32:], rtol=0, atol=1e-6)
    torch.testing.assert_close(answer[:, :32], torch.full((1, 32, 16, 16), -7.0))


def test_a_volume_without_voxels_to_keep_is_background() -> None:
    tiling = plan_tiling((20, 20, 20), patch=(16, 16, 16))
    keep = torch.zeros(20, 20, 20, dtype=torch.bool)
    answer, skipped = blend(
        noise(1, 20, 20, 20), tiling, identity, background=torch.tensor([1.0, 2.0]), keep=keep
    )
    assert skipped == len(tiling)
    torch.testing.assert_close(answer[1], torch.full((20, 20, 20), 2.0))


def test_blending_equals_monai_with_the_same_windows() -> None:
    """MONAI floors the product of its weights, so the axes' centre lines are compared."""

    def smooth(windows: Tensor) -> Tensor:
        return F.avg_pool3d(windows, 5, stride=1, padding=2)

    source = noise(1, 64, 32, 32)
    tiling = plan_tiling((64, 32, 32), patch=(32, 32, 32), window=(32, 32, 32), overlap=16)
    assert tiling.axes[0].starts == (0, 16, 32)
    ours, _ = blend(source, tiling, smooth, background=NOTHING)
    theirs = sliding_window_inference(
        source[None], (32, 32, 32), 2, smooth, overlap=0.5, mode="gaussian", sigma_scale=0.125
    )[0]
    centre = (slice(None), slice(None), slice(14, 18), slice(14, 18))
    torch.testing.assert_close(ours[centre], theirs[centre], rtol=0, atol=1e-5)


def test_bf16_answers_are_summed_in_fp32() -> None:
    source = torch.full((1, 40, 40, 40), 0.7)
    tiling = plan_tiling((40, 40, 40), patch=(16, 16, 16), window=(16, 16, 16), overlap=8)
    answer, _ = blend(source, tiling, lambda x: x.bfloat16(), background=NOTHING)
    assert answer.dtype == torch.float32
    expected = torch.tensor(0.7).bfloat16().float().item()
    assert (answer - expected).abs().max() < 1e-6


def test_an_answer_of_another_shape_is_an_error() -> None:
    tiling = plan_tiling((8, 8, 8), patch=(8, 8, 8))
    with pytest.raises(ValueError, match="answered"):
        blend(noise(1, 8, 8, 8), tiling, lambda x: x[..., 1:], background=NOTHING)


def test_progress_counts_windows_and_may_stop() -> None:
    tiling = plan_tiling((30, 10, 10), patch=(10, 10, 10), window=(10, 10, 10), overlap=0)
    calls: list[tuple[int, int]] = []

    def stop_after_two(done: int, total: int) -> None:
        calls.append((done, total))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        blend(noise(1, 30, 10, 10), tiling, identity, background=NOTHING, progress=stop_after_two)
    assert calls == [(1, 3), (2, 3)]
