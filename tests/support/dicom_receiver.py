"""A storage receiver on the loopback that may refuse, answer oddly, or die."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification

Answer = Callable[[int, Any], int]
"""The number of the file, from 1, and its event, to the status."""


@dataclass
class Received:
    """What a receiver has got: datasets' bytes by SOPInstanceUID, callers, associations, echoes."""

    port: int = 0
    datasets: dict[str, bytes] = field(default_factory=dict)
    syntaxes: dict[str, str] = field(default_factory=dict)
    callers: set[str] = field(default_factory=set)
    order: list[str] = field(default_factory=list)
    """E for an echo, S for a store, A for an association."""

    @property
    def address(self) -> str:
        return f"ARCHIVE@127.0.0.1:{self.port}"


@contextmanager
def receiving(
    kinds: Sequence[tuple[str, str]],
    *,
    answer: Answer = lambda number, event: 0x0000,
    verification: bool = True,
    host: str = "127.0.0.1",
    called: str = "",
    on_data: Callable[[bytes], object] = lambda data: None,
) -> Iterator[Received]:
    """Run a receiver that takes the given (SOP class, transfer syntax) pairs.

    It reads no further before `on_data`, which is told all bytes, returns.
    """
    received = Received()
    entity = AE(ae_title="ARCHIVE")
    entity.require_called_aet = bool(called)
    entity.ae_title = called or "ARCHIVE"
    if verification:
        entity.add_supported_context(Verification)
    for sop_class in sorted({kind for kind, _ in kinds}):
        syntaxes = [syntax for kind, syntax in kinds if kind == sop_class]
        entity.add_supported_context(sop_class, syntaxes)

    def stored(event: Any) -> int:
        number = received.order.count("S") + 1
        received.order.append("S")
        status = answer(number, event)
        if status == 0 or status >> 12 == 0xB:
            name = str(event.request.AffectedSOPInstanceUID)
            received.datasets[name] = event.request.DataSet.getvalue()
            received.syntaxes[name] = str(event.context.transfer_syntax)
        return status

    def accepted(event: Any) -> None:
        received.order.append("A")
        received.callers.add(event.assoc.requestor.ae_title)

    def echoed(_event: Any) -> int:
        received.order.append("E")
        return 0x0000

    handlers = [
        (evt.EVT_C_STORE, stored),
        (evt.EVT_ACCEPTED, accepted),
        (evt.EVT_C_ECHO, echoed),
        (evt.EVT_DATA_RECV, lambda event: on_data(event.data)),
    ]
    server = entity.start_server((host, 0), block=False, evt_handlers=handlers)
    received.port = server.socket.getsockname()[1]
    try:
        yield received
    finally:
        closing = threading.Thread(target=server.shutdown)
        closing.start()
        with suppress(OSError):  # it looks for its end twice a second, unless somebody calls
            socket.create_connection((host, received.port), timeout=1).close()
        closing.join(10)
