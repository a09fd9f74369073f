"""What is told of a variant, for people: a line a fact."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

LINE_CHARACTERS = 60
DESCENDANTS = 20
"""So many are named; of more, the number is told."""
SHORT_DIGITS = 6
_SCALAR = str | int | float | bool
# Not told as a list of keys and values: told otherwise, or by what stands beside it.
_APART = frozenset(
    {
        "variant", "defined_in", "released", "lineage", "seen", "descendants", "files", "card",
        "parents", "remarks",
    }
)  # fmt: skip
_NAMING = ("name", "use")
_UNITS = ((10**12, "T"), (10**9, "B"), (10**6, "M"))


def details_text(answer: Mapping[str, Any], width: int | None = None) -> str:
    """``facts.details`` for people, broken at ``width`` columns; empty things are left out."""
    lines = [answer["variant"]]
    place = answer["defined_in"]
    if place is not None:
        lines.append(f"  defined in: {place['file']}:{place['line']}")
    for key, value in answer.items():
        if key not in _APART and value not in ([], {}):
            lines += _lines(key, value, "  ")
    lines += _lines("card", answer["card"], "  ") if "card" in answer else []
    lines += _lineage(answer["lineage"])
    lines += _seen(answer["seen"])
    lines += [f"  remark: {remark}" for remark in answer.get("remarks", ())]
    lines += _descendants(answer["variant"], answer["descendants"])
    for what, place in answer["files"].items():
        lines.append(f"  {what}: {place['path']}{'' if place['exists'] else ' (not there yet)'}")
    if width is None:
        return "\n".join(lines)
    return "\n".join(piece for line in lines for piece in _wrapped(line, width))


def amount_text(amount: int) -> str:
    """A count in short where that loses nothing: ``2.00045 T``, ``450 M``, else ``518,531``."""
    digits = len(str(amount).rstrip("0"))
    unit, sign = next((u for u in _UNITS if amount >= u[0]), (1, ""))
    if unit == 1 or digits > SHORT_DIGITS:
        return f"{amount:,}"
    return f"{amount / unit:.{SHORT_DIGITS}g} {sign}"


def total_text(total: Mapping[str, Any], what: str) -> str:
    """A sum with what is missing in it: ``≥ 2.45 T (x's tokens are not stated)``."""
    silent = [part["variant"] for part in total["parts"] if part["amount"] is None]
    partly = [part["variant"] for part in total["parts"] if part["at_least"]]
    missing = [_missing(silent, what, "are not stated")] if silent else []
    missing += [_missing(partly, what, "are stated in part")] if partly else []
    if total["total"] is None:
        return "not stated" + (f" ({missing[0]})" if missing and len(total["parts"]) > 1 else "")
    bound = "≥ " if total["lower_bound"] else ""
    return bound + amount_text(total["total"]) + (f" ({'; '.join(missing)})" if missing else "")


def _missing(names: Sequence[str], what: str, how: str) -> str:
    listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{what} of {listed} {how}" if len(names) > 1 else f"{names[0]}'s {what} {how}"


def change_text(change: Mapping[str, Any]) -> str:
    """A change in a line: ``context: 8,192 → 512``."""
    key, before, after = change["key"], change["before"], change["after"]
    label = key.removeprefix("training.").replace("_", " ").replace(".", " ")
    if key == "training.tokens":
        return f"tokens: +{amount_text(after)}"
    if key == "data":
        return f"data: + {after}"
    if key == "training.phases":
        return f"phases: {', '.join(after)}"
    if after is None:
        return f"{label}: {_value(before)} → not stated"
    return f"{label}: {_value(after)}" if before is None else (
        f"{label}: {_value(before)} → {_value(after)}"
    )  # fmt: skip


def _lineage(steps: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for step in steps:
        yield f"  lineage: {step['child']} ← {step['parent']} ({step['relation']})"
        yield from (f"    {change_text(change)}" for change in step["changes"])
        yield from (f"    {part}: {what}" for part, what in step.get("files", {}).items())


def _seen(seen: Mapping[str, Any]) -> Iterator[str]:
    tokens = seen["tokens"]
    yield f"  tokens seen: {total_text(tokens, 'tokens')}"
    if len(tokens["parts"]) > 1 or any(part["note"] for part in tokens["parts"]):
        yield from map(_part, tokens["parts"])
    for step in seen["not_counted"]:
        yield f"    not counted: what {step['parent']} saw ({step['relation']} of {step['child']})"
    if not seen["data"]:
        return
    yield f"  documents seen: {total_text(seen['documents'], 'documents')}"
    yield "  data seen:"
    for one in seen["data"]:
        license_id = one.get("license") or "licence not stated"
        count = f", {one['documents']:,} documents" if "documents" in one else ""
        yield f"    - {one['name']} ({license_id}{count}; {', '.join(one['by'])})"


def _part(part: Mapping[str, Any]) -> str:
    note = f" ({part['note']})" if part["note"] else ""
    stated = "not stated" if part["amount"] is None else amount_text(part["amount"])
    return f"    {part['variant']}: {stated}{note}"


def _descendants(name: str, descendants: Sequence[str]) -> Iterator[str]:
    if len(descendants) > DESCENDANTS:
        yield f"  descendants: {len(descendants):,}; mbrelease registry which --ancestor {name}"
    elif descendants:
        yield f"  descendants: {', '.join(descendants)}"


def _wrapped(line: str, width: int) -> list[str]:
    """``line`` in lines of ``width``, the later ones further in; names and URLs stay whole."""
    if len(line) <= width:
        return [line]
    margin = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.wrap(
        line, width, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False,
        drop_whitespace=True,
    )  # fmt: skip


def _lines(key: str, value: Any, margin: str) -> Iterator[str]:
    """A fact as lines: scalars on one, mappings and lists of mappings below one another."""
    label = key.replace("_", " ")
    if isinstance(value, dict):
        yield f"{margin}{label}:"
        for inner, item in value.items():
            yield from _lines(inner, item, margin + "  ")
    elif isinstance(value, list) and any(not isinstance(item, _SCALAR) for item in value):
        yield f"{margin}{label}:"
        for item in value:
            yield f"{margin}  - {'; '.join(_pairs(item))}"
    elif isinstance(value, list) and sum(map(len, map(_scalar, value))) > LINE_CHARACTERS:
        yield f"{margin}{label}:"
        yield from (f"{margin}  - {_scalar(item)}" for item in value)
    elif isinstance(value, list):
        yield f"{margin}{label}: {', '.join(map(_scalar, value))}"
    elif isinstance(value, str) and "\n" in value.strip():
        yield f"{margin}{label}:"
        yield from (f"{margin}  {line}" for line in value.strip().splitlines())
    else:
        yield f"{margin}{label}: {_scalar(value)}"


def _pairs(item: Any) -> Iterator[str]:
    if not isinstance(item, dict):
        yield _scalar(item)
        return
    for key, value in item.items():
        text = ", ".join(map(_scalar, value)) if isinstance(value, list) else _scalar(value)
        yield text if key in _NAMING else f"{key.replace('_', ' ')}: {text.removesuffix('.')}"


def _value(value: Any) -> str:
    return ", ".join(map(_scalar, value)) if isinstance(value, list) else _scalar(value)


def _scalar(value: Any) -> str:
    """Numbers with their thousands apart, the way token counts are read."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float) and value.is_integer():
        return f"{value:,.0f}"
    return str(value).strip()
