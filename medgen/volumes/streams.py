"""Bytes of a file, read once: hashed, inflated, and checked to their very end."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType
from typing import Literal

from isal import isal_zlib

from medgen.problems import Problem, Refusal

Compression = Literal["none", "gzip", "zlib"]

_CHUNK = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_RESERVED_FLAGS = 0xE0  # of a gzip member's fourth byte; ISA-L does not look at them
# The codes of zlib, which ISA-L shares: 31 is a gzip member whose checksum and length are verified,
# 47 either that or zlib.
_WINDOWS: dict[Compression, int] = {"gzip": 31, "zlib": 47}
_ISAL_ERROR: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # a class, if not there
_GREATEST_RATIO = 1100  # deflate never shrinks more than 1032 times

TRUNCATED = Problem(
    "E_TRUNCATED",
    "the file ends before its last voxel",
    "copy or export it again; it was cut short",
)
DAMAGED = Problem(
    "E_CHECKSUM",
    "the compressed data does not match its own checksum",
    "copy or export the file again; its bytes were changed",
)
TRAILING = Problem(
    "E_TRAILING_DATA",
    "the file goes on after its last voxel",
    "export it again; header and data do not belong together",
)
NOT_GZIP = Problem(
    "E_BAD_MAGIC",
    "the data is not compressed, though the file's name or header says so",
    "rename it without .gz, or export it again",
)


class ByteStream:
    """Read a file once, front to back, plain or compressed from some point on.

    Reading raises Refusal E_TRUNCATED, E_CHECKSUM, E_TRAILING_DATA or E_BAD_MAGIC. `so_far` are
    bytes that the digest counts before the file's own (a detached header).
    """

    def __init__(
        self, path: Path, *, compression: Compression = "none", so_far: bytes = b""
    ) -> None:
        self._file = path.open("rb")
        self._left = path.stat().st_size
        self._hash = hashlib.sha256(so_far)
        self._compression: Compression = "none"
        self._inflate: isal_zlib.Decompress | None = None
        self._pending = b""
        self._stored = 0
        """How many compressed bytes there are in all."""
        try:
            self.inflate(compression)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> ByteStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def inflate(self, compression: Compression) -> None:
        """Take everything from here on as compressed."""
        self._compression = compression
        if compression == "none":
            return
        self._stored = self._left
        start = self._raw(4)
        if compression == "gzip" and not _GZIP_MAGIC.startswith(start[:2]):
            raise Refusal(NOT_GZIP)
        self._begin(start)

    def require(self, expected: int) -> None:
        """Refuse a file that cannot hold exactly `expected` more bytes, before reading them."""
        if self._inflate is not None:
            # Not what is left of it: the inflater may hold back any of what it has read.
            if self._stored * _GREATEST_RATIO < expected:
                raise Refusal(TRUNCATED)
        elif self._left != expected:
            raise Refusal(TRUNCATED if self._left < expected else TRAILING)

    @property
    def left(self) -> int:
        """Return how many of the file's own bytes have not been read."""
        return self._left

    def line(self, longest: int) -> bytes:
        """Return the next line of plain text with its end, at most `longest` bytes of it."""
        line = self._file.readline(min(longest, self._left))
        self._count(line)
        return line

    def read(self, count: int) -> bytes:
        """Return exactly `count` bytes."""
        data = bytearray(count)
        self.fill(memoryview(data))
        return bytes(data)

    def skip(self, count: int) -> None:
        """Read and forget `count` bytes."""
        while count > 0:
            step = min(count, _CHUNK)
            self.read(step)
            count -= step

    def fill(self, view: memoryview) -> None:
        """Fill a buffer of bytes completely."""
        filled = 0
        while filled < len(view):
            piece = self._some(min(len(view) - filled, _CHUNK))
            if not piece:
                raise Refusal(TRUNCATED)
            view[filled : filled + len(piece)] = piece
            filled += len(piece)

    def finish(self) -> str:
        """Check that nothing is left and return the SHA-256 of all bytes as stored.

        One byte too many is enough to refuse, so a compression bomb is never inflated.
        """
        if self._some(1):
            raise Refusal(TRAILING)
        return self._hash.hexdigest()

    def _some(self, limit: int) -> bytes:
        """Return up to `limit` bytes; none only at the end, after its checksum."""
        if self._inflate is None:
            return self._raw(limit)
        while not self._inflate.eof or self._next_member():
            if not self._pending:
                self._pending = self._raw(_CHUNK)
            spent = not self._pending  # even then the inflater may hold back what it has read
            try:
                piece = self._inflate.decompress(self._pending, limit)
            except _ISAL_ERROR:
                raise Refusal(DAMAGED) from None
            ended = self._inflate.eof
            self._pending = self._inflate.unused_data if ended else self._inflate.unconsumed_tail
            if piece:
                return piece
            if spent and not ended:
                raise Refusal(TRUNCATED)
        return b""

    def _next_member(self) -> bool:
        """Start the next gzip member, if any; zero padding after the last one is allowed."""
        rest = self._pending.lstrip(b"\0")
        while len(rest) < 4 and self._left:
            rest = (rest + self._raw(_CHUNK)).lstrip(b"\0")
        if not rest:
            return False
        if self._compression != "gzip" or not rest.startswith(_GZIP_MAGIC[: len(rest)]):
            raise Refusal(TRAILING)
        self._begin(rest)
        return True

    def _begin(self, start: bytes) -> None:
        """Begin to inflate, with the first bytes of a gzip member or of zlib's."""
        if start.startswith(_GZIP_MAGIC) and start[3:4] and start[3] & _RESERVED_FLAGS:
            raise Refusal(DAMAGED)
        self._pending = start
        self._inflate = isal_zlib.decompressobj(_WINDOWS[self._compression])

    def _raw(self, limit: int) -> bytes:
        chunk = self._file.read(limit)
        self._count(chunk)
        return chunk

    def _count(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self._left = max(0, self._left - len(chunk))
