"""The figures of a published table, exact, each with its origin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from mbrelease.cards.exact import exact_text, rounded
from mbrelease.cards.reports import Report, Reports
from mbrelease.cards.told import Derived, Origin, Told
from mbrelease.errors import UserError
from mbrelease.evaluation.reported import ReportSource
from mbrelease.registry.reported_tables import ALL_PARTS, Column, ReportedTable, split_reported


@dataclass(frozen=True)
class Figure:
    """A number of a table."""

    value: Fraction
    decimals: int
    origin: Origin
    reports: tuple[Report, ...]
    """What it is, or was computed from."""

    @cached_property
    def shown(self) -> Fraction:
        """As it is shown."""
        return rounded(self.value, self.decimals)

    @property
    def told(self) -> Told:
        """As text, with its origin."""
        return Told(exact_text(self.value, self.decimals), self.origin)

    @property
    def lower_is_better(self) -> bool:
        """Whether a smaller one is better."""
        return self.reports[0].lower_is_better


class Figures:
    """The figures that a table may show.

    Where several sources say the same, that one is taken which has most of the table's figures.
    """

    def __init__(self, reports: Reports, name: str, table: ReportedTable) -> None:
        self._reports = reports
        self._name = name
        self.table = table
        self._sources = self._count_sources()

    def of(self, model: str, column: Column) -> Figure | None:
        """The figure of ``model``; ``None`` where none was reported.

        Raises:
            UserError: reports contradict each other, or a file is malformed.
        """
        decimals = self.table.decimals if column.decimals is None else column.decimals
        if column.metric is None:
            return self.mean(model, column.mean, decimals)
        return self.reported(model, column.metric, decimals)

    def reported(self, model: str, metric: str, decimals: int) -> Figure | None:
        """What was reported of ``task[subset]/metric``; raises as ``of``."""
        accounts = self._reports.accounts(model, metric, self.table.split)
        if not accounts:
            return None
        account = accounts[max(accounts, key=lambda source: self._sources[source])]
        return Figure(account.value, decimals, account.origin, account.reports)

    def mean(self, model: str, metrics: Sequence[str], decimals: int) -> Figure | None:
        """The mean of reported figures; ``None`` where one is missing; raises as ``of``."""
        parts = [self.reported(model, one, decimals) for one in self.parts(metrics)]
        known = [part for part in parts if part is not None]
        if not known or len(known) < len(parts):
            return None
        value = sum((part.value for part in known), Fraction(0)) / len(known)
        origin = Derived("mean", tuple(part.origin for part in known), float(value))
        return Figure(value, decimals, origin, tuple(r for part in known for r in part.reports))

    def parts(self, metrics: Sequence[str]) -> list[str]:
        """``metrics`` with ``task[*]/metric`` as each part that any model of the table has."""
        found: list[str] = []
        for metric in metrics:
            task, subset, name = split_reported(metric)
            if subset == ALL_PARTS:
                models = self.table.all_models
                subsets = [s for model in models for s in self._reports.subsets(model, task, name)]
                found += [f"{task}[{one}]/{name}" for one in dict.fromkeys(subsets)]
            else:
                found.append(metric)
        return found

    def require(self, column: Column) -> None:
        """Refuse a column that would be empty.

        Raises:
            UserError: its figures were reported of no model of the table.
        """
        if all(self.of(model, column) is None for model in self.table.all_models):
            what = column.metric or f"all of {', '.join(self.parts(column.mean) or column.mean)}"
            raise UserError(
                f"the column '{column.label}' of table '{self._name}' is empty: nobody reported "
                f"{what} of any model in it",
                mend="bring the figures in with mbrelease import, or take the column out",
            )

    def _count_sources(self) -> Counter[ReportSource]:
        shown = [
            metric
            for column in self.table.columns
            for metric in (column.metric, column.sd, *self.parts(column.mean))
            if metric is not None
        ]
        return Counter(
            source
            for model in self.table.all_models
            for metric in shown
            for source in self._reports.accounts(model, metric, self.table.split)
        )
