"""The training as the registry and the Trainer's log tell it, as tables."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from mbrelease.cards.escape import markdown
from mbrelease.cards.lineage import repo_link
from mbrelease.cards.numbers import amount_text, count_text, join_words, real_text, share_text
from mbrelease.cards.tables import Table, table
from mbrelease.checkpoints.trainer_state import TrainerState
from mbrelease.registry.schema import Corpus, DataSource, Phase, Variant
from mbrelease.registry.schema import Training as TrainingFacts

_OBJECTIVES = {
    "mlm": "masked language modelling",
    "clm": "causal language modelling",
}


@dataclass(frozen=True)
class Training:
    """What is known about the training; every part may be empty."""

    facts: Table
    phases: Table
    """A column a phase."""
    notes: tuple[str, ...]
    data: Table
    corpus: Table
    """The training data as a whole."""
    data_notes: tuple[str, ...]
    data_licensed: bool
    """Whether a licence is stated for any of the data."""
    longest_context: int | None
    """Tokens of the longest sequences in training, where the registry says so."""


def read_training(entry: Variant, state: TrainerState | None) -> Training:
    """Put together what the author wrote and what the Trainer logged."""
    facts = entry.training or TrainingFacts()
    contexts = [facts.context, *(phase.context for phase in facts.phases)]
    notes = [facts.note, *(f"Phase {p.name}: {p.note}" for p in facts.phases if p.note)]
    return Training(
        facts=_facts_table(facts, state),
        phases=_phases_table(facts.phases),
        notes=tuple(note for note in notes if note),
        data=_data_table(entry.data, entry.corpus or Corpus()),
        corpus=_corpus_table(entry.corpus or Corpus()),
        data_notes=_data_notes(entry.data, entry.corpus or Corpus()),
        data_licensed=any(source.license for source in entry.data)
        or bool(entry.corpus and entry.corpus.licenses),
        longest_context=max((c for c in contexts if c is not None), default=None),
    )


def _facts_table(facts: TrainingFacts, state: TrainerState | None) -> Table:
    trainer = "Hugging Face Trainer" if state else None
    lines = [
        ("Objective", _objective(facts.objective)),
        ("Masked tokens", _share(facts.mask_rate)),
        ("Tokens seen", _amount(facts.tokens)),
        ("Longest sequence", _tokens(facts.context)),
        ("Steps", _count(facts.steps) or _steps(state)),
        ("Batch size", facts.batch_size),
        ("First weights", facts.initialization),
        ("Optimizer", _optimizer(facts)),
        ("Learning rate", _reals(facts.learning_rate) or _peak(state)),
        ("Schedule", facts.schedule or _schedule(state)),
        ("Dropout", facts.dropout),
        ("Precision", facts.precision),
        ("Framework", facts.framework or trainer),
        ("Software", ", ".join(facts.software)),
        ("Hardware", facts.hardware),
    ]
    return table(["Setting", "Value"], [[label, value] for label, value in lines if value])


def _phases_table(phases: list[Phase]) -> Table:
    """Settings down, phases across: there are many settings and few phases."""
    lines: list[tuple[str, list[str | None]]] = [
        ("Objective", [_objective(phase.objective) for phase in phases]),
        ("Masked tokens", [_share(phase.mask_rate) for phase in phases]),
        ("Tokens", [_amount(phase.tokens) for phase in phases]),
        ("Steps", [_count(phase.steps) for phase in phases]),
        ("Longest sequence", [_tokens(phase.context) for phase in phases]),
        ("Learning rate", [_reals(phase.learning_rate) for phase in phases]),
        ("Schedule", [phase.schedule for phase in phases]),
        ("Warmup tokens", [_amount(phase.warmup_tokens) for phase in phases]),
        ("Decay tokens", [_amount(phase.decay_tokens) for phase in phases]),
        ("Weight decay", [_reals(phase.weight_decay) for phase in phases]),
        ("Batch size", [phase.batch_size for phase in phases]),
        ("RoPE theta (global)", [_reals(phase.rope_theta) for phase in phases]),
        ("Hours", [_reals(phase.hours) for phase in phases]),
        ("Hours of training", [_reals(phase.training_hours) for phase in phases]),
    ]
    rows = [[label, *values] for label, values in lines if any(values)]
    # A phase of which only the name is known keeps its column.
    return Table(
        columns=("Setting", *(phase.name for phase in phases)),
        rows=tuple(tuple(value or "" for value in row) for row in rows),
    )


def _data_table(data: list[DataSource], corpus: Corpus) -> Table:
    header = ["Data", "Licence", ">Documents", ">Tokens", ">Share", "Description"]
    rows: list[list[str | None]] = [
        [
            _data_name(source),
            source.license or (None if corpus.licenses else "not stated"),
            _count(source.documents),
            _amount(source.tokens),
            _share(source.proportion),
            source.description,
        ]
        for source in data
    ]
    documents = [source.documents for source in data if source.documents is not None]
    if len(documents) == len(data) > 1 and corpus.documents is None:
        rows.append(["Together", None, count_text(sum(documents)), None, None, None])
    return table(header, rows)


def _corpus_table(corpus: Corpus) -> Table:
    lines = [
        ("Documents", _count(corpus.documents)),
        ("Tokens", _amount(corpus.tokens)),
        ("Median length", _tokens(corpus.median_tokens)),
        ("95th percentile of length", _tokens(corpus.p95_tokens)),
        ("Years", corpus.years),
        ("Licences", corpus.licenses),
        ("Deduplication", corpus.deduplication),
    ]
    return table(["All data together", "Value"], [[label, text] for label, text in lines if text])


def _data_notes(data: list[DataSource], corpus: Corpus) -> tuple[str, ...]:
    notes = [corpus.note] if corpus.note else []
    unlicensed = [source.name for source in data if source.license is None]
    if unlicensed and not corpus.licenses:
        notes.append(f"No licence is stated for {join_words(unlicensed)}.")
    return tuple(notes)


def _data_name(source: DataSource) -> str:
    if source.hub_id is None:
        return source.name
    link = repo_link(source.hub_id, kind="datasets/")
    if source.name == source.hub_id:
        return link
    return Markup(f"{markdown(source.name)} ({link})")  # noqa: S704  (both are escaped)


def _objective(objective: str | None) -> str | None:
    return None if objective is None else _OBJECTIVES.get(objective, objective)


def _amount(amount: int | None) -> str | None:
    return None if amount is None else amount_text(amount)


def _count(count: int | None) -> str | None:
    return None if count is None else count_text(count)


def _tokens(count: int | None) -> str | None:
    return None if count is None else f"{count_text(count)} tokens"


def _reals(values: float | list[float] | None) -> str | None:
    if values is None:
        return None
    given = values if isinstance(values, list) else [values]
    return ", then ".join(real_text(value) for value in given)


def _optimizer(facts: TrainingFacts) -> str | None:
    parts = [facts.optimizer] if facts.optimizer else []
    if facts.betas:
        parts.append(f"β {', '.join(real_text(beta) for beta in facts.betas)}")
    if facts.epsilon is not None:
        parts.append(f"ε {real_text(facts.epsilon)}")
    return "; ".join(parts) or None


def _share(share: float | None) -> str | None:
    return None if share is None else share_text(share)


def _steps(state: TrainerState | None) -> str | None:
    if state is None:
        return None
    if state.global_step == state.max_steps:
        return count_text(state.max_steps)
    return f"{count_text(state.global_step)} of {count_text(state.max_steps)} planned"


def _peak(state: TrainerState | None) -> str | None:
    rates = [rate for _, rate in state.curve("learning_rate")] if state else []
    return f"{real_text(max(rates))} at its peak" if rates else None


def _schedule(state: TrainerState | None) -> str | None:
    if state is None or state.decay_start is None:
        return None
    return f"the learning rate falls after step {count_text(state.decay_start)}"
