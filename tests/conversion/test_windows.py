"""What is given up where memory does not do, and that the answer is none the worse counted."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import medgen.conversion.windows as module
from medgen.config import ConvertConfig
from medgen.conversion.windows import Windowed, Windows
from medgen.method import Answer, Batch, Clock, Losses, Method, Minimize, OptimizerSpec
from medgen.problems import Refusal


class Tight(Method):
    """A method that runs out of memory wherever `fits` says no."""

    answering: ClassVar[frozenset[str]] = frozenset({"network"})
    windows_at_once = 4
    minimum_patch = 4
    divisor = 4

    def __init__(
        self, fits: Callable[[Tensor], bool], error: Callable[[], Exception] = MemoryError
    ) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Conv3d(1, 1, 1), nn.InstanceNorm3d(1))
        self.fits, self.error = fits, error
        self.seen: list[tuple[int, ...]] = []

    @property
    def reads(self) -> tuple[frozenset[str], ...]:
        return (frozenset({"source", "target"}),)

    @property
    def answers(self) -> Mapping[str, Answer]:
        return {"forward": Answer("image", "source", "target")}

    def players(self) -> dict[str, nn.Module]:
        return {"network": self.network}

    def optimizers(self) -> Mapping[str, OptimizerSpec]:
        return {}

    def train_step(self, batch: Batch, minimize: Minimize, clock: Clock) -> Losses:
        return {}

    def infer(self, source: Tensor, answer: str = "forward") -> Tensor:
        if not self.fits(source):
            raise self.error()
        self.seen.append(tuple(source.shape))
        return source * 2


class Rimless(Tight):
    """A net of two convolutions, for which windows of any size will do."""

    windows_at_once = 1

    def __init__(self) -> None:
        super().__init__(lambda windows: True)
        self.network = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(4, 1, 3, padding=1))

    def infer(self, source: Tensor, answer: str = "forward") -> Tensor:
        self.seen.append(tuple(source.shape))
        found: Tensor = self.network(source)
        return found


def source(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)


def windows_of(method: Method, *, device: str = "cpu", **settings: Any) -> Windows:
    limit = settings.pop("limit_bytes", None)
    return Windows(
        method.eval(),
        "forward",
        ConvertConfig.model_validate({"overlap_voxels": 4, "window": (16, 16, 16), **settings}),
        torch.device(device),
        "fp32",
        (16, 16, 16),
        limit,
    )


def answered(windows: Windows, image: np.ndarray[Any, Any], **more: Any) -> Windowed:
    return windows(image, background=np.full(1, -1, np.float32), **more)


ERRORS: list[Callable[[], Exception]] = [
    MemoryError,
    lambda: torch.OutOfMemoryError("CUDA out of memory"),
    lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 4 bytes"),
]


@pytest.mark.parametrize("error", ERRORS)
def test_first_the_batch_is_halved(error: Callable[[], Exception]) -> None:
    method = Tight(lambda windows: len(windows) <= 1, error)
    image = source(40, 20, 20)
    found = answered(windows_of(method), image)
    assert found.spared == (
        "memory ran out: 2 windows at once, not 4",
        "memory ran out: 1 windows at once, not 2",
    )
    assert {shape[0] for shape in method.seen} == {1}
    np.testing.assert_allclose(found.encoded.numpy(), 2 * image, atol=1e-5)


def test_then_the_window_along_its_longest_axis() -> None:
    method = Tight(lambda windows: windows.numel() <= 16 * 8 * 8)
    image = source(40, 20, 20)
    found = answered(windows_of(method), image)
    assert found.spared[-2:] == (
        "memory ran out: windows of 8 x 16 x 16 voxels, not 16 x 16 x 16",
        "memory ran out: windows of 8 x 8 x 16 voxels, not 8 x 16 x 16",
    )
    assert found.tiling.window == (8, 8, 16)
    np.testing.assert_allclose(found.encoded.numpy(), 2 * image, atol=1e-5)


def test_what_was_summed_before_memory_ran_out_is_not_counted_twice() -> None:
    calls = itertools.count()
    method = Tight(lambda windows: next(calls) != 3)
    method.windows_at_once = 2
    image = source(60, 20, 20)
    told: list[tuple[int, int]] = []
    found = answered(windows_of(method), image, progress=lambda *done: told.append(done))
    assert len(found.spared) == 1
    assert told[2][0] == 6
    assert told[3][0] == 1, "it begins anew"
    np.testing.assert_allclose(found.encoded.numpy(), 2 * image, atol=1e-5)


def test_a_window_of_one_size_is_not_halved() -> None:
    method = Tight(lambda windows: False)
    method.window = (16, 16, 16)
    with pytest.raises(Refusal, match=r"E_MEMORY.* 16 x 16 x 16"):
        answered(windows_of(method), source(20, 20, 20))


def test_a_window_is_no_smaller_than_the_method_takes() -> None:
    tried: list[tuple[int, ...]] = []
    method = Tight(lambda windows: bool(tried.append(tuple(windows.shape[2:]))))
    with pytest.raises(Refusal, match=r"4 x 4 x 4"):
        answered(windows_of(method), source(20, 20, 20))
    assert min(min(shape) for shape in tried) == 4


def test_another_error_goes_through() -> None:
    method = Tight(lambda windows: False, lambda: RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        answered(windows_of(method), source(20, 20, 20))


def test_at_last_the_processor_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device that never has memory; torch's meta device stands for it."""
    moves: list[str] = []

    def to(device: torch.device) -> None:
        moves.append(device.type)

    method = Tight(lambda windows: windows.device.type == "cpu")
    monkeypatch.setattr(method, "to", to)
    monkeypatch.setattr(Windows, "_held", lambda self, task, device: torch.device("cpu"))
    monkeypatch.setattr(module, "free_bytes", lambda device: 10**12)
    monkeypatch.setattr(module, "window_bytes", lambda *_, **__: None)
    monkeypatch.setattr(torch, "autocast", _Nothing)
    image = source(40, 20, 20)
    found = answered(windows_of(method, device="meta"), image)
    assert found.spared == ("memory ran out: answered on the CPU, not on meta",)
    assert found.tiling.window == (16, 16, 16), "as at first"
    assert moves == ["cpu", "meta"], "there and back"
    np.testing.assert_allclose(found.encoded.numpy(), 2 * image, atol=1e-5)


class _Nothing:
    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def both(window_bytes: float) -> int:
    """Return the limit of which windows may take so much: half is left to other cases."""
    return 2 * int(window_bytes)


def test_a_limit_bounds_batch_and_window_from_the_outset() -> None:
    """What is answered takes as many bytes again, and both are counted 1.8 times."""
    method = Tight(lambda windows: True)
    image = source(40, 20, 20)
    held = 2 * image.nbytes
    window = 1.8 * 2 * 4 * 16**3
    assert answered(windows_of(method, limit_bytes=both(held + 5 * window)), image).spared == ()
    assert max(shape[0] for shape in method.seen) == 4
    method.seen.clear()
    assert answered(windows_of(method, limit_bytes=both(held + 2.5 * window)), image).spared == ()
    assert max(shape[0] for shape in method.seen) == 2, "which costs time alone"
    method.seen.clear()
    found = answered(windows_of(method, limit_bytes=both(held + 0.6 * window)), image)
    assert len(found.spared) == 1
    assert found.spared[0].endswith("of the limit: windows of 8 x 16 x 16 voxels, not 16 x 16 x 16")
    np.testing.assert_allclose(found.encoded.numpy(), 2 * image, atol=1e-5)


def test_a_net_of_small_reach_answers_a_volume_at_once() -> None:
    method = Rimless()
    image = source(42, 30, 19)
    found = answered(windows_of(method, window="auto"), image)
    assert method.seen[-1] == (1, 1, 44, 32, 20)
    assert (found.spared, len(found.tiling)) == ((), 1)
    limited = answered(windows_of(method, window="auto", limit_bytes=1_400_000), image)
    assert len(limited.tiling) > 1
    assert limited.spared == (), "other windows answer the same"
    torch.testing.assert_close(limited.encoded, _whole(method, image, limited), rtol=0, atol=1e-5)


def _whole(method: Rimless, image: np.ndarray[Any, Any], found: Windowed) -> Tensor:
    from medgen.conversion.blending import pad

    with torch.no_grad():
        whole: Tensor = method.network(pad(torch.from_numpy(image), found.tiling, "edge")[None])[0]
    return whole[(slice(None), *found.tiling.inner)]


def test_windows_lie_over_what_is_to_be_answered() -> None:
    method = Tight(lambda windows: True)
    image = source(80, 80, 80)
    keep = np.zeros((80, 80, 80), dtype=np.bool_)
    keep[33:49, 60:76, 2:18] = True
    found = answered(windows_of(method), image, keep=keep)
    assert method.seen == [(1, 1, 16, 16, 16)]
    np.testing.assert_allclose(found.encoded[0][keep], 2 * image[0][keep], atol=1e-6)
    assert (found.encoded[0][:33] == -1).all(), "elsewhere is background"


def test_windows_longer_than_the_box_see_the_volume_and_not_its_padding() -> None:
    seen: list[Tensor] = []
    method = Tight(lambda windows: not seen.append(windows.clone()))
    image = source(40, 40, 40)
    keep = np.zeros((40, 40, 40), dtype=np.bool_)
    keep[:5, 20:24, 35:] = True
    answered(windows_of(method), image, keep=keep)
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0][0, 0], image[0, :16, 14:30, 24:])


@pytest.mark.parametrize("limit_bytes", [None, 600_000, 100_000])
def test_a_net_of_small_reach_sees_what_lies_around_the_box(limit_bytes: int | None) -> None:
    """Windows that began where the box does would meet zeros where the volume goes on."""
    method = Rimless()
    image = source(40, 30, 24)
    keep = np.zeros(image.shape[1:], dtype=np.bool_)
    keep[9:33, :22, 20:] = True  # inside, at one border, at the other
    found = answered(windows_of(method, window="auto", limit_bytes=limit_bytes), image, keep=keep)
    assert (len(found.tiling) > 1) == (limit_bytes is not None)
    with torch.no_grad():
        whole = method.network(torch.from_numpy(image)[None])[0, 0].numpy()
    np.testing.assert_allclose(found.encoded[0].numpy()[keep], whole[keep], atol=1e-5)


def test_what_a_window_takes_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for every case and every pass of an uncertainty: it takes tenths of a second."""
    tried: list[int] = []

    def tell(*_: Any, size: list[int], **__: Any) -> int:
        tried.append(1)
        return 8 * math.prod(size)

    monkeypatch.setattr(module, "window_bytes", tell)
    method = Tight(lambda windows: True)
    windows = windows_of(method, limit_bytes=10**9)
    for _ in range(2):
        assert answered(windows, source(40, 20, 20)).spared == ()
    assert len(tried) == 1
    method.network.train()  # as dropout is made to work
    answered(windows, source(40, 20, 20))
    assert len(tried) == 2


@pytest.fixture
def failing_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_(function: Any, **_: Any) -> Any:
        def fail(windows: Tensor) -> Tensor:
            raise RuntimeError("no compiler")

        return fail

    monkeypatch.setattr(torch, "compile", compile_)


@pytest.mark.usefixtures("failing_compiler")
def test_where_compiling_fails_it_is_done_without() -> None:
    image = source(40, 20, 20)
    found = answered(windows_of(Tight(lambda windows: True), compile=True), image)
    assert found.spared == ("not compiled, since compiling failed (RuntimeError)",)
    np.testing.assert_allclose(found.encoded.numpy(), 2 * image, atol=1e-5)


def test_compiled_code_meets_batches_of_one_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    method = Tight(lambda windows: True)
    image = source(60, 16, 16)
    found = answered(windows_of(method, compile=True), image)
    assert len(found.tiling) % 4 != 0
    assert {shape[0] for shape in method.seen} == {4}
    np.testing.assert_allclose(found.encoded.numpy(), 2 * image, atol=1e-5)


def test_compiled_code_meets_windows_of_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every volume would be compiled for, a minute or more."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    for method in (Tight(lambda windows: True), Rimless()):
        for shape in ((36, 36, 36), (42, 30, 19)):
            windows = windows_of(method, window="auto", compile=True)
            assert answered(windows, source(*shape)).tiling.window == (16, 16, 16)


def test_windows_of_norms_stretch_where_that_saves_some() -> None:
    """Two of 20 voxels reach over 36 with an overlap of 4; of 16 it takes three."""
    method = Tight(lambda windows: True)
    image = source(36, 36, 36)
    assert answered(windows_of(method, window="auto"), image).tiling.window == (20, 20, 20)
    assert answered(windows_of(method), image).tiling.window == (16, 16, 16)
    roomy = source(28, 28, 28)
    assert answered(windows_of(method, window="auto"), roomy).tiling.window == (16, 16, 16)
