"""Several processes that train one network, as torchrun starts them: one of them speaks and writes.

Rank 0 leads. Small things travel as JSON over gloo, whatever the device: no pickle is unpacked.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from medgen.problems import ConfigurationError, Exit, MedgenError, Problem

T = TypeVar("T")

WAIT = timedelta(days=1)
"""How long a process waits for another at most: rank 0 may prepare a cohort for hours. One that
ends is noticed at once; one whose machine vanishes without closing its connections, only then."""

MEETING = timedelta(minutes=10)
"""How long a process waits at most for all others to be started."""

GRACE = timedelta(seconds=3)
"""How long a process with an error waits for rank 0 to have the same, and to say so; or for the
words of one that it lost."""

ENDED = "medgen/ended"
"""The key of the store under which the first process to fail leaves its exit code."""


class RankLost(MedgenError):
    """Another process of the training ended without a word."""


class EndedElsewhere(MedgenError):
    """Another process of the training ended and has said why; here nothing is left to say."""

    def __init__(self, code: int) -> None:
        super().__init__(())
        self.exit_code = Exit(code)


@dataclass(frozen=True)
class Ranks:
    """The processes of a training, seen from one of them; alone, every method is free of cost.

    All of them must call the same methods in the same order. Each raises RankLost where another
    process has ended.
    """

    rank: int = 0
    size: int = 1
    device: torch.device | None = None
    """What this process computes on; None: what the configuration says."""
    direct: dist.ProcessGroup | None = None
    """What tensors of a CUDA device travel over; None: gloo, as all else."""

    @property
    def leads(self) -> bool:
        """Tell whether this is the process that writes."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Tell whether there is no other."""
        return self.size == 1

    def wait(self) -> None:
        """Return when every process is here."""
        if not self.alone:
            self.gather(None)

    def any(self, flag: bool) -> bool:
        """Tell whether any process says so."""
        if self.alone:
            return flag
        said = torch.tensor([flag], dtype=torch.uint8)
        with connected():
            dist.all_reduce(said, dist.ReduceOp.MAX)
        return bool(said.item())

    def gather(self, value: Any) -> list[Any]:
        """Return what every process gave, by rank: JSON values, in which NaN is allowed."""
        if self.alone:
            return [value]
        own = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        counts = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        with connected():
            dist.all_gather(counts, torch.tensor([len(own)]))
        lengths = [int(count) for count in counts]
        padded = torch.zeros(max(lengths), dtype=torch.uint8)
        padded[: len(own)] = own
        found = [torch.zeros_like(padded) for _ in range(self.size)]
        with connected():
            dist.all_gather(found, padded)
        pairs = zip(found, lengths, strict=True)
        return [json.loads(bytes(each[:length].tolist())) for each, length in pairs]

    def told(self, make: Callable[[], Any]) -> Any:
        """Return what rank 0 makes, a JSON value; the others make nothing and wait."""
        return make() if self.alone else self.gather(make() if self.leads else None)[0]

    def in_turn(self, make: Callable[[], T]) -> T:
        """Make something in every process, first in rank 0: the others find what it left."""
        if not self.leads:
            self.wait()
        made = make()
        if self.leads:
            self.wait()
        return made

    def mean(self, values: Mapping[str, float]) -> Mapping[str, float]:
        """Return, by name, the mean over the processes that have it."""
        if self.alone:
            return values
        found = self.gather({name: float(value) for name, value in values.items()})
        names = dict.fromkeys(name for each in found for name in each)
        known = {name: [each[name] for each in found if name in each] for name in names}
        return {name: sum(each) / len(each) for name, each in known.items()}

    def send(self, tensors: Sequence[Tensor]) -> None:
        """Give every process rank 0's values of tensors that they all have."""
        for tensor in () if self.alone else tensors:
            # As bytes: gloo does not know every type.
            carried = tensor.detach().reshape(-1).contiguous().view(torch.uint8)
            group = self.direct if tensor.is_cuda else None
            with connected():
                dist.broadcast(carried, 0, group=group)
            if not self.leads:
                tensor.detach().copy_(carried.view(tensor.dtype).view(tensor.shape))


ALONE = Ranks()
"""A training in one process."""


@contextlib.contextmanager
def joined(device: str = "auto") -> Iterator[Ranks]:
    """Join the processes that torchrun started, and leave them at the end; alone where it did not.

    Of whatever ends the block in several processes, one of them says why: there the error is what
    it was, and in the others EndedElsewhere. On one machine nothing leaves the loopback device.

    Raises:
        ConfigurationError: E_RANK_DEVICE where a process has no device of its own; E_TORCHRUN
            where the environment is only half torchrun's; E_RANKS_MISSING where not all came.
    """
    said = os.environ.get("WORLD_SIZE") or "1"
    if said == "1":
        yield ALONE
        return
    size = int(said) if said.isdecimal() else 0
    if os.environ.get("LOCAL_WORLD_SIZE") == str(size) and os.path.exists("/sys/class/net/lo"):
        for library in ("GLOO", "NCCL"):
            os.environ.setdefault(f"{library}_SOCKET_IFNAME", "lo")
    store, rank = _meeting_place(size)
    ranks = Ranks(rank, size)
    try:
        # First said why, then left: the others wonder as soon as a connection ends.
        with _one_voice(store, rank):
            ranks = _met(store, ranks, device)
            yield ranks
            ranks.wait()
    except BaseException:
        # What still travels between GPUs may never arrive; the process ends with it.
        if ranks.direct is None and dist.is_initialized():
            dist.destroy_process_group()
        raise
    dist.destroy_process_group()


@contextlib.contextmanager
def connected() -> Iterator[None]:
    """Turn a connection that broke into RankLost."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        message = "another process of this training was lost"
        advice = "see its own messages; start all of them again with --resume"
        raise RankLost(Problem("E_RANK_LOST", message, advice)) from None


def _meeting_place(size: int) -> tuple[Store, int]:
    """Return the store that all processes share, and the rank of this one.

    Raises:
        ConfigurationError: see `joined`.
    """
    rank = os.environ.get("RANK", "")
    try:
        if not (rank.isdecimal() and int(rank) < size):
            raise ValueError(rank)
        store, _, _ = next(rendezvous("env://", timeout=MEETING))
    except ValueError:
        message = "WORLD_SIZE is set, but it or a variable beside it is missing or no such number"
        advice = "start with torchrun, or unset WORLD_SIZE to train in one process"
        raise ConfigurationError(Problem("E_TORCHRUN", message, advice)) from None
    except RuntimeError:  # its message names machines
        message = f"the {size} processes could not meet at MASTER_ADDR and MASTER_PORT"
        advice = "see that all are started, that the first one's machine is named, its port free"
        raise ConfigurationError(Problem("E_RANKS_MISSING", message, advice)) from None
    return PrefixStore("medgen", store), int(rank)


def _await_all(store: Store, ranks: Ranks) -> None:
    """Return when every process has come to the store.

    Raises:
        ConfigurationError: E_RANKS_MISSING.
    """
    keys = [f"medgen/here/{rank}" for rank in range(ranks.size)]
    with connected():
        store.set(keys[ranks.rank], "")
    try:
        store.wait(keys, MEETING)
    except RuntimeError:
        message = f"after {MEETING.seconds // 60} minutes not all {ranks.size} processes were there"
        advice = "see the others' messages, and start all of them at once"
        raise ConfigurationError(Problem("E_RANKS_MISSING", message, advice)) from None


def _met(store: Store, ranks: Ranks, device: str) -> Ranks:
    """Return the processes with their connections."""
    place = _place(device)
    _await_all(store, ranks)
    with connected():
        dist.init_process_group(
            "gloo", store=store, rank=ranks.rank, world_size=ranks.size, timeout=WAIT
        )
    if place.type == "cpu":
        return replace(ranks, device=place)
    torch.cuda.set_device(place)
    return replace(ranks, device=place, direct=dist.new_group(backend="nccl"))


def _place(name: str) -> torch.device:
    """Return the device of this process: the GPU of its number on this machine, or the CPU."""
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if name not in ("auto", "cuda"):
        message = f"several processes cannot all compute on {name!r}"
        advice = "give --device auto, cuda or cpu: each process takes the GPU of its number"
        raise ConfigurationError(Problem("E_RANK_DEVICE", message, advice))
    local, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= there:
        message = f"process {local + 1} of this machine has no GPU: there are {there}"
        advice = "lower --nproc-per-node, or give --device cpu"
        raise ConfigurationError(Problem("E_RANK_DEVICE", message, advice))
    return torch.device("cuda", local)


@contextlib.contextmanager
def _one_voice(store: Store, rank: int) -> Iterator[None]:
    """Let one process alone end with what ended it: rank 0 where it had the same error."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        patient = rank > 0 or isinstance(error, RankLost)
        said = _claim(store, rank, _code_of(error), patient=patient)
        if said is None:
            raise
        raise EndedElsewhere(said) from None


def _code_of(error: BaseException) -> Exit:
    """Return the exit code that the program gives an error."""
    if isinstance(error, MedgenError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return Exit.INTERRUPTED
    return Exit.USAGE if isinstance(error, OSError) else Exit.INTERNAL


def _claim(store: Store, rank: int, code: Exit, *, patient: bool) -> int | None:
    """Return the exit code of the process that speaks, None where it is this one."""
    if patient:
        with contextlib.suppress(RuntimeError):
            store.wait([ENDED], GRACE)
    mark = f"{rank}:{int(code)}"
    try:
        said = store.compare_set(ENDED, "", mark).decode()
    except RuntimeError:  # the store went with rank 0, which has spoken
        return int(Exit.INTERNAL) if rank else None
    return None if said == mark else int(said.partition(":")[2])
