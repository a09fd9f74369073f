"""A small project with hand-made evidence and a decision; no torch, no model that runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter

from mbrelease.evaluation.evidence import EvidenceRecord, Provenance, write_record
from mbrelease.evaluation.jobs import task_sha256
from mbrelease.files import sha256_json
from mbrelease.registry.project import Project
from mbrelease.registry.tasks import AnyTask
from mbrelease.selection.decision import (
    Candidate,
    Decision,
    GuardrailResult,
    Measurement,
)

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

# By weights, task and metric: dev and test. Values with more digits than any card shows.
VALUES: dict[str, dict[str, dict[str, tuple[float, float]]]] = {
    BASE: {
        "heldout-mlm": {"loss": (3.98765432, 4.01234567), "accuracy": (0.31234567, 0.30198765)},
        "title-abstract": {"recall_at_1": (0.06123456, 0.0712345), "mrr": (0.1223456, 0.13198)},
        "section": {"macro_f1": (0.4081234, 0.4012345), "accuracy": (0.5123456, 0.5012345)},
    },
    FIRST: {
        "heldout-mlm": {"loss": (3.7071234, 3.7), "accuracy": (0.351, 0.35)},
        "title-abstract": {"recall_at_1": (0.146, 0.14), "mrr": (0.242, 0.24)},
        "section": {"macro_f1": (0.39, 0.39), "accuracy": (0.49, 0.49)},
    },
    SECOND: {
        "heldout-mlm": {"loss": (3.6223456, 3.6), "accuracy": (0.361, 0.36)},
        "title-abstract": {"recall_at_1": (0.1400001, 0.139), "mrr": (0.2381, 0.23)},
        "section": {"macro_f1": (0.529, 0.52), "accuracy": (0.6, 0.59)},
    },
    AVERAGE: {
        "heldout-mlm": {"loss": (3.6123456, 3.62345678), "accuracy": (0.3654321, 0.3601234)},
        "title-abstract": {"recall_at_1": (0.1512345, 0.16049999), "mrr": (0.25123, 0.2498765)},
        "section": {"macro_f1": (0.5312345, 0.40119), "accuracy": (0.61, 0.5012349)},
    },
}
EXAMPLES = {"dev": 492, "test": 1048}


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
    """A record with an interval of ± 1/90 around each metric."""
    seeds = range(5 if task == "section" else 0)
    return EvidenceRecord(
        task_name=task,
        split=split,
        main_score=next(iter(metrics.values())),
        metrics=dict(metrics),
        n_examples=EXAMPLES[split],
        ci95={name: (value - 1 / 90, value + 1 / 90) for name, value in metrics.items()},
        experiments=tuple({"seed": seed, **metrics} for seed in seeds),
        counts={"truncated": 17},
        provenance=provenance(weights, task, split, **changes),
        languages=("en",),
        evaluation_time_seconds=1.5,
    )


def with_settings(given: EvidenceRecord, task: AnyTask) -> EvidenceRecord:
    """The record as it would be, measured with the settings of ``task``."""
    measured = replace(given.provenance, task_sha256=task_sha256(task))
    return replace(given, provenance=measured)


def write(evidence: Path, given: EvidenceRecord) -> EvidenceRecord:
    return write_record(evidence, given, pa.table({"id": ["a"], "score": [1.0]}))


def candidate(
    project: Project,
    records: Mapping[tuple[str, str, str], EvidenceRecord],
    name: str,
    weights: str,
    **fields: Any,
) -> Candidate:
    """A candidate with the dev measurements of its records."""
    measurements = []
    for (owner, task, split), found in records.items():
        if owner != weights or split != "dev":
            continue
        assert found.file is not None
        for key, value in found.metrics.items():
            measurements.append(
                Measurement(
                    metric=f"{task}/{key.replace('_at_', '@')}",
                    value=value,
                    ci95=found.ci95[key],
                    n_examples=found.n_examples,
                    evidence=str(found.file.relative_to(project.root)),
                    key=found.provenance.key,
                )
            )
    values: dict[str, Any] = {"kind": "checkpoint", "path": f"runs/{name}", **fields}
    return Candidate(name=name, weights_sha256=weights, measurements=measurements, **values)


def _with_guardrails(project: Project, own: Candidate, reference: Candidate) -> Candidate:
    results = []
    for guardrail in project.policy("science").guardrails:
        value, other = own.value(guardrail.metric), reference.value(guardrail.metric)
        change = other - value if guardrail.metric.endswith("loss") else value - other
        results.append(
            GuardrailResult(
                metric=guardrail.metric,
                margin=guardrail.margin,
                value=value,
                reference=other,
                change=change,
                passed=change >= -guardrail.margin,
            )
        )
    eligible = all(result.passed for result in results)
    return own.model_copy(update={"guardrails": results, "eligible": eligible})


def decision(built: Built, *, chosen: str | None = "best:1+last", **changes: Any) -> Decision:
    project, records = built.project, built.records
    reference = candidate(project, records, "base", BASE, kind="reference", path="base")
    members = {"checkpoint-100": 0.5, "checkpoint-200": 0.5}
    candidates = [
        candidate(project, records, "checkpoint-100", FIRST, step=100),
        candidate(project, records, "checkpoint-200", SECOND, step=200),
        candidate(
            project, records, "best:1+last", AVERAGE,
            kind="average", recipe="best:1+last", members=members,
        ),
    ]  # fmt: skip
    policy = project.policy("science")
    content: dict[str, Any] = {
        "variant": "science",
        "split": "dev",
        "policy_name": "science",
        "policy": policy,
        "policy_sha256": sha256_json(policy.model_dump(mode="json")),
        "reference": reference,
        "candidates": [_with_guardrails(project, each, reference) for each in candidates],
        "chosen": chosen,
        "reasons": ["It has the highest recall@1 among those that pass.", "Two candidates pass."],
    }
    return Decision(**{**content, **changes})


Build = Callable[..., Built]
