"""The Hugging Face Trainer: ``trainer_state.json``, ``all_results.json``, ``{split}_results.json``.

Its keys are a prefix and a metric: ``eval_loss``, ``test_f1``; with several evaluation sets
``eval_<set>_loss``. The Trainer names no task, so results are of the task ``trainer``, or of the
set's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mbrelease.checkpoints.trainer_state import read_trainer_state
from mbrelease.errors import UserError
from mbrelease.evaluation.importers.contract import Reported, finite, is_number, read_object
from mbrelease.evaluation.metric_names import lower_is_better, metric_key
from mbrelease.evaluation.reported import ReportedResult, ReportSource
from mbrelease.files import read_json

TASK = "trainer"
STATE = {"log_history", "global_step"}
# The prefix of evaluate(), of predict(), and of the example scripts' predict().
SPLITS = {"eval": "dev", "test": "test", "predict": "test"}
_SPEED = re.compile(r"runtime|.*_per_second|.*_time|mem_.*")


def recognises(path: Path) -> bool:
    """A state with its log, or a file of results."""
    content = read_object(path)
    if content is None:
        return False
    if path.name.endswith("_results.json"):
        return any(re.match(r"(?:eval|test|predict|train)_", key) for key in content)
    return content.keys() >= STATE


def read(path: Path) -> list[Reported]:
    """The evaluations of these weights.

    Raises:
        UserError: there are none; of a state also: the last is of an earlier step, or two of the
            last step differ.
    """
    content = read_json(path)
    if content.keys() >= STATE:
        return _of_state(path)
    found = _of_row(content, str(path), {})
    if not found:
        raise UserError(f"{path} holds no evaluation, only figures of the training")
    return found


def _of_state(path: Path) -> list[Reported]:
    """The rows of the log's last step that evaluate; they must be of the state's own step."""
    state = read_trainer_state(path)
    rows = [
        (number, row)
        for number, row in enumerate(state.log, start=1)
        if any(key.split("_")[0] in SPLITS and is_number(row[key]) for key in row)
    ]
    if not rows:
        raise UserError(f"{path} logs no evaluation")
    last = rows[-1][1].get("step")
    if last != state.global_step:
        raise UserError(
            f"{path}: the last evaluation is of step {last}, the weights are of step "
            f"{state.global_step}",
            mend="import the state of the checkpoint that was evaluated",
        )
    return [
        found
        for number, row in rows
        if row.get("step") == last
        for found in _of_row(row, f"{path}: log row {number}", {"step": state.global_step})
    ]


def _of_row(row: Mapping[str, Any], place: str, details: Mapping[str, int]) -> list[Reported]:
    found = []
    for key, value in row.items():
        prefix = _prefix(key, row)
        metric = key.removeprefix(prefix)
        if prefix == "train_" or metric == "samples" or _SPEED.fullmatch(metric):
            continue
        if not prefix or not is_number(value):
            continue
        split, _, subset = prefix.removesuffix("_").partition("_")
        samples = row.get(f"{prefix}samples")
        result = ReportedResult(
            task_name=subset or TASK,
            split=SPLITS[split],
            metric=metric_key(metric),
            value=finite(value, f"{place}, {key}"),
            source=ReportSource(name="Trainer"),
            n_examples=samples if isinstance(samples, int) else None,
            higher_is_better=False if lower_is_better(metric) else None,
            details=details,
        )
        found.append(Reported(result, f"{place}, {key}"))
    return found


def _prefix(key: str, row: Mapping[str, Any]) -> str:
    """What of ``key`` says the set: ``eval_`` or ``eval_<set>_``; empty if it is no result.

    Each set has a runtime, from which its name is known.
    """
    if key == "perplexity":  # the example scripts add it to what evaluate() gave, without a prefix
        return "eval_" if "eval_loss" in row else ""
    sets = [other.removesuffix("runtime") for other in row if other.endswith("_runtime")]
    named = [one for one in sets if one.split("_")[0] in SPLITS]
    prefixes = [*named, *(f"{split}_" for split in SPLITS), "train_"]
    return max((one for one in prefixes if key.startswith(one)), key=len, default="")
