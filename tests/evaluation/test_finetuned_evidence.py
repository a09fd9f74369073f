"""Fine-tuned tasks from the plan to the evidence, and back from the scores of each example."""

import json

import numpy as np
import pytest
from learnable import dataset, pairs, sentences, texts

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.evidence import read_examples, read_records
from mbrelease.evaluation.jobs import job_from_json, plan_jobs, stored
from mbrelease.evaluation.measure import run_jobs
from mbrelease.evaluation.metrics import (
    classification_metrics,
    correlation_metrics,
    span_metrics,
)
from mbrelease.registry.tasks import (
    ClassificationTask,
    FineTuning,
    PairTask,
    SplitFiles,
    TokenClassificationTask,
)

SEARCH = FineTuning(learning_rates=[1e-3, 3e-3], epochs=[2], batch_size=8)


def files(name):
    return SplitFiles(train=f"{name}.jsonl", dev=f"{name}-dev.jsonl")


TASKS = {
    classification_metrics: ClassificationTask(
        name="texts", type="classification", data=files("texts"), training=SEARCH, seeds=[0, 1]
    ),
    span_metrics: TokenClassificationTask(
        name="tags", type="token-classification", data=files("tags"), training=SEARCH, seeds=[0, 1]
    ),
    correlation_metrics: PairTask(
        name="pairs",
        type="pair",
        kind="similarity",
        data=files("pairs"),
        training=SEARCH,
        seeds=[0, 1],
    ),
}


@pytest.fixture
def jobs(tmp_path, saved_by_5x):
    for name, rows in (("texts", texts), ("tags", sentences), ("pairs", pairs)):
        dataset(tmp_path / f"{name}.jsonl", rows(32, 0))
        dataset(tmp_path / f"{name}-dev.jsonl", rows(16, 1))
    return plan_jobs(
        [open_checkpoint(saved_by_5x)],
        list(TASKS.values()),
        "dev",
        backend=Backend(),
        data_root=tmp_path,
    )


def test_the_record_says_what_was_tried_and_gives_its_metrics_back(jobs, tmp_path):
    evidence = tmp_path / "evidence"
    records = run_jobs(
        [job_from_json(json.loads(json.dumps(job.to_json()))) for job in jobs], evidence
    )
    assert all(stored(job, evidence) is not None for job in jobs)
    for record, metrics in zip(records, TASKS, strict=True):
        [read] = read_records(evidence, record.provenance.weights_sha256, record.task_name)
        assert [point["learning_rate"] for point in read.tried] == [1e-3, 3e-3]
        best = max(read.tried, key=lambda point: point["score"])
        assert {e["learning_rate"] for e in read.experiments} == {best["learning_rate"]}
        table = read_examples(read)
        assert table.column_names[:2] == ["id", "seed"]
        columns = {name: table[name].to_numpy().reshape(2, 16) for name in table.column_names[2:]}
        for name, value in metrics(columns, np.ones((1, 16))).items():
            assert read.metrics[name] == pytest.approx(value)


def test_settings_of_the_training_are_part_of_what_is_measured(jobs, tmp_path, saved_by_5x):
    other = TASKS[classification_metrics].model_copy(
        update={"training": SEARCH.model_copy(update={"warmup": 0.1})}
    )
    [job] = plan_jobs(
        [open_checkpoint(saved_by_5x)], [other], "dev", backend=Backend(), data_root=tmp_path
    )
    assert job.key != jobs[0].key
