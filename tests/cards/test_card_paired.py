"""The interval of the difference of two models, over the same examples."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from card_projects import AVERAGE, BASE, Build, Built, N, record
from numpy.typing import NDArray
from pydantic import TypeAdapter

from mbrelease.cards.paired import FEWEST_EXAMPLES, KEPT, paired_interval
from mbrelease.errors import UserError
from mbrelease.evaluation.evidence import EvidenceRecord, read_examples, write_record
from mbrelease.registry.tasks import AnyTask

RESAMPLES = 4000


@pytest.fixture
def dev(build: Build) -> Built:
    return build(splits=("dev",), decide=False)


def pair(built: Built, name: str) -> tuple[AnyTask, EvidenceRecord, EvidenceRecord]:
    (task,) = [task for task in built.project.suite("science") if task.name == name]
    return task, built.records[AVERAGE, name, "dev"], built.records[BASE, name, "dev"]


def kept(built: Built) -> list[Path]:
    return list((built.project.root / KEPT).glob("*.json"))


def plain_bootstrap(
    value: Callable[[pa.Table, NDArray[np.int64]], float], own: pa.Table, other: pa.Table
) -> tuple[float, float]:
    """Draw examples with replacement, value both models on them, and take percentiles."""
    drawing = np.random.default_rng(11)
    found = []
    for _ in range(RESAMPLES):
        drawn = drawing.integers(0, N, N)
        found.append(value(own, drawn) - value(other, drawn))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def recall(table: pa.Table, drawn: NDArray[np.int64]) -> float:
    return float((table["rank"].to_numpy()[drawn] <= 1).mean())


def mrr(table: pa.Table, drawn: NDArray[np.int64]) -> float:
    return float((1 / table["rank"].to_numpy()[drawn]).mean())


def loss(table: pa.Table, drawn: NDArray[np.int64]) -> float:
    sums = (table[name].to_numpy()[drawn].sum() for name in ("nll_sum", "n_tokens"))
    return float(next(sums) / next(sums))


@pytest.mark.parametrize(
    ("task", "key", "value"),
    [
        ("title-abstract", "recall_at_1", recall),
        ("title-abstract", "mrr", mrr),
        ("heldout-mlm", "loss", loss),
    ],
)
def test_it_is_that_of_a_plain_paired_bootstrap(
    dev: Built, task: str, key: str, value: Callable[..., float]
) -> None:
    settings, own, other = pair(dev, task)
    found = paired_interval(dev.project, settings, key, own, other)
    assert found is not None
    expected = plain_bootstrap(value, read_examples(own), read_examples(other))
    width = expected[1] - expected[0]
    assert found == pytest.approx(expected, abs=0.06 * width)
    # It is of own minus other, and the other way round the other way round.
    back = paired_interval(dev.project, settings, key, other, own)
    assert back == pytest.approx((-found[1], -found[0]), abs=0.03 * width)


def test_paired_is_narrower_than_apart(dev: Built) -> None:
    """What models have in common cancels: this is no difference of two intervals."""
    task, own, other = pair(dev, "heldout-mlm")
    found = paired_interval(dev.project, task, "loss", own, other)
    assert found is not None
    tables = [read_examples(one) for one in (own, other)]
    drawing = np.random.default_rng(5)
    apart = []
    for _ in range(1000):
        values = [loss(table, drawing.integers(0, N, N)) for table in tables]
        apart.append(values[0] - values[1])
    low, high = np.quantile(apart, [0.025, 0.975])
    assert found[1] - found[0] < 0.5 * (high - low)


def test_seeds_count_too(dev: Built) -> None:
    task, own, other = pair(dev, "section")
    found = paired_interval(dev.project, task, "accuracy", own, other)
    own_right, other_right = (
        (table["label"].to_numpy() == table["prediction"].to_numpy()).reshape(5, N)
        for table in (read_examples(own), read_examples(other))
    )
    assert found is not None
    difference = own_right.mean() - other_right.mean()
    assert found[0] < difference < found[1]


def changed(built: Built, change: Callable[[dict[str, Any]], dict[str, Any]]) -> EvidenceRecord:
    """The base's record of title-abstract, measured on changed examples."""
    _, _, other = pair(built, "title-abstract")
    columns = change(read_examples(other).to_pydict())
    table = pa.table(columns)
    ranks = table["rank"].to_numpy()
    metrics = {"recall_at_1": float((ranks <= 1).mean()), "mrr": float((1 / ranks).mean())}
    given = replace(other, metrics=metrics, n_examples=len(set(columns["id"])))
    return write_record(built.project.evidence, given, table)


@pytest.mark.parametrize(
    ("change", "known"),
    [
        (lambda c: c, True),
        (lambda c: {**c, "id": [f"other {i}" for i in range(N)]}, False),
        (lambda c: {**c, "id": c["id"][::-1]}, False),
        (lambda c: {name: column[:-1] for name, column in c.items()}, False),
        (lambda c: {**c, "cluster": [f"doc {i // 2}" for i in range(N)]}, False),
    ],
)
def test_other_examples_are_not_compared(
    dev: Built, change: Callable[[dict[str, Any]], dict[str, Any]], known: bool
) -> None:
    task, own, _ = pair(dev, "title-abstract")
    found = paired_interval(dev.project, task, "recall_at_1", own, changed(dev, change))
    assert (found is not None) == known
    assert len(kept(dev)) == int(known)


def measured(built: Built, weights: str, task: str, table: dict[str, Any], **metrics: float) -> Any:
    given = replace(record(weights, task, "dev", metrics), n_examples=len(set(table["id"])))
    return write_record(built.project.evidence, given, pa.table(table))


def test_other_masks_are_not_compared(dev: Built) -> None:
    task = pair(dev, "heldout-mlm")[0]

    def of(weights: str, tokens: list[int]) -> EvidenceRecord:
        total = sum(tokens)
        table = {
            "id": [str(i) for i in range(N)], "nll_sum": np.full(N, 2.0 * total / N),
            "n_correct": np.zeros(N), "n_tokens": tokens, "n_bytes": np.ones(N),
        }  # fmt: skip
        metrics = {"loss": 2.0, "bits_per_byte": 2.0 * total / N / np.log(2)}
        return measured(dev, weights, task.name, table, **metrics)  # type: ignore[no-any-return]

    same, other = [5] * N, [4, 6] * (N // 2)
    own = of(AVERAGE, same)
    assert paired_interval(dev.project, task, "loss", own, of(BASE, same)) is not None
    assert paired_interval(dev.project, task, "loss", own, of(BASE, other)) is None
    # Bytes of a text are the same whatever was masked.
    assert paired_interval(dev.project, task, "bits_per_byte", own, of(BASE, other)) is not None


def test_other_seeds_are_not_compared(dev: Built) -> None:
    task, own, _ = pair(dev, "section")

    def of(seeds: list[int]) -> EvidenceRecord:
        table = {
            "id": [f"example {i}" for i in range(N)] * len(seeds),
            "seed": np.repeat(seeds, N),
            "label": ["section 0", "section 1"] * (N // 2) * len(seeds),
            "prediction": ["section 0"] * N * len(seeds),
        }
        return measured(dev, BASE, "section", table, accuracy=0.5)  # type: ignore[no-any-return]

    assert paired_interval(dev.project, task, "accuracy", own, of([4, 5])) is not None
    assert paired_interval(dev.project, task, "accuracy", own, of([5, 6])) is None


@pytest.mark.parametrize("n", [FEWEST_EXAMPLES - 1, FEWEST_EXAMPLES])
@pytest.mark.parametrize("clustered", [False, True])
def test_few_examples_make_no_interval(dev: Built, n: int, clustered: bool) -> None:
    """Of examples that belong together, each group counts once."""
    task = pair(dev, "title-abstract")[0]
    rows = 3 * n if clustered else n
    table: dict[str, Any] = {
        "id": [str(i) for i in range(rows)],
        "rank": [1 + i % 2 for i in range(rows)],
    }
    if clustered:
        table["cluster"] = [str(i % n) for i in range(rows)]
    metrics = {"recall_at_1": float(np.mean([rank == 1 for rank in table["rank"]]))}
    both = [measured(dev, weights, task.name, table, **metrics) for weights in (AVERAGE, BASE)]
    found = paired_interval(dev.project, task, "recall_at_1", *both)
    assert (found is None) == (n < FEWEST_EXAMPLES)
    assert found in (None, (0.0, 0.0))


@pytest.mark.parametrize("whose", [0, 1])
def test_without_the_scores_there_is_none(dev: Built, whose: int) -> None:
    task, *both = pair(dev, "title-abstract")
    assert both[whose].examples_file is not None
    both[whose].examples_file.unlink()
    assert paired_interval(dev.project, task, "recall_at_1", *both) is None
    both[whose] = replace(both[whose], per_example=None)
    assert paired_interval(dev.project, task, "recall_at_1", *both) is None


def test_speed_has_no_examples(dev: Built) -> None:
    speed: AnyTask = TypeAdapter(AnyTask).validate_python({"name": "speed", "type": "efficiency"})
    _, own, other = pair(dev, "title-abstract")
    assert paired_interval(dev.project, speed, "short_fixed_tokens_per_second", own, other) is None


def test_an_interval_is_drawn_once(dev: Built) -> None:
    task, own, other = pair(dev, "title-abstract")
    found = paired_interval(dev.project, task, "recall_at_1", own, other)
    (path,) = kept(dev)
    path.write_text("[0.125, 0.25]")  # so that it shows where the answer comes from
    assert paired_interval(dev.project, task, "recall_at_1", own, other) == (0.125, 0.25)
    # Another metric, or the same one of changed scores, is another interval.
    assert paired_interval(dev.project, task, "mrr", own, other) != (0.125, 0.25)
    fewer = changed(dev, lambda c: {**c, "rank": [9] * N})
    again = paired_interval(dev.project, task, "recall_at_1", own, fewer)
    assert again not in (None, found, (0.125, 0.25))


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "null", "[]", "[0.1]", "[0.1, 0.2, 0.3]", '["0.1", "0.2"]', '"12"', "[0.2, 0.1]",
        "[NaN, NaN]", "[0.1, Infinity]", '{"1": 1, "2": 2}', "[true, true]", "\xff",
    ],
)  # fmt: skip
def test_a_broken_file_of_kept_intervals_does_no_harm(dev: Built, content: str) -> None:
    task, own, other = pair(dev, "title-abstract")
    found = paired_interval(dev.project, task, "recall_at_1", own, other)
    (path,) = kept(dev)
    path.write_bytes(content.encode("latin-1"))
    assert paired_interval(dev.project, task, "recall_at_1", own, other) == found
    assert tuple(json.loads(path.read_text())) == found  # and is mended


def test_where_nothing_can_be_kept_it_is_drawn_each_time(dev: Built) -> None:
    task, own, other = pair(dev, "title-abstract")
    (dev.project.root / KEPT.parent).write_text("no folder")
    first = paired_interval(dev.project, task, "recall_at_1", own, other)
    assert first is not None
    assert paired_interval(dev.project, task, "recall_at_1", own, other) == first


def test_changed_scores_are_refused(dev: Built) -> None:
    task, own, other = pair(dev, "title-abstract")
    assert other.examples_file is not None
    table = read_examples(other).to_pydict()
    pq.write_table(pa.table({**table, "rank": [1] * N}), other.examples_file)
    with pytest.raises(UserError, match="was changed after it was measured"):
        paired_interval(dev.project, task, "recall_at_1", own, other)
    assert kept(dev) == []


def test_scores_that_do_not_give_the_recorded_value_are_refused(dev: Built) -> None:
    task, own, other = pair(dev, "title-abstract")
    claimed = replace(other, metrics={**other.metrics, "recall_at_1": 0.9})
    with pytest.raises(UserError, match="the record says 0.9"):
        paired_interval(dev.project, task, "recall_at_1", own, claimed)
