"""All that a card may speak of, in one frozen object that the templates see.

Only plain values come in here: no paths, no open files, nothing with a method that acts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from markupsafe import Markup

from mbrelease import __version__
from mbrelease.cards.choice import Choice, members_text, read_choice
from mbrelease.cards.design import design_table
from mbrelease.cards.figures import SECTIONS
from mbrelease.cards.languages import language_name
from mbrelease.cards.limitations import Facts, Limitation, limitations
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
from mbrelease.cards.model_index import index_origins
from mbrelease.cards.model_record import ModelRecord, Sizes
from mbrelease.cards.numbers import count_text, metric_text
from mbrelease.cards.published import PublishedTable, read_published
from mbrelease.cards.reports import Report, Reports
from mbrelease.cards.score_tables import Family, families, speed_table
from mbrelease.cards.scores import Column, Evaluation, Row, read_evaluation
from mbrelease.cards.tables import Table, table
from mbrelease.cards.task_notes import task_notes
from mbrelease.cards.told import Origin, Place, Told, derived, phrase, place
from mbrelease.cards.training import Training, read_training
from mbrelease.cards.weights import (
    Average,
    Weights,
    describe,
    find_weights,
    read_average,
    sizes,
)
from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.errors import UserError
from mbrelease.evaluation.metric_names import metric_name
from mbrelease.registry.entry import REPO_ID
from mbrelease.registry.project import Project
from mbrelease.registry.schema import CardText, Corpus, Variant
from mbrelease.registry.tasks import AnyTask, ClassificationTask, PairTask, RetrievalTask
from mbrelease.selection.decision import Decision

_SHOWN_KEY_DIGITS = 16
_USUAL_MAX_LENGTH = 512
_MOST_HEADLINES = 12
_MOST_RECORDS = 40


@dataclass(frozen=True)
class Model:
    """The model itself."""

    name: str
    title: Told
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
    members: Markup
    """The members of an average in words; empty where there is none."""
    n_members: Told | None


@dataclass(frozen=True)
class Usage:
    """How the examples embed text: as the evaluation does."""

    pooling: str
    max_length: Told
    """Tokens kept of each text."""
    context: Told | None
    """The longest input that the configuration accepts."""
    modules: bool
    """Whether the release says itself how sentence-transformers loads it."""


@dataclass(frozen=True)
class Author:
    """The author's own words."""

    summary: Told | None
    intended_use: tuple[Told, ...]
    citation: Told | None


@dataclass(frozen=True)
class Stated:
    """A choice that the registry states, where no decision was recorded."""

    step: Told | None
    recipe: str | None
    note: Told | None


@dataclass(frozen=True)
class Source:
    """Where numbers of the card are written down."""

    tool_version: Told
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
    families: tuple[Family, ...]
    """The evaluation as tables, one a family of tasks."""
    speed: Table
    """What was measured of speed."""
    headlines: tuple[Markup, ...]
    """The findings of the evaluation, in words."""
    task_notes: tuple[Markup, ...]
    """What each task measures, in a sentence."""
    reported: Table
    """What the Trainer logged, where nothing was measured."""
    published: tuple[PublishedTable, ...]
    """What papers and cards report of quality."""
    published_speed: tuple[PublishedTable, ...]
    """What they report of speed and memory."""
    design: Table
    """The architecture, beside that of other sizes."""
    pictures: Mapping[str, tuple[Markup, ...]]
    """By section, the pictures that stand there."""
    limitations: tuple[Limitation, ...]
    related: tuple[Markup, ...]
    source: Source
    metadata: str = field(repr=False)
    """The front matter."""
    record: ModelRecord | None = field(repr=False)
    """What is to be kept of the files of the weights."""
    metadata_origins: tuple[Origin, ...] = field(repr=False)
    """Where the values of its results come from, in their order."""


def variant_context(
    project: Project, variant: str, decision: Decision | None, version: str
) -> CardContext:
    """All that registry, decision and evidence say of a variant.

    Args:
        project: the registry and the folders beside it.
        variant: its resolved name.
        decision: of the variant, where there is one (``read_decision_of``).
        version: of the mbrelease that the card names as its writer.

    Raises:
        UserError: a file is malformed, or the ledger was changed by another hand.
    """
    entry = project.variant(variant)
    weights = find_weights(project, variant, decision)
    evaluation = None
    if weights.sha256 is not None:
        own = Column("this model", weights.sha256, weights.checkpoint)
        beside = weights.record.beside if weights.record else {}
        evaluation = read_evaluation(project, variant, own, decision, beside)
    file = place(project.root, project.decision(variant))
    about = _About(
        name=variant,
        entry=entry,
        root=project.root,
        at=_registry(project).at("variants", variant),
        family=project.registry.family,
        lineage=read_lineage(project, variant),
        license_id=entry.license or project.registry.defaults.license,
        languages=_languages(project, entry),
        weights=weights,
        choice=read_choice(decision, file) if decision else None,
        looks=read_looks(project, variant, decision),
        evaluation=evaluation,
        tasks=_task_places(project, entry),
        suite=project.suite(variant) if entry.suite else (),
        published=read_published(project, variant),
        reports=Reports(project).all_of(variant),
        design=design_table(project, variant),
    )
    return replace(
        _context(about),
        related=tuple(_related(project, related) for related in entry.card.related),
        source=Source(
            _version(version),
            decision=file.file if decision else None,
            evidence=_evidence_table(evaluation),
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
    record = describe(checkpoint, state)
    at = Place("the files of the folder")
    weights = Weights(checkpoint.weights_sha256, checkpoint, read_average(folder), record, at)
    if repo_id is not None and not re.fullmatch(REPO_ID, repo_id):
        raise UserError(f"'{repo_id}' is not a repo id", mend="such as --to org/name")
    about = _About(
        name=repo_id.split("/")[-1] if repo_id else checkpoint.name,
        entry=Variant(repo=repo_id),
        root=folder,
        at=Place("registry.yaml"),
        family="ModernBERT",
        lineage=UNKNOWN,
        license_id=None,
        languages=(),
        weights=weights,
        choice=None,
        looks=Looks(),
        evaluation=None,
        tasks={},
        suite=(),
        published=(),
        reports=(),
        design=table([], []),
    )
    context = _context(about)
    loss = state.eval_loss if state is not None else None
    if state is None or loss is None:
        return context
    at = Place("trainer_state.json")
    row = [
        "eval_loss",
        at.at("global_step").tell(count_text(state.global_step), state.global_step),
        derived(metric_text("loss", loss), "last eval_loss", [at.at("log_history").field()], loss),
    ]
    return replace(context, reported=table(["Logged by the Trainer", ">Step", ">Value"], [row]))


@dataclass(frozen=True)
class _About:
    """What a card is about, read and not yet put into words."""

    name: str
    entry: Variant
    root: Path
    """What records are named relative to."""
    at: Place
    """The variant's entry in the registry."""
    family: str
    lineage: Lineage
    license_id: str | None
    languages: tuple[str, ...]
    weights: Weights
    choice: Choice | None
    looks: Looks
    evaluation: Evaluation | None
    tasks: Mapping[str, Place]
    """Where the settings of each task stand."""
    suite: Sequence[AnyTask]
    published: tuple[PublishedTable, ...]
    reports: Sequence[Report]
    """What others report of it."""
    design: Table

    def size_place(self, name: str) -> Place:
        if self.weights.record is None:
            return self.at.at("architecture", name)
        return self.weights.place.at("sizes", name)


def _context(about: _About) -> CardContext:
    entry, evaluation, weights = about.entry, about.evaluation, about.weights
    record = weights.record
    measured = sizes(record, entry.architecture)
    run = record.run if record else None
    training = read_training(entry, about.at, run, weights.place.at("run"))
    title = about.at.at("card", "title").tell(entry.card.title or about.name)
    return CardContext(
        model=_model(about, title, measured),
        lineage=about.lineage,
        author=_author(entry.card, about.at.at("card")),
        usage=_usage(about, measured, training),
        training=training,
        choice=about.choice,
        looks=about.looks,
        stated=_stated(entry, about.at.at("chosen")) if about.choice is None else None,
        evaluation=evaluation,
        families=families(evaluation) if evaluation else (),
        speed=speed_table(evaluation) if evaluation else table([], []),
        headlines=_headlines(evaluation) if evaluation else (),
        task_notes=task_notes(evaluation, about.tasks) if evaluation else (),
        reported=table([], []),
        published=tuple(one for one in about.published if one.section == "evaluation"),
        published_speed=tuple(one for one in about.published if one.section == "efficiency"),
        design=about.design,
        pictures=dict.fromkeys(SECTIONS, ()),
        limitations=limitations(
            Facts(
                text=entry.card,
                variant=about.at,
                sizes=measured,
                context_place=about.size_place("context"),
                languages=about.languages,
                languages_place=(
                    Place(about.at.file).at("defaults", "languages")
                    if entry.languages is None
                    else about.at.at("languages")
                ),
                training=training,
                data=entry.data,
                corpus=entry.corpus or Corpus(),
                averaged=_averaged(about),
                choice=about.choice,
                looks=about.looks,
                evaluation=evaluation,
                reported_tasks=frozenset().union(*(one.tasks for one in about.published)),
                reported=[each for one in about.published for each in one.limitations],
            )
        ),
        related=(),
        source=Source(_version(__version__), None, table([], []), ()),
        metadata=front_matter(
            str(title),
            license_id=about.license_id,
            languages=about.languages,
            tags=entry.card.tags,
            data=entry.data,
            lineage=about.lineage,
            evaluation=evaluation,
            emissions=entry.training.emissions if entry.training else None,
            reported=about.reports,
            tasks=about.suite,
            root=about.root,
        ),
        record=_kept(record, evaluation),
        metadata_origins=index_origins(evaluation, about.reports),
    )


def _kept(record: ModelRecord | None, evaluation: Evaluation | None) -> ModelRecord | None:
    """The record with the models that stand beside this one."""
    if record is None or evaluation is None:
        return record
    beside = {column.label: column.weights_sha256 for column in evaluation.columns[:-1]}
    return replace(record, beside=beside)


def _version(version: str) -> Told:
    return Place("mbrelease").at("version").tell(version)


def _registry(project: Project) -> Place:
    return place(project.root, project.registry_path)


def _task_places(project: Project, entry: Variant) -> dict[str, Place]:
    if entry.suite is None:
        return {}
    suite = _registry(project).at("suites", entry.suite)
    tasks = project.registry.suites[entry.suite]
    return {task.name: suite.at(i) for i, task in enumerate(tasks)}


def _averaged(about: _About) -> Place | None:
    if about.weights.average is not None:
        return about.weights.average.place
    stated = about.entry.chosen
    return about.at.at("chosen", "recipe") if stated and stated.recipe else None


def _author(text: CardText, at: Place) -> Author:
    uses = at.at("intended_use")
    return Author(
        summary=at.at("summary").optional(text.summary),
        intended_use=tuple(
            (uses.at(i) if isinstance(given, str) else uses.at(i, "use")).tell(use.use)
            for i, (given, use) in enumerate(zip(text.intended_use, text.uses, strict=True))
        ),
        citation=at.at("citation").optional(text.citation),
    )


def _model(about: _About, title: Told, measured: Sizes) -> Model:
    entry, average = about.entry, about.weights.average
    members = average.members if average else ()
    n = len(members)
    return Model(
        name=about.name,
        title=title,
        repo=entry.repo,
        model_id=entry.repo or ".",
        family=about.family,
        license=about.license_id,
        languages=tuple(language_name(code) for code in about.languages),
        sizes=measured,
        facts=_sizes_table(about, measured),
        weights_sha256=about.weights.sha256,
        average=average,
        members=members_text([(member.name, member.weight) for member in members]),
        n_members=derived(count_text(n), "count", [average.place.field()], n) if average else None,
    )


def _headlines(evaluation: Evaluation) -> tuple[Markup, ...]:
    """The main metric of the first tasks; a summary that names hundreds is none."""
    rows = evaluation.headlines
    found = [_headline(row, evaluation.baseline) for row in rows[:_MOST_HEADLINES]]
    more = rows[_MOST_HEADLINES:]
    if more:
        fields = [row.own.origin for row in more[:1]]
        told = derived(count_text(len(more)), "count of further tasks", fields, len(more))
        found.append(phrase("{} more below", told))
    return tuple(found)


def _headline(row: Row, baseline: str | None) -> Markup:
    """``title-abstract: recall@1 **0.440** (base: 0.279), better by +0.161 [+0.14, +0.18]``."""
    told = phrase("{}: {} **{}**", row.task.name, metric_name(row.metric), row.own)
    if row.baseline is not None and baseline is not None:
        told += phrase(" ({}: {})", baseline, row.baseline)
    if row.verdict is not None:
        change, interval = row.change_told, row.change_interval_told
        assert change is not None and interval is not None
        told += phrase(f", {row.verdict}: {{}} {{}}", change, interval)
    return told


def _stated(entry: Variant, at: Place) -> Stated | None:
    chosen = entry.chosen
    if chosen is None:
        return None
    step = chosen.checkpoint
    return Stated(
        None if step is None else at.at("checkpoint").tell(count_text(step), step),
        chosen.recipe,
        at.at("note").optional(chosen.note),
    )


def _languages(project: Project, entry: Variant) -> tuple[str, ...]:
    own = entry.languages
    return tuple(project.registry.defaults.languages if own is None else own)


def _usage(about: _About, measured: Sizes, training: Training) -> Usage:
    """Embed as the retrieval task did, and never more tokens than the model takes."""
    rows = about.evaluation.rows if about.evaluation else ()
    tasks = [row.task for row in rows]
    embedded: list[RetrievalTask | PairTask | ClassificationTask] = [
        *(t for t in tasks if t.type == "retrieval" and t.scoring == "cosine" and not t.training),
        *(t for t in tasks if t.type == "pair" and not t.training),
        *(t for t in tasks if t.type == "classification"),
    ]
    context, record = measured.context, about.weights.record
    whole = about.size_place("context")
    if embedded:
        pooling, length = embedded[0].pooling, embedded[0].max_length
        at: Place | None = about.tasks[embedded[0].name].at("max_length")
    else:
        pooling, length = "mean", training.longest_context or _USUAL_MAX_LENGTH
        at = training.longest_context_place if training.longest_context else None
    if context is not None and context < length:
        length, at = context, whole
    return Usage(
        pooling,
        at.tell(str(length), length) if at else derived(str(length), "usual length", (), length),
        None if context is None else whole.tell(str(context), context),
        record is not None and record.modules,
    )


def _sizes_table(about: _About, measured: Sizes) -> Table:
    labels = {
        "parameters": "Parameters",
        "layers": "Layers",
        "hidden_size": "Hidden size",
        "attention_heads": "Attention heads",
        "intermediate_size": "Intermediate size",
        "vocabulary": "Vocabulary",
        "context": "Context in the configuration",
    }
    rows = []
    for name, label in labels.items():
        value = getattr(measured, name)
        if value:
            rows.append([label, about.size_place(name).tell(count_text(value), value)])
    return table(["Size", ">Value"], rows)


def _related(project: Project, name: str) -> Markup:
    variants = project.registry.variants
    return variant_link(project.registry, name) if name in variants else repo_link(name)


def _evidence_table(evaluation: Evaluation | None) -> Table:
    """The records behind the tables; empty where they are too many to be read."""
    if evaluation is not None and len(evaluation.records) > _MOST_RECORDS:
        return table([], [])  # the lock has them all
    rows: dict[Place, list[str]] = {}
    for row in evaluation.rows if evaluation else ():
        for column, record, at in zip(
            evaluation.columns if evaluation else (), row.records, row.places, strict=True
        ):
            if record is not None and at is not None and at not in rows:
                key = at.at("provenance", "key").tell(record.provenance.key[:_SHOWN_KEY_DIGITS])
                rows[at] = [column.label, record.task_name, record.split, at.file, key]
    return table(["Model", "Task", "Split", "File", "Record"], list(rows.values()))
