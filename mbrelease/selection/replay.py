"""Derive a decision again from the evidence that it names, and compare."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from mbrelease.errors import UserError
from mbrelease.evaluation.evidence import EvidenceRecord, read_records
from mbrelease.evaluation.metric_names import split_metric
from mbrelease.registry.project import Project
from mbrelease.selection.decision import Candidate, Decision, Measurement
from mbrelease.selection.entrants import Election, Entrant, Reading, reading_of
from mbrelease.selection.points import reported_reading
from mbrelease.selection.policy import decide_among

# Sums in another order, on another processor, differ in their last digits.
RELATIVE, ABSOLUTE = 1e-6, 1e-9


def replay(project: Project, decision: Decision) -> list[str]:
    """What differs between ``decision`` and what follows from its evidence; empty if nothing does.

    Everything is taken from the decision itself (policy, tasks, candidates, which records) and the
    evidence beside the registry; neither the weights nor today's registry are asked.

    Raises:
        UserError: a record is gone, or its scores were changed.
    """
    again = decide_among(
        Election(
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
    )
    return list(_differences("", decision.model_dump(mode="json"), again.model_dump(mode="json")))


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
