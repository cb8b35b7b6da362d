"""How many bytes of tensors live at one time, found without computing anything.

Operations run on fake tensors, which have shapes and lifetimes but no values; no formula knows the
network.
"""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedFakeTensorException,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

WORKSPACE = 1.8
"""Peak of a process over the live tensors: layouts that kernels reorder into, and fragments.

Measured on a CPU as the peak memory of real steps, 1.4 to 1.9 over patches of 64 and 96 voxels,
widths 16 and 32 and both precisions: benchmarks/plan.md. On CUDA it was not measured; its kernels
reorder and its allocator fragments as well, and the factor is the same.
"""

NEEDS_VALUES = (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedFakeTensorException,
)
"""What an operation raises that asks a fake tensor for a value."""


class Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count the bytes of all storages that operations bring to life, until they die; and FLOPs.

    Not by torch's own counter of FLOPs: its hooks on modules keep what checkpointing recomputes.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self.flops = 0.0
        self._known: dict[int, weakref.ref[Any]] = {}

    def watch(self, tensor: Tensor) -> None:
        """Count a tensor's storage from now on; once, however many tensors share it."""
        storage = tensor.untyped_storage()
        key, size = id(storage), storage.nbytes()
        if key in self._known:
            return
        self.now += size
        self.peak = max(self.peak, self.now)

        def died(_: weakref.ref[Any]) -> None:
            self.now -= size
            self._known.pop(key, None)

        self._known[key] = weakref.ref(storage, died)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if (arithmetic := flop_registry.get(func.overloadpacket)) is not None:
            self.flops += arithmetic(*args, **kwargs, out_val=result)
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.watch(leaf)
        return result
