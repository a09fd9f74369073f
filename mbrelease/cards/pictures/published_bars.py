"""Bars of what papers and cards report: the figures of a card's tables, in one picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mbrelease.cards.pictures.bars import MOST_GROUPS, Bars, Group
from mbrelease.cards.published_sheet import Sheet, open_sheet
from mbrelease.cards.reports import Reports
from mbrelease.cards.told import Told
from mbrelease.registry.project import Project
from mbrelease.registry.reported_tables import ReportedTable

_Panel = tuple[Sheet, int]
"""A table and the position of one of its columns."""


def published_bars(project: Project, variant: str) -> Bars | None:
    """The reported figures of ``variant`` (a resolved name) beside those of the models that its
    first table compares it with; ``None`` where no table has it beside others.

    Raises:
        UserError: a table is empty, or reports contradict each other, or a file is malformed.
    """
    reports = Reports(project)
    tables = project.registry.tables
    sheets = [
        open_sheet(project, reports, name)
        for name in project.variant(variant).card.tables
        if tables[name].section == "evaluation" and len(_models(tables[name], variant)) > 1
    ]
    if not sheets:
        return None
    models = _models(sheets[0].table, variant)
    panels = _panels([one for one in sheets if _models(one.table, variant) == models])
    several = len({sheet.name for sheet, _ in panels}) > 1
    groups = [_group(sheet, column, models, several) for sheet, column in panels]
    return Bars(
        title="Evaluation",
        subtitle="as reported, not measured again",
        models=tuple(sheets[0].label(model) for model in models),
        own=models.index(variant),
        reference=_reference(project, sheets[0], models, variant),
        groups=tuple(groups),
    )


def _models(table: ReportedTable, variant: str) -> tuple[str, ...]:
    """Those that ``variant`` stands beside in ``table``."""
    for models in (table.models, *(band.models for band in table.bands)):
        if variant in models:
            return tuple(models)
    return ()


def _panels(sheets: Sequence[Sheet]) -> list[_Panel]:
    """The reported figures of all tables, or of the first where those are too many."""
    for chosen in (sheets, sheets[:1]):
        plain = [*_columns(chosen, computed=False)]
        if 1 < len(plain) <= MOST_GROUPS:
            return plain
    return [*_columns(sheets[:1], computed=False), *_columns(sheets[:1], computed=True)]


def _columns(sheets: Sequence[Sheet], *, computed: bool) -> Iterator[_Panel]:
    for sheet in sheets:
        for i, column in enumerate(sheet.table.columns):
            if (column.metric is None) == computed:
                yield sheet, i


def _group(sheet: Sheet, column: int, models: Sequence[str], several: bool) -> Group:
    cells = [sheet.cell(model, column) for model in models]
    known = [cell for cell in cells if cell is not None]
    lower = any(cell.figure.lower_is_better for cell in known)
    return Group(
        label=_label(sheet, column) if several else sheet.column_label(column),
        better="lower" if lower else "higher",
        values=tuple(None if cell is None else float(cell.figure.value) for cell in cells),
        texts=tuple("–" if cell is None else cell.figure.told for cell in cells),
        intervals=(None,) * len(models),
    )


def _label(sheet: Sheet, column: int) -> Told:
    """With what the figures of the table have in common."""
    table = sheet.table
    return sheet.place.tell(f"{table.group or table.title}: {table.columns[column].label}")


def _reference(project: Project, sheet: Sheet, models: Sequence[str], variant: str) -> int | None:
    """The model that the table counts changes from, or else the first parent in it."""
    change = sheet.table.change
    parents = [parent.variant for parent in project.registry.variants[variant].parents]
    names = [*([change.against] if change and change.of == variant else []), *parents]
    return next((models.index(name) for name in names if name in models), None)
