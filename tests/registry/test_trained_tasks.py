"""Tasks that train a head: what they read, and each mistake at its place."""

from __future__ import annotations

import pytest
import yaml
from pydantic import TypeAdapter
from valid_registry import VALID

from mbrelease.registry.tasks import AnyTask, DatasetSplit

SORT = "{name: sort, type: classification, data: {train: t.jsonl, dev: dev.jsonl}}"
DATA = "data: {train: t.jsonl, dev: dev.jsonl}"
TASK: TypeAdapter[AnyTask] = TypeAdapter(AnyTask)

RIGHT = {
    "probe": f"type: classification, {DATA}",
    "fine-tuned classification": f"type: classification, {DATA}, training: {{epochs: [1, 2]}}",
    "tags": f"type: token-classification, {DATA}",
    "zero-shot similarity": "type: pair, kind: similarity, data: {dev: dev.jsonl}",
    "learnt similarity": f"type: pair, kind: similarity, {DATA}, training: {{}}",
    "labels": f"type: pair, kind: label, {DATA}, training: {{}}, positive: '1'",
    "glue": f"type: glue, subset: cola, {DATA}",
    "glue from mnli":
        "type: glue, subset: rte, data: {train: t.jsonl, dev: d.jsonl, start_from: {train: m}}",
}  # fmt: skip

WRONG = {
    "fine-tuning without train": (
        "type: classification, data: {dev: d.jsonl}, training: {}",
        "7:42: task 'sort' trains a model and needs data.train",
    ),
    "tags without train": (
        "type: token-classification, data: {dev: d.jsonl}",
        "7:48: task 'sort' trains a model and needs data.train",
    ),
    "glue without train": (
        "type: glue, subset: rte, data: {dev: d.jsonl}",
        "7:45: task 'sort' trains a model and needs data.train",
    ),
    "labels without training": (
        f"type: pair, kind: label, {DATA}",
        "7:7: science[2]: a pair task of kind 'label' is fine-tuned and needs 'training'",
    ),
    "similarity with a label": (
        f"type: pair, kind: similarity, {DATA}, positive: '1'",
        "7:7: science[2]: 'positive' names a label, and a similarity has none",
    ),
    "no subset of glue": (
        f"type: glue, subset: wnli, {DATA}",
        "7:40: unknown subset 'wnli', did you mean 'qnli'?",
    ),
    "a learning rate of a percentage": (
        f"type: classification, {DATA}, training: {{learning_rates: [5]}}",
        "7:110: learning_rates[0] should be less than 1, not 5",
    ),
    "a seed twice": (
        f"type: classification, {DATA}, seeds: [0, 1, 0]",
        "7:89: seeds: 0 is given twice",
    ),
    "no learning rate": (
        f"type: classification, {DATA}, training: {{learning_rates: []}}",
        "7:109: learning_rates should have at least one entry",
    ),
    "a setting that is none": (
        f"type: classification, {DATA}, training: {{learning_rate: 5e-5}}",
        "7:93: unknown key 'learning_rate' in suites.science[2].training, "
        "did you mean 'learning_rates'?",
    ),
    "mnli's revision without a dataset": (
        "type: glue, subset: rte, data: {train: t, dev: d, start_from: {train: m, revision: x}}",
        "7:82: start_from: 'config' and 'revision' are of a 'dataset', and there is none",
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right(name, mistakes):
    assert mistakes(VALID.replace(SORT, f"{{name: sort, {RIGHT[name]}}}")) == []


@pytest.mark.parametrize("name", WRONG)
def test_wrong(name, mistakes):
    task, complaint = WRONG[name]
    assert mistakes(VALID.replace(SORT, f"{{name: sort, {task}}}")) == [
        f"registry.yaml:{complaint}"
    ]


def read(text: str) -> AnyTask:
    return TASK.validate_python(yaml.safe_load(f"{{name: sort, {text}}}"))


def test_train_is_read_where_a_head_is_trained_and_only_there():
    assert read(RIGHT["tags"]).files("dev") == {"train": "t.jsonl", "dev": "dev.jsonl"}
    assert read(RIGHT["learnt similarity"]).files("dev") == {"train": "t.jsonl", "dev": "dev.jsonl"}
    assert read(RIGHT["zero-shot similarity"]).files("dev") == {"dev": "dev.jsonl"}


def test_mnli_may_come_from_another_place_than_the_subset():
    assert read(RIGHT["glue from mnli"]).files("dev")["start_from"] == "m"
    elsewhere = (
        "type: glue, subset: rte, data: {train: t, dev: d, "
        "start_from: {dataset: nyu-mll/glue, config: mnli, train: train}}"
    )
    wanted = DatasetSplit("nyu-mll/glue", "train", "mnli")
    assert read(elsewhere).files("dev")["start_from"] == wanted


@pytest.mark.parametrize("name", RIGHT)
def test_a_policy_may_name_what_a_table_shows(name):
    task = read(RIGHT[name])
    assert task.main_metric in task.shown_metrics
    assert set(task.shown_metrics) <= set(task.known_metrics)
