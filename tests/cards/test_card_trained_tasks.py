"""What a card says of tasks for which a model is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from card_projects import evaluation, notes, said

from mbrelease.cards.metadata import model_index
from mbrelease.cards.scores import Evaluation

DATA = {"train": "t", "dev": "d"}
HOW = ", mean over 5 seeds, learning rate 5e-5, 3 epochs"
TUNED = "a model fine-tuned from this one"
MNLI = {**DATA, "start_from": {"train": "m"}}

# settings of the task; its sentence; the Hub's type
TASKS: dict[str, tuple[dict[str, Any], str, str]] = {
    "fine-tuned": ({"type": "classification", "data": DATA, "training": {}},
        f"{TUNED} predicts label{HOW} (mean pooling)", "text-classification"),
    "tags": ({"type": "token-classification", "data": DATA},
        f"{TUNED} tags words, by exact spans of IOB2{HOW}", "token-classification"),
    "similarity": ({"type": "pair", "kind": "similarity", "data": DATA, "training": {}},
        f"{TUNED} predicts label of sentence1 and sentence2{HOW} (mean pooling)",
        "sentence-similarity"),
    "labels": ({"type": "pair", "kind": "label", "data": DATA, "training": {}, "pooling": "cls"},
        f"{TUNED} predicts label of sentence1 and sentence2{HOW} (first token)",
        "text-classification"),
    "rte": ({"type": "glue", "subset": "rte", "data": MNLI},
        f"{TUNED} after it was trained on MNLI does rte of GLUE{HOW}", "text-classification"),
}  # fmt: skip


@pytest.mark.parametrize("name", TASKS)
def test_each_kind_of_task_has_its_sentence_and_its_type(name: str) -> None:
    settings, sentence, hub_type = TASKS[name]
    [note] = notes(evaluation(settings))
    length = 256 if name == "rte" else 512
    assert note == f"kind: {sentence}; texts are cut at {length} tokens."
    [result] = model_index("this", evaluation(settings))[0]["results"]
    assert result["task"]["type"] == hub_type


def test_a_search_is_told() -> None:
    given = evaluation(TASKS["rte"][0])
    [measured] = given.rows
    tried = tuple({"learning_rate": rate, "score": 0.5} for rate in (1e-5, 3e-5))
    searched = replace(measured, records=(replace(measured.record, tried=tried),))
    [note] = notes(replace(given, rows=(searched,)))
    assert "3 epochs, the best of 2 settings on held-out training data; texts" in note


def test_similarity_without_training_is_a_cosine() -> None:
    given = evaluation({"type": "pair", "kind": "similarity", "data": {"dev": "d"}}, 0)
    [note] = notes(given)
    assert note.startswith("kind: the cosine of sentence1 and sentence2 is ranked against label")
    assert not any("seed" in line for line in said(given))


@pytest.mark.parametrize(
    ("settings", "ran"),
    [
        (TASKS["tags"][0], "Models were fine-tuned with"),
        ({"type": "classification", "data": DATA}, "Probes ran with"),
    ],
)
def test_few_seeds_are_a_limitation(settings: Mapping[str, Any], ran: str) -> None:
    unknown = "how much the seed matters is not known."
    assert f"{ran} 1 seed: {unknown}" in said(evaluation(settings, 1))
    assert f"{ran} 2 seeds: {unknown}" in said(evaluation(settings, 2))
    assert not any("seed" in line for line in said(evaluation(settings, 3)))


RETRIEVAL = {
    "type": "retrieval",
    "data": {"dev": "d", "corpus": {"documents": "c"}},
    "query": "question",
    "training": {"pairs": {"train": "p"}, "steps": 500},
}
SETS = [{"name": name, "data": {"queries": name}} for name in ("nfcorpus", "scifact")]


def trained_retrieval(training: Mapping[str, Any], *, counts: Mapping[str, int]) -> Evaluation:
    settings = RETRIEVAL | {"training": {**RETRIEVAL["training"], **training}}
    given = evaluation(settings, 1, {"learning_rate": 5e-5})
    [measured] = given.rows
    rates = measured.task.training.learning_rates  # type: ignore[union-attr]
    tried = tuple({"learning_rate": rate, "score": 0.5} for rate in rates)
    all_counts = {"documents": 3000, "pairs": 16_000, **counts}
    record = replace(measured.record, tried=tried if len(tried) > 1 else (), counts=all_counts)
    return replace(given, rows=(replace(measured, records=(record,)),))


@pytest.mark.parametrize(
    ("training", "chosen"),
    [
        ({"learning_rates": [5e-5]}, ""),
        ({}, ", the best of 6 on the dev split"),
        ({"choose_on": SETS}, ", the best of 6 on nfcorpus and scifact"),
    ],
)
def test_training_before_retrieval_is_told(training: Mapping[str, Any], chosen: str) -> None:
    [note] = notes(trained_retrieval(training, counts={}))
    assert note == (
        f"kind: after contrastive training on 16,000 pairs (500 steps of 16, learning rate 5e-5"
        f"{chosen}) each question has to find the right text among 3,000, by cosine similarity "
        "(mean pooling); texts are cut at 512 tokens."
    )


def test_a_learning_rate_chosen_on_what_is_reported_is_a_limitation() -> None:
    def told(counts: Mapping[str, int]) -> list[str]:
        return said(trained_retrieval({}, counts=counts))

    wanted = "For kind, the learning rate of the training was chosen on the examples"
    assert any(wanted in line for line in told({"chosen_on_reported": 1}))
    assert not any(wanted in line for line in told({"chosen_on_reported": 0}))
    assert any("trained for retrieval with 1 seed: how" in line for line in told({}))
