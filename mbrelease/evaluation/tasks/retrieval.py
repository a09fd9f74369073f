"""Retrieval: the document of each query among all documents of the split, by cosine."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mbrelease.evaluation.dataset import Dataset
from mbrelease.evaluation.encoder import Encoder
from mbrelease.evaluation.metrics import retrieval_metrics
from mbrelease.evaluation.tasks.outcome import Outcome, point_and_interval
from mbrelease.progress import SILENT, Progress
from mbrelease.registry.tasks import RetrievalTask

CODE_VERSION = 1
QUERIES_A_BLOCK = 1024


def measure(
    task: RetrievalTask,
    data: Mapping[str, Dataset],
    split: str,
    encoder: Encoder,
    progress: Progress = SILENT,
) -> Outcome:
    """Rank the gold document of each query; zero-shot, one vector a text, scored in fp32."""
    dataset = data[split]
    documents, truncated = encoder.embed(
        dataset.texts(task.document),
        max_length=task.max_length,
        pooling=task.pooling,
        progress=progress,
    )
    queries, truncated_queries = encoder.embed(
        dataset.texts(task.query),
        max_length=task.max_length,
        pooling=task.pooling,
        progress=progress,
    )
    examples: dict[str, NDArray[np.generic]] = {
        "id": np.asarray(dataset.ids),
        "rank": gold_ranks(_normalised(queries), _normalised(documents)),
    }
    metrics, ci95 = point_and_interval(
        lambda weights: retrieval_metrics(examples, weights, task.metrics), len(dataset)
    )
    counts = {"truncated": truncated, "truncated_queries": truncated_queries}
    return Outcome(metrics, ci95, len(dataset), examples, counts)


def gold_ranks(queries: NDArray[np.float32], documents: NDArray[np.float32]) -> NDArray[np.int64]:
    """The rank, from 1, of document i for query i; shape (queries,).

    ``rank = 1 + #(score > gold) + #(score = gold, others)``: ties never help, so a model that
    gives every text the same embedding ranks last, not first.

    Args:
        queries: Normalised, shape (queries, hidden).
        documents: Normalised, shape (queries, hidden).
    """
    ranks = np.empty(len(queries), dtype=np.int64)
    for start in range(0, len(queries), QUERIES_A_BLOCK):
        rows = np.arange(start, min(start + QUERIES_A_BLOCK, len(queries)))
        scores = queries[rows] @ documents.T
        gold = scores[np.arange(len(rows)), rows]
        ranks[rows] = (scores >= gold[:, None]).sum(axis=1)
    return ranks


def _normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)
