"""What every test stands on: one thread, no network, and data that may be missing."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: workers share the cores

import ipaddress
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("medgen", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("medgen")


def real_data_folder() -> Path | None:
    """Return the folder of real volumes that MEDGEN_REAL_DATA names, if there is one."""
    name = os.environ.get("MEDGEN_REAL_DATA", "")
    return Path(name) if name and Path(name).is_dir() else None


@pytest.fixture
def real_data() -> Path:
    """Return the folder of real volumes; the test is marked `real`."""
    folder = real_data_folder()
    assert folder is not None, "mark this test `real`: it is skipped where the data is missing"
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    no_data = pytest.mark.skip(reason="MEDGEN_REAL_DATA names no folder")
    no_gpu = pytest.mark.skip(reason="no CUDA device")
    data = real_data_folder() is not None
    for item in items:
        if "real" in item.keywords and not data:
            item.add_marker(no_data)
        if "gpu" in item.keywords and not _has_gpu():
            item.add_marker(no_gpu)


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that would leave this machine."""
    connect: Callable[..., Any] = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = str(address[0])
            if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
                raise AssertionError(f"a test tried to reach {host}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
