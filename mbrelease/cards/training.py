"""The training as the registry and the Trainer's log tell it, as tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from markupsafe import Markup

from mbrelease.cards.lineage import repo_link
from mbrelease.cards.model_record import Run
from mbrelease.cards.numbers import amount_text, count_text, real_text, share_text
from mbrelease.cards.tables import Table, table
from mbrelease.cards.told import Place, derived, joined, listed, phrase
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
    notes: tuple[Markup, ...]
    data: Table
    corpus: Table
    """The training data as a whole."""
    data_notes: tuple[Markup, ...]
    data_licensed: bool
    """Whether a licence is stated for any of the data."""
    longest_context: int | None
    """Tokens of the longest sequences in training, where the registry says so."""
    longest_context_place: Place
    """Where it says so."""


def read_training(entry: Variant, at: Place, run: Run | None, log: Place) -> Training:
    """Put together what the author wrote and what the Trainer logged.

    Args:
        entry: The variant.
        at: Where it stands in the registry.
        run: What the Trainer logged.
        log: Where that stands.
    """
    facts = entry.training or TrainingFacts()
    corpus = entry.corpus or Corpus()
    training = at.at("training")
    return Training(
        facts=_facts_table(facts, training, _Log(run, log)),
        phases=_phases_table(facts.phases, training.at("phases")),
        notes=_notes(facts, training),
        data=_data_table(entry.data, corpus, at.at("data")),
        corpus=_corpus_table(corpus, at.at("corpus")),
        data_notes=_data_notes(entry.data, corpus, at),
        data_licensed=any(source.license for source in entry.data) or bool(corpus.licenses),
        longest_context=_longest(facts)[0],
        longest_context_place=training.at(*_longest(facts)[1]),
    )


def _longest(facts: TrainingFacts) -> tuple[int | None, tuple[str | int, ...]]:
    """The longest context, and the way to it."""
    given: list[tuple[int | None, tuple[str | int, ...]]] = [(facts.context, ("context",))]
    given += [(phase.context, ("phases", i, "context")) for i, phase in enumerate(facts.phases)]
    known = [one for one in given if one[0] is not None]
    return max(known, key=lambda one: one[0] or 0) if known else given[0]


def _notes(facts: TrainingFacts, at: Place) -> tuple[Markup, ...]:
    notes = []
    if facts.note:
        notes.append(phrase("{}", at.at("note").tell(facts.note)))
    for i, phase in enumerate(facts.phases):
        if phase.note:
            note = at.at("phases", i, "note").tell(phase.note)
            notes.append(phrase("Phase {}: {}", at.at("phases", i, "name").tell(phase.name), note))
    return tuple(notes)


def _facts_table(facts: TrainingFacts, at: Place, log: _Log) -> Table:
    lines: list[tuple[str, str | None]] = [
        ("Objective", _told(_objective, facts.objective, at.at("objective"))),
        ("Masked tokens", _told(share_text, facts.mask_rate, at.at("mask_rate"))),
        ("Tokens seen", _told(amount_text, facts.tokens, at.at("tokens"))),
        ("Longest sequence", _told(_tokens, facts.context, at.at("context"))),
        ("Steps", _told(count_text, facts.steps, at.at("steps")) or log.steps()),
        ("Batch size", _told(str, facts.batch_size, at.at("batch_size"))),
        ("First weights", _told(str, facts.initialization, at.at("initialization"))),
        ("Optimizer", _optimizer(facts, at)),
        (
            "Learning rate",
            _told(real_text, facts.learning_rate, at.at("learning_rate")) or log.peak(),
        ),
        ("Schedule", _told(str, facts.schedule, at.at("schedule")) or log.schedule()),
        ("Dropout", _told(str, facts.dropout, at.at("dropout"))),
        ("Precision", _told(str, facts.precision, at.at("precision"))),
        ("Framework", _told(str, facts.framework, at.at("framework")) or log.trainer()),
        ("Software", joined(_each(facts.software, at.at("software")))),
        ("Hardware", _told(str, facts.hardware, at.at("hardware"))),
        ("Emissions", _emissions(facts, at.at("emissions"))),
    ]
    return table(["Setting", "Value"], [[label, value] for label, value in lines if value])


def _emissions(facts: TrainingFacts, at: Place) -> Markup | None:
    """Grams are the Hub's unit, kilograms what people read."""
    known = facts.emissions
    if known is None:
        return None
    grams = known.co2_grams
    kilograms = at.at("co2_grams").tell(f"{grams / 1000:,.6g}", grams)
    details = [
        at.at(name).tell(text)
        for name, text in (
            ("location", known.location), ("hardware", known.hardware), ("source", known.source),
        )
        if text
    ]  # fmt: skip
    shown = phrase("{} kg CO₂ equivalent", kilograms)
    return phrase("{} ({})", shown, joined(details, "; ")) if details else shown


def _phases_table(phases: Sequence[Phase], at: Place) -> Table:
    """Settings down, phases across: there are many settings and few phases."""
    settings: list[tuple[str, str, Callable[[Phase, Place], str | None]]] = [
        ("Objective", "objective", lambda p, at: _told(_objective, p.objective, at)),
        ("Masked tokens", "mask_rate", lambda p, at: _told(share_text, p.mask_rate, at)),
        ("Tokens", "tokens", lambda p, at: _told(amount_text, p.tokens, at)),
        ("Steps", "steps", lambda p, at: _told(count_text, p.steps, at)),
        ("Longest sequence", "context", lambda p, at: _told(_tokens, p.context, at)),
        ("Learning rate", "learning_rate", lambda p, at: _reals(p.learning_rate, at)),
        ("Schedule", "schedule", lambda p, at: _told(str, p.schedule, at)),
        ("Warmup tokens", "warmup_tokens", lambda p, at: _told(amount_text, p.warmup_tokens, at)),
        ("Decay tokens", "decay_tokens", lambda p, at: _told(amount_text, p.decay_tokens, at)),
        ("Weight decay", "weight_decay", lambda p, at: _reals(p.weight_decay, at)),
        ("Batch size", "batch_size", lambda p, at: _told(str, p.batch_size, at)),
        ("RoPE theta (global)", "rope_theta", lambda p, at: _told(real_text, p.rope_theta, at)),
        ("Hours", "hours", lambda p, at: _told(real_text, p.hours, at)),
        (
            "Hours of training",
            "training_hours",
            lambda p, at: _told(real_text, p.training_hours, at),
        ),
    ]
    rows = []
    for label, name, shown in settings:
        values = [shown(phase, at.at(i, name)) for i, phase in enumerate(phases)]
        if any(values):
            rows.append((label, *(value or "" for value in values)))
    # A phase of which only the name is known keeps its column.
    names = (phrase("{}", at.at(i, "name").tell(phase.name)) for i, phase in enumerate(phases))
    return Table(columns=("Setting", *names), rows=tuple(rows))


def _data_table(data: Sequence[DataSource], corpus: Corpus, at: Place) -> Table:
    header = ["Data", "Licence", ">Documents", ">Tokens", ">Share", "Description"]
    rows: list[list[str | None]] = [
        [
            _data_name(source, at.at(i)),
            _told(str, source.license, at.at(i, "license"))
            or (None if corpus.licenses else "not stated"),
            _told(count_text, source.documents, at.at(i, "documents")),
            _told(amount_text, source.tokens, at.at(i, "tokens")),
            _told(share_text, source.proportion, at.at(i, "proportion")),
            _description(source, at.at(i)),
        ]
        for i, source in enumerate(data)
    ]
    documents = [source.documents for source in data if source.documents is not None]
    if len(documents) == len(data) > 1 and corpus.documents is None:
        fields = [at.at(i, "documents").field(n) for i, n in enumerate(documents)]
        total = sum(documents)
        together = derived(count_text(total), "sum", fields, total)
        rows.append(["Together", None, together, None, None, None])
    return table(header, rows)


def _description(source: DataSource, at: Place) -> str | None:
    parts = [at.at(name).optional(getattr(source, name)) for name in ("description", "skew")]
    known = [part for part in parts if part is not None]
    return joined(known, " ") if known else None


def _corpus_table(corpus: Corpus, at: Place) -> Table:
    lines = [
        ("Documents", _told(count_text, corpus.documents, at.at("documents"))),
        ("Tokens", _told(amount_text, corpus.tokens, at.at("tokens"))),
        ("Median length", _told(_tokens, corpus.median_tokens, at.at("median_tokens"))),
        ("95th percentile of length", _told(_tokens, corpus.p95_tokens, at.at("p95_tokens"))),
        ("Years", _told(str, corpus.years, at.at("years"))),
        ("Licences", _told(str, corpus.licenses, at.at("licenses"))),
        ("Deduplication", _told(str, corpus.deduplication, at.at("deduplication"))),
        ("Skew", _told(str, corpus.skew, at.at("skew"))),
    ]
    return table(["All data together", "Value"], [[label, text] for label, text in lines if text])


def _data_notes(data: Sequence[DataSource], corpus: Corpus, at: Place) -> tuple[Markup, ...]:
    notes = [phrase("{}", at.at("corpus", "note").tell(corpus.note))] if corpus.note else []
    unlicensed = [
        at.at("data", i, "name").tell(source.name)
        for i, source in enumerate(data)
        if source.license is None
    ]
    if unlicensed and not corpus.licenses:
        notes.append(phrase("No licence is stated for {}.", listed(unlicensed)))
    return tuple(notes)


def _data_name(source: DataSource, at: Place) -> str:
    name = at.at("name").tell(source.name)
    if source.hub_id is None:
        return name
    link = repo_link(at.at("hub_id").tell(source.hub_id), kind="datasets/")
    return link if source.name == source.hub_id else phrase("{} ({})", name, link)


T = TypeVar("T")


def _told(shown: Callable[[T], str], value: T | None, at: Place) -> str | None:
    """A value as it is written, with its place; ``None`` for what is not known."""
    if value is None:
        return None
    return at.tell(shown(value), value if isinstance(value, int | float) else None)


def _each(texts: Sequence[str], at: Place) -> list[str]:
    return [at.at(i).tell(text) for i, text in enumerate(texts)]


def _objective(objective: str) -> str:
    return _OBJECTIVES.get(objective, objective)


def _tokens(count: int) -> str:
    return f"{count_text(count)} tokens"


def _reals(values: float | Sequence[float] | None, at: Place) -> str | None:
    if values is None:
        return None
    if isinstance(values, float | int):
        return at.tell(real_text(values), values)
    return joined([at.at(i).tell(real_text(v), v) for i, v in enumerate(values)], ", then ")


def _optimizer(facts: TrainingFacts, at: Place) -> str | None:
    parts: list[str] = [at.at("optimizer").tell(facts.optimizer)] if facts.optimizer else []
    if facts.betas:
        betas = [at.at("betas", i).tell(real_text(b), b) for i, b in enumerate(facts.betas)]
        parts.append(phrase("β {}", joined(betas)))
    if facts.epsilon is not None:
        epsilon = at.at("epsilon").tell(real_text(facts.epsilon), facts.epsilon)
        parts.append(phrase("ε {}", epsilon))
    return joined(parts, "; ") if parts else None


@dataclass(frozen=True)
class _Log:
    """What the Trainer's log tells where the author does not."""

    run: Run | None
    at: Place

    def steps(self) -> str | None:
        run = self.run
        if run is None:
            return None
        planned = self.at.at("max_steps").tell(count_text(run.max_steps), run.max_steps)
        if run.global_step == run.max_steps:
            return planned
        ran = self.at.at("global_step").tell(count_text(run.global_step), run.global_step)
        return phrase("{} of {} planned", ran, planned)

    def peak(self) -> str | None:
        peak = self.run.peak_learning_rate if self.run else None
        if peak is None:
            return None
        return phrase(
            "{} at its peak", self.at.at("peak_learning_rate").tell(real_text(peak), peak)
        )

    def schedule(self) -> str | None:
        start = self.run.decay_start if self.run else None
        if start is None:
            return None
        step = self.at.at("decay_start").tell(count_text(start), start)
        return phrase("the learning rate is logged to fall after step {}", step)

    def trainer(self) -> str | None:
        return "Hugging Face Trainer" if self.run else None
