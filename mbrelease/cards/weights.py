"""The weights a card is about, and what can be read from their folder without torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from mbrelease.cards.numbers import weight_text
from mbrelease.cards.told import Place, Told, place
from mbrelease.checkpoints.checkpoint import Checkpoint, open_checkpoint
from mbrelease.checkpoints.trainer_state import TrainerState
from mbrelease.errors import CheckFailed, UserError
from mbrelease.evaluation.candidates import NoWeights, released_checkpoint, run_checkpoints
from mbrelease.files import read_json
from mbrelease.registry.project import Project
from mbrelease.registry.schema import Architecture
from mbrelease.selection.decision import Decision, read_decision

AVERAGING_RECORD = "averaging.json"
TRAINER_LOG = "trainer_state.json"
DEFAULTS = Place("ModernBertConfig")
"""Of transformers."""
_CONFIG_KEYS = {
    "layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "attention_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "context": "max_position_embeddings",
    "vocabulary": "vocab_size",
}


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
    weight: Told


@dataclass(frozen=True)
class Average:
    """How averaged weights were made."""

    recipe: str
    members: tuple[Member, ...]
    place: Place
    """Where the members stand."""


@dataclass(frozen=True)
class Weights:
    """What a card is about. The folder may be gone; its hash stays."""

    sha256: str | None
    checkpoint: Checkpoint | None
    average: Average | None
    run_state: TrainerState | None
    """The Trainer's log of the run, as far as it was trained."""
    run_log: Place | None = None
    """Where that log stands."""


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
            return Weights(None, None, None, *_run_log(project, variant))
        folder = project.path(chosen.path)
        average = None
        if chosen.kind == "average":
            at = place(project.root, project.decision(variant)).at("candidates")
            at = at.at(decision.candidates.index(chosen), "members")
            members = tuple(
                Member(name, at.at(name).tell(weight_text(weight), weight))
                for name, weight in chosen.members.items()
            )
            average = Average(chosen.recipe or chosen.name, members, at)
        checkpoint = open_checkpoint(folder) if folder.is_dir() else None
        return Weights(chosen.weights_sha256, checkpoint, average, *_run_log(project, variant))
    try:
        checkpoint = released_checkpoint(project, variant)
    except NoWeights:
        if entry.run is not None and project.path(entry.run).is_dir():
            raise  # several checkpoints, and nothing says which
        return Weights(None, None, None, None)
    return Weights(
        checkpoint.weights_sha256,
        checkpoint,
        read_average(checkpoint.path, project.root),
        *(log_of(checkpoint, project.root) or _run_log(project, variant)),
    )


def read_average(folder: Path, root: Path) -> Average | None:
    """What ``averaging.json`` says, where there is one; records are named relative to ``root``.

    Raises:
        UserError: it is malformed.
    """
    path = folder / AVERAGING_RECORD
    if not path.is_file():
        return None
    content = read_json(path)
    try:
        at = place(root, path).at("members")
        members = tuple(
            Member(str(m["name"]), at.at(i, "weight").tell(str(m["weight"])))
            for i, m in enumerate(content["members"])
        )
        return Average(str(content["recipe"]), members, at)
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
        **{name: getattr(config, key) for name, key in _CONFIG_KEYS.items()},
    )


def size_place(name: str, checkpoint: Checkpoint | None, root: Path, architecture: Place) -> Place:
    """Where the size called ``name`` was read: the config or its defaults, the tensors, or the
    registry."""
    if checkpoint is None:
        return architecture.at(name)
    if name == "parameters":
        return place(root, checkpoint.path / "model.safetensors").at("elements of all tensors")
    key, config = _CONFIG_KEYS[name], checkpoint.path / "config.json"
    # What a config leaves out has the value that transformers gives it.
    return (place(root, config) if key in read_json(config) else DEFAULTS).at(key)


def log_of(checkpoint: Checkpoint, root: Path) -> tuple[TrainerState, Place] | None:
    """The Trainer's log in the folder of ``checkpoint``, and where it stands."""
    state = checkpoint.trainer_state
    return (state, place(root, checkpoint.path / TRAINER_LOG)) if state is not None else None


def _run_log(project: Project, variant: str) -> tuple[TrainerState, Place] | tuple[None, None]:
    run = project.variant(variant).run
    if run is None or not project.path(run).is_dir():
        return None, None
    return log_of(run_checkpoints(project, variant)[-1], project.root) or (None, None)
