"""Reported results as tables take them: each file read once, each value with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

from mbrelease.cards.exact import exact
from mbrelease.cards.told import Derived, Field, Origin, Place, place
from mbrelease.errors import UserError
from mbrelease.evaluation.metric_names import lower_is_better, metric_key
from mbrelease.evaluation.reported import (
    ReportedResult,
    ReportSource,
    read_positions,
    reported_folder,
)
from mbrelease.registry.project import Project
from mbrelease.registry.reported_tables import ReportedTable, split_reported

WHOLE = "default"
"""The subset of a figure that is of all of a task."""


@dataclass(frozen=True)
class Report:
    """One reported value."""

    result: ReportedResult
    entry: Place
    """Where the file tells of it."""
    data: str | None = None
    """What the card calls its data; ``None`` where no table of the card has it."""

    @cached_property
    def value(self) -> Fraction:
        """As it was written down."""
        return exact(self.result.value)

    @property
    def origin(self) -> Field:
        """The place of the value."""
        return self.entry.at(self.result.metric).field(self.result.value)

    @property
    def lower_is_better(self) -> bool:
        """As it was reported, or as is known of the metric."""
        higher = self.result.higher_is_better
        return lower_is_better(self.result.metric) if higher is None else not higher


@dataclass(frozen=True)
class Account:
    """What one source says of one figure: a value, or one for each seed."""

    reports: tuple[Report, ...]

    @cached_property
    def value(self) -> Fraction:
        """The value, or the mean over seeds."""
        return sum((one.value for one in self.reports), Fraction(0)) / len(self.reports)

    @property
    def origin(self) -> Origin:
        """Where it stands, or what it is the mean of."""
        if len(self.reports) == 1:
            return self.reports[0].origin
        return Derived("mean", tuple(one.origin for one in self.reports), float(self.value))


class Reports:
    """What was reported of the models of a project."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._tasks: dict[tuple[str, str], dict[tuple[str, str], list[Report]]] = {}
        self._accounts: dict[tuple[str, str, str | None], Mapping[ReportSource, Account]] = {}

    def accounts(
        self, model: str, metric: str, split: str | None
    ) -> Mapping[ReportSource, Account]:
        """What each source says of ``task[subset]/metric`` of ``model``; they all agree.

        Values of single training steps are none of a model's, unless there are no others.

        Args:
            model: A variant or a peer.
            metric: ``task[subset]/metric``.
            split: Where one is given, what was reported of others is passed over.

        Raises:
            UserError: two reports contradict each other, or a file is malformed.
        """
        key = (model, metric, split)
        if key not in self._accounts:
            found: dict[ReportSource, list[Report]] = {}
            for report in self._find(model, metric, split):
                found.setdefault(report.result.source, []).append(report)
            accounts = {source: _account(metric, model, one) for source, one in found.items()}
            first, *others = accounts.values() or [None]
            for other in others:
                if first is not None and other is not None and other.value != first.value:
                    raise _contradiction(metric, model, first.reports[0], other.reports[0])
            self._accounts[key] = accounts
        return self._accounts[key]

    def all_of(self, model: str) -> list[Report]:
        """All reports of ``model`` that stand in the tables of its card, in their order.

        Each figure once, as its first source has it. What others report of ``model`` for their
        own purposes is no part of its card.

        Args:
            model: A variant.

        Raises:
            UserError: two reports contradict each other, or a file is malformed.
        """
        found: dict[tuple[str, str, str, str], tuple[Report, ...]] = {}
        for name in self._project.variant(model).card.tables:
            table = self._project.registry.tables[name]
            for column in table.columns:
                if column.metric is None:
                    continue
                for account in self.accounts(model, column.metric, table.split).values():
                    data = _data_name(table, column.label, column.metric)
                    one = account.reports[0].result
                    key = (one.task_name, one.subset, one.split, one.metric)
                    found.setdefault(key, tuple(replace(r, data=data) for r in account.reports))
        return [report for reports in found.values() for report in reports]

    def subsets(self, model: str, task: str, metric: str) -> list[str]:
        """The named parts of ``task`` that ``metric`` was reported of, in the order of the file."""
        wanted = metric_key(metric)
        reported = self._of_task(model, task)
        return [part for part, name in reported if name == wanted and part != WHOLE]

    def _find(self, model: str, metric: str, split: str | None) -> list[Report]:
        task, subset, name = split_reported(metric)
        found = [
            report
            for report in self._of_task(model, task).get((subset or WHOLE, metric_key(name)), [])
            if split in (None, report.result.split)
        ]
        return [report for report in found if report.result.step is None] or found

    def _of_task(self, model: str, task: str) -> dict[tuple[str, str], list[Report]]:
        """The reports by subset and metric."""
        if (model, task) not in self._tasks:
            path = reported_folder(self._project.evidence, model) / f"{task}.json"
            file = place(self._project.root, path)
            found = self._tasks[model, task] = {}
            for position, result in read_positions(path) if path.exists() else []:
                report = Report(result, file.at("scores", result.split, position))
                found.setdefault((result.subset, result.metric), []).append(report)
        return self._tasks[model, task]


def _data_name(table: ReportedTable, label: str, metric: str) -> str:
    """What a reader of ``table`` calls the data of the column ``label``."""
    shown = {
        split_reported(one)
        for column in table.columns
        for one in (column.mean if column.metric is None else [column.metric])
    }
    task, subset, _ = split_reported(metric)
    same = [one for one in shown if one[:2] == (task, subset)]
    if len(same) == len(shown) or (subset is None and {one[0] for one in shown} == {task}):
        return table.title
    if len(same) > 1:  # the labels are of its metrics
        return f"{task} {subset or ''} ({table.title})"
    # Parts of other tasks may have the same names.
    return label if subset is None else f"{label} ({table.title})"


def _account(metric: str, model: str, reports: list[Report]) -> Account:
    """The reports of one source: that without a seed, or else one for each."""
    by_seed: dict[int | None, Report] = {}
    for report in reports:
        first = by_seed.setdefault(report.result.seed, report)
        if first.value != report.value:
            raise _contradiction(metric, model, first, report)
    return Account((by_seed[None],) if None in by_seed else tuple(by_seed.values()))


def _contradiction(metric: str, model: str, one: Report, other: Report) -> UserError:
    return UserError(
        f"{metric} of {model} was reported twice: {_described(one)} and {_described(other)}",
        mend="correct one of them; or name, in the table, the 'split' that it is of",
    )


def _described(report: Report) -> str:
    source = report.result.source
    said = [report.entry.file, f"split {report.result.split}", source.name or source.url]
    where = ", ".join(one for one in [*said, source.place] if one)
    return f"{report.result.value:g} ({where})"
