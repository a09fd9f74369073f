"""Derive a decision again from the evidence that it names, and compare."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from mbrelease.errors import UserError
from mbrelease.evaluation.comparable import conditions
from mbrelease.evaluation.evidence import EvidenceRecord, read_records
from mbrelease.evaluation.metric_names import split_metric
from mbrelease.evaluation.task_settings import task_sha256
from mbrelease.registry.project import Project
from mbrelease.registry.schema import Policy
from mbrelease.selection.decision import Candidate, Decision, Measurement
from mbrelease.selection.entrants import Election, Entrant, Reading, reading_of
from mbrelease.selection.frozen import Frozen
from mbrelease.selection.ledger import Freeze, Ledger, ledger_path, read_ledger
from mbrelease.selection.points import reported_reading
from mbrelease.selection.policy import decide_among

# Sums in another order, on another processor, differ in their last digits.
RELATIVE, ABSOLUTE = 1e-6, 1e-9


def replay(project: Project, decision: Decision) -> list[str]:
    """What differs between ``decision`` and what follows from its evidence; empty if nothing does.

    Everything is taken from the decision itself (policy, tasks, candidates, which records) and the
    evidence beside the registry; neither the weights nor today's registry are asked. What was
    frozen, and why it was changed, is held against the ledger where there is one.

    Raises:
        UserError: a record is gone, or its scores were changed; or the ledger was.
    """
    incoherent = list(_incoherent(decision))
    if incoherent:
        return incoherent
    election = Election(
        variant=decision.variant,
        split=decision.split,
        policy_name=decision.policy_name,
        policy=decision.policy,
        policy_sha256=decision.policy_sha256,
        tasks=tuple(decision.tasks),
        reference=_entrant(project, decision, decision.reference),
        candidates=tuple(_entrant(project, decision, one) for one in decision.candidates),
        decay_start=decision.decay_start,
        reasons_for_second_looks=tuple(decision.reasons_for_second_looks),
    )
    again = decide_among(election)
    return [
        *_differences("", decision.model_dump(mode="json"), again.model_dump(mode="json")),
        *_other_conditions(election),
        *_not_as_frozen(decision, read_ledger(ledger_path(project, decision.variant))),
    ]


def _incoherent(decision: Decision) -> Iterator[str]:
    """What no decision says, whatever its evidence is."""
    names = [candidate.name for candidate in decision.candidates]
    if not names or len(set(names)) < len(names):
        yield "candidates: the decision has none, or two of one name"
    if decision.policy.reference != decision.reference.name:
        yield (
            f"policy.reference: the decision says {decision.policy.reference!r}, and what it "
            f"compares with is {decision.reference.name!r}"
        )
    known = {task.name for task in decision.tasks}
    for metric in decision.metrics:
        if split_metric(metric)[0] not in known:
            yield f"tasks: the decision has no settings of the task of {metric}"
    for one in [decision.reference, *decision.candidates]:
        if [measurement.metric for measurement in one.measurements] != decision.metrics:
            yield f"{one.name}: what was measured is not what the policy names"


def _other_conditions(election: Election) -> Iterator[str]:
    """Records that were not measured by the settings in the decision, all under the same ones."""
    for metric in election.metrics:
        settings = task_sha256(election.task(metric))
        expected = election.reference.readings[metric].record
        for one in [election.reference, *election.candidates]:
            record = one.readings[metric].record
            if record is None or expected is None:
                continue
            if record.provenance.task_sha256 != settings:
                task = election.task(metric).name
                yield f"tasks[{task}]: {one.name} was measured with other settings"
            if conditions(record.provenance) != conditions(expected.provenance):
                yield f"{metric}: {one.name} was measured under other conditions than the reference"


def _not_as_frozen(decision: Decision, ledger: Ledger) -> Iterator[str]:
    """What is not as the ledger says that it was decided before anything was measured."""
    if not ledger.lines:
        return
    given = [line.event.reason for line in ledger.lines if line.event.reason is not None]
    told = decision.reasons_for_second_looks
    frozen: Frozen | None = None
    needed = 0
    for line in ledger.lines:
        if frozen is None:
            needed += line.event.reason is not None
        if isinstance(line.event, Freeze) and line.event.policy_sha256 == decision.policy_sha256:
            frozen = line.event.policy
    if frozen is None:
        yield f"policy_sha256: the ledger has no policy {decision.policy_sha256[:16]}"
        return
    # The ledger may have grown since.
    if told != given[: len(told)] or len(told) < needed:
        yield f"reasons_for_second_looks: the decision says {told}, the ledger {given}"
    if _in_order(Policy.model_validate(frozen.policy)) != _in_order(decision.policy):
        yield "policy: it is not the one that was frozen"
    if frozen.tasks != {task.name: task_sha256(task) for task in decision.tasks}:
        yield "tasks: their settings are not those that were frozen"
    if decision.basis == "points":  # whatever was reported
        return
    recipes = sorted(one.recipe or "" for one in decision.candidates if one.kind == "average")
    steps = sorted(one.step or 0 for one in decision.candidates if one.kind == "checkpoint")
    if recipes != frozen.candidates.averages or frozen.candidates.checkpoints not in ("all", steps):
        yield "candidates: they are not those that were frozen"


def _in_order(policy: Policy) -> Policy:
    """The order in which guardrails are listed does not count."""
    guardrails = sorted(policy.guardrails, key=lambda one: (one.metric, one.margin))
    return policy.model_copy(update={"guardrails": guardrails})


def _entrant(project: Project, decision: Decision, candidate: Candidate) -> Entrant:
    readings = {
        measurement.metric: _reading(project, decision, candidate, measurement)
        for measurement in candidate.measurements
    }
    return Entrant.of(candidate, readings)


def _reading(
    project: Project, decision: Decision, candidate: Candidate, measurement: Measurement
) -> Reading:
    if measurement.key is None:
        who = candidate.name if candidate.kind == "reference" else decision.variant
        return reported_reading(project, who, measurement.metric, candidate.step)
    record = _record(project, decision, candidate, measurement)
    if record is None:
        raise UserError(
            f"{project.path(measurement.evidence)}: the record of {measurement.metric} that "
            f"{candidate.name} was judged by is gone",
            mend="restore it, or decide again: mbrelease select " + decision.variant,
        )
    per_example = record.per_example
    if per_example is None or per_example.sha256 != measurement.per_example_sha256:
        raise UserError(
            f"{project.path(measurement.evidence)}: the scores of the examples of "
            f"{candidate.name} on {measurement.metric} are not those that were decided by",
            mend="restore them, or decide again: mbrelease select " + decision.variant,
        )
    return reading_of(project, record, measurement.metric)


def _record(
    project: Project, decision: Decision, candidate: Candidate, measurement: Measurement
) -> EvidenceRecord | None:
    task, key = split_metric(measurement.metric)
    for record in read_records(project.evidence, candidate.weights_sha256, task):
        same = record.split == decision.split and record.provenance.key == measurement.key
        if same and key in record.metrics:
            return record
    return None


def _differences(place: str, known: Any, found: Any) -> Iterator[str]:
    if isinstance(known, dict) and isinstance(found, dict):
        for key in [*known, *(key for key in found if key not in known)]:
            inner = f"{place}.{key}" if place else str(key)
            yield from _differences(inner, known.get(key), found.get(key))
    elif isinstance(known, list) and isinstance(found, list) and len(known) == len(found):
        for position, (one, other) in enumerate(zip(known, found, strict=True)):
            name = one.get("name") or one.get("metric") if isinstance(one, dict) else None
            yield from _differences(f"{place}[{name or position}]", one, other)
    elif not _same(known, found):
        yield f"{place}: the decision says {_shown(known)}, its evidence gives {_shown(found)}"


def _same(known: Any, found: Any) -> bool:
    numbers = all(
        isinstance(one, int | float) and not isinstance(one, bool) for one in (known, found)
    )
    if numbers:
        return math.isclose(known, found, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return bool(known == found)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
