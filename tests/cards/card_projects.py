"""A small project with hand-made evidence, and decisions made from it; no model that runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import TypeAdapter

from mbrelease.cards.limitations import Facts, limitations
from mbrelease.cards.looks import Looks
from mbrelease.cards.scores import Column, Evaluation, Row
from mbrelease.cards.task_notes import task_notes
from mbrelease.cards.told import Place, visible
from mbrelease.cards.training import read_training
from mbrelease.cards.weights import Sizes
from mbrelease.evaluation.evidence import EvidenceRecord, Provenance, write_record
from mbrelease.evaluation.metrics import classification_metrics
from mbrelease.evaluation.task_settings import task_sha256
from mbrelease.files import sha256_json
from mbrelease.registry.project import Project
from mbrelease.registry.schema import CardText, Corpus, Variant
from mbrelease.registry.tasks import AnyTask
from mbrelease.selection.decision import Decision
from mbrelease.selection.entrants import (
    Election,
    Entrant,
    policy_metrics,
    policy_tasks,
    reading_of,
)
from mbrelease.selection.frozen import frozen_policy
from mbrelease.selection.policy import decide_among

BASE, FIRST, SECOND, AVERAGE = ("b" * 64, "1" * 64, "2" * 64, "a" * 64)

TASKS: list[dict[str, Any]] = [
    {
        "name": "heldout-mlm",
        "type": "mlm",
        "data": {"dev": "data/dev.jsonl", "test": "data/test.jsonl"},
        "text": ["title", "text"],
        "max_length": 256,
    },
    {
        "name": "title-abstract",
        "type": "retrieval",
        "data": {"dev": "data/dev.jsonl", "test": "data/test.jsonl"},
        "metrics": ["recall@1", "mrr"],
        "max_length": 256,
    },
    {
        "name": "section",
        "type": "classification",
        "data": {
            "train": "data/train.jsonl",
            "dev": "data/dev.jsonl",
            "test": "data/test.jsonl",
        },
        "label": "section",
        "max_length": 256,
    },
]

REGISTRY: dict[str, Any] = {
    "version": 1,
    "family": "ModernBERT",
    "defaults": {"license": "apache-2.0", "languages": ["en"]},
    "suites": {"science": TASKS},
    "policies": {
        "science": {
            "primary": "title-abstract/recall@1",
            "guardrails": [
                {"metric": "heldout-mlm/loss", "margin": 0.02},
                {"metric": "section/macro_f1", "margin": 0.01},
            ],
            "reference": "base",
            "resamples": 1000,
            "tie_break": "latest",
        }
    },
    "variants": {
        "base": {"repo": "org/base"},
        "science": {
            "repo": "org/science",
            "parents": [{"variant": "base", "relation": "continued-pretraining"}],
            "suite": "science",
            "policy": "science",
            "architecture": {"parameters": 149_655_232, "layers": 22, "context": 8192},
            "training": {"objective": "mlm", "mask_rate": 0.3, "context": 512},
            "data": [
                {"name": "Papers", "hub_id": "org/papers", "license": "cc-by-4.0", "documents": 9},
                {"name": "Abstracts", "documents": 1009},
            ],
            "card": {
                "title": "Science",
                "summary": "A model for papers.",
                "intended_use": ["Search over papers"],
                "limitations": ["Few books were read."],
                "citation": "@misc{science, title={Science}}",
                "related": ["base", "other/model"],
                "tags": ["papers"],
            },
        },
    },
}

EXAMPLES = {"dev": 492, "test": 1048}
N, N_SEEDS, N_CLASSES = EXAMPLES["dev"], 5, 4
# How often a probe is right. The first checkpoint is far behind the base, the others are ahead.
RIGHT = {BASE: 0.41, FIRST: 0.2, SECOND: 0.56, AVERAGE: 0.57}


def sections(weights: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels and what probes on these weights predict, (seeds, examples)."""
    label = np.tile(np.arange(N) % N_CLASSES, (N_SEEDS, 1))
    hard = (
        np.random.default_rng(0).random(N) / 2 + np.random.default_rng(1).random((N_SEEDS, N)) / 2
    )
    other = np.random.default_rng(2).integers(1, N_CLASSES, (N_SEEDS, N))
    wrong = hard > np.quantile(hard, RIGHT[weights])
    return label, (label + wrong * other) % N_CLASSES


def of_sections(weights: str, metric: str) -> float:
    label, prediction = sections(weights)
    found = classification_metrics({"label": label, "prediction": prediction}, np.ones((1, N)))
    return float(found[metric][0])


def mrr(found_first: int) -> float:
    """Of queries of which so many find their document first, and the others find it ninth."""
    return (found_first + (N - found_first) / 9) / N


# By weights, task and metric: dev and test. Values with more digits than any card shows. Those
# on dev that the policy names are what ``examples`` gives.
VALUES: dict[str, dict[str, dict[str, tuple[float, float]]]] = {
    BASE: {
        "heldout-mlm": {"loss": (3.98765432, 4.01234567), "accuracy": (0.31234567, 0.30198765)},
        "title-abstract": {"recall_at_1": (30 / N, 0.0712345), "mrr": (mrr(30), 0.13198)},
        "section": {
            "macro_f1": (of_sections(BASE, "macro_f1"), 0.4012345),
            "accuracy": (of_sections(BASE, "accuracy"), 0.5012345),
        },
    },
    FIRST: {
        "heldout-mlm": {"loss": (3.7071234, 3.7), "accuracy": (0.351, 0.35)},
        "title-abstract": {"recall_at_1": (79 / N, 0.14), "mrr": (mrr(79), 0.24)},
        "section": {
            "macro_f1": (of_sections(FIRST, "macro_f1"), 0.39),
            "accuracy": (of_sections(FIRST, "accuracy"), 0.49),
        },
    },
    SECOND: {
        "heldout-mlm": {"loss": (3.6223456, 3.6), "accuracy": (0.361, 0.36)},
        "title-abstract": {"recall_at_1": (77 / N, 0.139), "mrr": (mrr(77), 0.23)},
        "section": {
            "macro_f1": (of_sections(SECOND, "macro_f1"), 0.52),
            "accuracy": (of_sections(SECOND, "accuracy"), 0.59),
        },
    },
    AVERAGE: {
        "heldout-mlm": {"loss": (3.6123456, 3.62345678), "accuracy": (0.3654321, 0.3601234)},
        "title-abstract": {"recall_at_1": (84 / N, 0.16049999), "mrr": (mrr(84), 0.2498765)},
        "section": {
            "macro_f1": (of_sections(AVERAGE, "macro_f1"), 0.40119),
            "accuracy": (of_sections(AVERAGE, "accuracy"), 0.5012349),
        },
    },
}


@dataclass(frozen=True)
class Built:
    """A project on disk and the records that were written for it."""

    project: Project
    records: dict[tuple[str, str, str], EvidenceRecord]
    """By weights, task and split."""


def settings_sha256(task: str) -> str:
    """The hash of a task's settings as the registry has them."""
    settings = next(each for each in TASKS if each["name"] == task)
    return task_sha256(TypeAdapter(AnyTask).validate_python(settings))


def provenance(weights: str, task: str, split: str, **changes: Any) -> Provenance:
    settings: dict[str, Any] = {
        "weights_sha256": weights,
        "tokenizer_sha256": "7" * 64,
        "config_sha256": "c" * 64,
        "data_sha256": sha256_json(["data", task, split]),
        "task_sha256": settings_sha256(task),
        "attn": "sdpa",
        "dtype": "float32",
        "device": "cpu",
        "code_version": 1,
        "software": {"torch": "2.13.0"},
    }
    return Provenance(**{**settings, **changes})


def record(
    weights: str, task: str, split: str, metrics: Mapping[str, float], **changes: Any
) -> EvidenceRecord:
    """A record with an interval of ± 1/90 around each metric; seeds differ by 1/500."""
    seeds = range(N_SEEDS if task == "section" else 0)
    middle = (N_SEEDS - 1) / 2
    return EvidenceRecord(
        task_name=task,
        split=split,
        main_score=next(iter(metrics.values())),
        metrics=dict(metrics),
        n_examples=EXAMPLES[split],
        ci95={name: (value - 1 / 90, value + 1 / 90) for name, value in metrics.items()},
        experiments=tuple(
            {"seed": seed}
            | {name: value + (seed - middle) / 500 for name, value in metrics.items()}
            for seed in seeds
        ),
        counts={"truncated": 17},
        provenance=provenance(weights, task, split, **changes),
        languages=("en",),
        evaluation_time_seconds=1.5,
    )


def with_settings(given: EvidenceRecord, task: AnyTask) -> EvidenceRecord:
    """The record as it would be, measured with the settings of ``task``."""
    measured = replace(given.provenance, task_sha256=task_sha256(task))
    return replace(given, provenance=measured)


def examples(given: EvidenceRecord) -> pa.Table:
    """Scores of examples that give the dev values of a record."""
    weights, task = given.provenance.weights_sha256, given.task_name
    if given.split != "dev":  # the file goes again, see ``write``
        return pa.table({"id": ["a"], "score": [1.0]})
    ids = [f"example {number}" for number in range(N)]
    own = np.random.default_rng(int(weights[:8], 16)).normal(0, 1, N)
    hard = np.random.default_rng(3).normal(0, 1, N)
    if task == "heldout-mlm":
        nll = 10 * (given.metrics["loss"] + 0.5 * (hard - hard.mean()) + 0.1 * (own - own.mean()))
        counts = {name: np.full(N, 10) for name in ("n_tokens", "n_bytes")}
        right = np.full(N, 10 * given.metrics["accuracy"])
        return pa.table({"id": ids, "nll_sum": nll, "n_correct": right, **counts})
    if task == "title-abstract":
        place = np.argsort(np.argsort(hard + 0.3 * own))
        return pa.table(
            {"id": ids, "rank": np.where(place < round(given.metrics["recall_at_1"] * N), 1, 9)}
        )
    label, prediction = sections(weights)
    return pa.table(
        {
            "id": N_SEEDS * ids,
            "seed": np.repeat(np.arange(N_SEEDS), N),
            "label": [f"section {number}" for number in label.ravel()],
            "prediction": [f"section {number}" for number in prediction.ravel()],
        }
    )


def write(evidence: Path, given: EvidenceRecord) -> EvidenceRecord:
    """Evidence as it is on a machine that has the examples of dev alone."""
    written = write_record(evidence, given, examples(given))
    if given.split != "dev" and written.examples_file is not None:
        written.examples_file.unlink()
    return written


def entrant(built: Built, name: str, weights: str, **fields: Any) -> Entrant:
    """Who stands for election with the dev records of these weights."""
    project = built.project
    return Entrant(
        name=name,
        path=f"runs/{name}",
        weights_sha256=weights,
        readings={
            metric: reading_of(project, built.records[weights, metric.split("/")[0], "dev"], metric)
            for metric in policy_metrics(project.policy("science"))
        },
        **fields,
    )


def election(built: Built) -> Election:
    """Two checkpoints and an average against the base."""
    project, policy = built.project, built.project.policy("science")
    members = {"checkpoint-100": 0.5, "checkpoint-200": 0.5}
    return Election(
        variant="science",
        split="dev",
        policy_name="science",
        policy=policy,
        policy_sha256=frozen_policy(project, "science").sha256,
        tasks=policy_tasks(project, "science", policy),
        reference=entrant(built, "base", BASE, kind="reference"),
        candidates=(
            entrant(built, "checkpoint-100", FIRST, kind="checkpoint", step=100),
            entrant(built, "checkpoint-200", SECOND, kind="checkpoint", step=200),
            entrant(
                built, "best:1+last", AVERAGE,
                kind="average", recipe="best:1+last", members=members,
            ),
        ),
    )  # fmt: skip


def decision(built: Built, **changes: Any) -> Decision:
    """What the policy decides on the evidence, with ``changes``."""
    return decide_among(election(built)).model_copy(update=changes)


def row(task: AnyTask, split: str, metric: str, *records: EvidenceRecord) -> Row:
    """A row of the evaluation; ``records`` as if each stood in its file."""
    places = (
        Place(f"evidence/{one.provenance.weights_sha256[:16]}/{task.name}.json")
        .at("scores", split)
        .entry(one.provenance.key)
        for one in records
    )
    return Row(task, split, metric, records, tuple(places))


CHOSEN = {"learning_rate": 5e-5, "weight_decay": 5e-6, "epochs": 3}


def evaluation(
    settings: Mapping[str, Any], seeds: int = 5, chosen: Mapping[str, float] = CHOSEN
) -> Evaluation:
    """One task with these settings, measured with ``seeds``."""
    task: AnyTask = TypeAdapter(AnyTask).validate_python({"name": "kind", **settings})
    key = task.main_metric.replace("@", "_at_")
    found = EvidenceRecord(
        task_name="kind",
        split="dev",
        main_score=0.5,
        metrics={key: 0.5},
        n_examples=2000,
        ci95={key: (0.4, 0.6)},
        experiments=tuple({"seed": seed, key: 0.5, **chosen} for seed in range(seeds)),
        counts={"truncated": 0},
        provenance=provenance(AVERAGE, "section", "dev"),
        languages=("en",),
        evaluation_time_seconds=1.0,
    )
    column = Column("this", AVERAGE, None)
    return Evaluation((column,), (row(task, "dev", task.main_metric, found),), None)


def notes(given: Evaluation) -> list[str]:
    """What a card says of each task, as a reader sees it."""
    settings = {one.task.name: Place("registry.yaml").at("suites", 0) for one in given.rows}
    return [visible(note) for note in task_notes(given, settings)]


def said(given: Evaluation) -> list[str]:
    """The limitations that follow from an evaluation alone, as a reader sees them."""
    at = Place("registry.yaml").at("variants", "science")
    facts = Facts(
        text=CardText(),
        variant=at,
        sizes=Sizes(),
        context_place=at.at("architecture", "context"),
        languages=(),
        languages_place=Place("registry.yaml"),
        training=read_training(Variant(), at, None, None),
        data=(),
        corpus=Corpus(),
        averaged=None,
        choice=None,
        looks=Looks(),
        evaluation=given,
    )
    return [visible(one.sentence) for one in limitations(facts)]


Build = Callable[..., Built]
