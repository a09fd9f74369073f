"""How the released weights were chosen, read from the decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mbrelease.cards.numbers import (
    change_interval_text,
    change_text,
    frequency_text,
    join_words,
    metric_heading,
    metric_text,
    plural,
    real_text,
    share_text,
)
from mbrelease.cards.rules import rules
from mbrelease.cards.tables import Table, bold, table
from mbrelease.evaluation.metric_names import decimals, lower_is_better
from mbrelease.selection.decision import Candidate, Comparison, Decision
from mbrelease.selection.reasons import p_text


@dataclass(frozen=True)
class Choice:
    """What was chosen, among what, by which rule, and how sure that is."""

    chosen: str
    kind: str
    """``checkpoint``, ``average`` or ``reference``."""
    split: str
    reference: str
    primary: str
    """``task/metric``."""
    by_points: bool
    """Whether only reported values were compared."""
    checkpoints: int
    averages: int
    candidates: Table
    against_reference: Table
    """The chosen candidate on the primary metric and on each guardrail."""
    bounds: str | None
    """What the bounds in that table are; ``None`` where there are none."""
    rules: tuple[str, ...]
    """The policy in sentences."""
    reasons: tuple[str, ...]
    findings: tuple[str, ...]
    """What the curves of the run show."""
    warnings: tuple[str, ...]
    policy_name: str
    policy_sha256: str
    n_examples: int | None
    """Examples behind the primary metric."""
    equals: tuple[str, ...]
    """Other candidates that cannot be told from the best either."""
    tie_break: str
    """What the policy decides by among those, such as ``earliest``."""
    p_selected: float | None
    """How often the rule chooses the same when the examples are drawn again."""
    optimism: str | None
    """By how much the primary metric is flattered, where that shows in its digits."""
    coarse: tuple[str, ...]
    """Guardrails on too few examples for their margin."""

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
        by_points=decision.basis == "points",
        checkpoints=_count(decision, "checkpoint"),
        averages=_count(decision, "average"),
        candidates=_candidates_table(decision),
        against_reference=_against_reference(decision, chosen),
        bounds=_bounds(decision, chosen),
        rules=rules(decision),
        reasons=tuple(decision.reasons),
        findings=tuple(finding.sentence for finding in decision.findings),
        warnings=tuple(decision.warnings),
        policy_name=decision.policy_name,
        policy_sha256=decision.policy_sha256,
        n_examples=chosen.measurement(primary).n_examples,
        equals=tuple(c.name for c in decision.candidates if c.tied and c is not chosen),
        tie_break=decision.policy.tie_break,
        p_selected=chosen.p_selected,
        optimism=_optimism(decision),
        coarse=_coarse(decision),
    )


def _count(decision: Decision, kind: str) -> int:
    return sum(candidate.kind == kind for candidate in decision.candidates)


def _optimism(decision: Decision) -> str | None:
    primary, found = decision.policy.primary, decision.optimism
    if found is None or round(found, decimals(primary)) <= 0:
        return None
    return metric_text(primary, found)


def _coarse(decision: Decision) -> tuple[str, ...]:
    """The guardrails that no candidate's test is fine enough for."""
    smallest: dict[str, list[bool]] = {}
    for candidate in decision.candidates:
        for result in candidate.guardrails:
            effect = result.minimal_detectable_effect
            above = effect is not None and effect > result.margin
            smallest.setdefault(result.metric, []).append(above)
    return tuple(metric for metric, above in smallest.items() if all(above))


def _candidates_table(decision: Decision) -> Table:
    metrics = decision.metrics
    header = ["Candidate", *(f">{metric_heading(metric)}" for metric in metrics), "Standing", ">P"]
    reference = f"{decision.policy.reference} (reference)"
    rows = [_cells(decision.reference, metrics, reference, None, decision.p_keep_reference)]
    for candidate in decision.candidates:
        name = bold(candidate.name) if candidate.name == decision.chosen else candidate.name
        standing = _standing(decision, candidate)
        rows.append(_cells(candidate, metrics, name, standing, candidate.p_selected))
    return table(header, rows)


def _cells(
    candidate: Candidate,
    metrics: Sequence[str],
    name: str,
    standing: str | None,
    share: float | None,
) -> list[str | None]:
    values = [metric_text(metric, candidate.value(metric)) for metric in metrics]
    return [name, *values, standing, None if share is None else frequency_text(share)]


def _standing(decision: Decision, candidate: Candidate) -> str:
    """How far it came under the rule: the first thing that stopped it."""
    if not candidate.eligible:
        return _obstacle(decision, candidate)
    passes = "passes, " if candidate.guardrails else ""
    if not candidate.superior:
        shown = "" if decision.basis == "points" else "shown to be "
        return f"{passes}not {shown}better"
    if not candidate.tied:
        return f"{passes}behind the best"
    alone = sum(one.tied for one in decision.candidates) == 1
    return f"{passes}the best" if alone else f"{passes}among the best"


def _obstacle(decision: Decision, candidate: Candidate) -> str:
    for state, words in (("fail", "fails"), ("inconclusive", "inconclusive on")):
        metrics = [result.metric for result in candidate.guardrails if result.state == state]
        if metrics:
            return f"{words} {join_words(metrics)}"
    return f"passes alone, not as one of {len(decision.candidates)}"


def _against_reference(decision: Decision, chosen: Candidate) -> Table:
    header = ["Metric", ">Reference", ">Chosen", ">Change", ">At worst", ">Required", "Result"]
    rows = []
    if chosen.primary is not None:
        primary = decision.policy.primary
        p = chosen.p_superiority
        rows.append(
            [
                *_both_values(decision, chosen, primary),
                _change(chosen.primary),
                _bound(primary, chosen.superiority),
                _required(primary, 0.0),
                "better" if p is None else f"better (p {p_text(p)})",
            ]
        )
    for result in chosen.guardrails:
        rows.append(
            [
                *_both_values(decision, chosen, result.metric),
                _change(result),
                _bound(result.metric, result.lower),
                _required(result.metric, -result.margin),
                result.state,
            ]
        )
    return table(header, rows)


def _both_values(decision: Decision, chosen: Candidate, metric: str) -> list[str]:
    both = (decision.reference, chosen)
    return [metric_heading(metric), *(metric_text(metric, one.value(metric)) for one in both)]


# The decision counts improvements; the page shows changes of the number itself.


def _change(compared: Comparison) -> str:
    metric = compared.metric
    text = change_text(metric, _of_number(metric, compared.change))
    if compared.ci95 is None:
        return text
    low, high = sorted(_of_number(metric, bound) for bound in compared.ci95)
    return Markup(f"{text} {change_interval_text(metric, (low, high))}")  # noqa: S704  (digits only)


def _bound(metric: str, lower: float | None) -> str | None:
    return None if lower is None else change_text(metric, _of_number(metric, lower))


def _required(metric: str, lower: float) -> str:
    limit = _of_number(metric, lower)
    side = "below" if lower_is_better(metric) else "above"
    if not limit:
        return f"{side} 0"
    sign = "+" if limit > 0 else "−"
    return f"{side} {sign}{real_text(abs(limit))}"


def _of_number(metric: str, improvement: float) -> float:
    return -improvement if lower_is_better(metric) else improvement


def _bounds(decision: Decision, chosen: Candidate) -> str | None:
    if decision.basis == "points":
        return None
    policy, many = decision.policy, len(decision.candidates)
    level = share_text(1 - policy.alpha)
    note = f"In brackets stand 95% intervals; “at worst” is a one-sided {level} bound."
    if many > 1:
        note += f" Bound and p of {policy.primary} hold for all {many} candidates at once."
    if chosen.p_guardrails is not None:
        corrected = f", after Holm's correction for {many} candidates" if many > 1 else ""
        note += f" The guardrails together have p {p_text(chosen.p_guardrails)}{corrected}."
    return note


def members_text(members: Sequence[tuple[str, str]]) -> str:
    """``checkpoint-900 and checkpoint-1200, 1/2 each``, or each with its own weight."""
    weights = {weight for _, weight in members}
    names = [name for name, _ in members]
    if len(weights) == 1 and names:
        listed = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
        return f"{listed}, {weights.pop()} each"
    return ", ".join(f"{weight} × {name}" for name, weight in members)
