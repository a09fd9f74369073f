"""What stands under a published table: where it is from, and which figures do not add up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote

from markupsafe import Markup

from mbrelease.cards.escape import markdown
from mbrelease.cards.published_grid import BY_ROUNDING, NOT_BY_ROUNDING
from mbrelease.cards.published_sheet import Cell, Sheet
from mbrelease.cards.told import Place, Told, joined, marked, phrase
from mbrelease.evaluation.reported import ReportSource

_UNTOUCHED = ":/?#@!$&*+,;=~%"
"""What may stand in an address and in a Markdown link as it is."""

_DIFFERS = "Recomputed from its parts it is the figure in brackets"


def sources(given: Iterable[tuple[ReportSource, Place]]) -> tuple[Markup, ...]:
    """Each source once, with all the places in it: ``[A paper](https://…), Table 5``."""
    publications: dict[tuple[str | None, str | None], dict[str | None, Place]] = {}
    for source, at in given:
        places = publications.setdefault((source.url, source.name), {})
        places.setdefault(source.place, at)
    return tuple(_source(url, name, places) for (url, name), places in publications.items())


def _source(url: str | None, name: str | None, places: dict[str | None, Place]) -> Markup:
    at = next(iter(places.values()))
    said = [each.at("place").tell(text) for text, each in places.items() if text]
    parts: list[str] = []
    if name or url:
        shown = at.at("name").tell(name) if name else at.at("url").tell(url or "")
        parts.append(_link(shown, at.at("url").tell(url)) if url else shown)
    return joined([*parts, *said])


def _link(text: Told, url: Told) -> Markup:
    address = marked(quote(url, safe=_UNTOUCHED), url)
    return Markup(f"[{markdown(text)}]({address})")  # noqa: S704  (both are escaped)


def own_notes(sheet: Sheet) -> list[Markup]:
    """What the registry says of the table and of the models from outside the family."""
    notes = []
    if sheet.table.note:
        notes.append(phrase("{}", sheet.place.at("note").tell(sheet.table.note)))
    for model in sheet.table.all_models:
        peer = sheet.project.registry.peers.get(model)
        if peer is not None and peer.note:
            note = sheet.registry.at("peers", model, "note").tell(peer.note)
            notes.append(phrase("{}: {}", sheet.label(model), note))
    return notes


def deviations(sheet: Sheet, cells: Sequence[Cell]) -> list[Markup]:
    """Which reported figures do not follow from their parts, by whether rounding explains it."""
    notes = []
    for by_rounding, mark, verdict in (
        (True, BY_ROUNDING, "rounding can account for the difference"),
        (False, NOT_BY_ROUNDING, "rounding cannot account for the difference"),
    ):
        concerned = [
            cell
            for cell in cells
            if cell.deviation is not None and cell.deviation.by_rounding == by_rounding
        ]
        if concerned:
            notes.append(
                phrase(f"{mark} {_DIFFERS}; {verdict}. {{}}.", _by_column(sheet, concerned))
            )
    return notes


def _by_column(sheet: Sheet, cells: Sequence[Cell]) -> Markup:
    columns: dict[int, list[Markup]] = {}
    for cell in cells:
        assert cell.deviation is not None
        figures = (cell.figure.told, cell.deviation.computed.told)
        text = phrase("{} {} ({})", sheet.label(cell.model), *figures)
        columns.setdefault(cell.column, []).append(text)
    return joined(
        [
            phrase("*{}*: {}", sheet.column_label(column), joined(columns[column]))
            for column in sorted(columns)
        ],
        "; ",
    )
