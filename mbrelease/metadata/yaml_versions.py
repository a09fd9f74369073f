"""Plain values that YAML 1.1 and YAML 1.2 read differently.

The Hub's server reads YAML 1.2, its Python client YAML 1.1 (PyYAML): ``language: no`` is Norwegian
to one and false to the other, ``value: 1e-5`` a number to one and text to the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.nodes import ScalarNode

from mbrelease.metadata.finding import Finding, shown
from mbrelease.metadata.spot import Spot
from mbrelease.registry.document import Node

_QUOTED = ('"', "'", "|", ">")
_DECORATION = re.compile(r"(?:[&!]\S*\s+)+")
# The core schema of YAML 1.2.2, https://yaml.org/spec/1.2.2/#103-core-schema
_CORE = (
    (re.compile(r"null|Null|NULL|~|"), "nothing"),
    (re.compile(r"true|True|TRUE|false|False|FALSE"), "true or false"),
    (
        re.compile(
            r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
            r"|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
        ),
        "a number",
    ),
)
_OLD = {
    "tag:yaml.org,2002:null": "nothing",
    "tag:yaml.org,2002:bool": "true or false",
    "tag:yaml.org,2002:int": "a number",
    "tag:yaml.org,2002:float": "a number",
    "tag:yaml.org,2002:timestamp": "a date",
    "tag:yaml.org,2002:value": "a default",
}
_TEXT = "text"
_RESOLVER: Any = yaml.resolver.Resolver()


def read_differently(top: Spot) -> Iterator[Finding]:
    """Every value and key below ``top`` that is another thing to another reader."""
    for spot in top.everything():
        node = spot.node
        for key in (node.keys or {}).values():
            yield from _difference(spot.below(str(key.value)), key)
        if node.children is None and not node.shared:
            yield from _difference(spot, node)


def impossible_dates(top: Spot) -> Iterator[Finding]:
    """Plain values at which PyYAML stops: ``2024-13-45`` has the form of a date and is none."""
    for spot in top.everything():
        node = spot.node
        source = spot.document.text[node.start : node.end]
        if node.children is None and not node.shared and _old_kind(source) == "a date":
            try:
                _construct(source)
            except ValueError as error:
                what = f"{shown(source)} is no date, and the Hub's client stops at it: {error}"
                yield spot.error(what, f'"{source}"')


def _difference(spot: Spot, node: Node) -> Iterator[Finding]:
    source = _DECORATION.sub("", spot.document.text[node.start : node.end], count=1).strip()
    if not source or source[0] in _QUOTED or "\n" in source:
        return
    old, new = _old_kind(source), _new_kind(source)
    differ = old != new or (old == "a number" and _old_number(source) != _new_number(source))
    if differ:
        how = f"{old} to YAML 1.1 and {new} to YAML 1.2" if old != new else "two numbers"
        what = f"{shown(source)} is {how}, and the card has readers of both"
        mend = f"write {_mend(source, old, new)}"
        yield spot.error(what, mend)


def _mend(source: str, old: str, new: str) -> str:
    if (old, new) == (_TEXT, "a number"):
        number = repr(_new_number(source))
        # PyYAML takes for a number only what has a point.
        return number if "." in number else number.replace("e", ".0e")
    if re.fullmatch(r"[-+]?[0-9]+(?:_[0-9]+)+", source):
        return source.replace("_", "")
    return f'"{source}"'


def _old_kind(source: str) -> str:
    tag = _RESOLVER.resolve(ScalarNode, source, (True, False))
    return _OLD.get(tag, _TEXT)


def _new_kind(source: str) -> str:
    return next((kind for pattern, kind in _CORE if pattern.fullmatch(source)), _TEXT)


def _old_number(source: str) -> Any:
    try:
        return _same(_construct(source))
    except ValueError:  # such as 5,000 digits
        return None


def _construct(source: str) -> Any:
    tag = _RESOLVER.resolve(ScalarNode, source, (True, False))
    return yaml.constructor.SafeConstructor().construct_object(ScalarNode(tag, source))


def _new_number(source: str) -> Any:
    try:
        if re.fullmatch(r"0[ox][0-9a-fA-F]+", source):
            return int(source, 0)
        if re.fullmatch(r"[-+]?[0-9]+", source):
            return int(source)
        return _same(float(re.sub(r"\.(inf|nan)", r"\1", source.lower())))
    except ValueError:
        return None


def _same(number: Any) -> Any:
    """NaN as a word, for it is not equal to itself."""
    return "nan" if number != number else number
