"""How the released weights were chosen, read from the decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mbrelease.cards.numbers import (
    NO_BREAK,
    change_text,
    count_text,
    frequency_text,
    join_words,
    metric_heading,
    metric_text,
    noun_text,
    real_text,
    share_text,
)
from mbrelease.cards.rules import rules
from mbrelease.cards.tables import Table, bold, table
from mbrelease.cards.told import Place, Told, derived, joined, listed, phrase
from mbrelease.evaluation.metric_names import decimals, lower_is_better
from mbrelease.selection.decision import Candidate, Comparison, Decision
from mbrelease.selection.p_value import p_text


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
    field: Markup
    """What stood for election: ``12 checkpoints and 3 averages``."""
    candidates: Table
    against_reference: Table
    """The chosen candidate on the primary metric and on each guardrail."""
    bounds: Markup | None
    """What the bounds in that table are; ``None`` where there are none."""
    rules: tuple[Markup, ...]
    """The policy in sentences."""
    reasons: tuple[Told, ...]
    findings: tuple[Told, ...]
    """What the curves of the run show."""
    warnings: tuple[Told, ...]
    policy_name: Told
    policy_sha256: str
    n_examples: Told | None
    """Examples behind the primary metric."""
    equals: tuple[str, ...]
    """Other candidates that cannot be told from the best either."""
    tie_break: str
    """What the policy decides by among those, such as ``earliest``."""
    p_selected: float | None
    p_selected_told: Told | None
    """How often the rule chooses the same when the examples are drawn again."""
    optimism: Told | None
    """By how much the primary metric is flattered, where that shows in its digits."""
    coarse: tuple[str, ...]
    """Guardrails on too few examples for their margin."""
    place: Place
    """The decision file."""


def read_choice(decision: Decision, place: Place) -> Choice:
    """The decision, which stands in the file ``place``, in the words and tables of a card.

    ``decision`` has a chosen candidate.
    """
    chosen = decision.chosen_candidate
    assert chosen is not None
    primary = decision.policy.primary
    at = _candidate_place(decision, chosen, place)
    return Choice(
        chosen=chosen.name,
        kind=chosen.kind,
        split=decision.split,
        reference=decision.policy.reference,
        primary=primary,
        by_points=decision.basis == "points",
        field=_field(decision, place),
        candidates=_candidates_table(decision, place),
        against_reference=_against_reference(decision, chosen, place),
        bounds=_bounds(decision, chosen, place),
        rules=rules(decision, place),
        reasons=_sentences(decision.reasons, place.at("reasons")),
        findings=tuple(
            place.at("findings", i, "sentence").tell(finding.sentence)
            for i, finding in enumerate(decision.findings)
        ),
        warnings=_sentences(decision.warnings, place.at("warnings")),
        policy_name=place.at("policy_name").tell(decision.policy_name),
        policy_sha256=decision.policy_sha256,
        n_examples=_n_examples(chosen, primary, at),
        equals=tuple(c.name for c in decision.candidates if c.tied and c is not chosen),
        tie_break=decision.policy.tie_break,
        p_selected=chosen.p_selected,
        p_selected_told=_frequency(chosen.p_selected, at.at("p_selected")),
        optimism=_optimism(decision, place),
        coarse=_coarse(decision),
        place=place,
    )


def _sentences(sentences: Sequence[str], place: Place) -> tuple[Told, ...]:
    return tuple(place.at(i).tell(sentence) for i, sentence in enumerate(sentences))


def _candidate_place(decision: Decision, candidate: Candidate, place: Place) -> Place:
    if candidate is decision.reference:
        return place.at("reference")
    index = next(i for i, one in enumerate(decision.candidates) if one is candidate)
    return place.at("candidates", index)


def _n_examples(chosen: Candidate, primary: str, at: Place) -> Told | None:
    number = chosen.measurement(primary).n_examples
    if number is None:
        return None
    where = at.at("measurements", _index(chosen, primary), "n_examples")
    return where.tell(count_text(number), number)


def _index(candidate: Candidate, metric: str) -> int:
    return next(i for i, one in enumerate(candidate.measurements) if one.metric == metric)


def _frequency(share: float | None, at: Place) -> Told | None:
    return None if share is None else at.tell(frequency_text(share), share)


def _field(decision: Decision, place: Place) -> Markup:
    parts = []
    for kind in ("checkpoint", "average"):
        number = sum(candidate.kind == kind for candidate in decision.candidates)
        if number:
            field = place.at("candidates").field()
            told = derived(count_text(number), f"count of {kind}s", [field], number)
            parts.append(phrase(f"{{}} {noun_text(number, kind)}", told))
    return listed(parts)


def _optimism(decision: Decision, place: Place) -> Told | None:
    primary, found = decision.policy.primary, decision.optimism
    if found is None or round(found, decimals(primary)) <= 0:
        return None
    return place.at("optimism").tell(metric_text(primary, found), found)


def _coarse(decision: Decision) -> tuple[str, ...]:
    """The guardrails that no candidate's test is fine enough for."""
    smallest: dict[str, list[bool]] = {}
    for candidate in decision.candidates:
        for result in candidate.guardrails:
            effect = result.minimal_detectable_effect
            above = effect is not None and effect > result.margin
            smallest.setdefault(result.metric, []).append(above)
    return tuple(metric for metric, above in smallest.items() if all(above))


def _candidates_table(decision: Decision, place: Place) -> Table:
    metrics = decision.metrics
    header = ["Candidate", *map(_heading, metrics), ">P", "Standing"]
    reference = f"{decision.policy.reference} (reference)"
    kept = _frequency(decision.p_keep_reference, place.at("p_keep_reference"))
    first = _values(decision.reference, metrics, place.at("reference"))
    rows: list[list[str | None]] = [[reference, *first, kept, None]]
    for i, candidate in enumerate(decision.candidates):
        at = place.at("candidates", i)
        name = bold(candidate.name) if candidate.name == decision.chosen else candidate.name
        standing = _standing(decision, candidate, place)
        share = _frequency(candidate.p_selected, at.at("p_selected"))
        rows.append([name, *_values(candidate, metrics, at), share, standing])
    return table(header, rows)


def _heading(metric: str) -> Markup:
    """Task and metric on a line each: there are as many such columns as the policy has metrics."""
    task, _, name = metric.rpartition("/")
    return phrase(">{}<br>{}", task, metric_heading(name))


def _values(candidate: Candidate, metrics: Sequence[str], at: Place) -> list[Told]:
    return [_value(candidate, metric, at) for metric in metrics]


def _value(candidate: Candidate, metric: str, at: Place) -> Told:
    value = candidate.value(metric)
    where = at.at("measurements", _index(candidate, metric), "value")
    return where.tell(metric_text(metric, value), value)


def _standing(decision: Decision, candidate: Candidate, place: Place) -> str:
    """How far it came under the rule: the first thing that stopped it."""
    if not candidate.eligible:
        return _obstacle(decision, candidate, place)
    if not candidate.superior:
        return "not better" if decision.basis == "points" else "not shown to be better"
    if not candidate.tied:
        return "behind the best"
    alone = sum(one.tied for one in decision.candidates) == 1
    return "best" if alone else "among the best"


def _obstacle(decision: Decision, candidate: Candidate, place: Place) -> str:
    for state, words in (("fail", "fails"), ("inconclusive", "inconclusive on")):
        metrics = [result.metric for result in candidate.guardrails if result.state == state]
        if metrics:
            return f"{words} {join_words(metrics)}"
    many = len(decision.candidates)
    told = derived(count_text(many), "count", [place.at("candidates").field()], many)
    return phrase("passes alone, not as one of {}", told)


def _against_reference(decision: Decision, chosen: Candidate, place: Place) -> Table:
    header = ["Metric", ">Reference", ">Chosen", ">Change", ">At worst", ">Required", "Result"]
    rows: list[list[str | None]] = []
    at = _candidate_place(decision, chosen, place)
    if chosen.primary is not None:
        primary = decision.policy.primary
        p = chosen.p_superiority
        better = at.at("p_superiority").tell(p_text(p), p) if p is not None else None
        rows.append(
            [
                *_both_values(decision, chosen, primary, place),
                _change(chosen.primary, at.at("primary")),
                _bound(primary, chosen.superiority, at.at("superiority")),
                _required(primary, place.at("policy", "primary")),
                "better" if better is None else phrase("better (p {})", better),
            ]
        )
    for i, result in enumerate(chosen.guardrails):
        where = at.at("guardrails", i)
        rows.append(
            [
                *_both_values(decision, chosen, result.metric, place),
                _change(result, where),
                _bound(result.metric, result.lower, where.at("lower")),
                _required(result.metric, where.at("margin"), result.margin),
                result.state,
            ]
        )
    return table(header, rows)


def _both_values(decision: Decision, chosen: Candidate, metric: str, place: Place) -> list[str]:
    both = (decision.reference, chosen)
    values = [_value(one, metric, _candidate_place(decision, one, place)) for one in both]
    return [metric_heading(metric), *values]


# The decision counts improvements; the page shows changes of the number itself.


def _change(compared: Comparison, at: Place) -> str:
    metric = compared.metric
    change = _of_number(metric, compared.change)
    told = at.at("change").tell(change_text(metric, change), compared.change)
    if compared.ci95 is None:
        return told
    bounds = [
        at.at("ci95", i).tell(change_text(metric, _of_number(metric, bound)), bound)
        for i, bound in enumerate(compared.ci95)
    ]
    low, high = reversed(bounds) if lower_is_better(metric) else bounds
    return phrase(f"{{}} [{{}},{NO_BREAK}{{}}]", told, low, high)


def _bound(metric: str, lower: float | None, at: Place) -> str | None:
    if lower is None:
        return None
    return at.tell(change_text(metric, _of_number(metric, lower)), lower)


def _required(metric: str, at: Place, margin: float = 0.0) -> str:
    """Better than the reference, or no worse than it by a margin."""
    side, sign = ("below", "+") if lower_is_better(metric) else ("above", "−")
    if not margin:
        return phrase(f"{side} {{}}", derived("0", "no change", [at.field()]))
    return phrase(f"{side} {{}}", at.tell(f"{sign}{real_text(margin)}", margin))


def _of_number(metric: str, improvement: float) -> float:
    return -improvement if lower_is_better(metric) else improvement


def _bounds(decision: Decision, chosen: Candidate, place: Place) -> Markup | None:
    if decision.basis == "points":
        return None
    policy, many = decision.policy, len(decision.candidates)
    alpha = place.at("policy", "alpha")
    level = derived(share_text(1 - policy.alpha), "1 - alpha", [alpha.field(policy.alpha)])
    usual = derived("95%", "level of the intervals", [place.field()])
    candidates = derived(count_text(many), "count", [place.at("candidates").field()], many)
    note = phrase(
        "In brackets stand {} intervals; “at worst” is a one-sided {} bound.", usual, level
    )
    if many > 1:
        both = "Bound and p of {} hold for all {} candidates at once."
        note += phrase(f" {both}", policy.primary, candidates)
    if chosen.p_guardrails is not None:
        p = chosen.p_guardrails
        at = _candidate_place(decision, chosen, place).at("p_guardrails")
        corrected: str = Markup("")
        if many > 1:
            corrected = phrase(", after Holm's correction for {} candidates", candidates)
        note += phrase(" The guardrails together have p {}{}.", at.tell(p_text(p), p), corrected)
    return note


def members_text(members: Sequence[tuple[str, str]]) -> Markup:
    """``checkpoint-900 and checkpoint-1200, 1/2 each``, or each with its own weight."""
    names = [name for name, _ in members]
    if names and len({weight for _, weight in members}) == 1:
        return phrase("{}, {} each", listed(names), members[0][1])
    return joined(phrase("{} × {}", weight, name) for name, weight in members)
