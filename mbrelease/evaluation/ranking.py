"""Ranks of gold documents among all documents, in blocks, so that memory stays bounded.

A gold document's rank is its place, from 1, in the list of all documents by falling score, where
among equal scores the gold documents come last: ties never help, so a model that gives every text
the same embedding ranks them last, not first. With one gold document that is
``1 + #(score > gold) + #(score = gold, others)``.

Every score, that of the gold documents too, is an element of a product of matrices of one shape.
The kernels of BLAS sum an element in the same order wherever it stands in such a product (not so
in a product with a single vector), so equal documents have equal scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mbrelease.progress import SILENT, Progress

Floats32 = NDArray[np.float32]
Rows = NDArray[np.int64]

QUERIES_A_BLOCK = 1024
DOCUMENTS_A_BLOCK = 8192


def gold_ranks(
    queries: Floats32,
    documents: Floats32,
    gold: Sequence[Rows],
    *,
    progress: Progress = SILENT,
    label: str = "rank",
) -> list[Rows]:
    """The ranks of each query's gold documents by cosine, rising; one array a query.

    Beside its arguments, which may be memory-mapped and are read block by block, it takes less than
    100 MB for 768 dimensions. The time is linear in queries × documents.

    Args:
        queries: Shape (queries, hidden); of any length above 0.
        documents: Shape (documents, hidden).
        gold: The rows in ``documents`` of each query's gold documents, at least one, none twice.
        progress: Told of each document.
        label: What the progress is called.
    """
    products = _Cosines(len(queries), len(documents), queries.shape[1])
    progress.start(label, len(documents), "documents")
    blocks = list(_blocks(len(queries), products.n_queries))
    scores = [
        score
        for block in blocks
        for score in _gold_scores(products, queries, documents, gold, block)
    ]
    counter = RankCounter(scores)
    for columns in _blocks(len(documents), products.n_documents):
        products.take_documents(documents[columns])
        for rows in blocks:
            products.take_queries(queries[rows])
            counter.add(rows, products.scores())
        progress.advance(columns.stop - columns.start)
    return counter.ranks()


class RankCounter:
    """Counts, block by block of scores, the documents that reach the score of each gold one."""

    def __init__(self, gold_scores: Sequence[Floats32]) -> None:
        """Count against ``gold_scores``: those of each query's gold documents, at least one."""
        self._counts = np.asarray([len(scores) for scores in gold_scores])
        shape = len(gold_scores), int(self._counts.max())
        # Falling; where a query has fewer, nothing reaches infinity.
        self._gold = np.full(shape, np.inf, dtype=np.float32)
        for row, scores in enumerate(gold_scores):
            self._gold[row, : len(scores)] = np.sort(scores)[::-1]
        self._reached = np.zeros(shape, dtype=np.int64)

    def add(self, queries: slice, scores: Floats32) -> None:
        """Count documents; every document is added once for every query.

        Args:
            queries: The queries that are the rows of ``scores``.
            scores: Shape (queries of the slice, documents of the block).
        """
        gold, counts = self._gold[queries], self._counts[queries]
        for slot in range(gold.shape[1]):
            if (counts > slot).all():
                reached = scores >= gold[:, slot, None]
                self._reached[queries, slot] += reached.sum(axis=1)
            else:
                rows = np.flatnonzero(counts > slot)
                reached = scores[rows] >= gold[rows, slot, None]
                self._reached[queries][rows, slot] += reached.sum(axis=1)

    def ranks(self) -> list[Rows]:
        """The ranks of each query's gold documents, rising."""
        found = []
        for gold, reached, n_gold in zip(self._gold, self._reached, self._counts, strict=True):
            falling = -gold[:n_gold]
            golds_that_reach = np.searchsorted(falling, falling, side="right")
            found.append(reached[:n_gold] - golds_that_reach + np.arange(1, n_gold + 1))
        return found


class _Cosines:
    """The cosines of a block of queries and a block of documents; always the same shape."""

    def __init__(self, n_queries: int, n_documents: int, hidden: int) -> None:
        # With a single row BLAS would take another kernel.
        self.n_queries = min(max(n_queries, 2), QUERIES_A_BLOCK)
        self.n_documents = min(max(n_documents, 2), DOCUMENTS_A_BLOCK)
        self._queries = np.zeros((self.n_queries, hidden), dtype=np.float32)
        self._documents = np.zeros((self.n_documents, hidden), dtype=np.float32)
        self._scores = np.empty((self.n_queries, self.n_documents), dtype=np.float32)
        self._filled = 0, 0

    def take_queries(self, vectors: Floats32) -> None:
        """Let ``vectors``, at most ``n_queries``, be the queries."""
        self._filled = _normalise_into(self._queries, vectors), self._filled[1]

    def take_documents(self, vectors: Floats32) -> None:
        """Let ``vectors``, at most ``n_documents``, be the documents."""
        self._filled = self._filled[0], _normalise_into(self._documents, vectors)

    def scores(self) -> Floats32:
        """Shape (queries, documents); valid until the next call."""
        np.matmul(self._queries, self._documents.T, out=self._scores)
        return self._scores[: self._filled[0], : self._filled[1]]


def _gold_scores(
    products: _Cosines,
    queries: Floats32,
    documents: Floats32,
    gold: Sequence[Rows],
    block: slice,
) -> list[Floats32]:
    """The scores of the gold documents of each query of ``block``."""
    products.take_queries(queries[block])
    own = gold[block]
    rows = np.repeat(np.arange(len(own)), [len(golds) for golds in own])
    wanted, columns = np.unique(np.concatenate(own), return_inverse=True)
    found = np.empty(len(rows), dtype=np.float32)
    for part in _blocks(len(wanted), products.n_documents):
        products.take_documents(documents[wanted[part]])
        inside = (columns >= part.start) & (columns < part.stop)
        found[inside] = products.scores()[rows[inside], columns[inside] - part.start]
    return np.split(found, np.cumsum([len(golds) for golds in own])[:-1])


def _blocks(total: int, size: int) -> Iterator[slice]:
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def _normalise_into(buffer: Floats32, vectors: Floats32) -> int:
    """Fill ``buffer`` with the vectors at length 1, then zeros; returns how many there are."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    np.divide(vectors, np.maximum(norms, 1e-12), out=buffer[: len(vectors)])
    buffer[len(vectors) :] = 0
    return len(vectors)
