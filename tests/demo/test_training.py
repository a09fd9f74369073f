"""A training of a few steps leaves what a real one leaves."""

import json
from dataclasses import replace

import pytest

from mbrelease.checkpoints.discover import discover
from mbrelease.demo.training import Run, Schedule, Sizes, is_trained, train, train_tokenizer

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")

SIZES = Sizes(
    vocabulary=400, layers=2, hidden=32, heads=2, intermediate=48, context=64, block=16, batch=4
)
TEXTS = [
    f"Return item number {n} of the list, or raise IndexError if {n} is none." for n in range(80)
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A base of 6 steps and a run of 8 that continues it, with 4 checkpoints."""
    root = tmp_path_factory.mktemp("demo")
    tokenizer = train_tokenizer(TEXTS, SIZES)
    schedule = Schedule(steps=6, checkpoints=1, learning_rate=5e-3, decay_steps=2, warmup_steps=1)
    base = Run("base", root / "runs" / "base", None, TEXTS, TEXTS[:20], SIZES, schedule)
    train(base, tokenizer)
    schedule = Schedule(steps=8, checkpoints=4, learning_rate=5e-3, decay_steps=4, warmup_steps=1)
    child = Run("child", root / "runs" / "child", base.output, TEXTS, TEXTS[:20], SIZES, schedule)
    train(child, tokenizer)
    return base, child, tokenizer


def test_checkpoints_are_those_of_the_schedule(runs):
    base, child, _ = runs
    assert [checkpoint.step for checkpoint in discover(base.output)] == [6]
    assert [checkpoint.step for checkpoint in discover(child.output)] == [2, 4, 6, 8]


def test_a_checkpoint_holds_a_model_and_no_optimizer(runs):
    for checkpoint in discover(runs[1].output):
        names = {entry.name for entry in checkpoint.path.iterdir()}
        assert {"config.json", "model.safetensors", "tokenizer.json", "trainer_state.json"} <= names
        assert not names & {"optimizer.pt", "scheduler.pt", "rng_state.pth", "pytorch_model.bin"}
        assert checkpoint.headers[0].parameters > 0


def test_the_trainer_logged_loss_and_learning_rate(runs):
    state = discover(runs[1].output)[-1].trainer_state
    assert [step for step, _ in state.curve("eval_loss")] == [2, 4, 6, 8]
    rates = dict(state.curve("learning_rate"))
    assert rates[4] == pytest.approx(5e-3)
    assert rates[8] < rates[6] < rates[4]
    # The Trainer logs the rate of the step that was, so the last at the peak may be the fifth.
    assert state.decay_start in (4, 5)


def test_training_lowers_the_loss(runs):
    base, child, _ = runs
    before = discover(base.output)[0].trainer_state.eval_loss
    after = discover(child.output)[-1].trainer_state.eval_loss
    assert after < before - 0.1


def test_a_run_is_known_by_its_settings(runs):
    base, child, _ = runs
    assert is_trained(base) and is_trained(child)
    assert not is_trained(replace(child, train=child.train[1:]))
    assert not is_trained(replace(child, sizes=replace(SIZES, seed=1)))
    assert not is_trained(replace(child, output=child.output.parent / "nothing"))
    hidden = [entry.name for entry in child.output.parent.iterdir()]
    assert sorted(hidden) == ["base", "child"]


def test_the_same_seed_gives_the_same_weights(runs, tmp_path):
    base, _, tokenizer = runs
    again = replace(base, output=tmp_path / "again")
    train(again, tokenizer)
    first, second = (discover(run.output)[0].weights_sha256 for run in (base, again))
    assert first == second


def test_a_training_that_stops_leaves_no_run(runs, tmp_path):
    class Stop(Exception):
        pass

    class Stopping:
        def start(self, description, total, unit):
            assert (total, unit) == (6, "steps")

        def advance(self, amount=1):
            raise Stop

        def note(self, message):
            pass

    base, _, tokenizer = runs
    with pytest.raises(Stop):
        train(replace(base, output=tmp_path / "run"), tokenizer, Stopping())
    assert list(tmp_path.iterdir()) == []


def test_training_says_nothing_of_its_own(runs, tmp_path, capfd):
    base, _, tokenizer = runs
    train(replace(base, output=tmp_path / "quiet"), tokenizer)
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


def test_the_tokenizer_is_like_modernberts(runs):
    _, child, tokenizer = runs
    assert [tokenizer.convert_ids_to_tokens(n) for n in range(5)] == [
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[PAD]",
        "[MASK]",
    ]
    ids = tokenizer("Return the [MASK] item")["input_ids"]
    assert (ids[0], ids[-1]) == (1, 2)
    assert ids.count(4) == 1
    # The mask swallows the space before it, and what is no special token decodes as it was.
    assert tokenizer.decode(ids[1:-1]) == "Return the[MASK] item"
    assert tokenizer.decode(tokenizer("ünïcode → ok")["input_ids"][1:-1]) == "ünïcode → ok"
    saved = json.loads((discover(child.output)[0].path / "tokenizer.json").read_text())
    mask = next(token for token in saved["added_tokens"] if token["content"] == "[MASK]")
    assert mask["lstrip"] is True
