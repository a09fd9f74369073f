"""``.eval_results/*.yaml``: results of tasks that are benchmarks of the Hub.

https://huggingface.co/docs/hub/eval-results. The Hub lists them on the model's page and on the
leaderboard of the dataset.
"""

from __future__ import annotations

from typing import Any

from mbrelease.cards.lineage import HUB_PAGES
from mbrelease.cards.metadata import yaml_text
from mbrelease.cards.numbers import count_text, metric_text
from mbrelease.cards.scores import Evaluation, Row
from mbrelease.metadata.eval_results import FOLDER
from mbrelease.registry.tasks import Benchmark, EfficiencyTask


def eval_results(evaluation: Evaluation, repo: str | None = None) -> dict[str, str]:
    """The files of a release that hold its results on benchmarks, by path; a file a dataset.

    No date is written: evidence has none, and the Hub takes that of the commit.

    Args:
        evaluation: what was measured of the released weights.
        repo: where they will be published: its card is the source of the values.

    Raises:
        UserError: a value is no finite number.
    """
    entries: dict[str, list[dict[str, Any]]] = {}
    for row in evaluation.headlines:
        task = row.task
        if not isinstance(task, EfficiencyTask) and task.benchmark is not None:
            path = f"{FOLDER}/{task.benchmark.id.replace('/', '__')}.yaml"
            entries.setdefault(path, []).append(_entry(row, task.benchmark, repo))
    return {path: yaml_text(found) for path, found in sorted(entries.items())}


def _entry(row: Row, benchmark: Benchmark, repo: str | None) -> dict[str, Any]:
    value = row.record.metrics[row.key]
    metric_text(row.metric, value)  # stops at what is not a number
    dataset = {"id": benchmark.id, "task_id": benchmark.task_id}
    if benchmark.revision is not None:
        dataset["revision"] = benchmark.revision
    entry: dict[str, Any] = {"dataset": dataset, "value": value}
    if repo is not None:
        entry["source"] = {"url": f"{HUB_PAGES}/{repo}", "name": "Model card"}
    return {**entry, "notes": _notes(row)}


def _notes(row: Row) -> str:
    record = row.record
    made = record.provenance
    seeds = len(record.experiments)
    parts = [
        f"{row.metric} on {row.split}",
        f"{count_text(record.n_examples)} examples",
        *([f"mean of {seeds} seeds"] if seeds > 1 else []),
        f"{made.attn} attention, {made.dtype}, {made.device}",
    ]
    return "; ".join(parts)
