"""YAML reduced to plain values: no objects, no key twice, no aliases, and `1e-3` is a number."""

from __future__ import annotations

import re
from typing import Any

import yaml

_FLOAT_TAG = "tag:yaml.org,2002:float"
_EXPONENT = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$")


class KeyTwiceError(yaml.constructor.ConstructorError):
    """A key stands twice in one block."""


class _PlainLoader(yaml.SafeLoader):
    """PyYAML's safe loader, with the silent surprises turned into errors."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse aliases: a page of them can stand for gigabytes."""
        if self.check_event(yaml.AliasEvent):
            message = "aliases (*name) are not read; write the values out"
            raise yaml.constructor.ConstructorError(None, None, message, self.get_mark())
        node: yaml.Node | None = super().compose_node(parent, index)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that stands twice, where YAML would keep the last."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                message = f"the key {key.value!r} stands twice in one block"
                raise KeyTwiceError(None, None, message, key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


# YAML 1.1, which PyYAML reads, takes a number with an exponent but no point for text.
_PlainLoader.add_implicit_resolver(_FLOAT_TAG, _EXPONENT, list("-+.0123456789"))


def load_plain(text: str) -> Any:
    """Return the value of one YAML document.

    Raises:
        yaml.YAMLError: not YAML, a key twice in one block, an alias, or a tag with a meaning.
    """
    loader = _PlainLoader(text)
    try:
        return loader.get_single_data()
    except (ValueError, RecursionError) as error:  # an impossible date; brackets without end
        raise yaml.YAMLError(type(error).__name__) from None
    finally:
        loader.dispose()
