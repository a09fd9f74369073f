"""Scores that are resampled are those of ``evaluation.metrics``, under any weights."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter

from mbrelease.errors import UserError
from mbrelease.evaluation.evidence import EvidenceRecord, Provenance, write_record
from mbrelease.evaluation.metric_names import metric_key
from mbrelease.evaluation.metrics import (
    binary_metrics,
    classification_metrics,
    correlation_metrics,
    mlm_metrics,
    retrieval_metrics,
    span_metrics,
)
from mbrelease.files import sha256_file
from mbrelease.registry.tasks import AnyTask
from mbrelease.selection.scores import common_seeds, read_scores
from mbrelease.selection.statistics import AdditiveScore, bootstrap

N, SEEDS = 60, (3, 1, 4)
IDS = np.asarray([f"owl {row}" for row in range(N)])
FIND = ["recall@1", "recall@5", "mrr", "ndcg@10"]


def task_of(**fields: Any) -> AnyTask:
    data = {"train": "train.jsonl", "dev": "dev.jsonl"}
    return TypeAdapter(AnyTask).validate_python({"name": "owls", "data": data} | fields)


@dataclass(frozen=True)
class Case:
    """A task, scores of it by seed, and what its metrics are by evaluation.metrics."""

    task: AnyTask
    columns: Any
    """As evaluation.metrics takes them."""
    metrics: Any
    seeds: tuple[int, ...] = ()

    @property
    def table(self) -> dict[str, Any]:
        """As evidence has it: seed after seed."""
        if not self.seeds:
            return {"id": IDS, **{name: one.reshape(-1) for name, one in self.columns.items()}}
        return {
            "id": np.tile(IDS, len(self.seeds)),
            "seed": np.repeat(np.asarray(self.seeds), N),
            **{name: one.reshape(-1) for name, one in self.columns.items()},
        }

    def values(self, weights: Any) -> Any:
        return self.metrics(self.columns, weights)

    def write(self, root: Any, **changed: Any) -> EvidenceRecord:
        point = {name: float(one[0]) for name, one in self.values(np.ones((1, N))).items()}
        zeros = ["0" * 64] * 5
        record = EvidenceRecord(
            task_name="owls",
            split="dev",
            main_score=0.0,
            metrics=point | changed,
            n_examples=N,
            ci95={},
            experiments=(),
            counts={},
            provenance=Provenance(*zeros, "sdpa", "float32", "cpu", 1),
            languages=("en",),
            evaluation_time_seconds=0.0,
        )
        return write_record(root, record, pa.table(self.table))


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def many_ranks() -> Any:
    """Rising ranks of 1 to 4 gold documents a query."""
    found = np.empty(N, dtype=object)
    for row in range(N):
        count = generator(row).integers(1, 5)
        found[row] = np.sort(generator(row + 1000).choice(20, count, replace=False) + 1)
    return found


def labels(*names: str, seeds: int = 3) -> dict[str, Any]:
    """The same labels for each seed, and predictions that are right more often than not."""
    draw = generator(1)
    label = np.tile(draw.choice(names, N), (seeds, 1))
    said = np.where(draw.random((seeds, N)) < 0.6, label, draw.choice(names, (seeds, N)))
    return {"label": label, "prediction": said}


def similarities(seeds: int) -> dict[str, Any]:
    """With equal values among them, as people's similarities have."""
    draw = generator(2)
    target = np.tile(draw.integers(0, 6, N).astype(float), (seeds, 1))
    return {"target": target, "score": (target + draw.normal(0, 2, (seeds, N))).round(1)}


def of_label(positive: str, *names: str) -> Any:
    def metrics(columns: Any, weights: Any) -> Any:
        values = binary_metrics(columns, weights, positive)
        return {name: values[name] for name in names}

    return metrics


def mlm() -> Any:
    draw = generator(3)
    tokens = draw.integers(1, 60, N)
    return {
        "nll_sum": tokens * draw.gamma(2, 1, N),
        "n_tokens": tokens,
        "n_correct": draw.binomial(tokens, 0.4),
        "n_bytes": 4 * tokens + draw.integers(0, 9, N),
    }


def retrieval(columns: Any, weights: Any) -> Any:
    return retrieval_metrics(columns, weights, FIND)


SPANS = {
    name: generator(4 + place).poisson(rate, (3, N))
    for place, (name, rate) in enumerate({"tp": 1.5, "fp": 0.5, "fn": 0.7}.items())
}
PAIR = {"type": "pair", "kind": "label", "training": {}}
CASES = {
    "mlm": Case(task_of(type="mlm"), mlm(), mlm_metrics),
    "retrieval": Case(
        task_of(type="retrieval", metrics=FIND),
        {"rank": generator(7).geometric(0.3, N)},
        retrieval,
    ),
    "retrieval of several": Case(
        task_of(type="retrieval", metrics=FIND), {"ranks": many_ranks()}, retrieval
    ),
    "classification": Case(
        task_of(type="classification"),
        labels("barn", "snowy", "tawny", "eagle"),
        classification_metrics,
        SEEDS,
    ),
    "token-classification": Case(task_of(type="token-classification"), SPANS, span_metrics, SEEDS),
    "similarity by cosine": Case(
        task_of(type="pair", kind="similarity"), similarities(1), correlation_metrics
    ),
    "similarity": Case(
        task_of(type="pair", kind="similarity", training={}),
        similarities(3),
        correlation_metrics,
        SEEDS,
    ),
    "pair labels": Case(
        task_of(**PAIR),
        labels("yes", "no", "maybe"),
        lambda columns, weights: {
            "accuracy": classification_metrics(columns, weights)["accuracy"],
            "f1": classification_metrics(columns, weights)["macro_f1"],
        },
        SEEDS,
    ),
    "pair labels with a positive one": Case(
        task_of(**PAIR, positive="yes"),
        labels("yes", "no"),
        of_label("yes", "accuracy", "f1"),
        SEEDS,
    ),
    "glue cola": Case(
        task_of(type="glue", subset="cola"), labels("0", "1"), of_label("1", "matthews"), SEEDS
    ),
    "glue stsb": Case(
        task_of(type="glue", subset="stsb"), similarities(3), correlation_metrics, SEEDS
    ),
    "glue mrpc": Case(
        task_of(type="glue", subset="mrpc"),
        labels("0", "1"),
        of_label("1", "accuracy", "f1"),
        SEEDS,
    ),
    "glue mnli": Case(
        task_of(type="glue", subset="mnli"),
        labels("0", "1", "2"),
        of_label("1", "accuracy"),
        SEEDS,
    ),
}
METRICS = [
    (name, metric_key(metric)) for name, case in CASES.items() for metric in case.task.known_metrics
]


def under(score: Any, weights: Any) -> Any:
    """The values of a score where examples have ``weights``, meaned over seeds."""
    if isinstance(score, AdditiveScore):
        return score.value(np.einsum("re,sek->rsk", weights, score.columns)).mean(axis=1)
    return score.value(weights).mean(axis=0)


def drawn_weights() -> Any:
    """Everything once; as a resample draws; few; and what such a draw leaves out."""
    draw = generator(8)
    many, few = (draw.multinomial(size, np.full(N, 1 / N), size=20) for size in (N, 8))
    return np.concatenate([np.ones((1, N)), many, few, many == 0]).astype(float)


@pytest.mark.parametrize(("name", "key"), METRICS, ids=lambda value: value)
def test_a_score_is_its_metric_under_any_weights(tmp_path, name, key):
    case, weights = CASES[name], drawn_weights()
    scores = read_scores(case.write(tmp_path), case.task, key)
    expected = case.values(weights)[key]
    assert under(scores.score, weights) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert scores.ids == tuple(IDS)
    assert scores.seeds == case.seeds
    assert scores.clusters is None


@pytest.mark.parametrize(("name", "key"), METRICS, ids=lambda value: value)
def test_the_bootstrap_of_a_score_starts_from_the_recorded_value(tmp_path, name, key):
    record = CASES[name].write(tmp_path)
    score = read_scores(record, CASES[name].task, key).score
    drawn = bootstrap([score], resamples=50, out_of_bag=[True])
    assert drawn.point[0] == pytest.approx(record.metrics[key])
    assert np.isfinite(drawn.values).all() and np.isfinite(drawn.out_of_bag).all()
    assert drawn.values.std() > 0


def test_seeds_of_a_score_are_in_the_order_of_the_evidence(tmp_path):
    case = CASES["classification"]
    scores = read_scores(case.write(tmp_path), case.task, "accuracy")
    right = (case.columns["label"] == case.columns["prediction"]).mean(axis=1)
    assert scores.score.value(scores.score.columns.sum(axis=1)) == pytest.approx(right)
    assert scores.by_example == pytest.approx(
        (case.columns["label"] == case.columns["prediction"]).mean(axis=0)
    )


def test_correlations_keep_to_the_shared_seeds_too(tmp_path):
    case = CASES["glue stsb"]
    fewer = Case(
        case.task,
        {name: one[[2, 0]] for name, one in case.columns.items()},
        case.metrics,
        (SEEDS[2], SEEDS[0]),
    )
    both = [
        read_scores(one.write(tmp_path / place), case.task, "spearman")
        for one, place in ((case, "all"), (fewer, "fewer"))
    ]
    first, second = common_seeds(both)
    assert first.score.n_seeds == second.score.n_seeds == 2
    weights = np.random.default_rng(0).integers(0, 3, (4, N)).astype(float)
    assert first.score.value(weights) == pytest.approx(second.score.value(weights))
    assert first.score.value(weights) == pytest.approx(both[0].score.value(weights)[[0, 2]])


def test_only_seeds_that_all_have_are_compared(tmp_path):
    case = CASES["classification"]
    scores = read_scores(case.write(tmp_path), case.task, "accuracy")
    fewer = Case(
        case.task,
        {name: one[[2, 0]] for name, one in case.columns.items()},
        case.metrics,
        (SEEDS[2], SEEDS[0]),
    )
    other = read_scores(fewer.write(tmp_path / "other"), case.task, "accuracy")
    first, second = common_seeds([scores, other])
    assert first.seeds == second.seeds == (SEEDS[0], SEEDS[2])
    assert (first.score.columns == second.score.columns).all()
    right = (case.columns["label"] == case.columns["prediction"]).mean(axis=1)
    assert under(first.score, np.ones((1, N))) == pytest.approx(right[[0, 2]].mean())


@pytest.mark.parametrize(
    ("name", "key", "worse"),
    [
        ("mlm", "loss", {"nll_sum": lambda x: x + 1}),
        ("mlm", "perplexity", {"nll_sum": lambda x: x + 1}),
        ("mlm", "bits_per_byte", {"nll_sum": lambda x: x + 1}),
        ("mlm", "accuracy", {"n_correct": lambda x: np.maximum(x - 1, 0)}),
        ("retrieval", "mrr", {"rank": lambda x: x + 1}),
        ("retrieval", "recall_at_5", {"rank": lambda x: x + 1}),
        ("retrieval of several", "ndcg_at_10", {"ranks": lambda x: x + 1}),
        ("token-classification", "span_f1", {"fp": lambda x: x + 1}),
        ("token-classification", "span_precision", {"fp": lambda x: x + 1}),
        ("token-classification", "span_recall", {"fn": lambda x: x + 1}),
    ],
)
def test_a_worse_example_has_a_smaller_value_by_itself(tmp_path, name, key, worse):
    """Whichever direction of the metric is better: it counts as a loss."""
    case = CASES[name]
    changed = replace(
        case, columns=case.columns | {one: f(case.columns[one]) for one, f in worse.items()}
    )
    good, bad = (
        read_scores(one.write(tmp_path / place), case.task, key).by_example
        for one, place in ((case, "good"), (changed, "bad"))
    )
    assert good.shape == (N,)
    assert (bad <= good).all()
    assert (bad < good).any()


@pytest.mark.parametrize("name", ["similarity", "glue stsb"])
def test_a_correlation_has_no_value_of_one_example(tmp_path, name):
    case = CASES[name]
    assert read_scores(case.write(tmp_path), case.task, "spearman").by_example is None


def test_clusters_are_read(tmp_path):
    case = CASES["classification"]
    book = np.asarray([f"book {row // 4}" for row in range(N)])
    record = case.write(tmp_path)
    table = pa.table(case.table | {"cluster": np.tile(book, 3)})
    record = write_record(tmp_path, record, table)
    assert read_scores(record, case.task, "accuracy").clusters == tuple(book)


def test_masked_tokens_are_known_where_they_are_counted(tmp_path):
    case = CASES["mlm"]
    record = case.write(tmp_path)
    assert read_scores(record, case.task, "loss").masked == pytest.approx(case.columns["n_tokens"])
    assert read_scores(record, case.task, "bits_per_byte").masked is None


@pytest.mark.parametrize("name", CASES)
def test_a_value_that_the_examples_do_not_give_is_refused(tmp_path, name):
    case = CASES[name]
    key = metric_key(case.task.main_metric)
    record = case.write(tmp_path)
    off = replace(record, metrics=record.metrics | {key: record.metrics[key] * 1.0001})
    with pytest.raises(UserError) as told:
        read_scores(off, case.task, key)
    assert f"the scores of its examples give {key} " in told.value.message
    assert "and the record says" in told.value.message
    assert told.value.mend == "delete the record and measure again"


def test_a_changed_file_is_refused(tmp_path):
    case = CASES["retrieval"]
    record = case.write(tmp_path)
    path = record.file.parent / record.per_example.path
    pq.write_table(pa.table(case.table | {"rank": np.ones(N, dtype=int)}), path)
    with pytest.raises(UserError, match="was changed after it was measured"):
        read_scores(record, case.task, "mrr")


def test_a_missing_file_is_refused(tmp_path):
    case = CASES["retrieval"]
    record = case.write(tmp_path)
    (record.file.parent / record.per_example.path).unlink()
    with pytest.raises(UserError):
        read_scores(record, case.task, "mrr")


def test_evidence_without_scores_of_examples_is_refused(tmp_path):
    case = CASES["retrieval"]
    record = replace(case.write(tmp_path), per_example=None)
    with pytest.raises(UserError, match="has no scores of its examples") as told:
        read_scores(record, case.task, "mrr")
    assert told.value.mend == "delete the record and measure again"


def test_speed_is_no_metric_of_examples(tmp_path):
    task = TypeAdapter(AnyTask).validate_python({"name": "speed", "type": "efficiency"})
    with pytest.raises(UserError) as told:
        read_scores(CASES["mlm"].write(tmp_path), task, "short_fixed_tokens_per_second")
    assert told.value.message.startswith(
        "'speed/short_fixed_tokens_per_second' has no scores of examples"
    )


def swapped(column: Any) -> Any:
    return np.concatenate([column[:N], column[N:][::-1]])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table | {"prediction": [None, *table["prediction"][1:]]},
         "an example has no 'prediction'"),
        (lambda table: {name: one[:-5] for name, one in table.items()},
         "its seeds are of different examples"),
        (lambda table: table | {"id": swapped(table["id"])},
         "its seeds are of different examples, or in another order"),
        (lambda table: {name: one[np.argsort(IDS.tolist() * 3)] for name, one in table.items()},
         "its seeds are of different examples, or in another order"),
        (lambda table: {name: np.delete(one, [0, N, 2 * N]) for name, one in table.items()},
         f"it has {N - 1}, the record {N}"),
        (lambda table: {name: one for name, one in table.items() if name != "id"},
         "it has no column 'id'"),
        (lambda table: {name: one for name, one in table.items() if name != "label"},
         "its columns do not give macro_f1"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_table_of_scores_is_refused(tmp_path, change, said):
    case = CASES["classification"]
    record = write_record(tmp_path, case.write(tmp_path), pa.table(change(case.table)))
    with pytest.raises(UserError) as told:
        read_scores(record, case.task, "macro_f1")
    assert told.value.message.endswith(f"does not hold the scores of the examples: {said}")


def test_a_score_that_is_no_number_is_refused_though_the_value_follows(tmp_path):
    case = CASES["retrieval"]
    ranks = np.where(np.arange(N) == 0, np.nan, case.table["rank"].astype(float))
    record = case.write(tmp_path)
    record = write_record(tmp_path, record, pa.table(case.table | {"rank": ranks}))
    with pytest.raises(UserError, match="an example has no 'rank'"):
        read_scores(record, case.task, "recall_at_1")


def test_a_file_that_is_no_parquet_is_refused_though_its_hash_is_right(tmp_path):
    case = CASES["retrieval"]
    record = case.write(tmp_path)
    path = record.file.parent / record.per_example.path
    path.write_bytes(b"no table")
    other = replace(record, per_example=replace(record.per_example, sha256=sha256_file(path)))
    with pytest.raises(UserError, match="it is no Parquet file"):
        read_scores(other, case.task, "mrr")
