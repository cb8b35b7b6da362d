"""What the processes of a training share: gradients, the first state, validation cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from medgen.files import sha256_of_json
from medgen.problems import ConfigurationError, Problem
from medgen.training.distributed import Ranks, connected
from medgen.training.stopping import Stopped

T = TypeVar("T")

BUCKET_BYTES = 32 << 20
"""Gradients travel together up to this size: each message has a price of its own."""


def average_gradients(ranks: Ranks, parameters: Sequence[nn.Parameter]) -> None:
    """Give every process the mean of all processes' gradients.

    A parameter without a gradient has none afterwards only where no process has one; where others
    have, it counts as zero.
    """
    if ranks.alone:
        return
    present = torch.tensor([p.grad is not None for p in parameters], dtype=torch.uint8)
    with connected():
        dist.all_reduce(present, dist.ReduceOp.MAX)
    gradients = []
    for parameter, has in zip(parameters, present.tolist(), strict=True):
        if has:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
    travelling = []
    for bucket in _buckets(gradients):
        flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
        with connected():
            work = dist.all_reduce(flat, group=ranks.direct, async_op=True)
        travelling.append((bucket, flat, work))
    for bucket, flat, work in travelling:
        with connected():
            work.wait()
        flat /= ranks.size
        start = 0
        for gradient in bucket:
            gradient.copy_(flat.narrow(0, start, gradient.numel()).view(gradient.shape))
            start += gradient.numel()


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Yield tensors of one type together, in order, in parts of limited size."""
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and (tensor.dtype != bucket[0].dtype or size + tensor.nbytes > BUCKET_BYTES):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.nbytes
    if bucket:
        yield bucket


def check_alike(ranks: Ranks, facts: Mapping[str, Any]) -> None:
    """Refuse processes that do not train the same: each would learn from cases of its own choice.

    `facts` are JSON values by what they are called for people.

    Raises:
        ConfigurationError: E_RANKS_DIFFER, naming what differs.
    """
    if ranks.alone:
        return
    found = ranks.gather({name: sha256_of_json(value) for name, value in facts.items()})
    differ = [name for name in facts if len({each[name] for each in found}) > 1]
    if differ:
        message = f"the {ranks.size} processes of this training differ in {', '.join(differ)}"
        advice = "give all of them the same command, table, files, version and kind of device"
        raise ConfigurationError(Problem("E_RANKS_DIFFER", message, advice))


def sent(ranks: Ranks, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return rank 0's tensors by name, on the CPU, whichever of them the others have."""
    shapes = [[name, str(tensor.dtype), list(tensor.shape)] for name, tensor in tensors.items()]
    named = ranks.told(lambda: shapes)
    found = {name: tensor.cpu() for name, tensor in tensors.items()}
    if not ranks.leads:
        found = {name: torch.empty(shape, dtype=_dtype(kind)) for name, kind, shape in named}
    ranks.send(list(found.values()))
    return found


def _dtype(name: str) -> torch.dtype:
    """Return the type of this name, as `str` writes it."""
    kind = getattr(torch, name.removeprefix("torch."))
    assert isinstance(kind, torch.dtype)
    return kind


def shared_out(ranks: Ranks, items: Sequence[T], work: Callable[[T], Any]) -> list[Any]:
    """Return what `work` makes of every item, in order; each process does its share.

    `work` returns JSON values; alone, they may be anything.

    Raises:
        Stopped: in every process, where `work` raised it in any.
    """
    if ranks.alone:
        return [work(item) for item in items]
    made: list[Any] | None = []
    try:
        made = [work(item) for item in items[ranks.rank :: ranks.size]]
    except Stopped:
        made = None
    shares = ranks.gather(made)
    if any(share is None for share in shares):
        raise Stopped
    return [shares[index % ranks.size][index // ranks.size] for index in range(len(items))]


def led(ranks: Ranks, make: Callable[[], Any]) -> Any:
    """Return what rank 0 makes, a JSON value, while the others wait.

    Raises:
        Stopped: in every process, where `make` raised it.
    """
    return shared_out(ranks, [None], lambda _: make())[0]
