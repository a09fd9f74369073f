import numpy as np
import pytest
from learnable import FAST, dataset, encoder_of, pairs
from scipy.stats import spearmanr

from mbrelease.errors import UserError
from mbrelease.evaluation.tasks.pair import measure
from mbrelease.registry.tasks import FineTuning, PairTask, SplitFiles

DATA = SplitFiles(train="train", dev="dev")


def task(kind, training=FAST, **fields):
    fields = {"seeds": [0, 1], **fields}
    return PairTask(name="pairs", type="pair", kind=kind, data=DATA, training=training, **fields)


def named(rows):
    return [row | {"label": "alike" if row["label"] > 1 else "apart"} for row in rows]


@pytest.fixture
def data(tmp_path):
    return {
        "train": dataset(tmp_path / "train.jsonl", pairs(64, 0)),
        "dev": dataset(tmp_path / "dev.jsonl", pairs(32, 1)),
    }


@pytest.fixture
def labels(tmp_path):
    return {
        "train": dataset(tmp_path / "labels.jsonl", named(pairs(64, 0))),
        "dev": dataset(tmp_path / "dev-labels.jsonl", named(pairs(32, 1))),
    }


@pytest.fixture(scope="module")
def encoder(saved_by_5x):
    return encoder_of(saved_by_5x)


def test_similarity_is_learnt_in_its_own_scale(encoder, data, tmp_path):
    outcome = measure(task("similarity"), data, "dev", encoder)
    assert outcome.metrics["spearman"] > 0.8
    assert outcome.metrics["pearson"] > 0.8
    assert [e["seed"] for e in outcome.experiments] == [0, 1]
    percent = [row | {"label": 100 + 25 * row["label"]} for row in pairs(64, 0)]
    data["train"] = dataset(tmp_path / "percent.jsonl", percent)
    score = measure(task("similarity", seeds=[0]), data, "dev", encoder).examples["score"]
    assert 90 < score.min() < score.max() < 190


def test_without_training_it_is_the_cosine_of_the_embeddings(encoder, data):
    outcome = measure(task("similarity", None), {"dev": data["dev"]}, "dev", encoder)
    assert outcome.experiments == ()
    vectors = [
        encoder.embed(data["dev"].texts(field), max_length=512, pooling="mean")[0]
        for field in ("sentence1", "sentence2")
    ]
    norms = [np.linalg.norm(v, axis=1) for v in vectors]
    cosine = (vectors[0] * vectors[1]).sum(axis=1) / norms[0] / norms[1]
    np.testing.assert_allclose(outcome.examples["score"], cosine, rtol=1e-5)
    wanted = spearmanr(cosine.round(9), [row["label"] for row in data["dev"].rows]).statistic
    assert outcome.metrics["spearman"] == pytest.approx(wanted, abs=0.01)


def test_labels_are_learnt(encoder, labels):
    outcome = measure(task("label", positive="alike"), labels, "dev", encoder)
    assert outcome.metrics["accuracy"] > 0.8  # one label for all: 0.5
    assert outcome.metrics["f1"] > 0.8
    assert set(outcome.examples["prediction"].tolist()) <= {"alike", "apart"}


def test_a_search_is_by_the_main_metric(encoder, labels):
    searching = FineTuning(learning_rates=[1e-6, 3e-3], epochs=[3], batch_size=8)
    outcome = measure(task("label", searching, seeds=[0]), labels, "dev", encoder)
    assert outcome.experiments[0]["learning_rate"] == 3e-3


def test_a_positive_label_that_nothing_has_is_refused(encoder, labels):
    with pytest.raises(UserError, match="no 'label' is 'same'") as error:
        measure(task("label", positive="same"), labels, "dev", encoder)
    assert error.value.mend == "the labels are alike, apart"


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("much", r"bad\.jsonl:2: field 'label' is 'much', not a finite number"),
        (True, r"bad\.jsonl:2: field 'label' is True"),
        (float("nan"), r"bad\.jsonl:2: field 'label' is nan"),
        (None, r"bad\.jsonl:2: field 'label' is null, not a finite number"),
    ],
)
@pytest.mark.parametrize("training", [None, FAST])
def test_a_similarity_that_is_no_number_has_its_line(
    encoder, data, tmp_path, label, said, training
):
    rows = pairs(3, 0)
    rows[1]["label"] = label
    data["dev"] = dataset(tmp_path / "bad.jsonl", rows)
    with pytest.raises(UserError, match=said):
        measure(task("similarity", training), data, "dev", encoder)


def test_one_similarity_for_all_ranks_nothing(encoder, data, tmp_path):
    data["dev"] = dataset(tmp_path / "same.jsonl", [row | {"label": 2} for row in pairs(5, 0)])
    with pytest.raises(UserError, match=r"same\.jsonl: 'label' is 2 in every row"):
        measure(task("similarity", None), data, "dev", encoder)


def test_a_label_that_is_a_fraction_has_its_line(encoder, data):
    with pytest.raises(UserError, match=r"train\.jsonl:1: field 'label' is float"):
        measure(task("label"), data, "dev", encoder)
