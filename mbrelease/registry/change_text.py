"""Changes of values as lines: ``training.tokens: 450,000,000 → 1,000,000,000``."""

from __future__ import annotations

import textwrap
from typing import Any

from mbrelease.registry.changes import Change

LONGEST = 200
"""Characters of a value that are shown; JSON has all of them."""


def change_lines(change: Change, width: int | None = None, margin: str = "") -> list[str]:
    """A change in one line, or in several of ``width`` columns, ``margin`` before each."""
    line = f"{change.key}: {_sides(change)}"
    if width is None:
        return [margin + line]
    return textwrap.wrap(
        line,
        max(width, 20),
        initial_indent=margin,
        subsequent_indent=margin + "  ",
        break_on_hyphens=False,
    )


def value_text(value: Any) -> str:
    """A value of a registry on one line, numbers with their thousands apart."""
    text = " ".join(_text(value).split())
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def _sides(change: Change) -> str:
    if change.item:
        kept = change.after if change.before is None else change.before
        return f"{'+' if change.before is None else '−'} {value_text(kept)}"
    before, after = ("not stated" if v is None else value_text(v) for v in _both(change))
    return f"{before} → {after}"


def _both(change: Change) -> tuple[Any, Any]:
    return change.before, change.after


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, dict):
        name = value.get("name", value.get("variant", value.get("use")))
        rest = [f"{k.replace('_', ' ')} {_text(v)}" for k, v in value.items() if v is not name]
        return (f"{name} ({'; '.join(rest)})" if rest else str(name)) if name else "; ".join(rest)
    return str(value)
