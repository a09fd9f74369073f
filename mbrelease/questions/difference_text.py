"""The difference of two variants as tables for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from decimal import Decimal

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
_DIGITS = 10


def difference_text(found: Difference, width: int = WIDTH) -> str:
    """The sections in which the two differ, as lines of at most ``width`` columns."""
    heads = [[f"A: {found.first.name}", f"B: {found.second.name}"]]
    if found.first.name == found.second.name:
        return "\n\n".join("\n".join(lines) for lines in [*heads, ["no difference"]])
    heads.append(_lineage(found, width))
    differences = [
        _config(found, width),
        _table("Training", found.training, width, ("training.",)),
        _table("Data", found.data, width, ()),
        _table("Licence and languages", found.rights, width, ()),
        _measured(found, width),
        _reported(found.reported, width),
        _table("Card", found.card, width, ("card.",)),
    ]
    stated = (found.config, found.training, found.data, found.rights, found.card)
    gains = [row.difference for row in found.measured] + [row.difference for row in found.reported]
    if not any(stated) and not any(gains):
        differences.append(["no difference is known beside the lineage"])
    return "\n\n".join("\n".join(lines) for lines in [*heads, *differences] if lines)


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
    differing = [row for row in found.measured if row.difference]
    one, two = (side.weights_sha256 for side in (found.first, found.second))
    if one is not None and one == two and not differing:
        return []  # the same weights
    lines = ["Evidence, measured here"]
    for label, side in (("A", found.first), ("B", found.second)):
        lines += _paragraph(f"{label}: {_weights(side)}", width)
        lines += [line for note in side.notes for line in _paragraph(note, width)]
    if differing:
        head = ["task/metric", "split", "A", "B", "B − A [95%]"]
        lines += columns_text(head, [_measured_row(row) for row in differing], width)
        if any(row.interval is None for row in differing):
            lines += _paragraph("where no interval stands, a card has kept none", width)
    if same := len(found.measured) - len(differing):
        lines.append(f"  the same: {same}")
    if not found.measured:
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
    for source in dict.fromkeys(row.source for row in rows if row.difference):
        lines += textwrap.wrap(f"Evidence, reported by {source}", width)
        head = ["task/metric", "split", "A", "B", "B − A"]
        own = [row for row in rows if row.source == source]
        table = [_reported_row(row) for row in own if row.difference]
        lines += columns_text(head, table, width) if table else []
        lines += [f"  the same: {len(own) - len(table)}"] if len(table) < len(own) else []
    return lines


def _reported_row(row: Reported) -> list[str]:
    part = "" if row.subset == "default" else f"[{row.subset}]"
    seeds = f" (mean of {row.seeds} seeds)" if row.seeds > 1 else ""
    # As many decimals as the value that was reported with most; means may have endless ones.
    places = max(_decimals(value) for value in (row.first, row.second))
    values = [f"{value:.{places}f}" for value in (row.first, row.second)]
    gain = round(row.difference, places)
    sign = "+" if gain > 0 else ""
    name = f"{row.task}{part}/{row.metric.replace('_at_', '@')}{seeds}"
    return [name, row.split, *values, f"{sign}{gain:.{places}f}".replace("-", "−")]


def _decimals(value: float) -> int:
    exponent = Decimal(f"{value:.{_DIGITS}g}").as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


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
