"""Per-example scores of an evidence record, as something that can be resampled.

One definition a metric: the same sums as in ``evaluation.metrics``, but apart from their weights,
so that those of all candidates are taken in one product. What is read is held against the value
in the record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mbrelease.errors import UserError
from mbrelease.evaluation.evidence import EvidenceRecord, read_examples
from mbrelease.evaluation.metric_names import lower_is_better
from mbrelease.evaluation.metrics import Columns, Floats, correlation_metrics, query_gains
from mbrelease.registry.tasks import AnyTask, EfficiencyTask, GlueTask, PairTask
from mbrelease.selection.statistics import AdditiveScore, Score, WeightedScore

GLUE_POSITIVE = "1"


@dataclass(frozen=True)
class ExampleScores:
    """One metric of one model on every example of a split."""

    score: Score
    by_example: Floats | None
    """A value of each example, higher is better, averaged over seeds; ``None`` where examples have
    none by themselves. It tells wins from losses and nothing more."""
    ids: tuple[str, ...]
    clusters: tuple[str, ...] | None
    seeds: tuple[int, ...]
    """Of trained heads; empty where nothing is trained."""
    masked: Floats | None = None
    """Where tokens were masked and counted, how many of each example."""


def read_scores(record: EvidenceRecord, task: AnyTask, key: str) -> ExampleScores:
    """The scores behind the metric ``key`` (``recall_at_1``) of ``record``.

    Raises:
        UserError: the metric is no mean over examples, the file is missing or was changed, it is
            no table of such scores, or its scores do not give the recorded value.
    """
    if isinstance(task, EfficiencyTask):
        raise UserError(
            f"'{task.name}/{key}' has no scores of examples, so nothing can be inferred from it",
            mend="choose by a metric that is measured on examples",
        )
    columns = read_columns(record)
    _require_blocks(record, columns)
    seeds = tuple(int(seed) for seed in dict.fromkeys(columns.pop("seed", np.empty(0)).tolist()))
    shape = (len(seeds) or 1, -1)
    ids, clusters = columns.pop("id"), columns.pop("cluster", None)
    n = len(ids) // shape[0]
    rows = {
        name: column.reshape(shape) if name != "ranks" else column
        for name, column in columns.items()
    }
    try:
        score, by_example = _score(task, key, rows)
    except (KeyError, ValueError) as error:
        raise _no_table(record, f"its columns do not give {key}") from error
    if by_example is not None and lower_is_better(key):
        by_example = -by_example
    _check(record, key, score)
    # Bytes of masked text depend on the tokenizer too, but are a measure that models share.
    counted = task.type == "mlm" and key != "bits_per_byte"
    return ExampleScores(
        score,
        by_example,
        tuple(map(str, ids[:n])),
        None if clusters is None else tuple(map(str, clusters[:n])),
        seeds,
        rows["n_tokens"][0].astype(np.float64) if counted else None,
    )


def read_columns(record: EvidenceRecord) -> dict[str, NDArray[np.generic]]:
    """The per-example table of ``record``, by column.

    Raises:
        UserError: it is missing or was changed, is no table, or lacks values.
    """
    import pyarrow as pa

    if record.per_example is None:
        raise UserError(
            f"{record.file}: {record.task_name} on {record.split} has no scores of its examples",
            mend="delete the record and measure again",
        )
    try:
        table = read_examples(record)
    except pa.ArrowException as error:
        raise _no_table(record, "it is no Parquet file") from error
    columns = {name: table[name].to_numpy() for name in table.column_names}
    for name, column in columns.items():
        is_nan = column.dtype.kind == "f" and np.isnan(column).any()
        if is_nan or table[name].null_count:
            raise _no_table(record, f"an example has no '{name}'")
    return columns


def _require_blocks(record: EvidenceRecord, columns: Mapping[str, NDArray[np.generic]]) -> None:
    """Stop unless all examples are there by name, seed after seed, each time in one order."""
    if "id" not in columns:
        raise _no_table(record, "it has no column 'id'")
    seeds = columns.get("seed", np.zeros(len(columns["id"])))
    n_seeds = len(np.unique(seeds)) or 1
    if len(seeds) % n_seeds:
        raise _no_table(record, "its seeds are of different examples")
    ids, seeds = (column.reshape(n_seeds, -1) for column in (columns["id"], seeds))
    if ids.shape[1] != record.n_examples:
        raise _no_table(record, f"it has {ids.shape[1]}, the record {record.n_examples}")
    if (ids != ids[:1]).any() or (seeds != seeds[:, :1]).any():
        raise _no_table(record, "its seeds are of different examples, or in another order")


def _no_table(record: EvidenceRecord, what: str) -> UserError:
    return UserError(
        f"{record.examples_file} does not hold the scores of the examples: {what}",
        mend="delete the record and measure again",
    )


def common_seeds(scores: Sequence[ExampleScores]) -> list[ExampleScores]:
    """``scores`` with the seeds that all of them have."""
    shared = [seed for seed in scores[0].seeds if all(seed in one.seeds for one in scores)]
    if not scores[0].seeds:
        return list(scores)
    return [_with_seeds(one, tuple(shared)) for one in scores]


def _with_seeds(scores: ExampleScores, seeds: tuple[int, ...]) -> ExampleScores:
    if scores.seeds == seeds:
        return scores
    rows = [scores.seeds.index(seed) for seed in seeds]
    known = scores.score
    if isinstance(known, AdditiveScore):
        return replace(scores, score=AdditiveScore(known.columns[rows], known.value), seeds=seeds)
    score = WeightedScore(len(rows), known.n_examples, lambda weights: known.value(weights)[rows])
    return replace(scores, score=score, seeds=seeds)


def _check(record: EvidenceRecord, key: str, score: Score) -> None:
    recorded = record.metrics[key]
    if isinstance(score, AdditiveScore):
        by_seed = score.value(score.columns.sum(axis=1))
    else:
        by_seed = score.value(np.ones((1, score.n_examples)))[:, 0]
    if not np.isclose(float(np.mean(by_seed)), recorded, rtol=1e-6, atol=1e-9):
        raise UserError(
            f"{record.file}: the scores of its examples give {key} {float(np.mean(by_seed)):.6g}, "
            f"and the record says {recorded:.6g}",
            mend="delete the record and measure again",
        )


def _score(task: AnyTask, key: str, rows: Columns) -> tuple[Score, Floats | None]:
    if task.type == "mlm":
        return _mlm(key, rows)
    if task.type == "retrieval":
        return _retrieval(key, rows)
    if task.type == "token-classification":
        return _spans(key, rows)
    if "target" in rows:
        return _correlation(key, rows), None
    positive = None
    if isinstance(task, GlueTask):
        positive = GLUE_POSITIVE
    elif isinstance(task, PairTask):
        positive = task.positive
    return _labels("macro_f1" if key == "f1" and positive is None else key, rows, positive)


def _mlm(key: str, rows: Columns) -> tuple[Score, Floats | None]:
    tops = {"accuracy": "n_correct"}
    bottoms = {"bits_per_byte": "n_bytes"}
    top = rows[tops.get(key, "nll_sum")].astype(np.float64)
    bottom = rows[bottoms.get(key, "n_tokens")].astype(np.float64)
    finish: dict[str, Callable[[Floats], Floats]] = {
        "perplexity": _perplexity,
        "bits_per_byte": _bits,
    }
    score = AdditiveScore(np.stack([top, bottom], axis=2), finish.get(key, _quotient))
    return score, (top / np.maximum(bottom, 1)).mean(axis=0)


def _perplexity(sums: Floats) -> Floats:
    with np.errstate(over="ignore"):  # of a model that diverged
        return np.asarray(np.exp(_quotient(sums)))


def _bits(sums: Floats) -> Floats:
    return np.asarray(_quotient(sums) / np.log(2.0))


def _retrieval(key: str, rows: Columns) -> tuple[Score, Floats | None]:
    gains = query_gains(rows, key.replace("_at_", "@"))
    return _mean_of(gains[None]), gains


def _mean_of(values: Floats) -> AdditiveScore:
    """The mean of ``values``, (seeds, examples)."""
    return AdditiveScore(np.stack([values, np.ones_like(values)], axis=2), _quotient)


def _spans(key: str, rows: Columns) -> tuple[Score, Floats | None]:
    found, wrong, missed = (rows[name].astype(np.float64) for name in ("tp", "fp", "fn"))
    pairs = {
        "span_f1": (2 * found, 2 * found + wrong + missed),
        "span_precision": (found, found + wrong),
        "span_recall": (found, found + missed),
    }
    top, bottom = pairs[key]
    by_text = np.divide(top, bottom, out=np.ones_like(top), where=bottom > 0)
    return AdditiveScore(np.stack([top, bottom], axis=2), _quotient), by_text.mean(axis=0)


def _correlation(key: str, rows: Columns) -> Score:
    n_seeds, n_examples = rows["target"].shape

    def value(weights: Floats) -> Floats:
        return np.stack(
            [
                correlation_metrics({name: one[s : s + 1] for name, one in rows.items()}, weights)[
                    key
                ]
                for s in range(n_seeds)
            ]
        )

    return WeightedScore(n_seeds, n_examples, value)


def _labels(key: str, rows: Columns, positive: str | None) -> tuple[Score, Floats | None]:
    label, prediction = rows["label"], rows["prediction"]
    right = (label == prediction).astype(np.float64)
    by_example = right.mean(axis=0)
    if key == "accuracy":
        return _mean_of(right), by_example
    if key == "macro_f1":
        classes = np.unique(label)
        is_label = (label[..., None] == classes).astype(np.float64)
        is_prediction = (prediction[..., None] == classes).astype(np.float64)
        columns = np.concatenate([is_label * is_prediction, is_label, is_prediction], axis=2)
        return AdditiveScore(columns, _macro_f1), by_example
    yes, said = ((one == positive).astype(np.float64) for one in (label, prediction))
    columns = np.stack([yes * said, yes, said, np.ones_like(yes)], axis=2)
    return AdditiveScore(columns, _f1 if key == "f1" else _matthews), by_example


def _quotient(sums: Floats) -> Floats:
    return _ratio(sums[..., 0], sums[..., 1])


def _ratio(top: Floats, bottom: Floats) -> Floats:
    """The quotient, 0 where the denominator is."""
    return np.divide(top, bottom, out=np.zeros_like(bottom), where=bottom > 0)


def _macro_f1(sums: Floats) -> Floats:
    hits, positives, predicted = np.split(sums, 3, axis=-1)
    both = positives + predicted
    # A class that a resample has neither drawn nor predicted says nothing: it is left out.
    return np.asarray(_ratio(2 * hits, both).sum(axis=-1) / np.maximum((both > 0).sum(axis=-1), 1))


def _f1(sums: Floats) -> Floats:
    return _ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2])


def _matthews(sums: Floats) -> Floats:
    hits, yes, said, total = np.moveaxis(sums, -1, 0)
    spread = np.sqrt(yes * (total - yes) * said * (total - said))
    return _ratio(hits * total - yes * said, spread)
