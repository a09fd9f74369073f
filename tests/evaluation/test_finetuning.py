import json
import shutil

import numpy as np
import pytest
from learnable import ANIMALS, FAST, dataset, encoder_of, texts

from mbrelease.errors import CheckFailed, UserError
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.tasks.classification import measure
from mbrelease.evaluation.training import trainable
from mbrelease.evaluation.training.examples import cut_pair, encode_pairs
from mbrelease.evaluation.training.finetuning import Problem, grid, hold_out, rate_factor
from mbrelease.evaluation.training.trainable import Head, Start, Trainable
from mbrelease.progress import Silent
from mbrelease.registry.tasks import ClassificationTask, FineTuning, SplitFiles


def task(training=FAST, **fields):
    fields = {"seeds": [0, 1], **fields}
    data = SplitFiles(train="train", dev="dev")
    return ClassificationTask(
        name="sort", type="classification", data=data, training=training, **fields
    )


@pytest.fixture
def data(tmp_path):
    return {
        "train": dataset(tmp_path / "train.jsonl", texts(72, 0)),
        "dev": dataset(tmp_path / "dev.jsonl", texts(30, 1)),
    }


@pytest.fixture(scope="module")
def encoder(saved_by_5x):
    return encoder_of(saved_by_5x)


class Noted(Silent):
    def __init__(self):
        self.notes, self.started, self.steps = [], [], 0

    def note(self, message):
        self.notes.append(message)

    def start(self, description, total, unit):
        self.started.append((description, total))

    def advance(self, amount=1):
        self.steps += amount


def test_a_model_learns_and_learns_the_same_again(encoder, data):
    one = measure(task(), data, "dev", encoder)
    assert one.metrics["macro_f1"] > 0.8  # guessing one label: 0.17
    assert one.n_examples == 30
    assert one.examples["prediction"].shape == (60,)
    assert [e["seed"] for e in one.experiments] == [0, 1]
    assert all(e["learning_rate"] == 3e-3 and e["epochs"] == 3 for e in one.experiments)
    assert one.tried == ()
    two = measure(task(), data, "dev", encoder)
    assert two.metrics == one.metrics
    np.testing.assert_array_equal(one.examples["prediction"], two.examples["prediction"])


def test_heads_start_from_their_seed_alone(saved_by_5x):
    import torch

    def head(seed):
        torch.manual_seed(seed)
        start = Start(saved_by_5x, "m", Backend())
        return Trainable(start, Head("label", 3)).model.classifier.weight.detach().clone()

    assert torch.equal(head(0), head(0))
    assert not torch.equal(head(0), head(1))


def test_training_leaves_the_generators_of_the_process_alone(encoder, data):
    import torch

    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    measure(task(seeds=[3]), data, "dev", encoder)
    assert torch.equal(before, torch.random.get_rng_state())


def test_five_seeds_are_the_default():
    plain = ClassificationTask(
        name="sort", type="classification", data=SplitFiles(dev="d"), training=FAST
    )
    assert plain.seeds == [0, 1, 2, 3, 4]


def test_the_grid_is_searched_on_a_part_of_train_and_never_on_what_is_reported(
    encoder, data, tmp_path
):
    """The same search, whatever the labels of the reported split say."""
    searching = task(FineTuning(learning_rates=[1e-5, 3e-3], epochs=[2], batch_size=8), seeds=[0])
    outcome = measure(searching, data, "dev", encoder)
    assert [point["learning_rate"] for point in outcome.tried] == [1e-5, 3e-3]
    assert outcome.tried[0]["score"] < outcome.tried[1]["score"]
    assert outcome.experiments[0]["learning_rate"] == 3e-3
    swapped = [
        row | {"label": ANIMALS[(ANIMALS.index(row["label"]) + 1) % 3]} for row in texts(30, 1)
    ]
    other = {"train": data["train"], "dev": dataset(tmp_path / "other.jsonl", swapped)}
    again = measure(searching, other, "dev", encoder)
    assert again.tried == outcome.tried
    assert again.metrics["accuracy"] < 0.5 < outcome.metrics["accuracy"]


def test_every_combination_is_a_point():
    points = grid(FineTuning(learning_rates=[1e-5, 2e-5], weight_decays=[0, 1e-6], epochs=[1, 2]))
    assert len(set(points)) == 8
    assert [p.epochs for p in points[:3]] == [1, 2, 1]


@pytest.mark.parametrize(("count", "held"), [(20, 5), (100, 10), (60_000, 4000)])
def test_the_held_out_part_is_apart_and_always_the_same(count, held):
    problem = Problem([None] * count, [], lambda answers, rows: 0.0, "train")
    kept, chosen_on = hold_out(problem, needed=True)
    assert len(chosen_on) == held
    assert sorted(kept + chosen_on) == list(range(count))
    assert hold_out(problem, needed=True) == (kept, chosen_on)
    assert hold_out(problem, needed=False) == (list(range(count)), [])


def test_the_learning_rate_rises_and_falls_to_zero():
    factors = [rate_factor(step, 10, 0.2) for step in range(10)]
    assert factors == pytest.approx([0.5, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])
    assert rate_factor(0, 1, 0.0) == 1


def test_weight_decay_takes_its_share_whatever_the_learning_rate(saved_by_5x):
    from mbrelease.evaluation.training.finetuning import Point, _optimizer

    model = Trainable(Start(saved_by_5x, "m", Backend()), Head("label", 2))
    before = model.model.classifier.weight.detach().clone()
    norm = model.model.head.norm.weight.detach().clone()
    for parameter in model.model.parameters():
        parameter.grad = parameter.new_zeros(parameter.shape)
    _optimizer(model, Point(1e-4, 0.01, 1)).step()
    np.testing.assert_allclose(model.model.classifier.weight.detach(), before * 0.99, rtol=1e-6)
    np.testing.assert_array_equal(model.model.head.norm.weight.detach(), norm)


def test_a_run_stops_when_patience_ends_and_its_best_epoch_counts(encoder, data):
    seen = Noted()
    patient = FineTuning(learning_rates=[3e-3], epochs=[20], batch_size=8, patience=1)
    outcome = measure(task(patient, seeds=[0]), data, "dev", encoder, seen)
    [(_, total)] = [one for one in seen.started if "fine-tune" in one[0]]
    assert seen.steps < total
    assert outcome.metrics["macro_f1"] > 0.8


def test_a_batch_in_pieces_has_the_same_gradient(saved_by_5x, encoder, data):
    import torch

    items = [token.ids for token in encoder.tokens(data["train"].texts("text")[:16], 64)]
    items = [trainable.Example(ids[: 3 + n % 5]) for n, ids in enumerate(items)]
    targets = [np.asarray([n % 3]) for n in range(16)]
    gradients = []
    for budget in (10_000, 20):
        torch.manual_seed(0)
        model = Trainable(Start(saved_by_5x, "m", Backend()), Head("label", 3))
        model.token_budget = budget
        loss = model.backward(items, targets)
        gradients.append((loss, model.model.model.layers[0].attn.Wqkv.weight.grad))
    assert gradients[0][0] == pytest.approx(gradients[1][0], rel=1e-5)
    torch.testing.assert_close(gradients[0][1], gradients[1][1], rtol=1e-3, atol=1e-5)


def test_out_of_memory_halves_what_is_passed_at_once(encoder, data, monkeypatch):
    """The allocator's own error, for batches of more than 100 tokens."""
    import torch

    whole = measure(task(seeds=[0]), data, "dev", encoder)
    forward = Trainable._forward

    def tight(self, examples):
        if len(examples) * max(len(example.ids) for example in examples) > 100:
            torch.empty(2**60)
        return forward(self, examples)

    monkeypatch.setattr(Trainable, "_forward", tight)
    seen = Noted()
    halved = measure(task(seeds=[0]), data, "dev", encoder, seen)
    assert any("out of memory" in note for note in seen.notes)
    assert halved.metrics["macro_f1"] == pytest.approx(whole.metrics["macro_f1"], abs=0.1)


def test_dropout_is_drawn_the_same_again(saved_by_5x, data, tmp_path, edit_json):
    folder = shutil.copytree(saved_by_5x, tmp_path / "dropping")
    edit_json(folder / "config.json", mlp_dropout=0.2, classifier_dropout=0.1)
    dropping = encoder_of(folder)
    one, two = (measure(task(seeds=[0]), data, "dev", dropping) for _ in range(2))
    np.testing.assert_array_equal(one.examples["prediction"], two.examples["prediction"])


def test_one_text_that_does_not_fit_is_named(encoder, data, monkeypatch):
    def never(self, examples):
        raise MemoryError

    monkeypatch.setattr(Trainable, "_forward", never)
    with pytest.raises(UserError, match=r"out of memory in training with one text of \d+ tokens"):
        measure(task(), data, "dev", encoder)


def absurd(*rates):
    """Learning rates that a registry would not take."""
    return FAST.model_copy(update={"learning_rates": list(rates)})


def test_a_setting_that_diverges_is_named_and_the_others_go_on(encoder, data):
    seen = Noted()
    outcome = measure(task(absurd(1e30, 3e-3), seeds=[0]), data, "dev", encoder, seen)
    assert outcome.tried[0]["diverged_at_step"] >= 1
    assert "score" not in outcome.tried[0]
    assert outcome.experiments[0]["learning_rate"] == 3e-3
    [note] = [note for note in seen.notes if "diverged" in note]
    assert str(encoder.checkpoint.path) in note
    assert "learning rate 1e+30" in note
    assert "at step" in note
    json.dumps(outcome.tried, allow_nan=False)


@pytest.mark.parametrize("rates", [[1e30], [1e30, 1e31]])
def test_when_every_setting_diverges_there_is_no_result(encoder, data, rates):
    with pytest.raises(CheckFailed, match="diverged"):
        measure(task(absurd(*rates)), data, "dev", encoder)


def test_ctrl_c_is_passed_on(encoder, data):
    class Interrupted(Silent):
        def advance(self, amount=1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(task(), data, "dev", encoder, Interrupted())


def test_labels_unseen_in_train_and_long_texts_are_counted(encoder, data, tmp_path):
    rows = texts(30, 1)
    rows[0]["label"] = "wren"
    rows[1]["text"] = "the owl " * 200
    data["dev"] = dataset(tmp_path / "dev.jsonl", rows)
    outcome = measure(task(seeds=[0], max_length=64), data, "dev", encoder)
    assert outcome.counts == {
        "truncated": 1, "empty": 0, "unseen_label": 1, "train": 72, "empty_in_train": 0,
    }  # fmt: skip
    assert outcome.metrics["accuracy"] < 1


def test_one_label_is_nothing_to_learn(encoder, data, tmp_path):
    data["train"] = dataset(
        tmp_path / "one.jsonl", [row | {"label": "owl"} for row in texts(30, 0)]
    )
    with pytest.raises(UserError, match=r"one\.jsonl: fewer than two labels in 'label'"):
        measure(task(), data, "dev", encoder)


def test_too_few_examples_to_search_are_refused_but_one_setting_is_not_a_search(
    encoder, data, tmp_path
):
    data["train"] = dataset(tmp_path / "few.jsonl", texts(12, 0))
    searching = FineTuning(learning_rates=[1e-3, 2e-3], epochs=[1])
    with pytest.raises(UserError, match=r"few\.jsonl: 12 examples are too few"):
        measure(task(searching), data, "dev", encoder)
    assert measure(task(seeds=[0]), data, "dev", encoder).n_examples == 30


def test_a_label_that_is_no_label_has_its_line(encoder, data, tmp_path):
    rows = texts(30, 0)
    rows[4]["label"] = 0.5
    data["train"] = dataset(tmp_path / "train.jsonl", rows)
    with pytest.raises(UserError, match=r"train\.jsonl:5: field 'label' is float"):
        measure(task(), data, "dev", encoder)


def test_a_lost_tensor_is_told_and_not_drawn_at_random(saved_by_5x, data, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(saved_by_5x, tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.Wo.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 tensor .* 'model\.layers\.1\.mlp\.Wo\.weight'"):
        measure(task(), data, "dev", encoder_of(folder))


def test_the_pooling_of_the_task_is_that_of_the_head(saved_by_5x):
    for pooling in ("cls", "mean"):
        model = Trainable(Start(saved_by_5x, "m", Backend()), Head("label", 2, pooling))
        assert model.model.config.classifier_pooling == pooling


def test_pairs_are_what_the_tokenizer_would_make_of_them(encoder):
    """With the pair template of ModernBERT's tokenizer.json, at lengths that cut one or both."""
    from tokenizers import Tokenizer, processors

    own = Tokenizer.from_file(str(encoder.checkpoint.path / "tokenizer.json"))
    own.no_padding()
    own.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    first = ["the owl", "in", "", "the owl " * 9, "owl " * 3, "a b c d e f g h"]
    second = ["a mouse", "the mouse " * 9, "in", "the mouse " * 9, "", "ab"]
    for length in (8, 15, 16, 64):
        own.enable_truncation(length)
        wanted = own.encode_batch(list(zip(first, second, strict=True)))
        made = encode_pairs(encoder, first, second, length)
        assert [list(item.ids) for item in made.items] == [one.ids for one in wanted]
        assert made.n_truncated == sum(bool(one.overflowing) for one in wanted)


def test_the_longer_text_gives_way_first():
    assert cut_pair(3, 4, 10) == (3, 4)
    assert cut_pair(3, 40, 10) == (3, 7)
    assert cut_pair(40, 3, 10) == (7, 3)
    assert sum(cut_pair(40, 50, 11)) == 11
