"""Metrics as functions of per-example scores and example weights; pure NumPy.

Every function takes ``weights`` of shape (resamples, examples) and returns one value a resample.
Weights of one give the point value, multinomial counts give a bootstrap. Losses and F1 are
ratios of sums, so the sums are resampled, never means of ratios.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Columns = Mapping[str, NDArray[np.generic]]


def mlm_metrics(examples: Columns, weights: Floats) -> dict[str, Floats]:
    """Loss (nats a masked token), accuracy, perplexity, bits a byte of masked text.

    Args:
        examples: ``nll_sum``, ``n_tokens``, ``n_correct``, ``n_bytes``, one entry a document.
        weights: Shape (resamples, documents).
    """
    nll, tokens, correct, size = (
        weights @ examples[name].astype(np.float64)
        for name in ("nll_sum", "n_tokens", "n_correct", "n_bytes")
    )
    loss = nll / tokens
    with np.errstate(over="ignore"):  # of a model that diverged
        perplexity = np.exp(loss)
    return {
        "loss": loss,
        "accuracy": correct / tokens,
        "perplexity": perplexity,
        "bits_per_byte": nll / np.log(2.0) / size,
    }


def retrieval_metrics(
    examples: Columns, weights: Floats, names: Sequence[str]
) -> dict[str, Floats]:
    """The metrics ``names`` (``recall@k``, ``mrr``, ``ndcg@k``) of the ranks of gold documents.

    Of each query, then averaged: ``recall@k`` is the share of its gold documents with rank ≤ k (as
    trec_eval has it; not whether there is any, nor a share of min(k, gold documents)); ``mrr`` is
    1 / the best rank, at any depth; ``ndcg@k`` is Σ 1 / log2(1 + rank) over gold documents with
    rank ≤ k, divided by the same sum of the ranks 1 to min(k, gold documents) (Järvelin and
    Kekäläinen, 2002, with gains of 0 and 1).

    Args:
        examples: ``rank``, from 1, where every query has one gold document; otherwise ``ranks``,
            an array of objects, each the rising ranks of a query. One entry a query.
        weights: Shape (resamples, queries).
        names: Metric names as they stand in the registry.

    Raises:
        ValueError: a name is not a retrieval metric.
    """
    total = weights.sum(axis=1)
    return {
        name.replace("@", "_at_"): weights @ query_gains(examples, name) / total for name in names
    }


def query_gains(examples: Columns, name: str) -> Floats:
    """The metric ``name`` of each query by itself, (queries,); see ``retrieval_metrics``."""
    if "rank" in examples:
        rank = examples["rank"].astype(np.float64).reshape(-1)
        counts = np.ones(len(rank), dtype=np.int64)
    else:
        rank = np.concatenate(list(examples["ranks"])).astype(np.float64)
        counts = np.asarray([len(ranks) for ranks in examples["ranks"]])
    return _gain(name, rank, counts)


def _gain(name: str, rank: Floats, counts: NDArray[np.int64]) -> Floats:
    """The value of each query; ``rank`` holds its ``counts`` rising ranks after one another."""
    starts = np.cumsum(counts) - counts
    if name == "mrr":
        return np.asarray(1.0 / rank[starts])
    match = re.fullmatch(r"(recall|ndcg)@([1-9]\d*)", name)
    if match is None:
        raise ValueError(f"unknown retrieval metric '{name}'")
    depth = int(match[2])
    within = rank <= depth
    if match[1] == "recall":
        return np.asarray(np.add.reduceat(within.astype(np.float64), starts) / counts)
    gained = np.add.reduceat(within / np.log2(1.0 + rank), starts)
    most = min(depth, int(counts.max()))
    ideal = np.cumsum(1.0 / np.log2(2.0 + np.arange(most)))
    return np.asarray(gained / ideal[np.minimum(counts, depth) - 1])


def classification_metrics(examples: Columns, weights: Floats) -> dict[str, Floats]:
    """Macro-F1 (over the classes of the gold labels) and accuracy, averaged over seeds.

    Args:
        examples: ``label`` and ``prediction`` as class numbers, both of shape (seeds, examples).
        weights: Shape (resamples, examples); shared by the seeds.
    """
    per_seed = [
        _classification(label, prediction, weights)
        for label, prediction in zip(examples["label"], examples["prediction"], strict=True)
    ]
    return {
        name: np.mean([values[name] for values in per_seed], axis=0)
        for name in ("macro_f1", "accuracy")
    }


def _classification(
    label: NDArray[np.generic], prediction: NDArray[np.generic], weights: Floats
) -> dict[str, Floats]:
    classes = np.unique(label)
    is_label = (label[:, None] == classes).astype(np.float64)
    is_prediction = (prediction[:, None] == classes).astype(np.float64)
    hits = weights @ (is_label * is_prediction)
    positives, predicted = weights @ is_label, weights @ is_prediction
    denominator = positives + predicted
    # A class that a resample has neither drawn nor predicted says nothing: it is left out.
    f1 = np.divide(2 * hits, denominator, out=np.zeros_like(hits), where=denominator > 0)
    present = (denominator > 0).sum(axis=1)
    return {
        "macro_f1": f1.sum(axis=1) / np.maximum(present, 1),
        "accuracy": hits.sum(axis=1) / weights.sum(axis=1),
    }


def span_metrics(examples: Columns, weights: Floats) -> dict[str, Floats]:
    """F1, precision and recall of spans over all texts (micro), averaged over seeds.

    Args:
        examples: ``tp``, ``fp`` and ``fn``, the spans of each text that were found, that are none
            and that were missed, each of shape (seeds, examples).
        weights: Shape (resamples, examples); shared by the seeds.
    """
    # Sums are over examples, so a resample gives shape (seeds, resamples).
    found, wrong, missed = (
        examples[name].astype(np.float64) @ weights.T for name in ("tp", "fp", "fn")
    )
    ratios = {
        "span_f1": _ratio(2 * found, 2 * found + wrong + missed),
        "span_precision": _ratio(found, found + wrong),
        "span_recall": _ratio(found, found + missed),
    }
    return {name: np.asarray(value.mean(axis=0)) for name, value in ratios.items()}


def correlation_metrics(examples: Columns, weights: Floats) -> dict[str, Floats]:
    """Spearman's and Pearson's correlation of score and target, averaged over seeds.

    Spearman's is Pearson's of the ranks, which every resample has of its own; equal values share
    the mean of their ranks. A constant orders nothing: its correlation is 0.

    Args:
        examples: ``target`` and ``score``, both of shape (seeds, examples).
        weights: Shape (resamples, examples); shared by the seeds.
    """
    target, score = (examples[name].astype(np.float64) for name in ("target", "score"))
    pairs = list(zip(target, score, strict=True))
    return {
        "spearman": np.mean([_spearman(*pair, weights) for pair in pairs], axis=0),
        "pearson": np.mean([_pearson(*pair, weights) for pair in pairs], axis=0),
    }


def binary_metrics(examples: Columns, weights: Floats, positive: str | int) -> dict[str, Floats]:
    """Accuracy, and F1 and Matthews' correlation of one label against all others, over seeds.

    Matthews' correlation is Pearson's of two yes-or-no variables: 0 where one is constant.

    Args:
        examples: ``label`` and ``prediction``, both of shape (seeds, examples).
        weights: Shape (resamples, examples); shared by the seeds.
        positive: The label that counts as yes.
    """
    total = weights.sum(axis=1)
    f1, matthews, accuracy = [], [], []
    for label, prediction in zip(examples["label"], examples["prediction"], strict=True):
        yes, said = (label == positive).astype(np.float64), (prediction == positive).astype(float)
        tp, yes_sum, said_sum = weights @ (yes * said), weights @ yes, weights @ said
        f1.append(_ratio(2 * tp, yes_sum + said_sum))
        spread = np.sqrt(yes_sum * (total - yes_sum) * said_sum * (total - said_sum))
        matthews.append(_ratio(tp * total - yes_sum * said_sum, spread))
        accuracy.append(weights @ (label == prediction).astype(np.float64) / total)
    return {
        "accuracy": np.mean(accuracy, axis=0),
        "f1": np.mean(f1, axis=0),
        "matthews": np.mean(matthews, axis=0),
    }


def speed_metrics(examples: Columns, sets: Sequence[str]) -> dict[str, float]:
    """Tokens a second of each set, ``…_tokens_per_second``: mean over its runs, and ``…_std``.

    The standard deviation is that of a sample, divided by runs - 1. Runs are not weighted, for they
    are no sample of examples.

    Args:
        examples: ``set``, ``seconds`` and ``tokens``, one entry a run, two or more of each set.
        sets: The names of the sets.
    """
    speed = examples["tokens"].astype(np.float64) / examples["seconds"].astype(np.float64)
    found = {}
    for name in sets:
        runs = speed[examples["set"] == name]
        found[f"{name}_tokens_per_second"] = float(runs.mean())
        found[f"{name}_tokens_per_second_std"] = float(runs.std(ddof=1))
    return found


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """The quotient, 0 where the denominator is."""
    zero = np.zeros(np.broadcast(numerator, denominator).shape)
    return np.divide(numerator, denominator, out=zero, where=denominator > 0)


def _spearman(x: Floats, y: Floats, weights: Floats) -> Floats:
    x_ranks, y_ranks = _centred_ranks(x, weights), _centred_ranks(y, weights)
    products = [
        np.einsum("re,re,re->r", weights, one, other)
        for one, other in ((x_ranks, y_ranks), (x_ranks, x_ranks), (y_ranks, y_ranks))
    ]
    return _ratio(products[0], np.sqrt(products[1] * products[2]))


def _centred_ranks(values: Floats, weights: Floats) -> Floats:
    """Mid-ranks of ``values`` (examples,) less their mean, each as often as its weight says."""
    distinct, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(distinct)))
    counts = np.add.reduceat(weights[:, order], starts, axis=1)
    # With n values in all, mid-ranks have the mean (n + 1) / 2; all are halves, so this is exact.
    ranks = np.cumsum(counts, axis=1) - (counts + weights.sum(axis=1, keepdims=True)) / 2
    return np.asarray(ranks[:, place])


def _pearson(x: Floats, y: Floats, weights: Floats) -> Floats:
    x, y = x - x.mean(), y - y.mean()  # so that squares of a large mean hide nothing
    total, x_sum, y_sum = weights.sum(axis=1), weights @ x, weights @ y
    covariance = weights @ (x * y) - x_sum * y_sum / total
    variances = []
    for values, value_sum in ((x, x_sum), (y, y_sum)):
        squares = weights @ values**2
        variance = squares - value_sum**2 / total
        # What rounding leaves of a constant is no spread.
        variances.append(np.where(variance > 1e-12 * squares, variance, 0.0))
    return _ratio(covariance, np.sqrt(variances[0] * variances[1]))
