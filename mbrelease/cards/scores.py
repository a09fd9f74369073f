"""Evidence of this model beside evidence of those it is held against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from mbrelease.cards.numbers import change_interval_text, change_text, metric_text
from mbrelease.cards.paired import paired_interval
from mbrelease.cards.records import like, most_telling
from mbrelease.cards.told import Origin, Place, Told, derived, place
from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.errors import UserError
from mbrelease.evaluation.candidates import NoWeights, released_checkpoint
from mbrelease.evaluation.comparable import is_of
from mbrelease.evaluation.evidence import EvidenceRecord, read_records
from mbrelease.evaluation.metric_names import lower_is_better, metric_key
from mbrelease.evaluation.task_settings import task_sha256
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
        found: dict[tuple[str, str], EvidenceRecord] = {}
        for record in read_records(project.evidence, self.weights_sha256, task):
            if self.checkpoint is not None and not is_of(record, self.checkpoint):
                continue
            first = found.setdefault((record.split, record.provenance.key), record)
            if first.metrics != record.metrics:
                raise UserError(
                    f"{record.file} has two records of {task} on {record.split} with the key "
                    f"{record.provenance.key[:8]}, and they differ",
                    mend="delete the wrong one, or both and measure again",
                )
        return list(found.values())


@dataclass(frozen=True)
class Row:
    """One metric of one task on one split; values stand in the order of the columns."""

    task: AnyTask
    split: str
    metric: str
    """As people write it, such as ``recall@1``."""
    records: tuple[EvidenceRecord | None, ...]
    places: tuple[Place | None, ...]
    """Where each record stands."""
    change_interval: tuple[float, float] | None = None
    """Of this model minus the first column, paired, 95%; ``None`` where it is not known."""

    @cached_property
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
    def place(self) -> Place:
        """Where the record of this model stands."""
        place = self.places[-1]
        assert place is not None
        return place

    @cached_property
    def values(self) -> tuple[float | None, ...]:
        """The value of each column, unrounded."""
        return tuple(r.metrics.get(self.key) if r else None for r in self.records)

    def told(self, column: int) -> Told | None:
        """The value of a column as it is written."""
        value, place = self.values[column], self.places[column]
        if value is None or place is None:
            return None
        return place.at(self.key).tell(metric_text(self.metric, value), value)

    @property
    def own(self) -> Told:
        """The value of this model as it is written."""
        own = self.told(-1)
        assert own is not None
        return own

    @property
    def baseline(self) -> Told | None:
        """The value of the first column, where it is another model that was measured."""
        return self.told(0) if len(self.records) > 1 else None

    @property
    def change(self) -> float | None:
        """This model minus the first column, where both were measured."""
        first, own = self.values[0], self.values[-1]
        if len(self.records) < 2 or first is None or own is None:
            return None
        return own - first

    @property
    def verdict(self) -> str | None:
        """``better``, ``worse`` or ``no clear difference``; ``None`` where nobody can say."""
        if self.change_interval is None:
            return None
        low, high = self.change_interval
        if low <= 0 <= high:
            return "no clear difference"
        return "better" if (high < 0) == lower_is_better(self.metric) else "worse"

    @property
    def change_told(self) -> Told | None:
        """The change as it is written."""
        if self.change is None:
            return None
        return derived(change_text(self.metric, self.change), "difference", self._both, self.change)

    @property
    def change_interval_told(self) -> Told | None:
        """The interval of the change as it is written."""
        if self.change_interval is None:
            return None
        text = change_interval_text(self.metric, self.change_interval)
        return derived(text, "95% interval of the difference, paired bootstrap", self._both)

    @property
    def _both(self) -> tuple[Origin, Origin]:
        first, own = self.told(0), self.own
        assert first is not None
        return own.origin, first.origin


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
    def software(self) -> tuple[Told, ...]:
        """The packages that measured, with their versions."""
        seen = {
            f"{name} {version}": row.place.at("provenance", "software", name)
            for row in self.rows
            for name, version in row.record.provenance.software.items()
        }
        return tuple(place.tell(text) for text, place in seen.items())

    @property
    def records(self) -> tuple[tuple[str, EvidenceRecord], ...]:
        """Every record behind the tables, with the label of its model."""
        found: dict[tuple[str, str, str], tuple[str, EvidenceRecord]] = {}
        for row in self.rows:
            for column, record in zip(self.columns, row.records, strict=True):
                if record is not None:
                    key = (column.label, record.task_name, record.split)
                    found[key] = (column.label, record)
        return tuple(found.values())


def read_evaluation(
    project: Project,
    variant: str,
    own: Column,
    decision: Decision | None,
    beside: Mapping[str, str] | None = None,
) -> Evaluation | None:
    """Read what was measured of ``variant``, on test where there is a test split, else on dev.

    Raises:
        UserError: an evidence file is malformed, or was measured with other settings of its task.
    """
    if project.variant(variant).suite is None:
        return None
    columns = [*_baselines(project, variant, own, decision, beside or {}), own]
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
        rows=tuple(_row(project, row, [row.records[i] for i in kept]) for row in rows),
        selection_split=decision.split if decision else None,
    )


def _row(project: Project, row: Row, records: Sequence[EvidenceRecord | None]) -> Row:
    """``row`` with ``records``, their places and the interval of its change."""
    interval, first = None, records[0]
    if len(records) > 1 and first is not None and row.key in first.metrics:
        interval = paired_interval(project, row.task, row.key, row.record, first)
    places = tuple(None if one is None else _place(project, one) for one in records)
    return Row(row.task, row.split, row.metric, tuple(records), places, interval)


def _place(project: Project, record: EvidenceRecord) -> Place:
    assert record.file is not None
    listed = place(project.root, record.file).at("scores", record.split)
    return listed.entry(record.provenance.key)


def _baselines(
    project: Project,
    variant: str,
    own: Column,
    decision: Decision | None,
    beside: Mapping[str, str],
) -> Iterable[Column]:
    """The parents, the reference of the policy and the version before, each once.

    Those whose weights are not here are known by what ``beside`` kept of them.
    """
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
        checkpoint = _on_disk(project, name, kept=name in beside)
        here = checkpoint.weights_sha256 if checkpoint else None
        sha256 = known.get(name) or here or beside.get(name)
        if sha256 is None or sha256 in seen:
            continue
        seen.add(sha256)
        same = checkpoint is not None and checkpoint.weights_sha256 == sha256
        yield Column(name, sha256, checkpoint if same else None)


def _on_disk(project: Project, variant: str, *, kept: bool) -> Checkpoint | None:
    try:
        return released_checkpoint(project, variant)
    except NoWeights:
        return None
    except UserError:
        if not kept:
            raise
        return None  # a folder from a repository without weights


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
        Row(task, split, metric, tuple(records), ())
        for metric in task.shown_metrics
        if metric_key(metric) in record.metrics
    ]
