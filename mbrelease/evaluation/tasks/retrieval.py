"""Retrieval: the gold documents of each query among all documents.

Without a corpus each row is a query and its one document; with one, rows are queries that name
the ids of their gold documents. ``ranking`` says what a rank is, ``maxsim`` what late interaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbrelease.errors import UserError
from mbrelease.evaluation.dataset import Dataset, count_empty
from mbrelease.evaluation.encoder import Encoder
from mbrelease.evaluation.maxsim import MaxSim
from mbrelease.evaluation.metrics import retrieval_metrics
from mbrelease.evaluation.ranking import RankCounter, Rows, gold_ranks
from mbrelease.evaluation.tasks.outcome import Outcome, point_and_interval
from mbrelease.progress import SILENT, Progress
from mbrelease.registry.tasks import RetrievalTask

CODE_VERSION = 2
TEXTS_A_PIECE = 16_384


@dataclass(frozen=True)
class Questions:
    """What is asked, as the model reads it, and the rows in ``documents`` that are right."""

    queries: list[str]
    documents: list[str]
    gold: list[Rows]
    """One array a query, of at least one row and none twice."""


@dataclass(frozen=True)
class Ranked:
    """The ranks, from 1 and rising, of each query's gold documents; and how many texts were cut."""

    ranks: list[Rows]
    truncated: int
    truncated_queries: int


def measure(
    task: RetrievalTask,
    data: Mapping[str, Dataset],
    split: str,
    encoder: Encoder,
    progress: Progress = SILENT,
) -> Outcome:
    """Rank the gold documents of each query; zero-shot, scored in fp32.

    Raises:
        CheckFailed: the model returns NaN or infinite values.
        UserError: a row lacks a text, a query has no gold document, or one that is not there.
    """
    questions = read_questions(task, data, split)
    ranked = rank_gold(task, questions, encoder, progress)
    examples: dict[str, NDArray[np.generic]] = {"id": np.asarray(data[split].ids)}
    if all(len(golds) == 1 for golds in questions.gold):
        examples["rank"] = np.concatenate(ranked.ranks)
    else:
        examples["ranks"] = np.empty(len(ranked.ranks), dtype=object)
        examples["ranks"][:] = ranked.ranks
    metrics, ci95 = point_and_interval(
        lambda weights: retrieval_metrics(examples, weights, task.metrics), len(ranked.ranks)
    )
    documents = data["corpus"] if "corpus" in data else data[split]
    counts = {
        "documents": len(documents),
        "truncated": ranked.truncated,
        "truncated_queries": ranked.truncated_queries,
        "empty": count_empty(documents.texts(task.document)),
        "empty_queries": count_empty(data[split].texts(task.query)),
    }
    return Outcome(metrics, ci95, len(ranked.ranks), examples, counts)


def read_questions(task: RetrievalTask, data: Mapping[str, Dataset], split: str) -> Questions:
    """The queries of ``split`` and the documents, prompts put before them.

    Raises:
        UserError: a row lacks a text, a query has no gold document, or one that is not there.
    """
    asked, documents = data[split], data.get("corpus", data[split])
    return Questions(
        [task.query_prompt + text for text in asked.texts(task.query)],
        [task.document_prompt + text for text in documents.texts(task.document)],
        _gold_rows(asked, task.gold, documents)
        if "corpus" in data
        else list(np.arange(len(asked))[:, None]),
    )


def rank_gold(
    task: RetrievalTask, questions: Questions, encoder: Encoder, progress: Progress = SILENT
) -> Ranked:
    """Ask ``encoder`` to find the gold documents.

    Raises:
        CheckFailed: the model returns NaN or infinite values.
    """
    if task.scoring == "maxsim":
        cut = (
            _count_truncated(encoder, texts, task.max_length)
            for texts in (questions.documents, questions.queries)
        )
        return Ranked(_maxsim_ranks(task, questions, encoder, progress), *cut)
    (documents, truncated), (queries, truncated_queries) = (
        encoder.embed(texts, max_length=task.max_length, pooling=task.pooling, progress=progress)
        for texts in (questions.documents, questions.queries)
    )
    label = f"{encoder.checkpoint.name}: rank"
    ranks = gold_ranks(queries, documents, questions.gold, progress=progress, label=label)
    return Ranked(ranks, truncated, truncated_queries)


def _gold_rows(asked: Dataset, field: str, documents: Dataset) -> list[Rows]:
    """The rows in ``documents`` whose ids stand in ``field`` of each query: an id or a list."""
    row_of = {name: row for row, name in enumerate(documents.ids)}
    found = []
    for number, row in enumerate(asked.rows):
        value = row.get(field)
        if value is None or value == []:
            raise UserError(
                f"{asked.place(number)}: the query has no gold document in '{field}'",
                mend="drop it from the data: no ranking can be right or wrong for it",
            )
        names = value if isinstance(value, list) else [value]
        for name in names:
            if isinstance(name, bool) or not isinstance(name, str | int):
                message = f"is {type(name).__name__} where the id of a document is expected"
                raise UserError(f"{asked.place(number)}: field '{field}' {message}")
            if str(name) not in row_of:
                raise UserError(
                    f"{asked.place(number)}: gold document '{name}' is not in {documents.path}"
                )
        rows = np.asarray([row_of[str(name)] for name in names], dtype=np.int64)
        if len(np.unique(rows)) < len(rows):
            raise UserError(f"{asked.place(number)}: a gold document is named twice in '{field}'")
        found.append(rows)
    return found


def _maxsim_ranks(
    task: RetrievalTask, questions: Questions, encoder: Encoder, progress: Progress
) -> list[Rows]:
    """Each document is read once: first all gold ones, so that the others can be counted.

    Beside the vectors of the queries this holds a score for every query and gold document.
    """
    queries = dict(
        encoder.token_vectors(questions.queries, max_length=task.max_length, progress=progress)
    )
    scorer = MaxSim(
        [queries.pop(row) for row in range(len(questions.queries))], encoder.backend.device
    )

    def scored(rows: Rows) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        texts = [questions.documents[row] for row in rows]
        return scorer.scores(
            encoder.token_vectors(texts, max_length=task.max_length, progress=progress)
        )

    wanted, place = np.unique(np.concatenate(questions.gold), return_inverse=True)
    of_gold = np.empty((len(questions.queries), len(wanted)), dtype=np.float32)
    for columns, scores in scored(wanted):
        of_gold[:, columns] = scores
    places = np.split(place, np.cumsum([len(golds) for golds in questions.gold])[:-1])
    counter = RankCounter([of_gold[row, own] for row, own in enumerate(places)])
    everyone = slice(0, len(questions.queries))
    counter.add(everyone, of_gold)
    for _, scores in scored(np.setdiff1d(np.arange(len(questions.documents)), wanted)):
        counter.add(everyone, scores)
    return counter.ranks()


def _count_truncated(encoder: Encoder, texts: list[str], max_length: int) -> int:
    longest = min(max_length, encoder.config.max_position_embeddings)
    return sum(
        int(encoder.tokenizer.ids(texts[start : start + TEXTS_A_PIECE], longest)[1].sum())
        for start in range(0, len(texts), TEXTS_A_PIECE)
    )
