"""What a table of reported figures says of the model of the card, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from mbrelease.cards.numbers import count_text
from mbrelease.cards.published_grid import change_told
from mbrelease.cards.published_sheet import Cell, Sheet
from mbrelease.cards.told import derived, joined, listed, phrase

_NAMED = 6
"""Columns that a sentence names; of more it gives the number."""


def finding(sheet: Sheet, model: str, cells: Sequence[Cell]) -> Markup | None:
    """The changes that a table asks for, or else on which of its columns ``model`` is best.

    Args:
        sheet: The table.
        model: The variant of the card.
        cells: The figures that stand side by side in it, ``model``'s and others'.

    Returns:
        Nothing where ``model`` stands there alone, or is best nowhere.
    """
    own = [cell for cell in cells if cell.model == model]
    models = {cell.model for cell in cells}
    if not own or len(models) < 2:
        return None
    change = sheet.table.change
    if change is not None and change.of == model:
        return _changes(sheet, cells, own)
    return _best_of(sheet, cells, own, len(models))


def _changes(sheet: Sheet, cells: Sequence[Cell], own: Sequence[Cell]) -> Markup | None:
    change = sheet.table.change
    assert change is not None
    parts = []
    for cell in own:
        row = [other for other in cells if other.column == cell.column]
        against = next((other for other in row if other.model == change.against), None)
        told = change_told(change, row)
        if against is not None and told is not None:
            parts.append(
                phrase(
                    "{} **{}** against {} ({})",
                    sheet.column_label(cell.column),
                    cell.figure.told,
                    against.figure.told,
                    told,
                )
            )
    if not parts:
        return None
    return phrase(
        "{}, held against {}: {}.", _title(sheet), sheet.label(change.against), listed(parts)
    )


def _best_of(
    sheet: Sheet, cells: Sequence[Cell], own: Sequence[Cell], models: int
) -> Markup | None:
    best = [cell for cell in own if _is_best(cell, cells)]
    if not best:
        return None
    rival = derived(count_text(models), "count of models", [cells[0].figure.origin])
    if len(best) == len(own) > 1:
        return phrase("{}: the best of {} models on every one.", _title(sheet), rival)
    if len(best) > _NAMED:
        origins = [cell.figure.origin for cell in best]
        many = derived(count_text(len(best)), "count of the best", origins)
        whole = derived(count_text(len(own)), "count", [cell.figure.origin for cell in own])
        return phrase("{}: the best of {} models on {} of {}.", _title(sheet), rival, many, whole)
    named = joined(
        [phrase("{} (**{}**)", sheet.column_label(cell.column), cell.figure.told) for cell in best]
    )
    return phrase("{}: the best of {} models on {}.", _title(sheet), rival, named)


def _is_best(cell: Cell, cells: Sequence[Cell]) -> bool:
    rivals = [other.figure.shown for other in cells if other.column == cell.column]
    if len(rivals) < 2:
        return False
    best = min(rivals) if cell.figure.lower_is_better else max(rivals)
    return cell.figure.shown == best


def _title(sheet: Sheet) -> Markup:
    return phrase("*{}*", sheet.place.at("title").tell(sheet.table.title))
