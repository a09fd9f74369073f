"""Tables of what papers and cards report of a model and of others.

Nothing in them was measured here. The figures stand as they were reported, averages and changes
that the registry asks for are computed from them, and where a reported figure does not follow from
the others that it should follow from, the table says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from markupsafe import Markup

from mbrelease.cards.limitations import Limitation
from mbrelease.cards.published_findings import finding
from mbrelease.cards.published_grid import Grid, metrics_left, models_left
from mbrelease.cards.published_limits import no_better_than_parents
from mbrelease.cards.published_notes import deviations, own_notes, sources
from mbrelease.cards.published_sheet import Sheet, open_sheet
from mbrelease.cards.reports import Reports
from mbrelease.cards.sets_table import sets_table, sources_of_sets
from mbrelease.cards.tables import Table
from mbrelease.cards.told import Told
from mbrelease.registry.project import Project


@dataclass(frozen=True)
class Band:
    """The rows of a table under one heading."""

    heading: Told | None
    table: Table


@dataclass(frozen=True)
class PublishedTable:
    """A table of reported figures."""

    name: str
    title: Told
    heading: Told | None
    """The group of the table, on the first of the group."""
    section: str
    """``evaluation`` or ``efficiency``."""
    bands: tuple[Band, ...]
    sources: tuple[Markup, ...]
    """Where its figures were published."""
    notes: tuple[Markup, ...]
    tasks: frozenset[str]
    """The tasks that it has figures of, for the model of the card."""
    limitations: tuple[Limitation, ...]
    """What follows from its figures."""
    findings: tuple[Markup, ...]
    """What it says of the model of the card, in words."""


def read_published(project: Project, variant: str) -> tuple[PublishedTable, ...]:
    """The tables that the card of ``variant`` (or of an alias) has; those of a group together.

    Raises:
        UserError: a column of a table is empty, two reports of a figure contradict each other, or
            a file of reports is malformed.
    """
    model = project.resolve_name(variant)
    reports = Reports(project)
    groups: dict[tuple[str, str], list[PublishedTable]] = {}
    for name in project.variant(model).card.tables:
        entry = project.registry.tables[name]
        members = groups.setdefault((entry.section, entry.group or name), [])
        table = _read(open_sheet(project, reports, name), model)
        members.append(replace(table, heading=None) if members else table)
    return tuple(table for members in groups.values() for table in members)


def _read(sheet: Sheet, model: str) -> PublishedTable:
    table, at = sheet.table, sheet.place
    grids = list(_grids(sheet))
    cells = [cell for _, grid in grids for cell in grid.cells]
    given = [(one.result.source, one.entry.at("source")) for cell in cells for one in cell.reports]
    return PublishedTable(
        name=sheet.name,
        title=at.at("title").tell(table.title),
        heading=at.at("group").optional(table.group),
        section=table.section,
        bands=tuple(Band(heading, grid.table) for heading, grid in grids),
        sources=sources([*given, *sources_of_sets(sheet.sets, table.document_sets)]),
        notes=(*own_notes(sheet), *deviations(sheet, cells)),
        tasks=frozenset(
            report.result.task_name
            for cell in cells
            if cell.model == model
            for report in cell.reports
        ),
        limitations=tuple(
            limitation
            for _, grid in grids
            for limitation in no_better_than_parents(sheet, model, grid.cells)
        ),
        findings=tuple(
            found for _, grid in grids if (found := finding(sheet, model, grid.cells)) is not None
        ),
    )


def _grids(sheet: Sheet) -> Iterator[tuple[Told | None, Grid]]:
    """The parts of a table, each with its heading."""
    table = sheet.table
    if table.document_sets:
        yield None, Grid(sets_table(sheet.sets, table.document_sets), ())
        return
    lay_out = models_left if table.layout == "models" else metrics_left
    if table.models:
        yield None, lay_out(sheet, table.models)
    for index, band in enumerate(table.bands):
        heading = sheet.place.at("bands", index, "title").tell(band.title)
        yield heading, lay_out(sheet, band.models)
