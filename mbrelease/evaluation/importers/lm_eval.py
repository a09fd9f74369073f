"""lm-eval (EleutherAI's lm-evaluation-harness): ``results_<date>.json`` since 0.4.

A metric's key is its name and the filter that the answers went through: ``acc,none``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mbrelease.errors import UserError
from mbrelease.evaluation.importers.contract import Reported, finite, is_number, read_object
from mbrelease.evaluation.metric_names import metric_key
from mbrelease.evaluation.reported import ReportedResult, ReportSource
from mbrelease.files import read_json

NO_FILTER = "none"


def recognises(path: Path) -> bool:
    """A file of aggregated results."""
    content = read_object(path)
    return (
        content is not None
        and isinstance(content.get("results"), dict)
        and {"versions", "config"} <= content.keys()
    )


def read(path: Path) -> list[Reported]:
    """Every metric of every task and group."""
    content = read_json(path)
    version = content.get("lm_eval_version")
    source = ReportSource(name=f"lm-eval {version}" if version else "lm-eval")
    try:
        return [
            found
            for task, scores in content["results"].items()
            for found in _of_task(f"{path}: {task}", content, task, scores, source)
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not what lm-eval writes: {error!r}") from error


def _of_task(
    place: str,
    content: Mapping[str, Any],
    task: str,
    scores: Mapping[str, Any],
    source: ReportSource,
) -> Iterator[Reported]:
    directions = content.get("higher_is_better", {}).get(task, {})
    details = _details(content, task)
    for key, value in scores.items():
        name, comma, filtered = key.partition(",")
        # The others are descriptions; a group may have "N/A" where it aggregates nothing.
        if not comma or name.endswith("_stderr") or not is_number(value):
            continue
        stderr = scores.get(f"{name}_stderr,{filtered}")
        metric = metric_key(name if filtered == NO_FILTER else f"{name}.{filtered}")
        result = ReportedResult(
            task_name=task,
            split=_split(content, task),
            metric=metric,
            value=finite(value, f"{place}, {key}"),
            source=source,
            n_examples=_n_examples(content, task, scores),
            higher_is_better=directions.get(name),
            # "N/A" where there is none, NaN of a single example.
            stderr=stderr if isinstance(stderr, float) and math.isfinite(stderr) else None,
            details=details,
        )
        yield Reported(result, f"{place}, {key}")


def _split(content: Mapping[str, Any], task: str) -> str:
    """The split that lm-eval asks: test where a task has one, else validation; of a group, that of
    its tasks if they agree.
    """
    members = content.get("group_subtasks", {}).get(task) or []
    if members:
        splits = {_split(content, member) for member in members}
        return splits.pop() if len(splits) == 1 else "test"
    config = content.get("configs", {}).get(task, {})
    return config.get("test_split") or config.get("validation_split") or "test"


def _n_examples(content: Mapping[str, Any], task: str, scores: Mapping[str, Any]) -> int | None:
    n_samples = content.get("n-samples", {}).get(task, {}).get("effective")
    found = scores.get("sample_len") if n_samples is None else n_samples
    return found if isinstance(found, int) else None


def _details(content: Mapping[str, Any], task: str) -> dict[str, str | int | float]:
    """What makes the number another one: the model, the shots, and whether data were left out."""
    original = content.get("n-samples", {}).get(task, {}).get("original")
    model = content.get("model_name")
    found = {
        # A path says nothing to others, and more than it should.
        "model": None if str(model).startswith(("/", ".", "~")) else model,
        "version": content["versions"].get(task),
        "n_shot": content.get("n-shot", {}).get(task),
        "limit": content["config"].get("limit"),
        "n_available": original if content["config"].get("limit") is not None else None,
    }
    return {key: value for key, value in found.items() if isinstance(value, str | int | float)}
