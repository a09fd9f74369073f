"""The evaluation table: evidence of this model beside evidence of those it is held against.

Every value is read from a record; differences and bold are computed here, from unrounded values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mbrelease.cards.numbers import (
    change_text,
    count_text,
    interval_text,
    metric_heading,
    metric_text,
)
from mbrelease.cards.records import like, most_telling
from mbrelease.cards.tables import Table, bold, table
from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.errors import UserError
from mbrelease.evaluation.candidates import NoWeights, released_checkpoint
from mbrelease.evaluation.comparable import is_of
from mbrelease.evaluation.evidence import EvidenceRecord, read_records
from mbrelease.evaluation.jobs import task_sha256
from mbrelease.evaluation.metric_names import lower_is_better, metric_key
from mbrelease.registry.project import Project
from mbrelease.registry.tasks import AnyTask
from mbrelease.selection.decision import Decision


@dataclass(frozen=True)
class Column:
    """A model of the table."""

    label: str
    weights_sha256: str
    checkpoint: Checkpoint | None
    """The weights with config and tokenizer, where they are on this machine."""

    def records(self, project: Project, task: str) -> list[EvidenceRecord]:
        """What was measured of the model on ``task``, with the config it has now."""
        return [
            record
            for record in read_records(project.evidence, self.weights_sha256, task)
            if self.checkpoint is None or is_of(record, self.checkpoint)
        ]


@dataclass(frozen=True)
class Row:
    """One metric of one task on one split; values stand in the order of the columns."""

    task: AnyTask
    split: str
    metric: str
    """As people write it, such as ``recall@1``."""
    records: tuple[EvidenceRecord | None, ...]

    @property
    def key(self) -> str:
        """The key of the metric in evidence."""
        return metric_key(self.metric)

    @property
    def record(self) -> EvidenceRecord:
        """The record of this model, which is the last column."""
        record = self.records[-1]
        assert record is not None
        return record

    @property
    def values(self) -> tuple[float | None, ...]:
        """The value of each column, unrounded."""
        return tuple(r.metrics.get(self.key) if r else None for r in self.records)

    @property
    def change(self) -> float | None:
        """This model minus the first column, where both were measured."""
        first, own = self.values[0], self.values[-1]
        if len(self.records) < 2 or first is None or own is None:
            return None
        return own - first

    @property
    def own_text(self) -> str:
        """The value of this model, as the table writes it."""
        return metric_text(self.metric, self.record.metrics[self.key])

    @property
    def baseline_text(self) -> str | None:
        """The value of the first column, where it is another model that was measured."""
        value = self.values[0] if len(self.records) > 1 else None
        return None if value is None else metric_text(self.metric, value)


@dataclass(frozen=True)
class Evaluation:
    """What was measured of the released weights."""

    columns: tuple[Column, ...]
    """This model stands last."""
    rows: tuple[Row, ...]
    selection_split: str | None
    """The split that chose the weights; ``None`` where nothing was chosen."""

    @property
    def baseline(self) -> str | None:
        """The model that changes are counted from."""
        return self.columns[0].label if len(self.columns) > 1 else None

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits of the rows."""
        return tuple(dict.fromkeys(row.split for row in self.rows))

    @property
    def reported_where_chosen(self) -> bool:
        """Whether some row stands on the split that chose the weights."""
        return self.selection_split in self.splits

    @property
    def headlines(self) -> tuple[Row, ...]:
        """The main metric of each task."""
        return tuple(row for row in self.rows if row.metric == row.task.main_metric)

    @property
    def conditions(self) -> tuple[str, ...]:
        """How the forward passes ran: ``sdpa attention, float32, cpu``."""
        seen = [row.record.provenance for row in self.rows]
        return tuple(dict.fromkeys(f"{p.attn} attention, {p.dtype}, {p.device}" for p in seen))

    @property
    def software(self) -> tuple[str, ...]:
        """The packages that measured, with their versions."""
        seen = [row.record.provenance.software.items() for row in self.rows]
        return tuple(
            dict.fromkeys(f"{name} {version}" for items in seen for name, version in items)
        )

    @property
    def records(self) -> tuple[tuple[str, EvidenceRecord], ...]:
        """Every record behind the table, with the label of its model."""
        found: dict[tuple[str, str, str], tuple[str, EvidenceRecord]] = {}
        for row in self.rows:
            for column, record in zip(self.columns, row.records, strict=True):
                if record is not None:
                    key = (column.label, record.task_name, record.split)
                    found[key] = (column.label, record)
        return tuple(found.values())

    @property
    def table(self) -> Table:
        """The rows as a Markdown table."""
        several = len(self.splits) > 1
        header = ["Task", "Metric", *(f">{column.label}" for column in self.columns)]
        header += [f">Δ to {self.baseline}", ">n", "Split"]
        return table(header, [_cells(row, show_split=several) for row in self.rows])


def read_evaluation(
    project: Project, variant: str, own: Column, decision: Decision | None
) -> Evaluation | None:
    """Read what was measured of ``variant``, on test where there is a test split, else on dev.

    Raises:
        UserError: an evidence file is malformed, or was measured with other settings of its task.
    """
    if project.variant(variant).suite is None:
        return None
    columns = [*_baselines(project, variant, own, decision), own]
    rows = [
        row
        for task in project.suite(variant)
        for row in _task_rows(project, task, columns, decision)
    ]
    if not rows:
        return None
    # A model that was not measured here has nothing to say in this table.
    kept = [i for i in range(len(columns)) if any(row.records[i] is not None for row in rows)]
    return Evaluation(
        columns=tuple(columns[i] for i in kept),
        rows=tuple(
            Row(row.task, row.split, row.metric, tuple(row.records[i] for i in kept))
            for row in rows
        ),
        selection_split=decision.split if decision else None,
    )


def _baselines(
    project: Project, variant: str, own: Column, decision: Decision | None
) -> Iterable[Column]:
    """The parents, the reference of the policy and the version before, each once."""
    entry = project.variant(variant)
    names = [parent.variant for parent in entry.parents]
    known = {}
    if decision is not None:
        reference = project.registry.aliases.get(
            decision.policy.reference, decision.policy.reference
        )
        names.append(reference)
        known[reference] = decision.reference.weights_sha256
    if entry.supersedes:
        names.append(entry.supersedes)
    seen = {own.weights_sha256}
    for name in dict.fromkeys(names):
        checkpoint = _on_disk(project, name)
        sha256 = known.get(name) or (checkpoint.weights_sha256 if checkpoint else None)
        if sha256 is None or sha256 in seen:
            continue
        seen.add(sha256)
        same = checkpoint is not None and checkpoint.weights_sha256 == sha256
        yield Column(name, sha256, checkpoint if same else None)


def _on_disk(project: Project, variant: str) -> Checkpoint | None:
    try:
        return released_checkpoint(project, variant)
    except NoWeights:
        return None  # Its weights are not here, so nothing was measured here either.


def _task_rows(
    project: Project, task: AnyTask, columns: Sequence[Column], decision: Decision | None
) -> list[Row]:
    stored = [column.records(project, task.name) for column in columns]
    for split in ("test", "dev"):
        measured = any(record.split == split for record in stored[-1])
        if measured and task.measures(split):
            break
    else:
        return []
    record = most_telling(project, task, split, stored[-1], stored[:-1], decision)
    if record.provenance.task_sha256 != task_sha256(task):
        # The card describes the task as the registry has it, and this number is of another one.
        raise UserError(
            f"{task.name} was measured on {split} with other settings than the registry has now",
            mend="measure again with mbrelease eval, or restore the settings of the task",
        )
    records = [*(like(record, others) for others in stored[:-1]), record]
    return [
        Row(task, split, metric, tuple(records))
        for metric in task.shown_metrics
        if metric_key(metric) in record.metrics
    ]


def _cells(row: Row, *, show_split: bool) -> list[str | None]:
    change = None if row.change is None else change_text(row.metric, row.change)
    return [
        row.task.name,
        metric_heading(row.metric),
        *_value_cells(row),
        change,
        count_text(row.record.n_examples),
        row.split if show_split else None,
    ]


def _value_cells(row: Row) -> list[str]:
    known = [value for value in row.values if value is not None]
    best = min(known) if lower_is_better(row.metric) else max(known)
    cells = []
    for value, record in zip(row.values, row.records, strict=True):
        if value is None or record is None:
            cells.append("–")
            continue
        text = metric_text(row.metric, value)
        # Values that look the same on the page are equally good to a reader.
        is_best = len(known) > 1 and text == metric_text(row.metric, best)
        interval = record.ci95.get(row.key)
        shown = bold(text) if is_best else Markup(text)  # noqa: S704  (digits only)
        cells.append(shown + (f" {interval_text(row.metric, interval)}" if interval else ""))
    return cells
