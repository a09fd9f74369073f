"""The evaluation as tables, one a family of tasks.

Every value is read from a record; averages, differences and bold are computed here, from unrounded
values.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mbrelease.cards.numbers import NO_BREAK, change_text, count_text, metric_heading, metric_text
from mbrelease.cards.scores import Evaluation, Row
from mbrelease.cards.tables import Table, bold, table
from mbrelease.cards.told import Place, Told, derived, phrase
from mbrelease.evaluation.metric_names import lower_is_better

FAMILIES = {
    "retrieval": "Retrieval",
    "pair": "Pairs of texts",
    "classification": "Classification",
    "token-classification": "Tagging",
    "glue": "GLUE",
    "mlm": "Masked language modelling",
    "efficiency": "Speed",
}
NOT_MEASURED = "–"


@dataclass(frozen=True)
class Family:
    """The tasks of one kind."""

    kind: str
    heading: Markup
    """With the task, where it is the only one."""
    table: Table


def families(evaluation: Evaluation) -> tuple[Family, ...]:
    """A table for each family of tasks that measures quality."""
    return tuple(
        Family(
            kind, _heading(kind, rows), _table(evaluation, rows, name_tasks=len(_tasks(rows)) > 1)
        )
        for kind, rows in _grouped(evaluation).items()
        if kind != "efficiency"
    )


def speed_table(evaluation: Evaluation) -> Table:
    """What was measured of speed; empty where nothing was."""
    return _table(evaluation, _grouped(evaluation).get("efficiency", []), name_tasks=True)


def _grouped(evaluation: Evaluation) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in evaluation.rows:
        found.setdefault(row.task.type, []).append(row)
    return {kind: found[kind] for kind in FAMILIES if kind in found}


def _tasks(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(row.task.name for row in rows))


def _heading(kind: str, rows: Sequence[Row]) -> Markup:
    """``Retrieval: title-abstract``, or the family alone where it has several tasks."""
    if len(_tasks(rows)) > 1:
        return phrase(FAMILIES[kind])
    return phrase(f"{FAMILIES[kind]}: {{}}", _task(rows[0]))


def _task(row: Row) -> Told:
    """The name of a task, as the file of its record has it."""
    return Place(row.place.file).at("task_name").tell(row.task.name)


def _table(evaluation: Evaluation, rows: Sequence[Row], *, name_tasks: bool) -> Table:
    several = len(evaluation.splits) > 1
    header = ["Task", "Metric", *(f">{column.label}" for column in evaluation.columns)]
    header += [f">Δ to {evaluation.baseline}", ">n", "Split"]
    shown = [_cells(row, show_split=several, name_task=name_tasks) for row in rows]
    return table(header, [*shown, *_averages(rows)])


def _cells(row: Row, *, show_split: bool, name_task: bool) -> list[str | None]:
    n = row.record.n_examples
    return [
        _task(row) if name_task else None,
        metric_heading(row.metric),
        *_with_best([_value(row, i) for i in range(len(row.records))], row.metric, row.values),
        _change(row),
        row.place.at("n_examples").tell(count_text(n), n),
        row.split if show_split else None,
    ]


def _with_best(
    cells: Sequence[Callable[[bool], str] | None],
    metric: str,
    values: Sequence[float | None],
) -> list[str]:
    """Each cell, the best in bold; values that look alike are equally good to a reader."""
    known = [value for value in values if value is not None]
    best = (min if lower_is_better(metric) else max)(known)
    shown = []
    for cell, value in zip(cells, values, strict=True):
        if cell is None or value is None:
            shown.append(NOT_MEASURED)
        else:
            alike = metric_text(metric, value) == metric_text(metric, best)
            shown.append(cell(len(known) > 1 and alike))
    return shown


def _value(row: Row, column: int) -> Callable[[bool], str] | None:
    """A cell: the value, its spread over seeds and its interval."""
    record, place, told = row.records[column], row.places[column], row.told(column)
    if record is None or place is None or told is None:
        return None
    spread = _spread(row, column)
    interval = record.ci95.get(row.key)

    def cell(is_best: bool) -> str:
        shown = bold(told) if is_best else phrase("{}", told)
        if spread is not None:
            shown += phrase(f"{NO_BREAK}±{NO_BREAK}{{}}", spread)
        if interval is not None:
            at = place.at("ci95", row.key)
            low, high = (
                at.at(i).tell(metric_text(row.metric, bound), bound)
                for i, bound in enumerate(interval)
            )
            shown += phrase(f" [{{}},{NO_BREAK}{{}}]", low, high)
        return shown

    return cell


def _spread(row: Row, column: int) -> Told | None:
    """The standard deviation over seeds, where there are several."""
    record, place = row.records[column], row.places[column]
    if record is None or place is None:
        return None
    values = [float(seed[row.key]) for seed in record.experiments if row.key in seed]
    if len(values) < 2:
        return None
    at = place.at("scores_per_experiment")
    fields = [at.at(i, row.key).field(value) for i, value in enumerate(values)]
    spread = statistics.stdev(values)
    return derived(metric_text(row.metric, spread), "standard deviation", fields, spread)


def _change(row: Row) -> str | None:
    change, interval = row.change_told, row.change_interval_told
    if change is None:
        return None
    return change if interval is None else phrase("{} {}", change, interval)


def _averages(rows: Sequence[Row]) -> list[list[str | None]]:
    """The mean over tasks of the main metric, where several tasks have the same one."""
    headlines = [row for row in rows if row.metric == row.task.main_metric]
    found = []
    for metric in dict.fromkeys(row.metric for row in headlines):
        group = [row for row in headlines if row.metric == metric]
        if len(group) > 1 and metric != "tokens_per_second":
            found.append(_average(metric, group))
    return found


def _average(metric: str, group: Sequence[Row]) -> list[str | None]:
    columns = range(len(group[0].records))
    told = [_mean(metric, [row.told(i) for row in group]) for i in columns]
    values = [None if one is None else _number(one) for one in told]
    cells = [None if one is None else _average_cell(one) for one in told]
    first, own = told[0], told[-1]
    change: Told | None = None
    if len(told) > 1 and first is not None and own is not None:
        difference = _number(own) - _number(first)
        both = (own.origin, first.origin)
        change = derived(change_text(metric, difference), "difference", both, difference)
    fields = [row.own.origin for row in group]
    label = phrase("Mean of {} tasks", derived(count_text(len(group)), "count", fields, len(group)))
    return [label, metric_heading(metric), *_with_best(cells, metric, values), change, None, None]


def _mean(metric: str, parts: Sequence[Told | None]) -> Told | None:
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    mean = math.fsum(map(_number, known)) / len(known)
    return derived(metric_text(metric, mean), "mean", [part.origin for part in known], mean)


def _average_cell(told: Told) -> Callable[[bool], str]:
    return lambda is_best: bold(told) if is_best else phrase("{}", told)


def _number(told: Told) -> float:
    value = told.origin.value
    assert isinstance(value, float)
    return value
