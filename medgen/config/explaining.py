"""From pydantic's errors to problems in the words of the file that was read."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError

from medgen.problems import Problem

_WORDS = {
    "Input should": "should",
    "valid ": "",
    "a tuple": "a list",
    "an integer": "a whole number",
    "a integer": "a whole number",
    "a boolean": "true or false",
    "a string": "text",
}
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
_NOT_A_BLOCK = (
    "model_type",
    "model_attributes_type",
    "dict_type",
    "mapping_type",
    "dataclass_type",
)


def explain(model: type[BaseModel], error: ValidationError, prefix: str = "") -> list[Problem]:
    """Return a problem for each refused key, in the order of the model.

    A key that may hold one of several kinds of value gets one problem, not one for each kind.
    """
    problems: list[Problem] = []
    unions: dict[str, int] = {}
    for entry in error.errors(include_url=False):
        keys, block = _place(model, entry["loc"])
        _, owner = _place(model, entry["loc"][:-2])
        name = ".".join([prefix, *keys] if prefix else keys)
        described = list(_describe(name, keys, block, dict(entry), owner))
        if block is not _ANY_OF:
            problems += described
        elif name in unions:
            also = described[0].message.removeprefix(f"{name}: ")
            first = problems[unions[name]]
            problems[unions[name]] = dataclasses.replace(
                first, message=f"{first.message}; or {also}"
            )
        else:
            unions[name] = len(problems)
            problems += described
    return problems


_ANY_OF = object()
"""Stands for the inside of a union, where pydantic reports each kind that did not fit."""


def _describe(
    name: str, keys: Sequence[str], block: Any, entry: dict[str, Any], owner: Any
) -> Iterator[Problem]:
    """Turn one pydantic error into problems; `owner` is the union that the block is one of."""
    kind, value = entry["type"], entry.get("input")
    if kind in _UNKNOWN:
        advice = _advice_on_unknown(name, block, owner)
        yield Problem("E_CONFIG_KEY", f"unknown key {name!r}", advice)
    elif kind == "missing" and (block is _ANY_OF or isinstance(entry["loc"][-1], int)):
        owner = name if block is _ANY_OF else name.rpartition(".")[0]
        yield _value_problem(owner, "has too few values", value, kind)
    elif kind in ("missing", "missing_argument"):
        yield Problem("E_CONFIG_KEY", f"key {name!r} is missing", "add it; see `medgen init`")
    elif kind == "union_tag_not_found":
        tag = _tag(entry)
        choice = f"add it; one of {_expected(block)}"
        yield Problem("E_CONFIG_KEY", f"key '{name}.{tag}' is missing", choice)
    elif kind == "union_tag_invalid":
        given = entry["ctx"]["tag"]
        advice = f"{_closest(given, _expected(block).split(', '))}known: {_expected(block)}"
        yield Problem("E_CONFIG_VALUE", f"{name}.{_tag(entry)}: {given!r} is not known", advice)
    elif kind in _NOT_A_BLOCK:
        yield Problem(
            "E_CONFIG_VALUE",
            f"{name or 'configuration'}: should be a block of keys, not {_words(value)}",
            "indent its keys below it, or write {key: value}",
        )
    elif kind in ("too_short", "too_long"):
        bound, limit = ("least", "min_length") if kind == "too_short" else ("most", "max_length")
        if kind == "too_long" or len(value or ()) < entry["ctx"][limit]:
            text = f"should have at {bound} {entry['ctx'][limit]} values"
            yield _value_problem(name, text, value, kind)
    else:
        for message in str(entry["msg"]).removeprefix("Value error, ").split("\n"):
            yield _value_problem(name, message, value, kind)


def _advice_on_unknown(name: str, block: Any, owner: Any) -> str:
    """Name the known keys, and say so where the key is one of another network in its place.

    Such keys remain where `--set` changes a block's `name` alone.
    """
    known = _known_keys(block)
    place, _, key = name.rpartition(".")
    others = [
        _fields(_bare(branch)) for branch in get_args(owner) if _is_union(owner) and branch != block
    ]
    if "name" in known and any("name" in fields and key in fields for fields in others):
        (chosen, *_) = get_args(_fields(block)["name"])
        return (
            f"known to network {chosen}: {', '.join(known)}; the key is another network's, so set "
            f"the whole block: --set '{place}={{name: {chosen}}}'"
        )
    return f"{_closest(key, known)}known here: {', '.join(known)}"


def _value_problem(name: str, message: str, value: Any, kind: str) -> Problem:
    text = message
    for pydantics, ours in _WORDS.items():
        text = text.replace(pydantics, ours)
    given = "" if kind == "value_error" else f", not {_words(value)}"
    advice = "see the comments of `medgen init`"
    if kind == "string_type" and isinstance(value, bool | int | float):
        advice = f"put it in quotes: '{value}'"
    place = f"{name}: " if name else ""
    return Problem("E_CONFIG_VALUE", f"{place}{text}{given}", advice)


def _words(value: Any) -> str:
    """Say what a value is, in YAML's words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "a block of keys"
    if isinstance(value, list | tuple):
        return "a list" if len(value) > 4 else str(list(value))
    return repr(value)


def _place(model: type[BaseModel], location: Sequence[int | str]) -> tuple[list[str], Any]:
    """Return the keys that lead to an error, as the user wrote them, and the block they reach.

    Pydantic's location also holds the tag of a union's branch, which no file contains. The block
    is that of the last key where the key is unknown, else what the last key holds.
    """
    keys: list[str] = []
    here: Any = model
    for part in location:
        here = _bare(here)
        if _is_union(here):
            branches = [b for b in get_args(here) if part in _tags(b)]
            if not branches:
                return keys, _ANY_OF
            here = branches[0]
            continue
        if part == "[key]":
            continue
        keys.append(str(part))
        fields = _fields(here)
        if fields and part not in fields:
            return keys, here
        arguments = get_args(here) or (None,)
        is_mapping = get_origin(here) in (dict, Mapping)
        here = fields[str(part)] if fields else arguments[-1 if is_mapping else 0]
    return keys, _bare(here)


def _bare(annotation: Any) -> Any:
    """Take off Annotated and `| None`."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif _is_union(annotation) and NoneType in get_args(annotation):
            kinds = tuple(kind for kind in get_args(annotation) if kind is not NoneType)
            annotation = Union[kinds]  # noqa: UP007  (built from a tuple)
        else:
            return annotation


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType)


def _fields(annotation: Any) -> dict[str, Any]:
    """Return the keys of a block with their types; empty for anything else."""
    if not isinstance(annotation, type):
        return {}
    if issubclass(annotation, BaseModel):
        model_fields = annotation.model_fields.items()
        return {field.alias or name: field.annotation for name, field in model_fields}
    if dataclasses.is_dataclass(annotation):
        hints = get_type_hints(annotation)
        return {field.name: hints[field.name] for field in dataclasses.fields(annotation)}
    return {}


def _known_keys(block: Any) -> list[str]:
    return sorted(_fields(block))


def _tags(branch: Any) -> list[str]:
    """Return the words by which a branch of a union can be chosen."""
    literals = [kind for kind in _fields(_bare(branch)).values() if get_origin(kind) is Literal]
    # A tag is the one value of its key; a choice of several tells nothing apart.
    return [str(get_args(literal)[0]) for literal in literals if len(get_args(literal)) == 1]


def _expected(union: Any) -> str:
    return ", ".join(tag for branch in get_args(union) for tag in _tags(branch))


def _tag(entry: dict[str, Any]) -> str:
    return str(entry["ctx"]["discriminator"]).strip("'")


def _closest(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}? " if close else ""
