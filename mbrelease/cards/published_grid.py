"""The cells of a published table in rows and columns, the best in bold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from markupsafe import Markup

from mbrelease.cards.exact import signed_text
from mbrelease.cards.numbers import NO_BREAK
from mbrelease.cards.published_sheet import Cell, Sheet
from mbrelease.cards.tables import Table, bold, table
from mbrelease.cards.told import Told, derived, inline, phrase
from mbrelease.registry.reported_tables import Change

NOT_REPORTED = "–"
BY_ROUNDING, NOT_BY_ROUNDING = "†", "‡"
_WITHIN_SDS = 2
_FACTS = {"parameters": "Parameters", "context": "Context"}


@dataclass(frozen=True)
class Grid:
    """A Markdown table, and the cells with a figure in it."""

    table: Table
    cells: tuple[Cell, ...]


def models_left(sheet: Sheet, models: Sequence[str]) -> Grid:
    """A row for each model, a column for each figure."""
    columns = range(len(sheet.table.columns))
    cells = [[sheet.cell(model, column) for column in columns] for model in models]
    best = [_best(sheet.table.bold, [row[column] for row in cells]) for column in columns]
    rows = [
        [
            sheet.label(model),
            *(sheet.fact(model, fact) for fact in sheet.table.facts),
            *(_text(cell, best[column]) for column, cell in enumerate(row)),
        ]
        for model, row in zip(models, cells, strict=True)
    ]
    header = ["Model", *(f">{_FACTS[fact]}" for fact in sheet.table.facts)]
    header += [_right(sheet.heading(column)) for column in columns]
    return Grid(table(header, rows), _filled(cells))


def metrics_left(sheet: Sheet, models: Sequence[str]) -> Grid:
    """A row for each figure, a column for each model, and the change where one is asked for."""
    columns = range(len(sheet.table.columns))
    cells = [[sheet.cell(model, column) for model in models] for column in columns]
    best = [_best(sheet.table.bold, row) for row in cells]
    change = sheet.table.change
    rows = [
        [
            sheet.heading(column),
            *(_text(cell, best[column]) for cell in row),
            *([change_told(change, row)] if change else []),
        ]
        for column, row in zip(columns, cells, strict=True)
    ]
    first = "Data set" if sheet.compares_data else "Metric"
    header = [first, *(_right(sheet.label(model)) for model in models)]
    if change is not None:
        header.append(_right(phrase("Change to {}", sheet.label(change.against))))
    return Grid(table(header, rows), _filled(cells))


def _right(heading: str) -> Markup:
    return Markup(">") + Markup(inline(heading))  # noqa: S704  (inline escapes)


def _filled(cells: Sequence[Sequence[Cell | None]]) -> tuple[Cell, ...]:
    return tuple(cell for row in cells for cell in row if cell is not None)


def _best(rule: str, cells: Sequence[Cell | None]) -> frozenset[str]:
    """The models whose figures are bold. Figures that look alike are equally good to a reader."""
    known = [cell for cell in cells if cell is not None]
    if rule == "none" or len(known) < 2:
        return frozenset()
    choose = min if any(cell.figure.lower_is_better for cell in known) else max
    best = choose(known, key=lambda cell: cell.figure.value)
    reach = Fraction(0)
    if rule == "within-2-sd" and best.sd is not None:
        reach = _WITHIN_SDS * best.sd.value
    return frozenset(
        cell.model
        for cell in known
        if cell.figure.shown == best.figure.shown
        or abs(cell.figure.value - best.figure.value) <= reach
    )


def _text(cell: Cell | None, best: frozenset[str]) -> str:
    if cell is None:
        return NOT_REPORTED
    told = cell.figure.told
    shown = bold(told) if cell.model in best else phrase("{}", told)
    if cell.sd is not None:
        shown += phrase(f"{NO_BREAK}±{NO_BREAK}{{}}", cell.sd.told)
    if cell.deviation is not None:
        shown += phrase(BY_ROUNDING if cell.deviation.by_rounding else NOT_BY_ROUNDING)
    return shown


def change_told(change: Change, cells: Sequence[Cell | None]) -> Told | None:
    """How the figure of one model differs from another's; percent are of the exact figures."""
    by_model = {cell.model: cell for cell in cells if cell is not None}
    own, other = by_model.get(change.of), by_model.get(change.against)
    if own is None or other is None:
        return None
    both = (own.figure.origin, other.figure.origin)
    difference = own.figure.value - other.figure.value
    if change.unit == "points":
        text = signed_text(difference, own.figure.decimals)
        return derived(text, "difference", both, float(difference))
    if other.figure.value <= 0:
        return None  # no percent can be taken of it
    share = difference / other.figure.value
    return derived(f"{signed_text(100 * share, 0)}%", "relative change", both, float(share))
