import pytest
from learnable import FAST, dataset, encoder_of, pairs

from mbrelease.errors import UserError
from mbrelease.evaluation.tasks import glue
from mbrelease.evaluation.tasks.glue import FIELDS, measure
from mbrelease.evaluation.training.finetuning import grid
from mbrelease.progress import Silent
from mbrelease.registry.tasks import GlueFiles, GlueTask, TrainData

ONE = FAST.model_copy(update={"epochs": [1]})


def task(subset, training=FAST, *, start=False, **fields):
    start_from = TrainData(train="mnli") if start else None
    data = GlueFiles(train="train", dev="dev", start_from=start_from)
    fields = {"seeds": [0], **fields}
    return GlueTask(name=subset, type="glue", subset=subset, data=data, training=training, **fields)


def rows(subset, count, seed):
    found = []
    for row in pairs(count, seed):
        texts = dict(zip(FIELDS[subset], (row["sentence2"], row["sentence1"]), strict=False))
        number = int(row["label"])
        label = row["label"] if subset == "stsb" else number % 3 if subset == "mnli" else number > 1
        found.append({**texts, "label": label if subset == "stsb" else int(label)})
    return found


@pytest.fixture
def data(tmp_path):
    def make(subset):
        return {
            "train": dataset(tmp_path / "train.jsonl", rows(subset, 48, 0)),
            "dev": dataset(tmp_path / "dev.jsonl", rows(subset, 24, 1)),
            "start_from": dataset(tmp_path / "mnli.jsonl", rows("mnli", 24, 2)),
        }

    return make


@pytest.fixture(scope="module")
def encoder(saved_by_5x):
    return encoder_of(saved_by_5x)


@pytest.mark.parametrize("subset", list(FIELDS))
def test_each_subset_has_its_fields_and_metrics(encoder, data, subset):
    given = data(subset)
    del given["start_from"]
    outcome = measure(task(subset, ONE), given, "dev", encoder)
    assert set(outcome.metrics) == set(task(subset).known_metrics)
    assert outcome.n_examples == 24


def test_a_subset_is_learnt(encoder, data):
    given = data("cola")
    outcome = measure(task("cola"), given, "dev", encoder)
    assert outcome.metrics["matthews"] > 0.5


def test_the_search_is_the_papers():
    points = grid(task("rte", None).search)
    assert len(points) == 48
    assert {p.epochs for p in points} == {1, 2, 3}
    assert {p.epochs for p in grid(task("qqp", None).search)} == {2, 5, 10}
    assert {p.learning_rate for p in points} == {1e-5, 3e-5, 5e-5, 8e-5}
    assert {p.weight_decay for p in points} == {1e-6, 5e-6, 8e-6, 1e-5}
    [start] = grid(task("rte", None, start=True).start_training)
    assert (start.learning_rate, start.weight_decay, start.epochs) == (5e-5, 5e-6, 1)


def test_mnli_is_trained_once_for_all_that_start_from_it(encoder, data, own_cache):
    class Noted(Silent):
        trained = 0

        def note(self, message):
            Noted.trained += "training on MNLI" in message

    settings = {"start": True, "start_training": ONE}
    first = measure(task("rte", ONE, **settings), data("rte"), "dev", encoder, Noted())
    again = measure(task("rte", ONE, **settings), data("rte"), "dev", encoder, Noted())
    measure(task("stsb", ONE, **settings), data("stsb"), "dev", encoder, Noted())
    assert Noted.trained == 1
    assert first.metrics == again.metrics
    [kept] = [one for one in (own_cache / "mbrelease" / "mnli").iterdir() if one.is_dir()]
    assert {one.name for one in kept.iterdir()} == {"config.json", "model.safetensors"}
    other = {"start": True, "start_training": FAST}
    measure(task("rte", ONE, **other), data("rte"), "dev", encoder, Noted())
    assert Noted.trained == 2


def test_the_start_is_the_encoder_after_mnli_with_a_head_of_its_own(encoder, data):
    import torch

    from mbrelease.evaluation.training.trainable import Head, Trainable

    given = data("rte")
    start = glue._start(task("rte", start=True, start_training=ONE), given, encoder, Silent())
    model = Trainable(start, Head("label", 2)).model
    assert model.classifier.weight.shape[0] == 2
    before = encoder.model.model.layers[0].attn.Wqkv.weight
    assert not torch.equal(model.model.layers[0].attn.Wqkv.weight, before)


def test_what_mnli_leaves_behind_has_a_limit(encoder, data, own_cache, monkeypatch):
    from mbrelease.evaluation.training import mnli

    monkeypatch.setattr(mnli, "LIMIT_BYTES", 1)
    for start in (ONE, FAST):
        measure(task("rte", ONE, start=True, start_training=start), data("rte"), "dev", encoder)
    kept = [one for one in (own_cache / "mbrelease" / "mnli").iterdir() if one.is_dir()]
    assert len(kept) == 1


@pytest.mark.parametrize(
    ("subset", "label", "said"),
    [
        ("rte", -1, r"test\.jsonl:1: label -1 is not one of 0, 1"),
        ("rte", 2, r"label 2 is not one of 0, 1"),
        ("rte", "entailment", r"label entailment is not one of 0, 1"),
        ("rte", 0.5, r"field 'label' is float"),
        ("stsb", -1, r"label -1 is not a similarity from 0 to 5"),
        ("stsb", "x", r"field 'label' is 'x', not a finite number"),
    ],
)
def test_a_label_that_glue_does_not_have_is_refused(encoder, data, tmp_path, subset, label, said):
    given = data(subset)
    spoilt = rows(subset, 4, 1)
    spoilt[0]["label"] = label
    given["test"] = dataset(tmp_path / "test.jsonl", spoilt)
    with pytest.raises(UserError, match=said) as error:
        measure(task(subset, ONE), given, "test", encoder)
    assert (label == -1) == ("measure on dev" in (error.value.mend or ""))
