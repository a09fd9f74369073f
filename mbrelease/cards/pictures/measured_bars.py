"""Bars of what was measured: one panel the main metric of each task, or all metrics of a few."""

from __future__ import annotations

from collections.abc import Sequence

from mbrelease.cards.pictures.bars import MOST_GROUPS, Bars, Group, Interval
from mbrelease.cards.scores import Evaluation, Row
from mbrelease.cards.told import Place
from mbrelease.evaluation.metric_names import lower_is_better, metric_name

_ALL = 6  # metrics that are few enough to be drawn all
_SPEED = "efficiency"


def measured_bars(
    evaluation: Evaluation, variant: str, suite: str, registry: Place, *, speed: bool = False
) -> Bars | None:
    """The bars of ``evaluation``; ``None`` where there is no other model to hold this one against.

    Args:
        evaluation: this model stands last, and its parent, if it was measured, first.
        variant: the name of this model.
        suite: the name of its suite.
        registry: the registry's file, where these names come from.
        speed: of the tasks that measure speed, which are left out otherwise.

    Raises:
        UserError: a value is NaN or infinite.
    """
    rows = [row for row in evaluation.rows if (row.task.type == _SPEED) == speed]
    if not speed and len(rows) > _ALL:
        rows = [row for row in rows if row.metric == row.task.main_metric]
    rows = [row for row in rows if any(value is not None for value in row.values[:-1])]
    rows = rows[:MOST_GROUPS]
    if not rows or len(evaluation.columns) < 2:
        return None
    names = [*(column.label for column in evaluation.columns[:-1]), variant]
    splits = list(dict.fromkeys(row.split for row in rows))
    return Bars(
        title="Speed" if speed else "Evaluation",
        subtitle=_subtitle(evaluation, splits),
        models=tuple(registry.at("variants", name).tell(name) for name in names),
        own=len(names) - 1,
        reference=0,
        groups=tuple(_group(row, registry.at("suites", suite), len(splits) > 1) for row in rows),
    )


def _subtitle(evaluation: Evaluation, splits: Sequence[str]) -> str:
    words = f"on {' and '.join(splits)}"
    if splits == [evaluation.selection_split]:
        words += ", which chose these weights too"
    return words


def _group(row: Row, suite: Place, several_splits: bool) -> Group:
    label = f"{row.task.name} {metric_name(row.metric)}" + (
        f" ({row.split})" if several_splits else ""
    )
    columns = range(len(row.records))
    return Group(
        label=suite.tell(label),
        better="lower" if lower_is_better(row.metric) else "higher",
        values=row.values,
        texts=tuple(row.told(i) or "–" for i in columns),
        intervals=tuple(_interval(row, i) for i in columns),
    )


def _interval(row: Row, column: int) -> Interval | None:
    record = row.records[column]
    return record.ci95.get(row.key) if record else None
