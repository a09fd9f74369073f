"""The difference of two variants as tables for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from mbrelease.cards.numbers import change_interval_text, change_text, metric_text
from mbrelease.questions.columns import columns_text
from mbrelease.questions.difference import Difference
from mbrelease.questions.evidence import Measured, Reported
from mbrelease.questions.sides import Side
from mbrelease.registry.change_text import value_text
from mbrelease.registry.changes import Change
from mbrelease.registry.facts_text import total_text
from mbrelease.registry.kinship import Chain

WIDTH = 80
_NONE = "–"


def difference_text(found: Difference, width: int = WIDTH) -> str:
    """The sections in which the two differ, as lines of at most ``width`` columns."""
    sections = [
        [f"A: {found.first.name}", f"B: {found.second.name}"],
        _lineage(found, width),
        _config(found, width),
        _table("Training", found.training, width, ("training.",)),
        _table("Data", found.data, width, ()),
        _table("Licence and languages", found.rights, width, ()),
        _measured(found, width),
        _reported(found.reported, width),
        _table("Card", found.card, width, ("card.",)),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


def _lineage(found: Difference, width: int) -> list[str]:
    lines = ["Lineage"]
    for chain in found.kinship.chains(1):
        lines += _chain(chain)
    if found.kinship.count == 0:
        lines += _paragraph("not related: no ancestor in common", width)
    elif found.kinship.count > 1:
        lines.append(f"  and {found.kinship.count - 1:,} more as short")
    for label, seen in zip("AB", found.seen, strict=True):
        total = total_text(seen.tokens.as_json(), "tokens")
        lines += _paragraph(f"tokens seen by {label}: {total}", width)
    return lines


def _chain(chain: Chain) -> Iterator[str]:
    for steps in (chain.to_first, chain.to_second):
        if steps:
            yield f"  {chain.ancestor}"
            yield from (f"    → {step.child}  ({step.relation})" for step in steps)


def _config(found: Difference, width: int) -> list[str]:
    one, two = (design.source for design in found.designs)
    both = [c for c in found.config if c.before is not None and c.after is not None]
    source = f"Config ({one})" if one == two else f"Config (A: {one}; B: {two})"
    lines = textwrap.wrap(source, width)
    lines += _rows(both, width, ())
    if found.same_in_config:
        lines.append(f"  the same: {found.same_in_config}")
    for label, missing in (("A", "after"), ("B", "before")):
        only = [c.key for c in found.config if getattr(c, missing) is None]
        if only:
            lines += _paragraph(f"only of {label}: {', '.join(only)}".replace("_", " "), width)
    return lines if len(lines) > 1 else []


def _measured(found: Difference, width: int) -> list[str]:
    lines = ["Evidence, measured here"]
    for label, side in (("A", found.first), ("B", found.second)):
        lines += _paragraph(f"{label}: {_weights(side)}", width)
        lines += [line for note in side.notes for line in _paragraph(note, width)]
    if found.measured:
        head = ["task/metric", "split", "A", "B", "B − A [95%]"]
        lines += columns_text(head, [_measured_row(row) for row in found.measured], width)
        if any(row.interval is None for row in found.measured):
            lines += _paragraph("where no interval stands, a card has kept none", width)
    else:
        lines += _paragraph("nothing was measured of both in the same way", width)
    return lines


def _weights(side: Side) -> str:
    sha256 = f" (sha256 {side.weights_sha256[:12]})" if side.weights_sha256 else ""
    return f"{side.weights}{sha256}"


def _measured_row(row: Measured) -> list[str]:
    gain = change_text(row.metric, row.difference)
    if row.interval is not None:
        gain += f" {change_interval_text(row.metric, row.interval)}".replace("\u00a0", " ")
    first, second = (metric_text(row.metric, value) for value in (row.first, row.second))
    return [f"{row.task}/{row.metric}", row.split, first, second, gain]


def _reported(rows: Sequence[Reported], width: int) -> list[str]:
    lines: list[str] = []
    for source in dict.fromkeys(row.source for row in rows):
        lines += textwrap.wrap(f"Evidence, reported by {source}", width)
        head = ["task/metric", "split", "A", "B", "B − A"]
        table = [_reported_row(row) for row in rows if row.source == source]
        lines += columns_text(head, table, width)
    return lines


def _reported_row(row: Reported) -> list[str]:
    part = "" if row.subset == "default" else f"[{row.subset}]"
    seeds = f" (mean of {row.seeds} seeds)" if row.seeds > 1 else ""
    gain = round(row.difference, 10)
    sign = "+" if gain > 0 else ""
    values = [f"{value:.10g}" for value in (row.first, row.second)]
    name = f"{row.task}{part}/{row.metric.replace('_at_', '@')}{seeds}"
    return [name, row.split, *values, f"{sign}{gain:.10g}".replace("-", "−")]


def _table(title: str, found: Sequence[Change], width: int, prefixes: Sequence[str]) -> list[str]:
    rows = _rows(found, width, prefixes)
    return [title, *rows] if rows else []


def _rows(found: Sequence[Change], width: int, prefixes: Sequence[str]) -> list[str]:
    if not found:
        return []
    return columns_text(["", "A", "B"], [_change(one, prefixes) for one in found], width)


def _change(change: Change, prefixes: Sequence[str]) -> list[str]:
    key = change.key
    for prefix in prefixes:
        key = key.removeprefix(prefix)
    before, after = (
        _NONE if value is None else value_text(value) for value in (change.before, change.after)
    )
    return [key.replace("_", " "), before, after]


def _paragraph(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
    )
