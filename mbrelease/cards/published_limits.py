"""Limitations that follow from reported figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mbrelease.cards.limitations import Limitation
from mbrelease.cards.published_sheet import Cell, Sheet
from mbrelease.cards.told import listed, phrase


def no_better_than_parents(sheet: Sheet, model: str, cells: Sequence[Cell]) -> Iterator[Limitation]:
    """Where ``model`` is reported to be no better than what it was made from.

    Args:
        sheet: The table.
        model: The variant of the card.
        cells: The figures that stand side by side in the table.
    """
    for parent in sheet.project.variant(model).parents:
        pairs = [
            (own, other)
            for own in cells
            for other in cells
            if own.model == model
            and other.model == parent.variant
            and own.column == other.column
            and _no_better(own, other)
        ]
        if pairs:
            shown = [
                phrase(
                    "{} {} against {}",
                    sheet.column_label(own.column),
                    own.figure.told,
                    other.figure.told,
                )
                for own, other in pairs
            ]
            sentence = phrase(
                "It is reported to be no better than {} in *{}*: {}.",
                sheet.label(parent.variant),
                sheet.place.at("title").tell(sheet.table.title),
                listed(shown),
            )
            reports = [report for own, _ in pairs for report in own.figure.reports]
            yield Limitation(sentence, tuple(dict.fromkeys(one.entry.file for one in reports)))


def _no_better(own: Cell, other: Cell) -> bool:
    if own.figure.lower_is_better:
        return own.figure.value >= other.figure.value
    return own.figure.value <= other.figure.value
