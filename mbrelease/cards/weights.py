"""The weights a card is about, and what can be read from their folder without torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from mbrelease.cards.numbers import weight_text
from mbrelease.checkpoints.checkpoint import Checkpoint, open_checkpoint
from mbrelease.checkpoints.trainer_state import TrainerState
from mbrelease.errors import CheckFailed, UserError
from mbrelease.evaluation.candidates import NoWeights, released_checkpoint, run_checkpoints
from mbrelease.files import read_json
from mbrelease.registry.project import Project
from mbrelease.registry.schema import Architecture
from mbrelease.selection.decision import Decision, read_decision

AVERAGING_RECORD = "averaging.json"


@dataclass(frozen=True)
class Sizes:
    """The sizes of a model; what is not known is ``None``."""

    parameters: int | None = None
    layers: int | None = None
    hidden_size: int | None = None
    attention_heads: int | None = None
    intermediate_size: int | None = None
    context: int | None = None
    vocabulary: int | None = None


@dataclass(frozen=True)
class Member:
    """A checkpoint that went into an average, and its weight, such as ``1/4``."""

    name: str
    weight: str


@dataclass(frozen=True)
class Average:
    """How averaged weights were made."""

    recipe: str
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Weights:
    """What a card is about. The folder may be gone; its hash stays."""

    sha256: str | None
    checkpoint: Checkpoint | None
    average: Average | None
    run_state: TrainerState | None
    """The Trainer's log of the run, as far as it was trained."""


def read_decision_of(project: Project, variant: str) -> Decision | None:
    """The decision of a variant; ``None`` where there is nothing to choose among.

    Raises:
        UserError: it is malformed, or missing although the variant has a run and a policy.
        CheckFailed: no candidate was chosen.
    """
    entry = project.variant(variant)
    path = project.decision(variant)
    if not path.exists() and (entry.run is None or entry.policy is None):
        return None
    decision = read_decision(path)
    if decision.chosen_candidate is None:
        raise CheckFailed(
            f"{path}: no candidate was chosen, so there is nothing to write a card for",
            mend=decision.reasons[0] if decision.reasons else None,
        )
    return decision


def find_weights(project: Project, variant: str, decision: Decision | None) -> Weights:
    """The weights of a variant: the chosen candidate's, else the one checkpoint it stands for.

    Raises:
        UserError: the registry names a folder that is no checkpoint, or a run with several
            checkpoints and no policy to choose among them.
    """
    entry = project.variant(variant)
    if decision is not None and decision.chosen_candidate is not None:
        chosen = decision.chosen_candidate
        if not chosen.path:  # a reported point: a step that nobody has here
            return Weights(None, None, None, _run_state(project, variant))
        folder = project.path(chosen.path)
        average = None
        if chosen.kind == "average":
            members = tuple(Member(name, weight_text(w)) for name, w in chosen.members.items())
            average = Average(chosen.recipe or chosen.name, members)
        checkpoint = open_checkpoint(folder) if folder.is_dir() else None
        return Weights(chosen.weights_sha256, checkpoint, average, _run_state(project, variant))
    try:
        checkpoint = released_checkpoint(project, variant)
    except NoWeights:
        if entry.run is not None and project.path(entry.run).is_dir():
            raise  # several checkpoints, and nothing says which
        return Weights(None, None, None, None)
    return Weights(
        checkpoint.weights_sha256,
        checkpoint,
        read_average(checkpoint.path),
        checkpoint.trainer_state or _run_state(project, variant),
    )


def read_average(folder: Path) -> Average | None:
    """What ``averaging.json`` says, where there is one.

    Raises:
        UserError: it is malformed.
    """
    path = folder / AVERAGING_RECORD
    if not path.is_file():
        return None
    content = read_json(path)
    try:
        members = tuple(Member(str(m["name"]), str(m["weight"])) for m in content["members"])
        return Average(str(content["recipe"]), members)
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: not a record of an average: {error!r}") from error


def sizes(checkpoint: Checkpoint | None, declared: Architecture | None) -> Sizes:
    """The sizes from config and tensors where they are on disk, else as the registry states."""
    if checkpoint is None:
        names = [field.name for field in fields(Sizes)]
        return Sizes(**{name: getattr(declared, name) for name in names}) if declared else Sizes()
    config = checkpoint.config
    return Sizes(
        parameters=sum(header.parameters for header in checkpoint.headers),
        layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        attention_heads=config.num_attention_heads,
        intermediate_size=config.intermediate_size,
        context=config.max_position_embeddings,
        vocabulary=config.vocab_size,
    )


def _run_state(project: Project, variant: str) -> TrainerState | None:
    run = project.variant(variant).run
    if run is None or not project.path(run).is_dir():
        return None
    return run_checkpoints(project, variant)[-1].trainer_state
