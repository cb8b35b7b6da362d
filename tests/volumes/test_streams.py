import gzip
import hashlib
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgen.problems import Refusal
from medgen.volumes.streams import ByteStream, Compression

Codes = Callable[[Callable[[], object]], list[str]]
BODY = bytes(range(256)) * 5000  # longer than one chunk


def read_all(path: Path, compression: Compression, count: int = len(BODY)) -> str:
    with ByteStream(path, compression=compression) as stream:
        stream.require(count)
        assert stream.read(count) == BODY[:count]
        return stream.finish()


@pytest.mark.parametrize(
    ("compression", "packed"),
    [
        ("none", BODY),
        ("gzip", gzip.compress(BODY)),
        ("gzip", gzip.compress(BODY[:1000]) + gzip.compress(BODY[1000:])),
        ("gzip", gzip.compress(BODY) + bytes(512)),
        ("zlib", zlib.compress(BODY)),
        ("zlib", gzip.compress(BODY)),
    ],
)
def test_reads_to_the_verified_end(tmp_path: Path, compression: Compression, packed: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(packed)
    assert read_all(path, compression) == hashlib.sha256(packed).hexdigest()


@pytest.mark.parametrize(
    ("compression", "packed", "code"),
    [
        ("none", BODY[:-1], "E_TRUNCATED"),
        ("none", BODY + b"x", "E_TRAILING_DATA"),
        ("gzip", gzip.compress(BODY)[:-1], "E_TRUNCATED"),
        ("gzip", gzip.compress(BODY)[:-9], "E_TRUNCATED"),
        ("gzip", gzip.compress(BODY)[:1], "E_TRUNCATED"),
        ("gzip", gzip.compress(BODY[:-1]), "E_TRUNCATED"),
        ("gzip", gzip.compress(BODY + b"x"), "E_TRAILING_DATA"),
        ("gzip", gzip.compress(BODY) + b"x", "E_TRAILING_DATA"),
        ("gzip", gzip.compress(BODY) + bytes(9) + b"x", "E_TRAILING_DATA"),
        ("gzip", gzip.compress(BODY) + gzip.compress(b"x"), "E_TRAILING_DATA"),
        ("gzip", gzip.compress(BODY)[:-8] + bytes(4) + gzip.compress(BODY)[-4:], "E_CHECKSUM"),
        ("gzip", gzip.compress(BODY)[:-4] + bytes(4), "E_CHECKSUM"),
        ("gzip", gzip.compress(BODY)[:10] + b"\xff" * 5000, "E_CHECKSUM"),
        ("gzip", BODY, "E_BAD_MAGIC"),
        ("gzip", gzip.compress(BODY)[:3] + b"\x20" + gzip.compress(BODY)[4:], "E_CHECKSUM"),
        (
            "gzip",
            gzip.compress(BODY[:9]) + gzip.compress(BODY)[:3] + b"\x80" + gzip.compress(BODY)[4:],
            "E_CHECKSUM",
        ),
        ("zlib", zlib.compress(BODY)[:-1], "E_TRUNCATED"),
        ("zlib", zlib.compress(BODY)[:-4] + bytes(4), "E_CHECKSUM"),
        ("zlib", zlib.compress(BODY) + b"x", "E_TRAILING_DATA"),
        ("zlib", BODY, "E_CHECKSUM"),
    ],
)
def test_refuses_damage(
    tmp_path: Path, codes: Codes, compression: Compression, packed: bytes, code: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(packed)
    assert codes(lambda: read_all(path, compression)) == [code]


def test_a_bomb_is_not_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 MB of zeros behind a small volume: two chunks are read, not the bomb."""
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(BODY[:100] + bytes(200_000_000), compresslevel=1))
    with ByteStream(path, compression="gzip") as stream:
        stream.read(100)
        inflated: list[int] = []
        some = stream._some
        monkeypatch.setattr(stream, "_some", lambda n: inflated.append(n) or some(n))
        with pytest.raises(Refusal, match="E_TRAILING_DATA"):
            stream.finish()
    assert inflated == [1]


def zlib_refuses(packed: bytes) -> bool:
    """Judge a file of one gzip member with the standard library."""
    inflater = zlib.decompressobj(31)
    try:
        inflater.decompress(packed)
    except zlib.error:
        return True
    return not inflater.eof or bool(inflater.unused_data)


@given(data=st.data())
@settings(max_examples=300)
def test_damage_is_what_it_is_to_zlib(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Another inflater reads the files than wrote the standard: it must refuse the same ones."""
    size = data.draw(st.integers(0, 3000))
    body = random.Random(size).choices(range(data.draw(st.sampled_from([2, 9, 256]))), k=size)
    packed = bytearray(
        gzip.compress(bytes(body), data.draw(st.sampled_from([0, 1, 6, 9])), mtime=0)
    )
    place = data.draw(st.integers(2, len(packed) - 1))
    if data.draw(st.booleans()):
        packed[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        packed = packed[:place]
    path = tmp_path_factory.mktemp("damage") / "file"
    path.write_bytes(packed)
    ours = ""
    try:
        with ByteStream(path, compression="gzip") as stream:
            for start in range(0, size, 70):
                stream.read(min(70, size - start))
            stream.finish()
    except Refusal as refusal:
        ours = refusal.problems[0].code
    assert bool(ours) == zlib_refuses(bytes(packed))


def test_a_promise_beyond_any_compression_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(bytes(1000)))
    with (
        ByteStream(path, compression="gzip") as stream,
        pytest.raises(Refusal, match="E_TRUNCATED"),
    ):
        stream.require(10**12)


def test_a_text_header_comes_before_compressed_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"header\n" + zlib.compress(BODY))
    with ByteStream(path, so_far=b"more") as stream:
        assert stream.line(100) == b"header\n"
        stream.inflate("zlib")
        stream.skip(1000)
        assert stream.read(len(BODY) - 1000) == BODY[1000:]
        digest = stream.finish()
    assert digest == hashlib.sha256(b"more" + path.read_bytes()).hexdigest()
