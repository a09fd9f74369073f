"""What a plain YAML scalar means, and how a value is written so that every reader agrees.

Reading follows the YAML 1.2 core schema: only ``true`` and ``false`` are booleans, so the
language ``no`` stays a language; ``8e-4`` is a number; ``12:30`` is text. Two departures:
``450_000_000`` is a number (people write token counts so), and ``010`` is text, because YAML
1.1 reads it as 8 and YAML 1.2 as 10.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_WORDS: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
    ".inf": float("inf"), ".Inf": float("inf"), ".INF": float("inf"),
    "-.inf": float("-inf"), "-.Inf": float("-inf"), "-.INF": float("-inf"),
    ".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan"),
}  # fmt: skip
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*(?:_[0-9]+)*)\Z")
_BASED_INT = re.compile(r"0o[0-7]{1,16}\Z|0x[0-9a-fA-F]{1,16}\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NUMBER_START = frozenset("+-.0123456789")
# Longer digits are no count of anything here, and int() refuses more than 4,300 of them.
_MAX_DIGITS = 30

_PLAIN = re.compile(r"[\w./(][\w ./()+@%=~^*°·×–—’-]*\Z")
# DEL, C1 controls, line separators and what is not a character: YAML wants them escaped.
_ESCAPED = re.compile(r'["\\\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]')
_SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def plain_value(text: str) -> Any:
    """The value of a plain (unquoted) scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_START or len(text) > _MAX_DIGITS:
        return text
    if _INT.match(text):
        return int(text)
    if _BASED_INT.match(text):
        return int(text, 0)
    # A leading zero is an accident waiting to be read in another base.
    if _FLOAT.match(text) and not re.match(r"[-+]?0[0-9]", text):
        return float(text)
    return text


def flow_text(value: Any) -> str:
    """``value`` as YAML on one line, such as ``[{variant: a, relation: merging}]``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return string_text(value)
    if isinstance(value, list):
        return "[" + ", ".join(flow_text(item) for item in value) + "]"
    if isinstance(value, dict):
        pairs = (f"{string_text(str(key))}: {flow_text(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    raise TypeError(f"{type(value).__name__} has no YAML form here")


def string_text(value: str) -> str:
    """A string as YAML: plain where every reader takes it for a string, else in quotes."""
    if _PLAIN.match(value) and value == value.strip() and not _other_than_text(value):
        return value
    return '"' + _ESCAPED.sub(_escape, value) + '"'


def _other_than_text(text: str) -> bool:
    """Whether this reader, or one of YAML 1.1, would take the plain ``text`` for no string."""
    if not isinstance(plain_value(text), str):
        return True
    resolvers = yaml.SafeLoader.yaml_implicit_resolvers.get(text[:1], [])
    return any(pattern.match(text) for _, pattern in resolvers)


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    return _SHORT_ESCAPES.get(character) or f"\\u{ord(character):04x}"
