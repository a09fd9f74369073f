"""Results in the Hub's ``model-index`` layout: what was measured, and what others reported.

https://github.com/huggingface/hub-docs/blob/main/modelcard.md. Values are not rounded. A reported
result names its source; one whose source has no address is left out, for nothing would tell it
from a measured one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mbrelease.cards.escape import one_line
from mbrelease.cards.numbers import metric_text
from mbrelease.cards.reports import Report
from mbrelease.cards.scores import Evaluation, Row
from mbrelease.cards.told import Derived, Origin
from mbrelease.evaluation.dataset import locate
from mbrelease.evaluation.metric_names import metric_name
from mbrelease.evaluation.reported import ReportedResult, ReportSource
from mbrelease.registry.entry import REPO_ID
from mbrelease.registry.tasks import AnyTask, DatasetSplit, EfficiencyTask

UNSTATED = "unstated"
"""The split of a report that names none."""
WHOLE = "default"
"""The subset of a report that is of all of a task."""

# Reports name tasks that no suite has, and metrics tell most of them apart.
_TYPE_OF_METRIC = (
    (
        r"ndcg_at_\d+|recall_at_\d+|mrr(_at_\d+)?|map(_at_\d+)?",
        "information-retrieval",
        "Retrieval",
    ),
    (r"loss|perplexity|bits_per_byte", "fill-mask", "Masked language modelling"),
    (r"span_\w+", "token-classification", "Tagging of words"),
    (r"matthews|macro_f1", "text-classification", "Classification"),
    (r"(\w+_)?tokens_per_second|seconds|max_batch_size", "feature-extraction", "Speed"),
)
_TYPE_OF_TASK = {"glue": ("text-classification", "GLUE")}


def model_index(
    name: str,
    evaluation: Evaluation | None,
    reported: Sequence[Report] = (),
    tasks: Sequence[AnyTask] = (),
    root: Path | None = None,
) -> list[dict[str, Any]] | None:
    """The ``model-index`` of a card, or ``None`` where there is no result.

    Args:
        name: of the model.
        evaluation: what was measured of it.
        reported: what others say of it.
        tasks: of its suite, for what data a reported task has.
        root: the folder of the registry: a dataset that is a folder there is none of the Hub.

    Raises:
        UserError: a value is no finite number.
    """
    results = [*_measured(evaluation, root)] if evaluation is not None else []
    results += _reported(reported, {task.name: task for task in tasks}, root)
    return [{"name": one_line(name), "results": results}] if results else None


def index_origins(
    evaluation: Evaluation | None, reported: Sequence[Report] = ()
) -> tuple[Origin, ...]:
    """Where the values of ``model_index`` come from, in their order."""
    found: list[Origin] = []
    for rows in _tasks_of(evaluation) if evaluation is not None else ():
        found += [row.own.origin for row in rows]
    for group in _groups(reported).values():
        found += [_origin(same) for same in _by_metric(group).values()]
    return tuple(found)


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


def _measured(evaluation: Evaluation, root: Path | None) -> Iterable[dict[str, Any]]:
    for rows in _tasks_of(evaluation):
        task_name, split = rows[0].task.name, rows[0].split
        type_, label = task_type(rows[0].task)
        dataset = _dataset(rows[0].task, split, root) or {
            "type": slug(task_name),
            "split": split,
            "revision": rows[0].record.provenance.data_sha256,
        }
        yield {
            "task": {"type": type_, "name": label},
            "dataset": {"name": one_line(task_name), **dataset},
            "metrics": [_metric(row) for row in rows],
        }


def _tasks_of(evaluation: Evaluation) -> Iterable[list[Row]]:
    """The rows of each task and split."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in evaluation.rows:
        found.setdefault((row.task.name, row.split), []).append(row)
    return found.values()


def _metric(row: Row) -> dict[str, Any]:
    value = row.record.metrics[row.key]
    metric_text(row.metric, value)  # stops at what is not a number
    return {"type": row.key, "value": value, "name": metric_name(row.metric)}


def _dataset(task: AnyTask, split: str, root: Path | None) -> dict[str, str] | None:
    """What the Hub calls the data of ``task``, where it has them."""
    if isinstance(task, EfficiencyTask):
        return None
    source = task.data.name(split)
    if not isinstance(source, DatasetSplit) or not _is_on_the_hub(source, root):
        return None
    found = {
        "type": source.dataset,
        "config": source.config,
        "split": source.split,
        "revision": source.revision,
    }
    return {key: value for key, value in found.items() if value is not None}


def _is_on_the_hub(source: DatasetSplit, root: Path | None) -> bool:
    if not re.fullmatch(REPO_ID, source.dataset):
        return False
    return root is None or locate(source, root) == source


def _reported(
    results: Sequence[Report], tasks: dict[str, AnyTask], root: Path | None
) -> Iterable[dict[str, Any]]:
    for (task_name, split, subset, source), group in _groups(results).items():
        task = tasks.get(task_name)
        name = _data_name(group[0])
        type_, label = task_type(task) if task else _guessed(name, group)
        dataset = _dataset(task, split, root) if task is not None else None
        yield {
            "task": {"type": type_, "name": label},
            "dataset": {
                "name": name,
                **(dataset or _unknown(task_name, split, subset)),
            },
            "metrics": [*_means(group)],
            "source": _source(source),
        }


def _data_name(report: Report) -> str:
    result = report.result
    plain = result.task_name if result.subset == WHOLE else f"{result.task_name} {result.subset}"
    return one_line(report.data or plain)


def _groups(
    results: Sequence[Report],
) -> dict[tuple[str, str, str, ReportSource], list[Report]]:
    """What one source says of one task, split and subset."""
    groups: dict[tuple[str, str, str, ReportSource], list[Report]] = {}
    for report in results:
        one = report.result
        if _counts(one):
            key = (one.task_name, one.split, one.subset, one.source)
            groups.setdefault(key, []).append(report)
    return groups


def _counts(one: ReportedResult) -> bool:
    """Whether it is a result of the released model on all of its task, with an address."""
    spread = one.metric.endswith(("_sd", "_std", "_stderr"))
    return (
        one.source.url is not None
        and one.step is None
        and not spread
        and not one.details.get("limit")
    )


def _unknown(task_name: str, split: str, subset: str) -> dict[str, str]:
    found = {"type": slug(task_name)}
    found |= {} if subset == WHOLE else {"config": one_line(subset)}
    return found | ({} if split == UNSTATED else {"split": split})


def _by_metric(group: Sequence[Report]) -> dict[str, list[Report]]:
    found: dict[str, list[Report]] = {}
    for one in group:
        found.setdefault(one.result.metric, []).append(one)
    return found


def _origin(same: Sequence[Report]) -> Origin:
    fields = tuple(one.origin for one in same)
    return fields[0] if len(fields) == 1 else Derived("mean", fields)


def _means(group: Sequence[Report]) -> Iterable[dict[str, Any]]:
    """Each metric once; of several seeds, their mean."""
    for metric, same in _by_metric(group).items():
        values = [one.result.value for one in same]
        for value in values:
            metric_text(metric, value)
        seeds = f", mean of {len(values)} seeds" if len(values) > 1 else ""
        value = values[0] if len(values) == 1 else math.fsum(values) / len(values)
        yield {"type": metric, "value": value, "name": f"{metric_name(metric)}{seeds}"}


def _source(source: ReportSource) -> dict[str, str]:
    said = [one_line(part) for part in (source.name, source.place) if part]
    assert source.url is not None
    return {"url": one_line(source.url), **({"name": ", ".join(said)} if said else {})}


def _guessed(name: str, group: Sequence[Report]) -> tuple[str, str]:
    """The kind of a task that no suite has, by the task or by a metric that tells it."""
    known = _TYPE_OF_TASK.get(group[0].result.task_name)
    if known is not None:
        return known
    for one in group:
        for pattern, type_, label in _TYPE_OF_METRIC:
            if re.fullmatch(pattern, one.result.metric):
                return type_, label
    return "other", name


def slug(text: str) -> str:
    """A name for data that the Hub has not: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "data"
