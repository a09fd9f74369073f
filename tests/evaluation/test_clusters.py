"""Examples that belong together are drawn together."""

import numpy as np
import pytest
from learnable import FAST, dataset, encoder_of, pairs, sentences, texts
from pydantic import TypeAdapter, ValidationError

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.errors import UserError
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.evidence import read_examples
from mbrelease.evaluation.intervals import bootstrap_ci95
from mbrelease.evaluation.jobs import plan_jobs
from mbrelease.evaluation.measure import run_jobs
from mbrelease.evaluation.task_settings import task_sha256
from mbrelease.evaluation.tasks import TASKS
from mbrelease.registry.tasks import AnyTask

TRAINING = FAST.model_dump()
SEEDS = [3, 4]
# The type of a task, its settings, and rows that it takes.
KINDS = {
    "mlm": ({"type": "mlm"}, texts),
    "retrieval": ({"type": "retrieval", "query": "label"}, texts),
    "probe": ({"type": "classification", "seeds": SEEDS}, texts),
    "tags": ({"type": "token-classification", "seeds": SEEDS, "training": TRAINING}, sentences),
    "cosine": ({"type": "pair", "kind": "similarity"}, pairs),
    "pair": ({"type": "pair", "kind": "label", "seeds": SEEDS, "training": TRAINING}, pairs),
    "glue": ({"type": "glue", "subset": "rte", "seeds": SEEDS, "training": TRAINING}, pairs),
    "stsb": ({"type": "glue", "subset": "stsb", "seeds": SEEDS, "training": TRAINING}, pairs),
}


def task(settings, **fields):
    data = {"train": "train.jsonl", "dev": "dev.jsonl"}
    return TypeAdapter(AnyTask).validate_python({"name": "t", "data": data, **settings, **fields})


def rows_of(kind, count, seed):
    rows = KINDS[kind][1](count, seed)
    if kind in ("pair", "glue"):
        rows = [row | {"label": int(row["label"] > 1)} for row in rows]
    for row in rows[:4]:  # mistakes of one author, without which no interval has a width
        if kind == "probe":
            row["label"] = "owl"
        if kind == "tags":
            row["tags"] = ["O"] * len(row["tags"])
    return [row | {"author": f"a{n // 4}"} for n, row in enumerate(rows)]


@pytest.fixture(scope="module")
def encoder(saved_by_5x):
    return encoder_of(saved_by_5x)


@pytest.mark.parametrize("kind", KINDS)
def test_every_task_keeps_the_cluster_of_each_example(tmp_path, encoder, kind):
    data = {
        name: dataset(tmp_path / f"{name}.jsonl", rows_of(kind, count, seed))
        for seed, (name, count) in enumerate({"train": 32, "dev": 24}.items())
    }
    settings = KINDS[kind][0]
    measure = TASKS[settings["type"]].measure
    alone, together = (
        measure(task(settings, **fields), data, "dev", encoder)
        for fields in ({}, {"cluster": "author"})
    )
    assert "cluster" not in alone.examples
    assert together.metrics == alone.metrics
    assert together.ci95 != alone.ci95
    cluster = dict(zip(data["dev"].ids, data["dev"].labels("author"), strict=True))
    columns = together.examples
    assert columns["cluster"].tolist() == [cluster[name] for name in columns["id"].tolist()]
    assert len(columns["id"]) == together.n_examples * (len(SEEDS) if "seed" in columns else 1)


def test_documents_that_are_left_out_take_their_cluster_along(tmp_path, encoder):
    rows = rows_of("mlm", 12, 0)
    rows[0]["text"] = rows[6]["text"] = ""
    data = {"dev": dataset(tmp_path / "dev.jsonl", rows)}
    measured = TASKS["mlm"].measure(task({"type": "mlm"}, cluster="author"), data, "dev", encoder)
    left = [number for number in range(12) if str(number + 1) in measured.examples["id"]]
    assert 0 not in left and 6 not in left
    assert measured.examples["cluster"].tolist() == [f"a{number // 4}" for number in left]


def test_the_record_has_them_and_a_task_without_is_what_it_was(tmp_path, saved_by_5x):
    dataset(tmp_path / "dev.jsonl", rows_of("mlm", 12, 0))
    settings = {"type": "mlm"}
    assert task_sha256(task(settings)) == task_sha256(task(settings, cluster=None))
    clustered = task(settings, cluster="author")
    assert task_sha256(task(settings)) != task_sha256(clustered)
    jobs = plan_jobs(
        [open_checkpoint(saved_by_5x)], [clustered], "dev", backend=Backend(), data_root=tmp_path
    )
    [record] = run_jobs(jobs, tmp_path / "evidence")
    table = read_examples(record)
    assert table.column_names[:2] == ["id", "cluster"]
    assert table["cluster"].to_pylist() == [f"a{int(name) // 4}" for name in range(12)]


@pytest.mark.parametrize(
    ("author", "said"),
    [(None, r"dev\.jsonl:2: field 'author' is null"), (0.5, r"dev\.jsonl:2: .* is float, not")],
)
def test_an_example_without_its_cluster_has_its_line(tmp_path, encoder, author, said):
    rows = rows_of("retrieval", 6, 0)
    rows[1]["author"] = author
    data = {"dev": dataset(tmp_path / "dev.jsonl", rows)}
    settings = KINDS["retrieval"][0]
    with pytest.raises(UserError, match=said):
        TASKS["retrieval"].measure(task(settings, cluster="author"), data, "dev", encoder)


def test_one_cluster_is_refused(tmp_path, encoder):
    data = {"dev": dataset(tmp_path / "dev.jsonl", rows_of("mlm", 4, 0))}
    with pytest.raises(UserError, match="'author' is a0 in every row"):
        TASKS["mlm"].measure(task({"type": "mlm"}, cluster="author"), data, "dev", encoder)


def test_a_task_that_has_no_examples_has_no_clusters():
    with pytest.raises(ValidationError, match="cluster"):
        TypeAdapter(AnyTask).validate_python(
            {"name": "speed", "type": "efficiency", "cluster": "author"}
        )


def test_the_interval_covers_a_mean_of_clusters_as_often_as_it_says():
    """Examples of a cluster are the same: taken each for itself, the interval is far too short."""
    generator = np.random.default_rng(4)
    names = np.repeat([f"c{n}" for n in range(60)], 5)
    covered = {"clusters": 0, "examples": 0}
    for _ in range(60):
        values = np.repeat(generator.normal(size=60), 5)

        def mean(weights, values=values):
            return {"mean": weights @ values / weights.sum(axis=1)}

        for way, clusters in (("clusters", names), ("examples", None)):
            low, high = bootstrap_ci95(mean, 300, clusters=clusters)["mean"]
            covered[way] += low <= 0 <= high
    # Monte-Carlo error of 60 trials: 0.03 at 0.95, 0.06 at 0.62. Five alike make the other √5
    # times shorter: 2Φ(1.96 / √5) − 1 = 0.62.
    assert covered["clusters"] >= 52
    assert 26 <= covered["examples"] <= 48


def test_clusters_of_one_example_each_are_no_clusters():
    values = np.random.default_rng(5).normal(size=40)
    names = np.asarray([f"c{n:02}" for n in range(40)])

    def mean(weights):
        return {"mean": weights @ values / weights.sum(axis=1)}

    alone = bootstrap_ci95(mean, 40)["mean"]
    assert bootstrap_ci95(mean, 40, clusters=names)["mean"] == pytest.approx(alone)
