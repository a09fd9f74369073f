"""Queries with a right document each, and the batches of them that a model is trained on.

The batches are drawn here and not by a library, so that every checkpoint and learning rate is
trained on the same pairs in the same order whatever version is installed. In a batch the documents
of others are the wrong answers, so no text stands twice in it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mbrelease.errors import UserError
from mbrelease.evaluation.dataset import Dataset, count_empty
from mbrelease.registry.tasks import ContrastiveTraining

Row = tuple[str, ...]
"""A query, its right document, and wrong ones, as many in each row."""


@dataclass(frozen=True)
class Pairs:
    """What there is to train on, as the model reads it."""

    rows: tuple[Row, ...]
    n_empty: int
    """Queries and right documents that were empty before the prompt."""


def read_pairs(
    dataset: Dataset, training: ContrastiveTraining, query_prompt: str, document_prompt: str
) -> Pairs:
    """The pairs in ``dataset``, prompts put before them.

    Raises:
        UserError: a row lacks a text, or has another number of negatives than the first.
    """
    queries, positives = dataset.texts(training.query), dataset.texts(training.positive)
    negatives = _negatives(dataset, training.negative)
    return Pairs(
        tuple(
            (query_prompt + query, *(document_prompt + text for text in (positive, *wrong)))
            for query, positive, wrong in zip(queries, positives, negatives, strict=True)
        ),
        count_empty(queries) + count_empty(positives),
    )


def draw_batches(
    rows: Sequence[Row], *, size: int, count: int, seed: int, place: str
) -> list[list[int]]:
    """``count`` batches of ``size`` rows, by number, in none of which a text is twice.

    Rows come round again when all have been drawn, in another order.

    Args:
        rows: The pairs.
        size: Of a batch.
        count: Of batches.
        seed: Of the order.
        place: Where the rows come from, for messages.

    Raises:
        UserError: there are fewer rows than a batch takes, or too many of the same text.
    """
    mend = "lower batch_size, or give more pairs"
    if len(rows) < size:
        raise UserError(f"{place}: {len(rows)} pairs do not fill a batch of {size}", mend=mend)
    generator = np.random.default_rng(seed)
    texts = [frozenset(row) for row in rows]
    batches: list[list[int]] = []
    while len(batches) < count:
        order = generator.permutation(len(rows)).tolist()
        found = _one_pass(texts, order, size, count - len(batches))
        if not found:
            alike = (
                f"so many of {len(rows)} pairs share a text that no batch of {size} can do without"
            )
            raise UserError(f"{place}: {alike}", mend=mend)
        batches += found
    return batches


def _one_pass(
    texts: Sequence[frozenset[str]], order: Iterable[int], size: int, most: int
) -> list[list[int]]:
    """Batches of rows in ``order``; a row with a text that is in the batch waits for the next."""
    batches: list[list[int]] = []
    waiting = deque(order)
    while len(batches) < most:
        batch: list[int] = []
        taken: set[str] = set()
        passed_over: list[int] = []
        while waiting and len(batch) < size:
            row = waiting.popleft()
            if taken.isdisjoint(texts[row]):
                batch.append(row)
                taken |= texts[row]
            else:
                passed_over.append(row)
        if len(batch) < size:
            break
        batches.append(batch)
        waiting.extendleft(reversed(passed_over))
    return batches


def _negatives(dataset: Dataset, field: str | None) -> list[list[str]]:
    if field is None:
        return [[] for _ in dataset.rows]
    if isinstance(dataset.rows[0].get(field), str):
        return [[text] for text in dataset.texts(field)]
    found = dataset.lists(field)
    for number, wrong in enumerate(found):
        if len(wrong) != len(found[0]):
            raise UserError(
                f"{dataset.place(number)}: {len(wrong)} texts in '{field}', and {len(found[0])} in "
                "the first row",
                mend="give each row as many",
            )
    return found
