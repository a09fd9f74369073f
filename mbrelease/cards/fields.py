"""The way to one value in a record, written as ``scores.test[0].recall_at_1``.

A step is a key (``.name``, or ``["any text"]``), a position in a list (``[0]``), or ``[key=9f31…]``
for the entry of a list whose provenance has that key, wherever it stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_STEP = re.compile(
    r"""\.?(?P<name>[A-Za-z_][\w@+-]*)|\[(?P<index>\d+)\]|\[key=(?P<key>[0-9a-f]+)\]"""
    r"""|\[(?P<text>"(?:[^"\\]|\\.)*")\]"""
)


def read_field(content: Any, path: str) -> Any:
    """The value at ``path`` in ``content``, as JSON or YAML gave it.

    Raises:
        LookupError: there is none.
    """
    for step in _steps(path):
        content = _into(content, step)
    return content


def _steps(path: str) -> Iterator[re.Match[str]]:
    position = 0
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            raise LookupError(f"{path} is no path")
        yield step
        position = step.end()


def _into(content: Any, step: re.Match[str]) -> Any:
    if step["index"] is not None:
        if isinstance(content, list) and int(step["index"]) < len(content):
            return content[int(step["index"])]
    elif step["key"] is not None:
        for entry in content if isinstance(content, list) else ():
            provenance = entry.get("provenance") if isinstance(entry, dict) else None
            if isinstance(provenance, dict) and provenance.get("key") == step["key"]:
                return entry
    else:
        name = step["name"] if step["name"] is not None else _text(step["text"])
        if isinstance(content, dict) and name in content:
            return content[name]
    raise LookupError(f"there is no {step[0]}")


def _text(quoted: str) -> str | None:
    try:
        return str(json.loads(quoted))
    except ValueError:
        return None
