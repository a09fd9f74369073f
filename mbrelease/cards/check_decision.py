"""Does the evidence behind a decision still say what the decision read in it?

A card shows the candidates as the decision has them; the records of those lie further back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mbrelease.cards.arithmetic import same
from mbrelease.cards.fields import read_field
from mbrelease.cards.told import Place, place
from mbrelease.errors import UserError
from mbrelease.evaluation.metric_names import split_metric
from mbrelease.files import read_json
from mbrelease.registry.project import Project
from mbrelease.selection.decision import Candidate, Decision, Measurement
from mbrelease.selection.frozen import frozen_policy


@dataclass(frozen=True)
class Doubt:
    """Something that the decision says and the files do not."""

    message: str
    field: str
    """Where the decision says it."""
    record: str | None


def doubts(project: Project, variant: str, decision: Decision) -> Iterator[Doubt]:
    """Each measurement of ``decision`` that its evidence no longer has; a policy that changed."""
    known: dict[str, Any] = {}
    at = Place("")
    yield from _of(project, decision, decision.reference, at.at("reference"), known)
    for i, candidate in enumerate(decision.candidates):
        yield from _of(project, decision, candidate, at.at("candidates", i), known)
    try:
        frozen = frozen_policy(project, variant)
    except UserError:
        return  # the card says what the registry lacks
    if frozen.sha256 != decision.policy_sha256:
        path = place(project.root, project.decision(variant)).file
        yield Doubt(
            f"the policy in {project.registry_path.name} is not the one that {path} was made by",
            "policy_sha256",
            path,
        )


def _of(
    project: Project, decision: Decision, candidate: Candidate, at: Place, known: dict[str, Any]
) -> Iterator[Doubt]:
    for i, measurement in enumerate(candidate.measurements):
        if measurement.key is None:
            continue  # of a reported point there is no key to find it by
        field = at.at("measurements", i, "value").path
        wrong = _wrong(project, decision.split, measurement, known)
        if wrong is not None:
            message = f"the decision has {measurement.metric} of {candidate.name}, and {wrong}"
            yield Doubt(message, field, measurement.evidence)


def _wrong(
    project: Project, split: str, measurement: Measurement, known: dict[str, Any]
) -> str | None:
    file = measurement.evidence
    if file not in known:
        try:
            known[file] = read_json(project.root / file)
        except UserError:
            known[file] = None
    if known[file] is None:
        return f"{file} is gone or cannot be read"
    entry = Place(file).at("scores", split).entry(measurement.key or "")
    metric = split_metric(measurement.metric)[1]
    try:
        value = read_field(known[file], entry.at(metric).path)
    except LookupError:
        return f"{file} has no such record any more"
    if same(value, measurement.value):
        return None
    return f"{file} says {value}, where the decision read {measurement.value}"
