"""How the released weights were chosen, read from the decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mbrelease.cards.numbers import change_text, metric_heading, metric_text, plural, real_text
from mbrelease.cards.tables import Table, bold, table
from mbrelease.evaluation.metric_names import lower_is_better
from mbrelease.selection.decision import Candidate, Decision, Measurement

TIE_BREAKS = {
    "earliest": "the earliest candidate wins",
    "latest": "the latest candidate wins",
    "fewest-parents": "the candidate made of the fewest checkpoints wins",
}


@dataclass(frozen=True)
class Choice:
    """What was chosen, among what, by which rule."""

    chosen: str
    kind: str
    """``checkpoint``, ``average`` or ``reference``."""
    split: str
    reference: str
    primary: str
    """``task/metric``."""
    primary_value: str
    checkpoints: int
    averages: int
    failed: int
    """Candidates that a guardrail stopped."""
    candidates: Table
    guardrails: Table
    """Of the chosen candidate."""
    rules: tuple[str, ...]
    """The policy in sentences."""
    reasons: tuple[str, ...]
    policy_name: str
    policy_sha256: str
    n_examples: int | None
    """Examples behind the primary metric."""
    intervals_overlap: bool
    """Whether the intervals of the chosen candidate and of another one overlap on the primary."""

    @property
    def field(self) -> str:
        """What stood for election: ``12 checkpoints and 3 averages``."""
        parts = [plural(self.checkpoints, "checkpoint")] if self.checkpoints else []
        parts += [plural(self.averages, "average")] if self.averages else []
        return " and ".join(parts)


def read_choice(decision: Decision) -> Choice:
    """The decision in the words and tables of a card. ``decision`` has a chosen candidate."""
    chosen = decision.chosen_candidate
    assert chosen is not None
    primary = decision.policy.primary
    return Choice(
        chosen=chosen.name,
        kind=chosen.kind,
        split=decision.split,
        reference=decision.policy.reference,
        primary=primary,
        primary_value=metric_text(primary, chosen.value(primary)),
        checkpoints=_count(decision, "checkpoint"),
        averages=_count(decision, "average"),
        failed=sum(candidate.state == "stopped" for candidate in decision.candidates),
        candidates=_candidates_table(decision),
        guardrails=_guardrails_table(chosen),
        rules=_rules(decision),
        reasons=tuple(decision.reasons),
        policy_name=decision.policy_name,
        policy_sha256=decision.policy_sha256,
        n_examples=_n_examples(chosen, primary),
        intervals_overlap=_overlaps(chosen, decision.candidates, primary),
    )


def _count(decision: Decision, kind: str) -> int:
    return sum(candidate.kind == kind for candidate in decision.candidates)


def _rules(decision: Decision) -> tuple[str, ...]:
    policy = decision.policy
    direction = "lowest" if lower_is_better(policy.primary) else "highest"
    rules = [
        f"Among the candidates that pass every guardrail, the one with the {direction} "
        f"{policy.primary} on {decision.split} is chosen; where several are equal, "
        f"{TIE_BREAKS[policy.tie_break]}."
    ]
    for guardrail in policy.guardrails:
        verb = "rise above" if lower_is_better(guardrail.metric) else "fall below"
        limit = (
            f"that of {policy.reference} by more than {real_text(guardrail.margin)}"
            if guardrail.margin
            else f"that of {policy.reference}"
        )
        rules.append(f"Guardrail: {guardrail.metric} may not {verb} {limit}.")
    return tuple(rules)


def _candidates_table(decision: Decision) -> Table:
    policy = decision.policy
    metrics = list(dict.fromkeys([policy.primary, *(g.metric for g in policy.guardrails)]))
    header = ["Candidate", *(f">{metric_heading(metric)}" for metric in metrics), "Guardrails"]
    rows = [_candidate_cells(decision.reference, metrics, f"{policy.reference} (reference)")]
    for candidate in decision.candidates:
        if candidate.weights_sha256 == decision.reference.weights_sha256:
            continue
        cells = _candidate_cells(candidate, metrics, candidate.name)
        if candidate.name == decision.chosen:
            cells = [bold(cells[0] or ""), *cells[1:]]
        rows.append(cells)
    return table(header, rows)


def _candidate_cells(candidate: Candidate, metrics: Sequence[str], name: str) -> list[str | None]:
    measured = {measurement.metric: measurement for measurement in candidate.measurements}
    values = [
        metric_text(metric, measured[metric].value) if metric in measured else "–"
        for metric in metrics
    ]
    if candidate.kind == "reference" or not candidate.guardrails:
        return [name, *values, None]
    return [name, *values, _guardrails_text(candidate)]


def _guardrails_text(candidate: Candidate) -> str:
    if candidate.eligible:
        return "pass"
    for state, words in (("fail", "fails"), ("inconclusive", "inconclusive:")):
        metrics = [result.metric for result in candidate.guardrails if result.state == state]
        if metrics:
            return f"{words} {', '.join(metrics)}"
    return "pass alone, not among all (Holm)"


def _guardrails_table(chosen: Candidate) -> Table:
    header = ["Guardrail", ">Reference", ">Chosen", ">Change", ">Margin", "Result"]
    rows = []
    for result in chosen.guardrails:
        # The decision counts improvements; the page shows the change of the number itself.
        change = -result.change if lower_is_better(result.metric) else result.change
        rows.append(
            [
                metric_heading(result.metric),
                metric_text(result.metric, result.reference),
                metric_text(result.metric, result.value),
                change_text(result.metric, change),
                real_text(result.margin),
                result.state,
            ]
        )
    return table(header, rows)


def _overlaps(chosen: Candidate, candidates: Sequence[Candidate], metric: str) -> bool:
    own = _interval(chosen, metric)
    others = [_interval(c, metric) for c in candidates if c.name != chosen.name and c.eligible]
    return own is not None and any(
        other is not None and own[0] <= other[1] and other[0] <= own[1] for other in others
    )


def _n_examples(candidate: Candidate, metric: str) -> int | None:
    return next((m.n_examples for m in candidate.measurements if m.metric == metric), None)


def _interval(candidate: Candidate, metric: str) -> tuple[float, float] | None:
    found: Measurement | None = next(
        (m for m in candidate.measurements if m.metric == metric), None
    )
    return found.ci95 if found else None


def members_text(members: Sequence[tuple[str, str]]) -> str:
    """``checkpoint-900 and checkpoint-1200, 1/2 each``, or each with its own weight."""
    weights = {weight for _, weight in members}
    names = [name for name, _ in members]
    if len(weights) == 1 and names:
        listed = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
        return f"{listed}, {weights.pop()} each"
    return ", ".join(f"{weight} × {name}" for name, weight in members)
