"""The weights a card is about, and what can be read from their folder without torch."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

from mbrelease.cards.model_record import (
    ModelRecord,
    Sizes,
    read_record,
    record_path,
    run_of,
)
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
    record: ModelRecord | None
    """What their files say, or said when a card was written."""
    place: Place
    """Where that stands."""


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

    What the files of weights that are not on disk said comes from the record of the last card.

    Raises:
        UserError: the registry names a folder that is no checkpoint, or a run with several
            checkpoints and no policy to choose among them, or the record is malformed.
    """
    path = record_path(project.evidence, variant)
    at = place(project.root, path)
    known = read_record(path)
    state = _run_state(project, variant)
    if decision is not None and decision.chosen_candidate is not None:
        chosen = decision.chosen_candidate
        if not chosen.path:  # a reported point: a step that nobody has here
            return Weights(None, None, None, _described(None, None, state, known), at)
        average = _chosen_average(project, variant, decision)
        checkpoint = _open(project.path(chosen.path))
        record = _described(chosen.weights_sha256, checkpoint, state, known)
        return Weights(chosen.weights_sha256, checkpoint, average, record, at)
    try:
        checkpoint = released_checkpoint(project, variant)
    except NoWeights:
        run = project.variant(variant).run
        if run is not None and project.path(run).is_dir() and known is None:
            raise  # several checkpoints, and nothing says which
        checkpoint = None
    except UserError:
        if known is None:
            raise
        checkpoint = None  # a folder from a repository without weights
    if checkpoint is None:
        if known is None:
            return Weights(None, None, None, None, at)
        return Weights(known.weights_sha256, None, _kept_average(known, at), known, at)
    own = checkpoint.trainer_state or state
    made = _described(checkpoint.weights_sha256, checkpoint, own, known)
    average = read_average(checkpoint.path)
    if average is not None and made is not None:
        members = tuple((str(m.name), str(m.weight)) for m in average.members)
        made = replace(made, recipe=average.recipe, members=members)
        average = _kept_average(made, at)
    return Weights(checkpoint.weights_sha256, checkpoint, average, made, at)


def describe(checkpoint: Checkpoint, state: TrainerState | None) -> ModelRecord:
    """What the files of a checkpoint and the log of its run say."""
    config = checkpoint.config
    return ModelRecord(
        checkpoint.weights_sha256,
        Sizes(
            parameters=sum(header.parameters for header in checkpoint.headers),
            layers=config.num_hidden_layers,
            hidden_size=config.hidden_size,
            attention_heads=config.num_attention_heads,
            intermediate_size=config.intermediate_size,
            context=config.max_position_embeddings,
            vocabulary=config.vocab_size,
        ),
        modules=(checkpoint.path / "modules.json").is_file(),
        run=run_of(state),
    )


def _described(
    sha256: str | None,
    checkpoint: Checkpoint | None,
    state: TrainerState | None,
    known: ModelRecord | None,
) -> ModelRecord | None:
    """From the files where they are on disk, else as it was told of the same weights."""
    kept = known if known is not None and known.weights_sha256 == sha256 else None
    if checkpoint is None:
        return kept
    made = describe(checkpoint, state)
    return made if made.run is not None or kept is None else replace(made, run=kept.run)


def _open(folder: Path) -> Checkpoint | None:
    """The checkpoint in ``folder``, if its weights are there: a repository may lack them."""
    return open_checkpoint(folder) if any(folder.glob("*.safetensors")) else None


def _chosen_average(project: Project, variant: str, decision: Decision) -> Average | None:
    chosen = decision.chosen_candidate
    if chosen is None or chosen.kind != "average":
        return None
    at = place(project.root, project.decision(variant)).at("candidates")
    at = at.at(decision.candidates.index(chosen), "members")
    members = tuple(
        Member(name, at.at(name).tell(weight_text(weight), weight))
        for name, weight in chosen.members.items()
    )
    return Average(chosen.recipe or chosen.name, members, at)


def _kept_average(record: ModelRecord, at: Place) -> Average | None:
    if record.recipe is None:
        return None
    place = at.at("members")
    members = tuple(
        Member(name, place.at(i, 1).tell(weight)) for i, (name, weight) in enumerate(record.members)
    )
    return Average(record.recipe, members, place)


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
        at = Place(path.name).at("members")
        members = tuple(
            Member(str(m["name"]), at.at(i, "weight").tell(str(m["weight"])))
            for i, m in enumerate(content["members"])
        )
        return Average(str(content["recipe"]), members, at)
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: not a record of an average: {error!r}") from error


def sizes(record: ModelRecord | None, declared: Architecture | None) -> Sizes:
    """The sizes as the files of the weights give them, else as the registry states."""
    if record is not None:
        return record.sizes
    names = [field.name for field in fields(Sizes)]
    return Sizes(**{name: getattr(declared, name) for name in names}) if declared else Sizes()


def _run_state(project: Project, variant: str) -> TrainerState | None:
    run = project.variant(variant).run
    if run is None or not any(project.path(run).glob("*/*.safetensors")):
        return None
    return run_checkpoints(project, variant)[-1].trainer_state
