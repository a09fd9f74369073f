"""What a table of reported figures says of the model of the card, in a sentence: where it leads,
and who leads where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mbrelease.cards.numbers import count_text
from mbrelease.cards.published_grid import change_told
from mbrelease.cards.published_sheet import Cell, Sheet
from mbrelease.cards.told import derived, joined, listed, phrase

_NAMED = 6
"""Columns that a sentence names; of more it gives the number."""
_LOST_NAMED = 3
"""As many of them where an average tells of all."""


@dataclass(frozen=True)
class _Place:
    """Where the model stands in a column."""

    own: Cell
    leaders: tuple[Cell, ...]
    """The best of the others; none where the model itself is among the best."""


def finding(sheet: Sheet, model: str, cells: Sequence[Cell]) -> Markup | None:
    """The changes that a table asks for, or else where ``model`` is best and who leads elsewhere.

    Args:
        sheet: The table.
        model: The variant of the card.
        cells: The figures that stand side by side in it, ``model``'s and others'.

    Returns:
        Nothing where ``model`` stands there alone.
    """
    places = [
        _place(cell, row)
        for cell in cells
        if cell.model == model
        and len(row := [other for other in cells if other.column == cell.column]) > 1
    ]
    if not places:
        return None
    change = sheet.table.change
    if change is not None and change.of == model:
        clauses = _changes(sheet, cells, places)
    else:
        clauses = _standing(sheet, places, len({cell.model for cell in cells}))
    title = phrase("*{}*", sheet.place.at("title").tell(sheet.table.title))
    return phrase("{}: {}.", title, joined(clauses, "; ")) if clauses else None


def _place(own: Cell, row: Sequence[Cell]) -> _Place:
    choose = min if own.figure.lower_is_better else max
    best = choose(cell.figure.shown for cell in row)
    # Figures that look alike are equally good to a reader.
    leaders = tuple(cell for cell in row if cell.figure.shown == best)
    return _Place(own, () if own in leaders else leaders)


def _changes(sheet: Sheet, cells: Sequence[Cell], places: Sequence[_Place]) -> list[Markup]:
    change = sheet.table.change
    assert change is not None
    parts = []
    for place in places:
        own = place.own
        row = [other for other in cells if other.column == own.column]
        against = next((other for other in row if other.model == change.against), None)
        told = change_told(change, row)
        if against is not None and told is not None:
            figures = (own.figure.told, against.figure.told)
            label = sheet.column_label(own.column)
            parts.append(phrase("{} **{}** against {} ({})", label, *figures, told))
    third = [
        place
        for place in places
        if place.leaders and change.against not in {cell.model for cell in place.leaders}
    ]
    if not parts:
        return []
    held = phrase("held against {}, {}", sheet.label(change.against), listed(parts))
    return [held, *_lead(sheet, third)]


def _standing(sheet: Sheet, places: Sequence[_Place], models: int) -> list[Markup]:
    averages = [place for place in places if _is_average(sheet, place.own.column)]
    single = [place for place in places if place not in averages]
    won = [place for place in single if not place.leaders]
    lost = [place for place in single if place.leaders]
    origin = places[0].own.figure.origin
    rivals = derived(count_text(models), "count of models", [origin])
    counted = bool(averages) and len(lost) > _LOST_NAMED
    led = [_on_average(place) for place in averages if not place.leaders]
    behind = [
        phrase("{} on average, {} to {}", _leaders(sheet, place), *_both(place))
        for place in averages
        if place.leaders
    ]
    where = [_where(sheet, won, single, counted=counted)] if won or counted else []
    clauses = [] if counted else _lead(sheet, lost)
    if where or led:
        best = phrase("the best of {} models {}", rivals, joined([*where, *led], ", and "))
        return [best, *clauses, *behind]
    first, *others = [*clauses, *behind]
    return [phrase("of {} models {}", rivals, first), *others]


def _where(
    sheet: Sheet, won: Sequence[_Place], single: Sequence[_Place], *, counted: bool
) -> Markup:
    """On which columns it is the best: by name, or how many."""
    if len(won) == len(single) > 1:
        return phrase("on every one")
    if not counted and len(won) <= _NAMED:
        named = [
            phrase("{} (**{}**)", sheet.column_label(place.own.column), place.own.figure.told)
            for place in won
        ]
        return phrase("on {}", listed(named))
    what = "data sets" if sheet.compares_data else "figures"
    whole = derived(count_text(len(single)), "count", [place.own.figure.origin for place in single])
    if not won:
        return phrase(f"on none of {{}} {what}", whole)
    origins = [place.own.figure.origin for place in won]
    many = derived(count_text(len(won)), "count of the best", origins)
    return phrase(f"on {{}} of {{}} {what}", many, whole)


def _lead(sheet: Sheet, lost: Sequence[_Place]) -> list[Markup]:
    """Who leads where the model does not, with the figures of both unless they are many."""
    groups: dict[Markup, list[_Place]] = {}
    for place in lost:
        groups.setdefault(_leaders(sheet, place), []).append(place)
    clauses = []
    for leaders, places in groups.items():
        named = []
        for place in places:
            label = sheet.column_label(place.own.column)
            many = len(lost) > _NAMED
            named.append(label if many else phrase("{} ({} to {})", label, *_both(place)))
        clauses.append(phrase("{} on {}", leaders, listed(named)))
    return clauses


def _leaders(sheet: Sheet, place: _Place) -> Markup:
    names = [sheet.label(cell.model) for cell in place.leaders]
    return phrase("{} lead" if len(names) > 1 else "{} leads", listed(names))


def _both(place: _Place) -> tuple[str, str]:
    """The best figure and the model's own."""
    return place.leaders[0].figure.told, place.own.figure.told


def _on_average(place: _Place) -> Markup:
    return phrase("on average (**{}**)", place.own.figure.told)


def _is_average(sheet: Sheet, column: int) -> bool:
    """Whether a column is the mean of others of the table."""
    entry = sheet.table.columns[column]
    mean = entry.mean or (entry.check.mean if entry.check else [])
    parts = sheet.figures.parts(mean)
    return len(parts) > 1 and {*parts} <= {one.metric for one in sheet.table.columns}
