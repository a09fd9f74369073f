"""A table of the registry with all that it takes to fill it: its figures, names and places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from mbrelease.cards.numbers import NO_BREAK, count_text
from mbrelease.cards.published_checks import Deviation, Sets, deviation
from mbrelease.cards.published_figures import Figure, Figures
from mbrelease.cards.reports import Report, Reports
from mbrelease.cards.told import Place, Told, phrase, place
from mbrelease.registry.project import Project
from mbrelease.registry.reported_tables import ReportedTable, split_reported

_MILLION = 1_000_000


@dataclass(frozen=True)
class Cell:
    """A figure in its place."""

    model: str
    column: int
    figure: Figure
    sd: Figure | None
    deviation: Deviation | None
    """How it differs from what should give it."""

    @property
    def reports(self) -> tuple[Report, ...]:
        """The reports that the cell shows, or was computed from."""
        return (*self.figure.reports, *(self.sd.reports if self.sd else ()))


@dataclass(frozen=True)
class Sheet:
    """A table that is to be filled."""

    project: Project
    registry: Place
    """The registry's file."""
    name: str
    figures: Figures

    @property
    def table(self) -> ReportedTable:
        """As the registry has it."""
        return self.figures.table

    @property
    def place(self) -> Place:
        """Where the registry has it."""
        return self.registry.at("tables", self.name)

    @property
    def sets(self) -> Sets:
        """The document sets of the registry."""
        return Sets(self.project.registry.document_sets, self.registry.at("document_sets"))

    @property
    def compares_data(self) -> bool:
        """Whether the columns have one metric on several sets of data."""
        parts = [split_reported(one.metric) for one in self.table.columns if one.metric is not None]
        metrics = {metric for *_, metric in parts}
        return len({(task, subset) for task, subset, _ in parts}) == len(parts) > len(metrics) == 1

    def label(self, model: str) -> Told:
        """What ``model`` is called in the table."""
        if model in self.table.labels:
            return self.place.at("labels", model).tell(self.table.labels[model])
        peer = self.project.registry.peers.get(model)
        if peer is not None:
            return self.registry.at("peers", model, "title").tell(peer.title)
        return variant_title(self.project, self.registry, model)

    def column_label(self, column: int) -> Told:
        """What a column is called."""
        label = self.table.columns[column].label
        return self.place.at("columns", column, "label").tell(label)

    def heading(self, column: int) -> Markup:
        """The name of a column, with an arrow where smaller is better."""
        label = self.column_label(column)
        entry = self.table.columns[column]
        found = (self.figures.of(model, entry) for model in self.table.all_models)
        lower = any(figure.lower_is_better for figure in found if figure is not None)
        return phrase(f"{{}}{NO_BREAK}↓" if lower else "{}", label)

    def fact(self, model: str, fact: str) -> Told | None:
        """``parameters`` or ``context`` of ``model``, where the table or the registry states it."""
        for at, entry in self._facts(model):
            value = getattr(entry, fact, None)
            if value is not None:
                millions = fact == "parameters" and value % _MILLION == 0
                text = f"{count_text(value // _MILLION)}M" if millions else count_text(value)
                return at.at(fact).tell(text, value)
        return None

    def _facts(self, model: str) -> Iterator[tuple[Place, object]]:
        """What states facts of ``model``, what goes first standing first."""
        registry = self.project.registry
        yield self.place.at("stated", model), self.table.stated.get(model)
        yield self.registry.at("peers", model), registry.peers.get(model)
        if model in registry.variants:
            at = self.registry.at("variants", model, "architecture")
            yield at, registry.variants[model].architecture

    def cell(self, model: str, column: int) -> Cell | None:
        """The figure of ``model``; ``None`` where none was reported."""
        entry = self.table.columns[column]
        figure = self.figures.of(model, entry)
        if figure is None:
            return None
        sd = None
        if entry.sd is not None:
            sd = self.figures.reported(model, entry.sd, figure.decimals + 1)
        found = deviation(self.figures, self.sets, model, entry, figure)
        return Cell(model, column, figure, sd, found)


def variant_title(project: Project, registry: Place, variant: str) -> Told:
    """What a card calls ``variant``."""
    at = registry.at("variants", variant)
    title = project.registry.variants[variant].card.title
    return at.at("card", "title").tell(title) if title else at.tell(variant)


def open_sheet(project: Project, reports: Reports, name: str) -> Sheet:
    """The table ``name`` of the registry, ready to be filled.

    Raises:
        UserError: a column of it is empty, or two reports of a figure contradict each other.
    """
    table = project.registry.tables[name]
    figures = Figures(reports, name, table)
    for column in table.columns:
        figures.require(column)
    return Sheet(project, place(project.root, project.registry_path), name, figures)
