"""A process that imports everything once and forks the processes of each distributed training.

Run as a program, it reads requests, one JSON object to a line: `size` processes, the words of the
command by rank (none: they only `talk`), what befalls which rank after its third step, and where
what they say goes. It answers with their exit codes.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist


def afflicted(step_of: Callable[..., Any], what: str) -> Callable[..., Any]:
    """Return a training's step after whose third time something happens."""

    def step(self: Any, batch: Any) -> Any:
        losses = step_of(self, batch)
        if self.position.step == 3:
            if what in ("kill", "stop"):
                os.kill(os.getpid(), signal.SIGKILL if what == "kill" else signal.SIGTERM)
            if what == "error":
                raise OSError(28, "No space left on device")
            if what == "nan":
                losses = {name: loss * float("nan") for name, loss in losses.items()}
        return losses

    return step


def talk() -> int:
    """Say what this process knows after it was told the others' part."""
    from medgen.training import joined, sharing

    # Of the first parameter both ranks have a gradient, of the second one, of the third none.
    parameters = [torch.nn.Parameter(torch.ones(2, 3)) for _ in range(3)]
    with joined("cpu") as ranks:
        parameters[0].grad = torch.full((2, 3), float(ranks.rank + 1))
        if ranks.rank == 1:
            parameters[1].grad = torch.arange(6.0).reshape(2, 3)
        sharing.average_gradients(ranks, parameters)
        tensors = {"a": torch.arange(4).reshape(2, 2), "b": torch.tensor(True)}
        sent = sharing.sent(ranks, tensors if ranks.leads else {})
        found = {
            "gradients": [p.grad if p.grad is None else p.grad.tolist() for p in parameters],
            "mean": ranks.mean({"both": ranks.rank, f"of_{ranks.rank}": float("nan")}),
            "told": ranks.told(lambda: ["rank", ranks.rank]),
            "sent": [tensor.tolist() for tensor in sent.values()],
            "shared": sharing.shared_out(ranks, range(5), lambda item: [item, ranks.rank]),
        }
    print(json.dumps(found))
    return 0


def run(
    rank: int,
    port: int,
    *,
    size: int,
    arguments: dict[str, list[str]],
    afflict: dict[str, str],
    log: str,
) -> None:
    """Be one of the processes, with torchrun's environment, to the end."""
    from medgen.cli.app import main
    from medgen.training import loop

    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{log}.{rank}.{name}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
    if str(rank) in afflict:
        loop.Loop.step = afflicted(loop.Loop.step, afflict[str(rank)])  # type: ignore[method-assign]
    words = arguments.get(str(rank), arguments["0"])
    code = main(words) if words else talk()
    sys.stdout.flush()
    os._exit(code)


def serve() -> None:
    """Answer requests until there are no more."""
    # What a training imports late, an optimizer and a picture among it: once, before forking.
    for name in ("matplotlib.backends.backend_agg", "medgen.cli.app", "torch._dynamo"):
        importlib.import_module(name)
    importlib.import_module("medgen.training")
    for line in sys.stdin:
        request = json.loads(line)
        store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        children = []
        for rank in range(request["size"]):
            child = os.fork()
            if child == 0:
                run(rank, store.port, **request)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(json.dumps(codes), flush=True)
    os._exit(0)


if __name__ == "__main__":
    serve()
