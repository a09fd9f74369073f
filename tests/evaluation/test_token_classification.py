import numpy as np
import pytest
from learnable import FAST, dataset, encoder_of, sentences

from mbrelease.errors import UserError
from mbrelease.evaluation.tasks.token_classification import measure
from mbrelease.evaluation.tokenizer import Tokens
from mbrelease.evaluation.training.examples import encode_words, first_tokens
from mbrelease.registry.tasks import FineTuning, SplitFiles, TokenClassificationTask


def task(training=FAST, **fields):
    data = SplitFiles(train="train", dev="dev")
    fields = {"seeds": [0, 1], **fields}
    return TokenClassificationTask(
        name="name", type="token-classification", data=data, training=training, **fields
    )


@pytest.fixture
def data(tmp_path):
    return {
        "train": dataset(tmp_path / "train.jsonl", sentences(48, 0)),
        "dev": dataset(tmp_path / "dev.jsonl", sentences(24, 1)),
    }


@pytest.fixture(scope="module")
def encoder(saved_by_5x):
    return encoder_of(saved_by_5x)


def test_spans_are_learnt_and_counted_sentence_by_sentence(encoder, data):
    outcome = measure(task(), data, "dev", encoder)
    assert outcome.metrics["span_f1"] > 0.7
    low, high = outcome.ci95["span_f1"]
    assert low <= outcome.metrics["span_f1"] <= high
    assert set(outcome.examples) == {"id", "seed", "tp", "fp", "fn"}
    gold = sum(tag[0] == "B" for row in data["dev"].rows for tag in row["tags"])
    assert outcome.counts["spans"] == gold
    found = outcome.examples["tp"] + outcome.examples["fn"]
    assert found[:24].sum() == found[24:].sum() == gold
    again = measure(task(), data, "dev", encoder)
    np.testing.assert_array_equal(again.examples["tp"], outcome.examples["tp"])


def test_a_search_takes_the_setting_that_finds_spans(encoder, data):
    searching = FineTuning(learning_rates=[1e-6, 3e-3], epochs=[3], batch_size=8)
    outcome = measure(task(searching, seeds=[0]), data, "dev", encoder)
    assert outcome.experiments[0]["learning_rate"] == 3e-3
    assert outcome.tried[0]["score"] < outcome.tried[1]["score"]


def test_each_word_is_answered_at_its_first_token(encoder):
    words = ["the", "owl", "é", "", "barn"]
    [item] = encode_words(encoder, [words], 64).items
    [token] = encoder.tokens([" ".join(words)], 64)
    text = " ".join(words)
    assert [text[token.spans[p][0] : token.spans[p][1]].strip()[:1] for p in item.asked] == [
        "t", "o", "é", "b",
    ]  # fmt: skip


def test_a_token_over_two_words_answers_the_first():
    spans = ((0, 0), (0, 3), (3, 5), (0, 0))
    tokens = Tokens(np.arange(4), np.array([True, False, False, True]), spans, False)
    assert first_tokens(["a", "b", "c"], tokens).tolist() == [1, -1, 2]


def test_what_was_cut_off_is_counted_and_tagged_o(encoder, data, tmp_path):
    rows = sentences(24, 1)
    rows[0] = {"words": ["in"] * 40 + ["owl"], "tags": ["O"] * 40 + ["B-BIRD"]}
    rows[1] = {"words": [], "tags": []}
    rows[2] = {"words": ["wren"], "tags": ["B-WREN"]}
    data["dev"] = dataset(tmp_path / "cut.jsonl", rows)
    outcome = measure(task(seeds=[0], max_length=32), data, "dev", encoder)
    assert outcome.counts["truncated"] >= 1
    assert outcome.counts["unread_words"] >= 20
    assert outcome.counts["empty"] == 1
    assert outcome.counts["unseen_label"] == 1
    assert (outcome.examples["tp"][0], outcome.examples["fn"][0]) == (0, 1)
    assert outcome.examples["fn"][2] == 1


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"words": ["a", "b"], "tags": ["O"]}, r":2: 2 in 'words', but 1 in 'tags'"),
        ({"words": ["a"], "tags": ["PER"]}, r":2: 'PER' is no tag"),
        ({"words": ["a"], "tags": ["B-"]}, r":2: 'B-' is no tag"),
        ({"words": ["a", "b"], "tags": ["O", "I-A"]}, r":2: 'I-A' after 'O' continues no span"),
        ({"words": ["a", "b"], "tags": ["B-A", "I-B"]}, r":2: 'I-B' after 'B-A'"),
        ({"words": "a b", "tags": ["O"]}, r":2: field 'words' is str, not a list"),
        ({"words": ["a"], "tags": [0]}, r":2: '0' is no tag"),
    ],
)
def test_bad_rows_have_their_line(encoder, data, tmp_path, row, said):
    data["dev"] = dataset(tmp_path / "bad.jsonl", [sentences(1, 0)[0], row])
    with pytest.raises(UserError, match=r"bad\.jsonl" + said):
        measure(task(), data, "dev", encoder)


def test_without_spans_there_is_nothing_to_learn(encoder, data, tmp_path):
    data["train"] = dataset(tmp_path / "none.jsonl", [{"words": ["a"], "tags": ["O"]}] * 3)
    with pytest.raises(UserError, match=r"none\.jsonl: no span in 'tags' to learn"):
        measure(task(), data, "dev", encoder)
