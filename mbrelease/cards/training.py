"""The training as the registry and the Trainer's log tell it, as tables."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from mbrelease.cards.escape import markdown
from mbrelease.cards.lineage import repo_link
from mbrelease.cards.numbers import amount_text, count_text, real_text, share_text
from mbrelease.cards.tables import Table, table
from mbrelease.checkpoints.trainer_state import TrainerState
from mbrelease.registry.schema import DataSource, Phase
from mbrelease.registry.schema import Training as TrainingFacts


@dataclass(frozen=True)
class Training:
    """What is known about the training; every part may be empty."""

    facts: Table
    phases: Table
    notes: tuple[str, ...]
    data: Table
    data_notes: tuple[str, ...]
    longest_context: int | None
    """Tokens of the longest sequences in training, where the registry says so."""

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.facts or self.phases or self.notes or self.data)


def read_training(
    facts: TrainingFacts | None, data: list[DataSource], state: TrainerState | None
) -> Training:
    """Put together what the author wrote and what the Trainer logged."""
    facts = facts or TrainingFacts()
    phases = facts.phases
    contexts = [facts.context, *(phase.context for phase in phases)]
    return Training(
        facts=_facts_table(facts, state),
        phases=_phases_table(phases),
        notes=tuple(
            note
            for note in [
                facts.note,
                *(f"{phase.name}: {phase.note}" for phase in phases if phase.note),
            ]
            if note
        ),
        data=_data_table(data),
        data_notes=_data_notes(data),
        longest_context=max((c for c in contexts if c is not None), default=None),
    )


def _facts_table(facts: TrainingFacts, state: TrainerState | None) -> Table:
    lines = [
        ("Objective", facts.objective),
        ("Tokens masked", _share(facts.mask_rate)),
        ("Tokens seen", _amount(facts.tokens)),
        ("Sequence length", f"{count_text(facts.context)} tokens" if facts.context else None),
        ("Steps of the run", count_text(facts.steps) if facts.steps else _steps(state)),
        ("Batch size", facts.batch_size),
        ("Optimizer", facts.optimizer),
        ("Learning rate", real_text(facts.learning_rate) if facts.learning_rate else _peak(state)),
        ("Schedule", facts.schedule or _schedule(state)),
        ("Precision", facts.precision),
        ("Framework", facts.framework or ("Hugging Face Trainer" if state else None)),
        ("Hardware", facts.hardware),
    ]
    return table(["Setting", "Value"], [[label, value] for label, value in lines if value])


def _phases_table(phases: list[Phase]) -> Table:
    header = ["Phase", "Objective", ">Masked", ">Tokens", ">Length", ">Steps", "Schedule"]
    rows = [
        [
            phase.name,
            phase.objective,
            _share(phase.mask_rate),
            _amount(phase.tokens),
            _amount(phase.context),
            _amount(phase.steps),
            phase.schedule,
        ]
        for phase in phases
    ]
    return table(header, rows)


def _data_table(data: list[DataSource]) -> Table:
    header = ["Data", "Licence", ">Documents", ">Tokens", ">Share", "Description"]
    rows: list[list[str | None]] = [
        [
            _data_name(source),
            source.license or "not stated",
            _amount(source.documents, exact=True),
            _amount(source.tokens),
            _share(source.proportion),
            source.description,
        ]
        for source in data
    ]
    documents = [source.documents for source in data if source.documents is not None]
    if len(documents) == len(data) > 1:
        rows.append(["Together", "", count_text(sum(documents)), None, None, None])
    return table(header, rows)


def _data_notes(data: list[DataSource]) -> tuple[str, ...]:
    unlicensed = [source.name for source in data if source.license is None]
    if not unlicensed:
        return ()
    return (f"The licence of {', '.join(unlicensed)} is not stated.",)


def _data_name(source: DataSource) -> str:
    if source.hub_id is None:
        return source.name
    link = repo_link(source.hub_id, kind="datasets/")
    if source.name == source.hub_id:
        return link
    return Markup(f"{markdown(source.name)} ({link})")  # noqa: S704  (both are escaped)


def _amount(amount: int | None, *, exact: bool = False) -> str | None:
    if amount is None:
        return None
    return count_text(amount) if exact else amount_text(amount)


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
