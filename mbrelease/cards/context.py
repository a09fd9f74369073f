"""All that a card may speak of, in one frozen object that the templates see.

Only plain values come in here: no paths, no open files, nothing with a method that acts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from markupsafe import Markup

from mbrelease import __version__
from mbrelease.cards.choice import Choice, members_text, read_choice
from mbrelease.cards.languages import language_name
from mbrelease.cards.limitations import limitations
from mbrelease.cards.lineage import (
    UNKNOWN,
    Lineage,
    read_lineage,
    repo_link,
    source_link,
    variant_link,
)
from mbrelease.cards.looks import Looks, read_looks
from mbrelease.cards.metadata import front_matter
from mbrelease.cards.numbers import count_text, metric_text
from mbrelease.cards.scores import Column, Evaluation, read_evaluation
from mbrelease.cards.tables import Table, table
from mbrelease.cards.task_notes import task_notes
from mbrelease.cards.training import Training, read_training
from mbrelease.cards.weights import (
    Average,
    Sizes,
    Weights,
    find_weights,
    read_average,
    read_decision_of,
    sizes,
)
from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.errors import UserError
from mbrelease.registry.project import Project
from mbrelease.registry.schema import REPO_ID, CardText, Variant

_SHOWN_KEY_DIGITS = 16
_USUAL_MAX_LENGTH = 512


@dataclass(frozen=True)
class Model:
    """The model itself."""

    name: str
    title: str
    repo: str | None
    model_id: str
    """What ``from_pretrained`` takes: the repo id, or ``.`` for the folder of the card."""
    family: str
    license: str | None
    languages: tuple[str, ...]
    """By name, such as ``English``."""
    sizes: Sizes
    facts: Table
    weights_sha256: str | None
    average: Average | None
    members: str
    """The members of an average in words; empty where there is none."""


@dataclass(frozen=True)
class Usage:
    """How the examples embed text: as the evaluation does."""

    pooling: str
    max_length: int


@dataclass(frozen=True)
class Author:
    """The author's own words."""

    summary: str | None
    intended_use: tuple[str, ...]
    citation: str | None


@dataclass(frozen=True)
class Stated:
    """A choice that the registry states, where no decision was recorded."""

    step: int | None
    recipe: str | None
    note: str | None


@dataclass(frozen=True)
class Source:
    """Where numbers of the card are written down."""

    tool_version: str
    decision: str | None
    """The file, relative to the registry."""
    evidence: Table
    published: tuple[Markup, ...]
    """Papers and cards that the facts of the registry were taken from."""


@dataclass(frozen=True)
class CardContext:
    """The names that a template may use."""

    model: Model
    lineage: Lineage
    author: Author
    usage: Usage
    training: Training
    choice: Choice | None
    looks: Looks
    stated: Stated | None
    evaluation: Evaluation | None
    task_notes: tuple[str, ...]
    """What each task measures, in a sentence."""
    reported: Table
    """What the Trainer logged, where nothing was measured."""
    limitations: tuple[str, ...]
    related: tuple[Markup, ...]
    source: Source
    metadata: str = field(repr=False)
    """The front matter."""


def variant_context(project: Project, name: str) -> CardContext:
    """All that registry, decision and evidence say of a variant (or an alias).

    Raises:
        UserError: no such variant, a decision is missing, a file is malformed, or the ledger was
            changed by another hand.
        CheckFailed: no candidate was chosen.
    """
    variant = project.resolve_name(name)
    entry = project.variant(variant)
    decision = read_decision_of(project, variant)
    weights = find_weights(project, variant, decision)
    evaluation = None
    if weights.sha256 is not None:
        own = Column("this model", weights.sha256, weights.checkpoint)
        evaluation = read_evaluation(project, variant, own, decision)
    choice = read_choice(decision) if decision else None
    context = _context(
        variant,
        entry,
        family=project.registry.family,
        lineage=read_lineage(project, variant),
        license_id=entry.license or project.registry.defaults.license,
        languages=_languages(project, entry),
        weights=weights,
        choice=choice,
        looks=read_looks(project, variant, decision),
        evaluation=evaluation,
    )
    relative = project.decision(variant).relative_to(project.root).as_posix()
    return replace(
        context,
        related=tuple(_related(project, related) for related in entry.card.related),
        source=Source(
            __version__,
            decision=relative if decision else None,
            evidence=_evidence_table(project, evaluation),
            published=tuple(source_link(source) for source in entry.sources),
        ),
    )


def folder_context(folder: Path, repo_id: str | None = None) -> CardContext:
    """All that a checkpoint's own files say, where no registry speaks of it.

    Raises:
        UserError: the folder is no checkpoint, or ``repo_id`` is not a repo id.
    """
    checkpoint = open_checkpoint(folder)
    state = checkpoint.trainer_state
    weights = Weights(checkpoint.weights_sha256, checkpoint, read_average(folder), state)
    if repo_id is not None and not re.fullmatch(REPO_ID, repo_id):
        raise UserError(f"'{repo_id}' is not a repo id", mend="such as --to org/name")
    context = _context(
        repo_id.split("/")[-1] if repo_id else checkpoint.name,
        Variant(repo=repo_id),
        family="ModernBERT",
        lineage=UNKNOWN,
        license_id=None,
        languages=(),
        weights=weights,
        choice=None,
        looks=Looks(),
        evaluation=None,
    )
    loss = state.eval_loss if state else None
    if state is None or loss is None:
        return context
    row = ["eval_loss", count_text(state.global_step), metric_text("loss", loss)]
    return replace(context, reported=table(["Logged by the Trainer", ">Step", ">Value"], [row]))


def _context(
    name: str,
    entry: Variant,
    *,
    family: str,
    lineage: Lineage,
    license_id: str | None,
    languages: tuple[str, ...],
    weights: Weights,
    choice: Choice | None,
    looks: Looks,
    evaluation: Evaluation | None,
) -> CardContext:
    text = entry.card
    measured = sizes(weights.checkpoint, entry.architecture)
    training = read_training(entry, weights.run_state)
    return CardContext(
        model=_model(name, entry, family, license_id, languages, weights, measured),
        lineage=lineage,
        author=Author(text.summary, tuple(one.use for one in text.uses), text.citation),
        usage=_usage(measured, training, evaluation),
        training=training,
        choice=choice,
        looks=looks,
        stated=_stated(entry) if choice is None else None,
        evaluation=evaluation,
        task_notes=task_notes(evaluation) if evaluation else (),
        reported=table([], []),
        limitations=limitations(
            text.limitations,
            sizes=measured,
            languages=languages,
            training=training,
            averaged=weights.average is not None
            or (entry.chosen is not None and entry.chosen.recipe is not None),
            choice=choice,
            looks=looks,
            evaluation=evaluation,
        ),
        related=(),
        source=Source(__version__, None, table([], []), ()),
        metadata=front_matter(
            _title(name, text),
            license_id=license_id,
            languages=languages,
            tags=text.tags,
            data=entry.data,
            lineage=lineage,
            evaluation=evaluation,
        ),
    )


def _model(
    name: str,
    entry: Variant,
    family: str,
    license_id: str | None,
    languages: tuple[str, ...],
    weights: Weights,
    measured: Sizes,
) -> Model:
    members = weights.average.members if weights.average else ()
    return Model(
        name=name,
        title=_title(name, entry.card),
        repo=entry.repo,
        model_id=entry.repo or ".",
        family=family,
        license=license_id,
        languages=tuple(language_name(code) for code in languages),
        sizes=measured,
        facts=_sizes_table(measured),
        weights_sha256=weights.sha256,
        average=weights.average,
        members=members_text([(member.name, member.weight) for member in members]),
    )


def _stated(entry: Variant) -> Stated | None:
    chosen = entry.chosen
    return Stated(chosen.checkpoint, chosen.recipe, chosen.note) if chosen else None


def _title(name: str, text: CardText) -> str:
    return text.title or name


def _languages(project: Project, entry: Variant) -> tuple[str, ...]:
    own = entry.languages
    return tuple(project.registry.defaults.languages if own is None else own)


def _usage(measured: Sizes, training: Training, evaluation: Evaluation | None) -> Usage:
    """Embed as the retrieval task did, and never more tokens than the model takes."""
    rows = evaluation.rows if evaluation else ()
    tasks = [row.task for row in rows]
    embedded = [
        *(
            (t.pooling, t.max_length)
            for t in tasks
            if t.type == "retrieval" and t.scoring == "cosine" and not t.training
        ),
        *((t.pooling, t.max_length) for t in tasks if t.type == "pair" and not t.training),
        *((t.pooling, t.max_length) for t in tasks if t.type == "classification"),
    ]
    usual = "mean", training.longest_context or _USUAL_MAX_LENGTH
    pooling, length = embedded[0] if embedded else usual
    return Usage(pooling, min(length, measured.context or length))


def _sizes_table(measured: Sizes) -> Table:
    lines = [
        ("Parameters", measured.parameters),
        ("Layers", measured.layers),
        ("Hidden size", measured.hidden_size),
        ("Attention heads", measured.attention_heads),
        ("Intermediate size", measured.intermediate_size),
        ("Vocabulary", measured.vocabulary),
        ("Context in the configuration", measured.context),
    ]
    return table(["Size", ">Value"], [[label, count_text(n)] for label, n in lines if n])


def _related(project: Project, name: str) -> Markup:
    variants = project.registry.variants
    return variant_link(project.registry, name) if name in variants else repo_link(name)


def _evidence_table(project: Project, evaluation: Evaluation | None) -> Table:
    rows = []
    for label, record in evaluation.records if evaluation else ():
        if record.file is None:
            raise UserError(f"a record of {record.task_name} has no file")
        file = record.file.relative_to(project.root).as_posix()
        rows.append(
            [label, record.task_name, record.split, file, record.provenance.key[:_SHOWN_KEY_DIGITS]]
        )
    return table(["Model", "Task", "Split", "File", "Record"], rows)
