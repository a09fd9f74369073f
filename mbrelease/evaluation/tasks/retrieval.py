"""Retrieval: the gold documents of each query among all documents.

Without a corpus each row is a query and its one document; with one, rows are queries that name
the ids of their gold documents. ``ranking`` says what a rank is, ``maxsim`` what late interaction,
``training.contrastive`` how a model is trained before it is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mbrelease.errors import UserError
from mbrelease.evaluation.dataset import Dataset, Names, count_empty
from mbrelease.evaluation.encoder import Encoder
from mbrelease.evaluation.maxsim import MaxSim
from mbrelease.evaluation.metric_names import metric_key
from mbrelease.evaluation.metrics import retrieval_metrics
from mbrelease.evaluation.ranking import RankCounter, Rows, gold_ranks
from mbrelease.evaluation.tasks.outcome import Outcome, Sample, point_and_interval
from mbrelease.evaluation.training.contrastive import Trained, train
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
    query_names: Names
    document_names: Names


@dataclass(frozen=True)
class Ranked:
    """The ranks, from 1 and rising, of each query's gold documents; and how many texts were cut."""

    ranks: list[Rows]
    truncated: int
    truncated_queries: int

    @property
    def column(self) -> dict[str, NDArray[np.generic]]:
        """``rank`` where every query has one gold document, else ``ranks``, an array of arrays."""
        if all(len(ranks) == 1 for ranks in self.ranks):
            return {"rank": np.concatenate(self.ranks)}
        column = np.empty(len(self.ranks), dtype=object)
        column[:] = self.ranks
        return {"ranks": column}


def measure(
    task: RetrievalTask,
    data: Mapping[str, Dataset],
    split: str,
    encoder: Encoder,
    progress: Progress = SILENT,
) -> Outcome:
    """Rank the gold documents of each query; zero-shot or after ``training``, scored in fp32.

    Raises:
        CheckFailed: the model returns NaN or infinite values, or training diverged.
        UserError: a row lacks a text, a query has no gold document, or one that is not there; or
            there are too few pairs to train on.
    """
    sample = Sample.of(data[split], task.cluster)
    questions = read_questions(task, data, split)
    trained = _train(task, data, encoder, progress)
    ranked = rank_gold(task, questions, trained.encoder if trained else encoder, progress)
    examples = {**sample.columns(), **ranked.column}
    metrics, ci95 = point_and_interval(
        lambda weights: retrieval_metrics(examples, weights, task.metrics), sample
    )
    documents = data["corpus"] if "corpus" in data else data[split]
    counts = {
        "documents": len(documents),
        "truncated": ranked.truncated,
        "truncated_queries": ranked.truncated_queries,
        "empty": count_empty(documents.texts(task.document)),
        "empty_queries": count_empty(data[split].texts(task.query)),
    }
    plain = Outcome(metrics, ci95, len(ranked.ranks), examples, counts)
    return plain if trained is None else _with_training(plain, task, data, split, trained)


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
        asked.names,
        documents.names,
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
        encoder.embed(
            texts,
            max_length=task.max_length,
            pooling=task.pooling,
            names=names,
            progress=progress,
        )
        for texts, names in (
            (questions.documents, questions.document_names),
            (questions.queries, questions.query_names),
        )
    )
    label = f"{encoder.checkpoint.name}: rank"
    ranks = gold_ranks(queries, documents, questions.gold, progress=progress, label=label)
    return Ranked(ranks, truncated, truncated_queries)


def _train(
    task: RetrievalTask, data: Mapping[str, Dataset], encoder: Encoder, progress: Progress
) -> Trained | None:
    """The model after the task's ``training``, if there is one."""
    if task.training is None:
        return None
    sets = _choice_sets(task, data)

    def score(trained: Encoder) -> float:
        return float(np.mean([_main_metric(task, asked, trained, progress) for asked in sets]))

    return train(task, data["pairs"], encoder, score, progress)


def _choice_sets(task: RetrievalTask, data: Mapping[str, Dataset]) -> list[Questions]:
    """What the learning rate is chosen on; nothing where there is one to choose from."""
    training = task.training
    if training is None or not training.searches:
        return []
    if not training.choose_on:
        return [read_questions(task, data, "dev")]
    sets = []
    for chosen in training.choose_on:
        fields = {"query": chosen.query, "document": chosen.document, "gold": chosen.gold}
        own = {"queries": data[chosen.queries_role]}
        if chosen.data.corpus is not None:
            own["corpus"] = data[chosen.corpus_role]
        sets.append(read_questions(task.model_copy(update=fields), own, "queries"))
    return sets


def _main_metric(
    task: RetrievalTask, questions: Questions, encoder: Encoder, progress: Progress
) -> float:
    ranked = rank_gold(task, questions, encoder, progress)
    everyone = np.ones((1, len(ranked.ranks)))
    values = retrieval_metrics(ranked.column, everyone, [task.main_metric])
    return float(values[metric_key(task.main_metric)][0])


def _with_training(
    outcome: Outcome,
    task: RetrievalTask,
    data: Mapping[str, Dataset],
    split: str,
    trained: Trained,
) -> Outcome:
    """``outcome`` with how its model was trained, and whether what it reports had a say in it."""
    training = task.training
    assert training is not None
    chosen_on: list[str] = []
    if training.searches:
        chosen_on = [chosen.queries_role for chosen in training.choose_on] or ["dev"]
    reported = data[split].path
    counts = {
        **outcome.counts,
        **trained.counts,
        "chosen_on_reported": int(any(data[role].path == reported for role in chosen_on)),
    }
    experiment = {"seed": training.seed, **outcome.metrics, "learning_rate": trained.learning_rate}
    return replace(outcome, counts=counts, experiments=(experiment,), tried=trained.tried)


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
        encoder.token_vectors(
            questions.queries,
            max_length=task.max_length,
            names=questions.query_names,
            progress=progress,
        )
    )
    scorer = MaxSim(
        [queries.pop(row) for row in range(len(questions.queries))], encoder.backend.device
    )

    def scored(rows: Rows) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        texts = [questions.documents[row] for row in rows]
        return scorer.scores(
            encoder.token_vectors(
                texts,
                max_length=task.max_length,
                names=questions.document_names.only(rows),
                progress=progress,
            )
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
