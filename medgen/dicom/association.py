"""One association with a receiver: who it is, opening, asking, storing, and what went wrong."""

from __future__ import annotations

import ipaddress
import logging
import socket
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from medgen.dicom.outgoing import Kind, OutgoingFile
from medgen.problems import ConfigurationError, Problem

MOST_KINDS = 127
"""An association negotiates 128 presentation contexts at most (PS3.8 section 9.3.2.2: odd numbers
from 1 to 255); one of them is verification's."""
_VERIFICATION = "1.2.840.10008.1.1"
_LONGEST_TITLE = 16
_BYTES_PER_SECOND = 1_000_000
"""The slowest line that a file's own time is reckoned for, on top of the time for an answer."""
_SECONDS_TO_NOTICE = 1.0
"""For pynetdicom's own thread to find out that the other side has hung up."""
_HOW = "write --to AETITLE@host:port, an IPv6 address in brackets"


@dataclass(frozen=True)
class Receiver:
    """Where to send: application entity title, host name or address, and port."""

    title: str
    host: str
    port: int


def receiver_of(text: str) -> Receiver:
    """Read `AETITLE@host:port`, where an IPv6 address stands in brackets.

    Raises:
        ConfigurationError: E_DESTINATION, or E_AE_TITLE as for `check_title`.
    """
    title, at, address = text.rpartition("@")
    if not at:
        raise _destination("has no @ behind an AE title")
    if address.startswith("["):
        host, _, rest = address[1:].partition("]")
        colon, port = rest[:1], rest[1:]
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise _destination("has no IPv6 address in its brackets") from None
    else:
        host, colon, port = address.rpartition(":")
        if ":" in host:
            raise _destination("has more than one colon behind its @")
    if colon != ":" or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise _destination("has no port from 1 to 65535")
    if not host or host != host.strip():
        raise _destination("has no host")
    return Receiver(check_title(title), host, int(port))


def check_title(title: str) -> str:
    """Return an application entity title without its padding (PS3.5 section 6.2, AE).

    Raises:
        ConfigurationError: E_AE_TITLE where it is not 1 to 16 printable ASCII characters, has a
            backslash, or is all spaces.
    """
    bare = title.strip(" ")
    allowed = bare.isascii() and bare.isprintable() and "\\" not in bare
    if not 0 < len(bare) <= _LONGEST_TITLE or not allowed:
        message = (
            f"an AE title has 1 to {_LONGEST_TITLE} ASCII characters and no backslash; "
            f"this one has {len(bare)}{'' if allowed else ', some of them others'}"
        )
        raise ConfigurationError(Problem("E_AE_TITLE", message, "check --to and --calling"))
    return bare


def _destination(why: str) -> ConfigurationError:
    return ConfigurationError(Problem("E_DESTINATION", f"the destination {why}", _HOW))


class Lost(Exception):
    """The association ended before the receiver answered."""


class Association:
    """Store files at a receiver, over one association that is opened when it is needed."""

    def __init__(
        self, receiver: Receiver, kinds: Sequence[Kind], *, calling: str, timeout: float
    ) -> None:
        self._receiver = receiver
        self._kinds = kinds
        self._calling = calling
        self._timeout = timeout
        self._peer: Any = None
        self._accepted: frozenset[Kind] = frozenset()
        self._messages = 0
        self.opened = 0

    def open(self) -> Problem | None:
        """Make sure that the association stands; return why it cannot.

        A new one is verified by C-ECHO where the receiver takes that at all.
        """
        if self._peer is not None and self._peer.is_established:
            return None
        self.close()
        from pynetdicom import AE, build_context

        entity = AE(ae_title=self._calling)
        entity.acse_timeout = entity.dimse_timeout = self._timeout
        entity.network_timeout = entity.connection_timeout = self._timeout
        contexts = [build_context(_VERIFICATION)]
        contexts += [build_context(kind.sop_class, kind.transfer_syntax) for kind in self._kinds]
        host, port, title = self._receiver.host, self._receiver.port, self._receiver.title
        try:
            self._peer = entity.associate(host, port, contexts=contexts, ae_title=title)
        except OSError:  # before any connection: a name that nobody knows
            return Problem("E_SEND_UNREACHABLE", "the host's name is not known", "check --to")
        self._accepted = frozenset(
            Kind(str(context.abstract_syntax), str(context.transfer_syntax[0]))
            for context in self._peer.accepted_contexts
        )
        if not self._peer.is_established:
            return self._why_not()
        self.opened += 1
        self._set_up_line()
        if any(kind.sop_class == _VERIFICATION for kind in self._accepted):
            return self._echoed()
        return None

    def store(self, file: OutgoingFile) -> int | Problem:
        """Send a file's bytes as they are; return the receiver's status (PS3.4 section B.2.3).

        Returns a problem where the receiver does not take its kind or the file cannot be read any
        more. Raises Lost where no answer came.
        """
        if file.kind not in self._accepted:
            message = f"the receiver does not take {file.kind}"
            advice = "have it configured, or send a series that it takes"
            return Problem("E_SEND_CONTEXT", message, advice)
        self._messages = self._messages % 65535 + 1
        self._peer.dimse_timeout = self._timeout + file.size / _BYTES_PER_SECOND
        try:
            answer = self._peer.send_c_store(file.path, msg_id=self._messages)
        except OSError as error:
            self.abort()  # in the middle of a message
            message = f"a file cannot be read: {error.strerror or 'input/output error'}"
            return Problem("E_UNREADABLE", message, "check its permissions and its disk")
        except RuntimeError:
            answer = {}
        if "Status" not in answer:
            self._let_go()
            raise Lost
        return int(answer.Status)

    def close(self) -> None:
        """Release the association, or abort it where it no longer stands."""
        if self._peer is not None:
            if self._peer.is_established:
                self._peer.release()
            self._peer = None

    def abort(self) -> None:
        """End the association at once, such as when the user interrupts."""
        if self._peer is not None and self._peer.is_established:
            self._peer.abort()
        self._peer = None

    def _set_up_line(self) -> None:
        """Let short messages go at once, and give up one that nobody takes.

        A C-STORE is two messages: held back until the last one's acknowledgement (Nagle), each
        file took 48 ms instead of 6. Without a time limit pynetdicom would wait for ever for a
        receiver that no longer reads.
        """
        connection = self._peer.dul.socket
        if connection is not None and connection.socket is not None:
            connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.socket.settimeout(self._timeout)

    def _let_go(self) -> None:
        """Wait until a lost association knows that it is lost; abort it where it never does."""
        until = time.monotonic() + _SECONDS_TO_NOTICE
        while self._peer.is_established and time.monotonic() < until:
            time.sleep(0.01)
        self.abort()

    def _why_not(self) -> Problem:
        answer = self._peer.acceptor.primitive
        if self._peer.is_rejected and answer is not None:
            message = f"the receiver rejected the association: {answer.reason_str}"
            return Problem("E_SEND_REJECTED", message, "check --calling and --to's AE title")
        if self._peer.rejected_contexts and not self._accepted:
            message = f"the receiver takes none of the {len(self._kinds)} kinds of files"
            return Problem("E_SEND_CONTEXT", message, "have it configured for them")
        message = f"the receiver is not reached, or did not answer within {self._timeout:g} s"
        return Problem("E_SEND_UNREACHABLE", message, "check --to, and that the receiver runs")

    def _echoed(self) -> Problem | None:
        try:
            answer = self._peer.send_c_echo()
        except RuntimeError:
            answer = {}
        if "Status" in answer and answer.Status == 0:
            return None
        self.abort()
        said = f"status 0x{answer.Status:04X}" if "Status" in answer else "nothing"
        return Problem("E_SEND_ECHO", f"the receiver answered C-ECHO with {said}", "ask its owner")


@contextmanager
def silence() -> Iterator[None]:
    """Keep pynetdicom from logging, since it names patients, and let it send files by their bytes.

    Its settings are the module's and are put back: one sending at a time in a process.
    """
    from pynetdicom import _config

    logger = logging.getLogger("pynetdicom")
    level, chunked = logger.level, _config.STORE_SEND_CHUNKED_DATASET
    handlers = _config.LOG_HANDLER_LEVEL
    logger.setLevel(logging.CRITICAL + 1)
    _config.STORE_SEND_CHUNKED_DATASET = True
    _config.LOG_HANDLER_LEVEL = "none"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's quote header values
            yield
    finally:
        logger.setLevel(level)
        _config.STORE_SEND_CHUNKED_DATASET = chunked
        _config.LOG_HANDLER_LEVEL = handlers
