"""How far the edges of a window show in its answer: the rim within which windows disagree.

A net of convolutions answers a voxel from the voxels around it. What lies beyond a window it makes
up (zeros, reflections), so that only answers within some voxels of an edge differ from those to the
whole volume. An instance norm, a dense layer or a pooling over all voxels knows no such rim: its
answers depend on the whole window everywhere.
"""

from __future__ import annotations

import copy
import threading
import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from medgen.conversion.tiling import round_up
from medgen.method import Method

_KNOWN: weakref.WeakKeyDictionary[Method, dict[tuple[Any, ...], int | None]]
_KNOWN = weakref.WeakKeyDictionary()
_LOCK = threading.Lock()

_WHOLE = (nn.GroupNorm, nn.LayerNorm, nn.Linear, nn.MultiheadAttention)
"""Layers that see all voxels of a window, so that nothing has to be measured."""


def rim_of(method: Method, answer: str, *, channels: int, patch: Sequence[int]) -> int | None:
    """Return the width in voxels of the rim within which a window's edges show in its answer.

    Found from which voxels a block in the middle of a long window depends on: by gradients of a
    copy whose weights are all positive, so that none is lost to a rectifier or to chance. It is a
    question of the layers, not of the weights, and asked once for each method.

    Args:
        method: in eval mode; it is not touched.
        answer: what is asked of it.
        channels: of its source, coordinates included.
        patch: the training patch.

    Returns:
        None where answers depend on the whole window, or on more of it than half a patch: then the
        network has hardly learnt from a voxel that no edge was near; also where gradients cannot
        tell.
    """
    key = (answer, channels, tuple(patch))
    with _LOCK:
        known = _KNOWN.setdefault(method, {})
        if key not in known:
            known[key] = _measured(method, answer, channels, min(patch) // 2)
        return known[key]


def _measured(method: Method, answer: str, channels: int, limit: int) -> int | None:
    shifts_alike = method.phase is None or method.phase % method.divisor == 0
    if method.window is not None or method.search_steps or not shifts_alike:
        return None
    layers = _answering(method)
    if not layers or any(_sees_all(layer) for layer in layers):
        return None  # without a network of its own there is nothing to go by
    probe = _probe_of(method)
    rims = []
    with torch.enable_grad(), torch.autocast("cpu", enabled=False):
        for axis in range(3):
            rim = _along(probe, answer, channels, limit, axis)
            if rim is None:
                return None
            rims.append(rim)
    return max(rims)


def _answering(method: Method) -> list[nn.Module]:
    players = method.players()
    return [layer for name in sorted(method.answering) for layer in players[name].modules()]


def _sees_all(layer: nn.Module) -> bool:
    if isinstance(layer, nn.modules.batchnorm._NormBase):  # instance norms too
        return not layer.track_running_stats
    return isinstance(layer, _WHOLE)


def _probe_of(method: Method) -> Method:
    """Return a copy on the CPU in which every voxel that is read counts, and counts positively."""
    lent = method.feature_extractor
    probe = copy.deepcopy(method, {id(lent): None} if lent is not None else None)
    probe = probe.to("cpu", torch.float32).eval()
    drawn = torch.Generator().manual_seed(0)
    for name, parameter in probe.named_parameters():
        parameter.requires_grad_(False)
        if parameter.dim() > 1:
            parameter.uniform_(0.5, 1.5, generator=drawn).div_(parameter[0].numel())
        else:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    for name, buffer in probe.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.fill_(float(name.endswith("running_var")))
    return probe


def _along(probe: Method, answer: str, channels: int, limit: int, axis: int) -> int | None:
    """Return the rim along one axis, None where it is `limit` or more, or cannot be told."""
    divisor, margin = probe.divisor, probe.margin
    middle = round_up(limit + 1, divisor)
    size = [round_up(probe.minimum_patch, divisor) + 2 * margin] * 3
    size[axis] = 2 * middle + divisor + 2 * margin
    drawn = torch.Generator().manual_seed(1)
    source = (torch.rand(1, channels, *size, generator=drawn) + 0.5).requires_grad_()
    found = probe.infer(source + 0.0, answer)  # which may be overwritten
    if not found.requires_grad:
        return None  # answered without gradients, which says nothing
    rims = [0]
    for offset in range(divisor):
        seen = _seen(found.narrow(2 + axis, middle + offset, 1), source, axis)
        if not seen:
            return None  # gradients were lost, as in a saturated tanh
        here = middle + offset + margin
        before, after = here - seen[0] - margin, seen[-1] - here - margin
        if max(before, after) >= limit:
            return None
        # Windows begin and end between blocks: only voxels at these offsets can lie so.
        rims += [_last(offset, before, divisor), _last(divisor - 1 - offset, after, divisor)]
    return max(rims)


def _seen(plane: Tensor, source: Tensor, axis: int) -> list[int]:
    """Return the planes of a source that one plane of its answer depends on."""
    drawn = torch.Generator().manual_seed(2)
    cotangent = torch.rand(plane.shape, generator=drawn).to(plane.dtype) + 0.5
    (gradient,) = torch.autograd.grad(plane, source, cotangent, retain_graph=True)
    others = [each for each in range(5) if each != 2 + axis]
    planes: list[int] = (gradient.abs().amax(dim=others) > 0).nonzero().flatten().tolist()
    return planes


def _last(offset: int, reach: int, divisor: int) -> int:
    """Return how many voxels from an edge the last one is that reaches beyond it."""
    if reach <= offset:
        return 0
    return offset + (reach - 1 - offset) // divisor * divisor + 1
