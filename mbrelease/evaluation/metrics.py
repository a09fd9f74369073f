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
    """The metrics ``names`` (``recall@k``, ``mrr``, ``ndcg@k``) of ranks with one gold document.

    Args:
        examples: ``rank`` of the gold document, from 1, one entry a query.
        weights: Shape (resamples, queries).
        names: Metric names as they stand in the registry.

    Raises:
        ValueError: a name is not a retrieval metric.
    """
    rank = examples["rank"].astype(np.float64)
    total = weights.sum(axis=1)
    return {name.replace("@", "_at_"): weights @ _gain(name, rank) / total for name in names}


def _gain(name: str, rank: Floats) -> Floats:
    if name == "mrr":
        return 1.0 / rank
    match = re.fullmatch(r"(recall|ndcg)@([1-9]\d*)", name)
    if match is None:
        raise ValueError(f"unknown retrieval metric '{name}'")
    within = rank <= int(match[2])
    # With one gold document the ideal DCG is 1 and nDCG is 1 / log2(1 + rank).
    gain = within if match[1] == "recall" else within / np.log2(1.0 + rank)
    return np.asarray(gain, dtype=np.float64)


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
