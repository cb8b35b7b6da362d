from pathlib import Path

import pytest
import torch

from medgen.planning import budget as module
from medgen.planning import budget_of
from medgen.planning.budget import GB, KEPT_FREE, RAM_SHARE, machine_bytes
from medgen.problems import ConfigurationError

no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


def test_the_memory_asked_for_wins() -> None:
    found = budget_of(memory_gb=8.0, device="cpu", precision="fp32")
    assert found.total_bytes == 8 * GB
    assert found.usable_bytes == pytest.approx(8 * GB * (1 - KEPT_FREE))
    assert (found.device_type, found.precision) == ("cpu", "fp32")
    assert "--memory" in found.origin


@no_cuda
def test_without_a_gpu_a_share_of_the_machine() -> None:
    found = budget_of(memory_gb=None, device="auto", precision="auto")
    assert found.device_type == "cpu"
    assert found.total_bytes == int(machine_bytes() * RAM_SHARE)
    assert "half of the machine's" in found.origin


@no_cuda
def test_a_gpu_elsewhere_can_be_planned_for_with_its_memory() -> None:
    found = budget_of(memory_gb=24.0, device="cuda", precision="auto")
    assert (found.device_type, found.precision) == ("cuda", "bf16")
    assert "elsewhere" in found.origin
    with pytest.raises(ConfigurationError, match=r"E_DEVICE.*--memory"):
        budget_of(memory_gb=None, device="cuda", precision="auto")


@pytest.mark.parametrize("memory", [0.0, -1.0, float("nan"), float("inf"), 1e6])
def test_memory_is_a_number_of_gigabytes(memory: float) -> None:
    with pytest.raises(ConfigurationError, match="E_PLAN_MEMORY"):
        budget_of(memory_gb=memory, device="cpu", precision="auto")


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="E_DEVICE"):
        budget_of(memory_gb=8.0, device="abacus", precision="auto")


def test_a_container_may_have_less_than_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = machine_bytes()
    limit, none = tmp_path / "limit", tmp_path / "none"
    limit.write_text(f"{whole // 2}\n")
    none.write_text("max\n")
    monkeypatch.setattr(module, "_CONTAINER_LIMITS", (str(none), str(limit), "/no/such/file"))
    assert machine_bytes() == whole // 2
