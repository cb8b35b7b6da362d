from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.data.rows import CASE_ID
from medgen.discovery.identities import Identity, KeyedNames, Names, read_key, safe
from medgen.problems import ConfigurationError

KEY = bytes(range(32))
names = st.text(min_size=1, max_size=120)


@given(names, st.text(max_size=20), st.text(max_size=20))
def test_an_id_fits_the_table_or_there_is_none(patient: str, session: str, site: str) -> None:
    identity = Identity(patient, session, site)
    for made in (Names().case(identity), Names().patient(identity)):
        assert made is None or CASE_ID.fullmatch(made)
    for made in (KeyedNames(KEY).case(identity), KeyedNames(KEY).patient(identity)):
        assert made is not None
        assert CASE_ID.fullmatch(made)
        assert made.startswith("k")


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("p01", "p01"),
        ("Müller, Jörg", "Muller__Jorg"),
        ("../../etc/passwd", "_.._etc_passwd"),
        (".hidden", "hidden"),
        ("-rf", "rf"),
        ("=cmd()", "_cmd__"),
        ("患者", None),
        ("..", None),
        ("x" * 200, "x" * 100),
    ],
)
def test_a_name_is_made_safe(name: str, made: str | None) -> None:
    assert safe(name) == made


def test_a_keyed_id_is_the_same_in_every_scan_and_tells_nothing() -> None:
    first, again, other = KeyedNames(KEY), KeyedNames(KEY), KeyedNames(KEY[::-1])
    identity = Identity("DOE JANE", "2020-01-02")
    assert first.case(identity) == again.case(identity)
    assert first.patient(identity) == first.patient(Identity("doe jane", "2021-05-05"))
    assert str(first.case(identity)).startswith(f"{first.patient(identity)}_")
    assert first.case(identity) != first.case(Identity("DOE JANE", "2021-05-05"))
    assert first.patient(identity) != other.patient(identity)
    assert first.patient(identity) != first.patient(Identity("DOE JANE", site="siteB"))
    assert "DOE" not in str(first.case(identity)).upper()
    # RFC 2104 with SHA-256, as `openssl dgst -sha256 -mac HMAC` has it.
    assert first.patient(Identity("p01")) == "k" + _hmac(b"patient\0\0p01")[:12]


def _hmac(text: bytes) -> str:
    """Compute RFC 2104 by its definition, without the module under test's own library call."""
    import hashlib

    key = KEY.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in key) + text).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in key) + inner).hexdigest()


def test_two_patients_never_share_a_keyed_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medgen.discovery.identities._PATIENT_DIGITS", 1)
    keyed = KeyedNames(KEY)
    with pytest.raises(ConfigurationError, match="E_KEY_COLLISION"):
        _name_all(keyed, range(17))


def _name_all(keyed: KeyedNames, numbers: range) -> None:
    for number in numbers:
        keyed.patient(Identity(f"p{number}"))


def test_a_key_is_read_or_refused_with_how_to_make_one(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(ConfigurationError, match=r"E_KEY_MISSING.*head -c 32 /dev/urandom"):
        read_key(path)
    with pytest.raises(ConfigurationError, match="E_KEY_UNREADABLE"):
        read_key(tmp_path)
    path.write_bytes(KEY[:15])
    with pytest.raises(ConfigurationError, match=r"E_KEY_LENGTH.*15 bytes"):
        read_key(path)
    path.write_bytes(KEY)
    assert read_key(path) == KEY
