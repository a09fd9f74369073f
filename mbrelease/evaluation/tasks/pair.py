"""Pairs of texts: how similar they are, or which label they have.

Similarity is the cosine of the two embeddings, or after ``training`` a number that one model
predicts from both; its measure is the correlation of ranks with the similarities people gave.
Labels, such as entailment or paraphrase, are predicted by a fine-tuned model. Their F1 is that of
the label ``positive`` where the task declares one, else the mean over the labels: which of two
labels matters is not guessed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from mbrelease.errors import UserError
from mbrelease.evaluation.dataset import Dataset
from mbrelease.evaluation.encoder import Encoder
from mbrelease.evaluation.metrics import (
    Columns,
    Floats,
    binary_metrics,
    classification_metrics,
    correlation_metrics,
)
from mbrelease.evaluation.tasks.outcome import Outcome, Sample, outcome_of_seeds, point_and_interval
from mbrelease.evaluation.training.examples import Examples, encode_pairs
from mbrelease.evaluation.training.heads import Labels, Learner
from mbrelease.evaluation.training.trainable import Start
from mbrelease.progress import SILENT, Progress
from mbrelease.registry.tasks import PairTask

CODE_VERSION = 1


def measure(
    task: PairTask,
    data: Mapping[str, Dataset],
    split: str,
    encoder: Encoder,
    progress: Progress = SILENT,
) -> Outcome:
    """Correlation with the given similarities, or accuracy and F1 of the labels, on ``split``.

    Raises:
        CheckFailed: fine-tuning diverged.
        UserError: a target is no number or no label, or all are the same.
    """
    sample = Sample.of(data[split], task.cluster)
    if task.training is None:
        return _cosine(task, data[split], sample, encoder, progress)
    learner = Learner(
        Start(encoder.checkpoint.path, encoder.checkpoint.name, encoder.backend),
        task.training,
        task.seeds,
        str(data["train"].path),
        task.pooling,
        progress,
    )
    train, asked = (_encode(task, data[name], encoder) for name in ("train", split))
    if task.kind == "similarity":
        return _learnt_similarity(task, data, split, sample, learner, train, asked)
    return _labels(task, data, split, sample, learner, train, asked)


def numbers(dataset: Dataset, field: str) -> Floats:
    """The number of each row, shape (rows,).

    Raises:
        UserError: a row lacks the field or holds something else there, or all are the same.
    """
    found = []
    for row, content in enumerate(dataset.rows):
        value = content.get(field)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            given = "null" if value is None else repr(value)
            shown = f"is {given}, not a finite number" if field in content else "is missing"
            raise UserError(f"{dataset.place(row)}: field '{field}' {shown}")
        found.append(float(value))
    if len(set(found)) < 2:
        raise UserError(f"{dataset.path}: '{field}' is {found[0]:g} in every row")
    return np.asarray(found)


def spearman(numbers: Floats, predictions: Floats) -> float:
    """Spearman's correlation of two arrays, shape (examples,)."""
    columns = {"target": numbers[None, :], "score": predictions[None, :]}
    return float(correlation_metrics(columns, np.ones((1, len(numbers))))["spearman"][0])


def accuracy(labels: Labels, predictions: Labels) -> float:
    """The share of right labels."""
    return float((labels == predictions).mean())


def label_metrics(columns: Columns, weights: Floats, positive: str | None) -> dict[str, Floats]:
    """Accuracy, and the F1 of ``positive``, or without it macro-F1; see ``mbrelease.metrics``."""
    if positive is not None:
        values = binary_metrics(columns, weights, positive)
        return {"accuracy": values["accuracy"], "f1": values["f1"]}
    values = classification_metrics(columns, weights)
    return {"accuracy": values["accuracy"], "f1": values["macro_f1"]}


def _encode(task: PairTask, dataset: Dataset, encoder: Encoder) -> Examples:
    first, second = dataset.texts(task.first), dataset.texts(task.second)
    return encode_pairs(encoder, first, second, task.max_length)


def _cosine(
    task: PairTask, dataset: Dataset, sample: Sample, encoder: Encoder, progress: Progress
) -> Outcome:
    target = numbers(dataset, task.target)
    vectors, truncated = [], 0
    for field in (task.first, task.second):
        embeddings, cut = encoder.embed(
            dataset.texts(field),
            max_length=task.max_length,
            pooling=task.pooling,
            names=dataset.names,
            progress=progress,
        )
        exact = embeddings.astype(np.float64)
        norms = np.linalg.norm(exact, axis=1, keepdims=True)
        vectors.append(exact / np.maximum(norms, 1e-12))
        truncated += cut
    examples = {
        **sample.columns(),
        "target": target,
        "score": (vectors[0] * vectors[1]).sum(axis=1),
    }
    columns = {name: examples[name][None, :] for name in ("target", "score")}
    texts = zip(dataset.texts(task.first), dataset.texts(task.second), strict=True)
    n_empty = sum(not (first.strip() and second.strip()) for first, second in texts)
    counts = {"truncated": truncated, "empty": n_empty}
    metrics, ci95 = point_and_interval(
        lambda weights: correlation_metrics(columns, weights), sample
    )
    return Outcome(metrics, ci95, len(dataset), examples, counts)


def _learnt_similarity(
    task: PairTask,
    data: Mapping[str, Dataset],
    split: str,
    sample: Sample,
    learner: Learner,
    train: Examples,
    asked: Examples,
) -> Outcome:
    known, target = (numbers(data[name], task.target) for name in ("train", split))
    score, tuned = learner.numbers(train.items, known, asked.items, spearman)
    columns = {"target": np.broadcast_to(target, score.shape), "score": score}
    counts = asked.counts_after(train)
    return outcome_of_seeds(task.seeds, sample, columns, correlation_metrics, counts, tuned)


def _labels(
    task: PairTask,
    data: Mapping[str, Dataset],
    split: str,
    sample: Sample,
    learner: Learner,
    train: Examples,
    asked: Examples,
) -> Outcome:
    known, label = (np.asarray(data[name].labels(task.target)) for name in ("train", split))
    if task.positive is not None and task.positive not in known:
        raise UserError(
            f"{data['train'].path}: no '{task.target}' is '{task.positive}', which counts as "
            "positive",
            mend=f"the labels are {', '.join(np.unique(known)[:10])}",
        )
    prediction, tuned = learner.labels(train.items, known, asked.items, accuracy)
    columns = {"label": np.broadcast_to(label, prediction.shape), "prediction": prediction}
    counts = {
        **asked.counts_after(train),
        "unseen_label": int((~np.isin(label, known)).sum()),
    }
    return outcome_of_seeds(
        task.seeds,
        sample,
        columns,
        lambda columns, weights: label_metrics(columns, weights, task.positive),
        counts,
        tuned,
    )
