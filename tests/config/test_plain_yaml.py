import contextlib
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from medgen.config.plain_yaml import load_plain

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc_", min_size=1), inner),
    max_leaves=10,
)


@given(values)
def test_what_yaml_writes_is_read_back(value: object) -> None:
    text = yaml.dump(value, allow_unicode=True, Dumper=_WithoutAliases)
    assert load_plain(text) == value


@given(st.text())
def test_any_text_is_a_value_or_a_yaml_error(text: str) -> None:
    with contextlib.suppress(yaml.YAMLError):
        load_plain(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e-3", 0.001), ("1E5", 1e5), ("-.5e+2", -50.0), ("2.e1", 20.0), ("+1e0", 1.0), ("0.5", 0.5)],
)
def test_a_number_with_an_exponent_is_a_number(text: str, number: float) -> None:
    value = load_plain(text)
    assert isinstance(value, float)
    assert math.isclose(value, number)


@pytest.mark.parametrize("text", ["1e", "e5", "1e-", "t1", "1e5x"])
def test_text_that_looks_like_a_number_stays_text(text: str) -> None:
    assert load_plain(text) == text


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("a: 1\nb: 2\na: 3", 2, "'a' stands twice"),
        ("a:\n  b: 1\n  b: 2", 2, "'b' stands twice"),
        ("a: {b: 1, b: 2}", 0, "'b' stands twice"),
        ("a: &x [1]\nb: *x", 1, "aliases"),
        ("a: &x {c: 1}\nb:\n  <<: *x", 2, "aliases"),
        ("a: !!python/object/apply:os.system [ls]", 0, "constructor"),
        ("a: 1\n---\nb: 2", 1, "another document"),
    ],
)
def test_what_would_surprise_is_refused_with_its_line(text: str, line: int, word: str) -> None:
    with pytest.raises(yaml.MarkedYAMLError) as caught:
        load_plain(text)
    assert word in str(caught.value.problem)
    assert caught.value.problem_mark is not None
    assert caught.value.problem_mark.line == line


@pytest.mark.parametrize("text", ["[" * 20000, "{a: " * 20000, "when: 2020-13-45", "\x00"])
def test_what_python_cannot_build_is_a_yaml_error(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        load_plain(text)


class _WithoutAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True
