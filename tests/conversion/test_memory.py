from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import medgen.conversion.memory as module
from medgen.conversion.memory import free_bytes, ran_out, window_bytes
from medgen.dicom.values import quiet

CPU = torch.device("cpu")


def test_a_containers_limit_counts_without_its_cache_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("memory.max", "memory.current", "inactive_file")
    monkeypatch.setattr(module, "_CONTAINERS", ((str(tmp_path), *names), ("/no/such", *names)))
    whole = free_bytes(CPU)
    assert whole > 10**7
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("7000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 2500\n")
    assert free_bytes(CPU) > 10**7, "no limit"
    (tmp_path / "memory.max").write_text("10000\n")
    assert free_bytes(CPU) == 5500


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("size mismatch"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_memory_that_ran_out_is_told_from_other_errors(error: Exception, expected: bool) -> None:
    assert ran_out(error) is expected


def test_a_real_allocation_that_fails_is_recognised() -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011  # whatever torch raises
        torch.empty(2**55)
    assert ran_out(raised.value)


class _Net(nn.Module):
    """Two convolutions, of which both answers live while the second is computed."""

    search_steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv3d(1, 8, 1), nn.Conv3d(8, 2, 1))

    def infer(self, source: torch.Tensor, answer: str) -> torch.Tensor:
        found: torch.Tensor = self.layers(source)
        return found


def test_the_peak_of_a_window_is_what_lives_at_once() -> None:
    net: Any = _Net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with torch.no_grad():
        found = window_bytes(net, "forward", channels=1, size=(8, 9, 10), device=CPU)
        assert net.infer(torch.ones(1, 1, 2, 2, 2), "").abs().sum() > 0, "its weights are real"
    assert found == int(1.8 * 4 * 720 * (1 + 8 + 2))
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())


class _Choosy(_Net):
    def infer(self, source: torch.Tensor, answer: str) -> torch.Tensor:
        return source if source.sum() > 0 else -source


def test_a_method_that_asks_for_values_cannot_be_foreseen() -> None:
    net: Any = _Choosy()
    assert window_bytes(net, "forward", channels=1, size=(4, 4, 4), device=CPU) is None


def test_headers_that_another_thread_reads_meanwhile_stay_unsaid() -> None:
    reading, read = threading.Event(), threading.Event()

    def reader() -> None:
        with quiet():
            reading.set()
            read.wait(60)

    thread = threading.Thread(target=reader)

    class _Beside(_Net):
        def infer(self, source: torch.Tensor, answer: str) -> torch.Tensor:
            thread.start()
            assert reading.wait(60)
            return super().infer(source, answer)

    net: Any = _Beside()
    filters = list(warnings.filters)
    window_bytes(net, "forward", channels=1, size=(4, 4, 4), device=CPU)
    try:
        warnings.warn("PatientName: Doe", UserWarning, stacklevel=1)  # an error in tests if heard
    finally:
        read.set()
        thread.join()
    assert warnings.filters == filters
