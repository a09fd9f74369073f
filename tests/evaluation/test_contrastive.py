"""Contrastive training before retrieval: what is learnt, what is chosen, what goes wrong."""

import gc
import json
import random
import tempfile

import numpy as np
import pytest
from learnable import FILLERS, dataset, encoder_of
from pydantic import ValidationError

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.errors import CheckFailed, UserError
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.evidence import read_records
from mbrelease.evaluation.jobs import job_from_json, plan_jobs
from mbrelease.evaluation.measure import run_jobs
from mbrelease.evaluation.task_settings import task_sha256
from mbrelease.evaluation.tasks.retrieval import measure
from mbrelease.evaluation.training.contrastive import train
from mbrelease.evaluation.training.pairs import draw_batches, read_pairs
from mbrelease.evaluation.training.sentence_trainer import Tokenized
from mbrelease.progress import Silent
from mbrelease.registry.tasks import ContrastiveTraining, RetrievalTask

ANIMALS = ["owl", "mouse", "hare", "stork", "adder", "carp"]
PLACES = ["barn", "attic", "field", "roof", "heath", "pond"]
CORPUS = [{"id": place, "text": f"the {place}"} for place in PLACES]


def among_fillers(generator, word):
    return " ".join([*generator.choice(FILLERS, 2).tolist(), word, generator.choice(FILLERS)])


def pairs(count, seed=0):
    """Each animal has its place, which a model cannot know before it is told."""
    generator = np.random.default_rng(seed)
    return [
        {
            "query": among_fillers(generator, ANIMALS[number % 6]),
            "positive": among_fillers(generator, PLACES[number % 6]),
        }
        for number in range(count)
    ]


def questions(seed, wrong_by=0):
    return [
        {"title": row["query"], "gold": PLACES[(number + wrong_by) % 6]}
        for number, row in enumerate(pairs(24, seed))
    ]


def task(*, scoring="cosine", prompts=("", ""), max_length=32, **training):
    content = {
        "name": "places",
        "type": "retrieval",
        "data": {
            "dev": "dev.jsonl",
            "test": "test.jsonl",
            "corpus": {"documents": "corpus.jsonl"},
        },
        "scoring": scoring,
        "max_length": max_length,
        "query_prompt": prompts[0],
        "document_prompt": prompts[1],
    }
    if training:
        usual = {"pairs": {"train": "pairs.jsonl"}, "learning_rates": [3e-3], "steps": 20}
        content["training"] = {"batch_size": 6, **usual, **training}
    return RetrievalTask.model_validate(content)


SHORT = {"steps": 2}
SEARCH = {"learning_rates": [1e-5, 3e-3]}


def absurd(found, *rates):
    """Learning rates that a registry would not take."""
    training = found.training.model_copy(update={"learning_rates": list(rates)})
    return found.model_copy(update={"training": training})


@pytest.fixture
def data(tmp_path):
    return {
        "pairs": dataset(tmp_path / "pairs.jsonl", pairs(120)),
        "dev": dataset(tmp_path / "dev.jsonl", questions(5)),
        "test": dataset(tmp_path / "test.jsonl", questions(6)),
        "corpus": dataset(tmp_path / "corpus.jsonl", CORPUS),
    }


@pytest.fixture(scope="module", autouse=True)
def imported_objects_stay():
    """A training ends with a collection of garbage, and libraries have millions of objects."""
    import sentence_transformers

    assert sentence_transformers.SentenceTransformerTrainer
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def encoder(saved_by_5x):
    return encoder_of(saved_by_5x)


class Noted(Silent):
    def __init__(self):
        self.notes, self.started, self.steps = [], [], 0

    def note(self, message):
        self.notes.append(message)

    def start(self, description, total, unit):
        self.started.append((description, total, unit))

    def advance(self, amount=1):
        self.steps += amount


@pytest.mark.parametrize("scoring", ["cosine", "maxsim"])
def test_a_trained_model_finds_what_it_did_not_and_does_so_again(encoder, data, scoring):
    before = measure(task(scoring=scoring), data, "dev", encoder)
    training = {"scoring": scoring, "seed": 3, "steps": 30}
    one = measure(task(**training), data, "dev", encoder)
    assert before.metrics["recall_at_1"] < 0.4 < 0.7 < one.metrics["recall_at_1"]
    assert one.counts["pairs"] == 120
    assert one.experiments == ({"seed": 3, **one.metrics, "learning_rate": 3e-3},)
    assert one.tried == ()
    two = measure(task(**training), data, "dev", encoder)
    np.testing.assert_array_equal(one.examples["rank"], two.examples["rank"])
    after = measure(task(scoring=scoring), data, "dev", encoder)
    assert after.metrics == before.metrics


def test_nothing_stays_on_disk_and_in_the_process(
    encoder, data, tmp_path, own_cache, monkeypatch, capfd
):
    import torch

    def states():
        return str((random.getstate(), np.random.get_state(), torch.random.get_rng_state()))

    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    monkeypatch.setattr(tempfile, "tempdir", str(empty))
    before = states()
    measure(task(**SHORT), data, "dev", encoder)
    assert states() == before
    assert list(empty.iterdir()) == []
    assert list(own_cache.rglob("*.npy")) == []  # embeddings of weights that nobody has
    assert capfd.readouterr() == ("", "")


def never_asked(encoder):
    raise AssertionError


def choice(name, **fields):
    data = {"queries": f"{name}.jsonl", "corpus": {"documents": "corpus.jsonl"}}
    return {"name": name, "data": data, **fields}


def test_the_named_sets_choose_and_not_what_is_reported(encoder, data, tmp_path):
    """In both sets the places are wrong: the less a model learns of them the better it does."""
    naming = task(**SEARCH, choose_on=[choice("wrong"), choice("wrong-too", query="ask")])
    wrong = questions(8, wrong_by=1)
    asked = [{"ask": row["title"], "gold": row["gold"]} for row in wrong]
    sets = {
        "choose on wrong": dataset(tmp_path / "wrong.jsonl", wrong),
        "choose on wrong, corpus": data["corpus"],
        "choose on wrong-too": dataset(tmp_path / "wrong-too.jsonl", asked),
        "choose on wrong-too, corpus": data["corpus"],
    }
    assert set(naming.files("dev")) == {"dev", "corpus", "pairs", *sets}
    named = measure(naming, data | sets, "dev", encoder)
    assert [point["learning_rate"] for point in named.tried] == [1e-5, 3e-3]
    assert named.tried[0]["score"] > named.tried[1]["score"]
    assert named.experiments[0]["learning_rate"] == 1e-5
    assert named.counts["chosen_on_reported"] == 0
    own = measure(task(**SEARCH), data, "dev", encoder)
    assert own.experiments[0]["learning_rate"] == 3e-3
    assert own.tried[1]["score"] == own.metrics["recall_at_1"] > named.metrics["recall_at_1"]
    assert own.counts["chosen_on_reported"] == 1


def test_without_sets_dev_chooses_for_test_too(encoder, data):
    searching = task(**SEARCH, **SHORT)
    assert set(searching.files("test")) == {"test", "corpus", "pairs", "dev"}
    assert set(task(**SHORT).files("test")) == {"test", "corpus", "pairs"}
    on_test = measure(searching, data, "test", encoder)
    on_dev = measure(searching, data, "dev", encoder)
    assert on_test.tried == on_dev.tried
    assert (on_test.counts["chosen_on_reported"], on_dev.counts["chosen_on_reported"]) == (0, 1)


def test_a_set_that_is_the_reported_split_is_said_to_be(encoder, data):
    both = {"choose on dev": data["dev"], "choose on dev, corpus": data["corpus"]}
    outcome = measure(
        task(**SEARCH, steps=2, choose_on=[choice("dev")]), data | both, "dev", encoder
    )
    assert outcome.counts["chosen_on_reported"] == 1


def test_a_set_without_a_corpus_asks_for_the_document_of_each_row(encoder, data, tmp_path):
    rows = [
        {"animal": animal, "name": place, "of": "the"}
        for animal, place in zip(ANIMALS, PLACES, strict=True)
    ]
    plain = {"data": {"queries": "x"}, "query": "animal", "document": ["of", "name"]}
    naming = task(**SEARCH, choose_on=[{"name": "rows", **plain}])
    data["choose on rows"] = dataset(tmp_path / "rows.jsonl", rows)
    outcome = measure(naming, data, "dev", encoder)
    assert outcome.tried[1]["score"] > outcome.tried[0]["score"]


def test_a_learning_rate_that_diverges_is_named_and_the_others_go_on(encoder, data):
    seen = Noted()
    outcome = measure(absurd(task(steps=6), 1e30, 3e-3), data, "dev", encoder, seen)
    assert set(outcome.tried[0]) == {"learning_rate", "diverged_at_step"}
    assert 1 <= outcome.tried[0]["diverged_at_step"] <= 6
    assert outcome.experiments[0]["learning_rate"] == 3e-3
    [note] = seen.notes
    assert f"{encoder.checkpoint.path}: contrastive training with learning rate 1e+30" in note
    json.dumps(outcome.tried, allow_nan=False)


@pytest.mark.parametrize("rates", [[1e30], [1e30, 1e31]])
def test_when_every_learning_rate_diverges_there_is_no_result(encoder, data, rates):
    with pytest.raises(CheckFailed, match="diverged"):
        measure(absurd(task(steps=4), *rates), data, "dev", encoder)


def test_steps_are_told_one_by_one(encoder, data):
    seen = Noted()
    measure(task(**SEARCH, **SHORT), data, "dev", encoder, seen)
    told = [start for start in seen.started if "training" in start[0]]
    name = f"{encoder.checkpoint.name}: contrastive training, "
    assert told == [
        (f"{name}1 of 2 (lr 1e-05)", 2, "steps"),
        (f"{name}2 of 2 (lr 0.003)", 2, "steps"),
    ]
    assert seen.steps >= 4


@pytest.mark.parametrize("scoring", ["cosine", "maxsim"])
def test_out_of_memory_the_batch_goes_in_parts_with_the_same_loss(
    encoder, data, scoring, monkeypatch
):
    """The allocator's own error, for more than two texts at once."""
    import torch
    from sentence_transformers.base.modules import Transformer

    def embedded(progress):
        trained = train(
            task(scoring=scoring, steps=3), data["pairs"], encoder, never_asked, progress
        )
        return trained.encoder.embed(["the owl"], max_length=32, pooling="mean")[0]

    whole = embedded(Silent())
    forward = Transformer.forward

    def tight(self, features, **given):
        if len(features["input_ids"]) > 2:
            torch.empty(2**60)
        return forward(self, features, **given)

    monkeypatch.setattr(Transformer, "forward", tight)
    seen = Noted()
    parts = embedded(seen)
    assert [note.rpartition("; ")[2] for note in seen.notes] == [
        "from the start again with 3 pairs at a time",
        "from the start again with 2 pairs at a time",
    ]
    before = encoder.embed(["the owl"], max_length=32, pooling="mean")[0]
    assert np.abs(parts - whole).max() < 0.01 * np.abs(before - whole).max()


def test_one_pair_that_does_not_fit_is_an_error(encoder, data, monkeypatch):
    from sentence_transformers.base.modules import Transformer

    def never(self, features, **given):
        raise MemoryError

    monkeypatch.setattr(Transformer, "forward", never)
    with pytest.raises(CheckFailed, match="out of memory with one pair of texts"):
        measure(task(**SHORT), data, "dev", encoder)


def test_a_model_is_trained_on_the_tokens_it_is_measured_by(encoder, data, tmp_path):
    rows = pairs(12)
    rows[2]["positive"] = "the owl " * 50
    rows[5]["query"] = " "
    pair_data = dataset(tmp_path / "long.jsonl", rows)
    found = task(prompts=("find: ", "text: "), max_length=64, steps=2)
    read = read_pairs(pair_data, found.training, "find: ", "text: ")
    assert read.rows[0][0] == f"find: {rows[0]['query']}"
    assert read.rows[5] == ("find:  ", f"text: {rows[5]['positive']}")
    batch = Tokenized(encoder, read.rows, [[0, 2], [1, 3]], 64)
    features = batch[0]
    for number in range(2):
        texts = [read.rows[row][number] for row in (0, 2)]
        for row, tokens in enumerate(encoder.tokens(texts, 64)):
            mask = features[f"text{number}_attention_mask"][row].bool()
            assert features[f"text{number}_input_ids"][row][mask].tolist() == tokens.ids.tolist()
    outcome = measure(found, data | {"pairs": pair_data}, "dev", encoder)
    assert outcome.counts["truncated_in_training"] == 1  # 2 batches of 6 are all 12 pairs
    assert outcome.counts["empty_in_pairs"] == 1


@pytest.mark.parametrize("wrong", ["the pond", ["the pond", "the heath"]])
def test_wrong_documents_may_be_given(encoder, data, tmp_path, wrong):
    rows = [row | {"no": wrong} for row in pairs(6)]
    data["pairs"] = dataset(tmp_path / "no.jsonl", rows)
    read = read_pairs(data["pairs"], task(negative="no").training, "", "")
    given = [wrong] if isinstance(wrong, str) else wrong
    assert read.rows[0] == (rows[0]["query"], rows[0]["positive"], *given)
    # All rows share the wrong document, so only batches of one could be drawn.
    with pytest.raises(UserError, match="so many of 6 pairs share a text that no batch of 6"):
        measure(task(negative="no", **SHORT), data, "dev", encoder)


def test_a_wrong_document_is_learnt_from(encoder, data, tmp_path):
    rows = [row | {"no": [f"{n} one", f"{n} two"]} for n, row in enumerate(pairs(24))]
    data["pairs"] = dataset(tmp_path / "no.jsonl", rows)
    one, two = (
        train(task(negative=field, **SHORT), data["pairs"], encoder, never_asked).encoder
        for field in (None, "no")
    )
    alone, beside = (one.embed(["owl"], max_length=32, pooling="mean")[0] for one in (one, two))
    assert np.abs(alone - beside).max() > 1e-3


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"query": "owl"}, r"bad.jsonl:7: field 'positive' is missing"),
        ({"query": 3, "positive": "x", "no": ["x"]}, r"bad.jsonl:7: field 'query' is int"),
        (
            {"query": "owl", "positive": "x", "no": ["x", "y"]},
            r"bad.jsonl:7: 2 texts in 'no', and 1 in the first row",
        ),
        ({"query": "owl", "positive": "x", "no": "y"}, r"bad.jsonl:7: field 'no' is str, not a li"),
    ],
)
def test_a_bad_pair_has_its_line(encoder, data, tmp_path, row, said):
    rows = [*(one | {"no": [f"{n}"]} for n, one in enumerate(pairs(6))), row]
    data["pairs"] = dataset(tmp_path / "bad.jsonl", rows)
    with pytest.raises(UserError, match=said):
        measure(task(negative="no"), data, "dev", encoder)


def test_a_batch_larger_than_the_pairs_is_an_error(encoder, data):
    with pytest.raises(UserError, match=r"pairs.jsonl: 120 pairs do not fill a batch of 121"):
        measure(task(batch_size=121), data, "dev", encoder)


@pytest.mark.parametrize("seed", range(5))
def test_batches_are_full_have_no_text_twice_and_use_every_pair(seed):
    generator = np.random.default_rng(seed)
    rows = [(f"q{n}", f"p{generator.integers(40)}", f"n{n}") for n in range(100)]
    batches = draw_batches(rows, size=8, count=40, seed=seed, place="x")
    assert len(batches) == 40
    for batch in batches:
        texts = [text for row in batch for text in rows[row]]
        assert len(batch) == 8 and len(set(texts)) == len(texts)
    drawn = np.bincount([row for batch in batches for row in batch], minlength=100)
    assert drawn.min() >= 1 and drawn.max() <= 4  # 320 draws
    assert batches == draw_batches(rows, size=8, count=40, seed=seed, place="x")
    assert batches != draw_batches(rows, size=8, count=40, seed=seed + 1, place="x")
    assert batches[:10] == draw_batches(rows, size=8, count=10, seed=seed, place="x")


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"learning_rates": [1e-4], "choose_on": [choice("a")]}, "there is only one"),
        ({**SEARCH, "choose_on": [choice("a"), choice("a")]}, "the set 'a' is given twice"),
        ({**SEARCH, "choose_on": [{**choice("a"), "data": {"queries": "q"}, "gold": "answer"}]},
         "'gold' names documents of 'data.corpus', and there is none"),
        ({"steps": 1}, "greater than or equal to 2"),  # the first is a step of rate 0
        ({"pairs": "pairs.jsonl"}, "valid dictionary"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_meant_are_refused(training, said):
    with pytest.raises(ValidationError, match=said):
        task(**training)


def test_the_paper_s_sweep_is_the_default():
    training = ContrastiveTraining.model_validate({"pairs": {"train": "pairs.jsonl"}})
    assert training.learning_rates == [1e-5, 2e-5, 3e-5, 5e-5, 8e-5, 1e-4]


def test_names_and_paths_are_no_settings():
    def digest(name, **fields):
        return task_sha256(task(**SEARCH, choose_on=[choice(name, **fields)]))

    assert digest("a") == digest("b")
    assert digest("a") != digest("a", query="ask")
    assert digest("a") != task_sha256(task(**SEARCH))
    assert task_sha256(task()) != task_sha256(task(**SHORT))


def test_from_the_plan_to_the_record(data, tmp_path, saved_by_5x):
    searching = task(**SEARCH, choose_on=[choice("dev")])
    jobs = plan_jobs(
        [open_checkpoint(saved_by_5x)], [searching], "test", backend=Backend(), data_root=tmp_path
    )
    sent = [job_from_json(json.loads(json.dumps(job.to_json()))) for job in jobs]
    run_jobs(sent, tmp_path / "evidence")
    [read] = read_records(tmp_path / "evidence", jobs[0].weights_sha256, "places")
    assert [point["learning_rate"] for point in read.tried] == [1e-5, 3e-3]
    assert read.experiments[0]["learning_rate"] == 3e-3
    assert read.experiments[0]["recall_at_1"] == read.main_score > 0.8
    seen = Noted()
    run_jobs(sent, tmp_path / "evidence", progress=seen)
    assert seen.started == []
