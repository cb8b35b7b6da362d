"""Changing keys of a configuration's text, and nothing else of it: the user's comments stay.

The text is edited at the places that YAML's own parser gives for each key. What comes out is read
again by medgen's reader and compared with what was meant, so that an edit that misses is found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from medgen.config import parse_config
from medgen.config.plain_yaml import load_plain

MARK = "# plan: "
"""How a line of reasons begins; planning again replaces those lines."""

WIDTH = 100

Keys = tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """One key to be set, and why."""

    path: Keys
    value: Any
    """A number, a word, a list of numbers, or a block of those."""
    reason: str


def edited(text: str, changes: Sequence[Change], *, command: str, summary: Sequence[str]) -> str:
    """Return a configuration's text with the changes, each below its reason as a comment.

    The first line becomes `command`, a comment; the summary follows it. Where the text cannot be
    edited in place, the whole configuration is written anew, without the user's comments.
    """
    meant = set_values(load_plain(text), changes)
    try:
        result = _strip_reasons(text)
        for change in changes:
            result = _edit(result, change)
        result = _with_heading(result, command, summary)
        if _same(result, meant):
            return result
    except (yaml.YAMLError, _NotEditable):
        pass
    return _anew(meant, changes, command, summary)


def given_by(assignments: Sequence[str], planned: Sequence[Change]) -> list[Change]:
    """Return what `KEY=VALUE` assignments change, the last of each key, less what is planned."""
    found: dict[Keys, Any] = {}
    for assignment in assignments:
        key, _, value = assignment.partition("=")
        path = tuple(key.split("."))
        found = {known: v for known, v in found.items() if known[: len(path)] != path}
        found[path] = load_plain(value)
    paths = [change.path for change in planned]
    return [
        Change(path, value, "as given by --set.")
        for path, value in found.items()
        if not any(path[: len(theirs)] == theirs for theirs in paths)
    ]


def set_values(raw: Mapping[str, Any], changes: Sequence[Change]) -> dict[str, Any]:
    """Return plain configuration values with the changes; the given ones stay as they are."""
    result: dict[str, Any] = json.loads(json.dumps(raw))
    for change in changes:
        block = result
        for key in change.path[:-1]:
            if block.get(key) is None:
                block[key] = {}
            block = block[key]
        block[change.path[-1]] = json.loads(json.dumps(change.value))
    return result


class _NotEditable(Exception):
    """The text is laid out in a way that is not edited in place."""


def _same(text: str, meant: Mapping[str, Any]) -> bool:
    return parse_config(load_plain(text)).as_json() == parse_config(meant).as_json()


def _edit(text: str, change: Change) -> str:
    """Set one key, and put its reason above the line that it stands in."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        raise _NotEditable
    node, line, depth = root, 0, 0
    for key in change.path[:-1]:
        found = _find(node, key)
        if found is None:
            break
        name, value = found
        if not node.flow_style:
            line = name.start_mark.line
        if not isinstance(value, yaml.MappingNode):
            if _is_empty(value):
                inner = _nested(change.path[depth + 1 :], change.value)
                changed = _insert(text, name.end_mark.index + 1, f" {inner}")
                return _with_reason(changed, name.start_mark.line, change)
            raise _NotEditable
        node, depth = value, depth + 1
    rest = change.path[depth:]
    found = _find(node, rest[0]) if len(rest) == 1 else None
    if found is not None:
        name, value = found
        if not node.flow_style:
            line = name.start_mark.line
        changed = _replace_value(text, name, value, change.value)
        if name.start_mark.line == line and not node.flow_style and changed != text:
            changed = _without_comment(text, changed, value)
        return _with_reason(changed, line, change)
    if node.flow_style:
        inner = f"{rest[0]}: {_nested(rest[1:], change.value)}"
        if node.value:
            changed = _insert(text, node.value[-1][1].end_mark.index, f", {inner}")
        else:
            changed = _insert(text, node.start_mark.index + 1, inner)
        return _with_reason(changed, line, change)
    return _new_line(text, node, rest, change)


def _find(node: yaml.MappingNode, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    for name, value in node.value:
        if isinstance(name, yaml.ScalarNode) and name.value == key:
            return name, value
    return None


def _is_empty(value: yaml.Node) -> bool:
    return isinstance(value, yaml.ScalarNode) and value.start_mark.index == value.end_mark.index


def _replace_value(text: str, name: yaml.Node, value: yaml.Node, new: Any) -> str:
    start, end = value.start_mark.index, value.end_mark.index
    if start == end:
        return _insert(text, name.end_mark.index + 1, f" {_flow(new)}")
    block = isinstance(value, yaml.CollectionNode) and not value.flow_style
    if block and isinstance(value, yaml.MappingNode) and isinstance(new, Mapping):
        return _replace_block(text, name, value, new)
    if block or (isinstance(value, yaml.ScalarNode) and value.style in ("|", ">")):
        raise _NotEditable
    return text[:start] + _flow(new) + text[end:]


def _without_comment(text: str, changed: str, value: yaml.Node) -> str:
    """Drop the comment behind a replaced value on its own line: it speaks of the value before."""
    if isinstance(value, yaml.CollectionNode) and not value.flow_style:
        return changed
    end = value.end_mark.index
    rest = text[end:].split("\n", 1)[0]
    if not re.fullmatch(r"\s+#.*", rest):
        return changed
    return changed[: len(changed) - len(text) + end] + text[end + len(rest) :]


def _replace_block(text: str, name: yaml.Node, value: yaml.Node, new: Mapping[str, Any]) -> str:
    """Put a block on the line of its name; comments on lines of their own stay below it."""
    first, last = name.end_mark.line + 1, _last_line(value)
    lines = _insert(text, name.end_mark.index + 1, f" {_flow(new)}").split("\n")
    comments = [line for line in lines[first : last + 1] if line.lstrip().startswith("#")]
    return "\n".join([*lines[:first], *comments, *lines[last + 1 :]])


def _new_line(text: str, node: yaml.MappingNode, rest: Keys, change: Change) -> str:
    """Add a key to a block, below its last one."""
    indent = node.start_mark.column
    last = _last_line(node)
    lines = text.split("\n")
    pad = " " * indent
    new = [*_reason_lines(change.reason, pad)]
    new += [f"{pad}{rest[0]}: {_nested(rest[1:], change.value)}"]
    if indent == 0:
        new = ["", *new]
    return "\n".join([*lines[: last + 1], *new, *lines[last + 1 :]])


def _last_line(node: yaml.Node) -> int:
    """Return the line in which a value ends; a block's own end mark lies beyond its comments."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        key, value = last if isinstance(last, tuple) else (last, last)
        return max(int(key.end_mark.line), _last_line(value))
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        raise _NotEditable
    return int(node.end_mark.line)


def _with_reason(text: str, line: int, change: Change) -> str:
    lines = text.split("\n")
    pad = lines[line][: len(lines[line]) - len(lines[line].lstrip())]
    return "\n".join([*lines[:line], *_reason_lines(change.reason, pad), *lines[line:]])


def _reason_lines(reason: str, pad: str) -> list[str]:
    """Return a reason as comment lines of at most `WIDTH` characters."""
    room = WIDTH - len(pad) - len(MARK)
    lines, line = [], ""
    for word in reason.split():
        if line and len(line) + 1 + len(word) > room:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return [f"{pad}{MARK}{part}" for part in [*lines, line]]


def _strip_reasons(text: str) -> str:
    """Remove what an earlier plan wrote."""
    return "\n".join(line for line in text.split("\n") if not line.lstrip().startswith(MARK))


def _with_heading(text: str, command: str, summary: Sequence[str]) -> str:
    """Put the command first, in the place of the one that was there, and the summary below."""
    lines = text.split("\n")
    if re.match(r"#\s*medgen train\b", lines[0]):
        lines = lines[1:]
    heading = [line for text in summary for line in _reason_lines(text, "")]
    return "\n".join([command, *heading, *lines])


def _insert(text: str, index: int, new: str) -> str:
    return text[:index] + new + text[index:]


def _nested(path: Keys, value: Any) -> str:
    """Return a value inside the blocks that lead to it, on one line."""
    return f"{{{path[0]}: {_nested(path[1:], value)}}}" if path else _flow(value)


def _flow(value: Any) -> str:
    """Return a plain value in YAML, on one line."""
    if isinstance(value, str):
        plain = re.fullmatch(r"[\w./-]+", value) is not None and load_plain(value) == value
        return value if plain else json.dumps(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_flow(inner)}' for key, inner in value.items())}}}"
    return json.dumps(value)


def _anew(
    meant: Mapping[str, Any], changes: Sequence[Change], command: str, summary: Sequence[str]
) -> str:
    """Write the whole configuration, with the reasons at the top of each changed block."""
    text = yaml.safe_dump(
        meant, sort_keys=False, allow_unicode=True, default_flow_style=None, width=WIDTH
    )
    lines = text.split("\n")
    for change in changes:
        line = next(k for k, t in enumerate(lines) if re.match(rf"{change.path[0]}:", t))
        reason = f"{'.'.join(change.path)}: {change.reason}"
        lines[line:line] = _reason_lines(reason, "")
    return _with_heading("\n".join(lines), command, summary)
