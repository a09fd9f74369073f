"""The front matter: what the Hub reads of a card.

The Hub's client checks nothing and its server rejects late, so the rules are kept here: base
models are repo ids and never paths, their relation is always written, no value is null or NaN.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

from mbrelease.cards.escape import one_line
from mbrelease.cards.lineage import Lineage
from mbrelease.cards.numbers import metric_text
from mbrelease.cards.scores import Evaluation, Row
from mbrelease.registry.schema import REPO_ID, DataSource
from mbrelease.registry.tasks import AnyTask

PIPELINE_TAG = "fill-mask"
FAMILY_TAG = "modernbert"


class _Dumper(yaml.SafeDumper):
    """Quotes also what only YAML 1.2, which the Hub reads, takes for a number: ``1e3``, ``0o7``."""


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    number = re.fullmatch(r"[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?|0[ox][0-9a-fA-F]+", text)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="'" if number else None)


_Dumper.add_representer(str, _string)


def front_matter(
    name: str,
    *,
    license_id: str | None,
    languages: Sequence[str],
    tags: Sequence[str],
    data: Sequence[DataSource],
    lineage: Lineage,
    evaluation: Evaluation | None,
) -> str:
    """The YAML block of a card, with its fences and a final newline."""
    datasets = [s.hub_id for s in data if s.hub_id and re.fullmatch(REPO_ID, s.hub_id)]
    merged = lineage.hub_relation == "merge"
    bases = list(lineage.base_models)
    content: dict[str, Any] = {
        "language": [one_line(code) for code in languages],
        "license": one_line(license_id).lower() if license_id else None,
        "library_name": "transformers",
        "pipeline_tag": PIPELINE_TAG,
        "base_model": bases[0] if len(bases) == 1 else bases,
        "base_model_relation": lineage.hub_relation,
        "new_version": lineage.new_version,
        "datasets": list(dict.fromkeys(datasets)),
        "tags": _tags(tags, merged=merged),
        "model-index": model_index(name, evaluation) if evaluation else None,
    }
    text = yaml.dump(
        {key: value for key, value in content.items() if value},
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=10_000,
    )
    return f"---\n{text}---\n"


def model_index(name: str, evaluation: Evaluation) -> list[dict[str, Any]]:
    """The measured results in the Hub's ``model-index`` layout, unrounded."""
    results = []
    for task_name, split in dict.fromkeys((row.task.name, row.split) for row in evaluation.rows):
        rows = [r for r in evaluation.rows if (r.task.name, r.split) == (task_name, split)]
        type_, label = task_type(rows[0].task)
        results.append(
            {
                "task": {"type": type_, "name": label},
                "dataset": {
                    "name": one_line(task_name),
                    "type": one_line(task_name),
                    "split": split,
                    "revision": rows[0].record.provenance.data_sha256,
                },
                "metrics": [_metric(row) for row in rows],
            }
        )
    return [{"name": one_line(name), "results": results}]


def task_type(task: AnyTask) -> tuple[str, str]:
    """What the Hub calls the kind of ``task``, and what people call it."""
    match task.type:
        case "mlm":
            return "fill-mask", "Masked language modelling"
        case "retrieval":
            return "information-retrieval", "Retrieval"
        case "classification":
            how = "a linear probe" if task.training is None else "fine-tuning"
            return "text-classification", f"Classification by {how}"
        case "token-classification":
            return "token-classification", "Tagging of words by fine-tuning"
        case "pair" if task.kind == "similarity":
            return "sentence-similarity", "Similarity of texts"
        case "pair":
            return "text-classification", "Classification of pairs by fine-tuning"
        case "glue":
            return "text-classification", "GLUE by fine-tuning"
        case "efficiency":
            return "feature-extraction", "Speed"


def _metric(row: Row) -> dict[str, Any]:
    value = row.record.metrics[row.key]
    metric_text(row.metric, value)  # stops at what is not a number
    return {"type": row.key, "value": value, "name": row.metric}


def _tags(given: Sequence[str], *, merged: bool) -> list[str]:
    tags = [FAMILY_TAG, *(["merge"] if merged else []), *(one_line(tag) for tag in given)]
    return [tag for tag in dict.fromkeys(tags) if tag]
