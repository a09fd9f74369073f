"""What the Trainer itself left."""

import json
from pathlib import Path

import pytest

from mbrelease.errors import UserError
from mbrelease.evaluation.importers import trainer as importer

ROWS = [{"input_ids": [1, 9, 4, 9, 2], "labels": [-100, 9, -100, 9, -100]} for _ in range(3)]


@pytest.fixture(scope="module")
def output(saved_by_5x, tmp_path_factory):
    """A Trainer's output folder after training, evaluation and prediction. Do not write."""
    from transformers import AutoModelForMaskedLM, DefaultDataCollator, Trainer, TrainingArguments

    folder = tmp_path_factory.mktemp("trainer")
    arguments = TrainingArguments(
        str(folder), max_steps=2, eval_strategy="steps", eval_steps=1, logging_steps=1,
        use_cpu=True, report_to=[], disable_tqdm=True, save_strategy="no",
        per_device_train_batch_size=2, dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = Trainer(
        AutoModelForMaskedLM.from_pretrained(saved_by_5x), arguments,
        train_dataset=ROWS, eval_dataset={"owls": ROWS, "wrens": ROWS[:2]},
        data_collator=DefaultDataCollator(),
        compute_metrics=lambda p: {"accuracy": float((p.predictions.argmax(-1) == 9).mean())},
    )  # fmt: skip
    trained = trainer.train()
    trainer.save_state()
    trainer.save_metrics("train", trained.metrics)
    # As the example scripts do: the number of examples and the perplexity are added.
    metrics = trainer.evaluate(ROWS) | {"eval_samples": 3, "perplexity": 12.5}
    trainer.save_metrics("eval", metrics)
    trainer.save_metrics("predict", trainer.predict(ROWS, metric_key_prefix="predict").metrics)
    return folder


def found_in(path):
    return {
        (one.result.task_name, one.result.split, one.result.metric): one.result
        for one in importer.read(path)
    }


def test_of_a_state_the_evaluations_of_its_own_step_count(output):
    found = found_in(output / "trainer_state.json")
    assert set(found) == {
        (task, "dev", metric) for task in ("owls", "wrens") for metric in ("loss", "accuracy")
    }
    log = json.loads((output / "trainer_state.json").read_text())["log_history"]
    logged = [row["eval_owls_loss"] for row in log if "eval_owls_loss" in row]
    assert len(logged) == 2
    loss = found["owls", "dev", "loss"]
    assert (loss.value, loss.details, loss.higher_is_better) == (logged[-1], {"step": 2}, False)


def test_of_all_results_evaluation_and_prediction_are_read_and_training_is_not(output):
    found = found_in(output / "all_results.json")
    assert set(found) == {
        ("trainer", "dev", "loss"), ("trainer", "dev", "accuracy"),
        ("trainer", "dev", "perplexity"),
        ("trainer", "test", "loss"), ("trainer", "test", "accuracy"),
    }  # fmt: skip
    content = json.loads((output / "all_results.json").read_text())
    assert found["trainer", "test", "loss"].value == content["predict_loss"]
    assert found["trainer", "dev", "loss"].n_examples == 3


@pytest.mark.parametrize(("name", "split"), [("eval", "dev"), ("predict", "test")])
def test_the_results_of_a_split_are_read(output, name, split):
    path = output / f"{name}_results.json"
    assert importer.recognises(path)
    assert {key[1] for key in found_in(path)} == {split}


def test_results_of_training_alone_are_no_evaluation(output):
    path = output / "train_results.json"
    assert importer.recognises(path)
    with pytest.raises(UserError, match="only figures of the training"):
        importer.read(path)


def test_the_states_of_a_real_run_are_read():
    run = Path(__file__).parents[3] / "shared" / "runs"
    states = sorted(run.glob("*/checkpoint-*/trainer_state.json"))
    if not states:
        pytest.skip("no shared/runs beside the checkout")
    for path in states:
        [loss] = importer.read(path)
        step = int(path.parent.name.removeprefix("checkpoint-"))
        assert (loss.result.metric, loss.result.details) == ("loss", {"step": step})


def state(tmp_path, *rows, step=20):
    path = tmp_path / "trainer_state.json"
    content = {"log_history": list(rows), "global_step": step, "max_steps": 20}
    path.write_text(json.dumps(content))
    return path


def test_an_evaluation_of_earlier_weights_is_refused(tmp_path):
    path = state(tmp_path, {"step": 10, "eval_loss": 2.0}, {"step": 20, "loss": 1.0})
    with pytest.raises(UserError, match="is of step 10, the weights are of step 20"):
        importer.read(path)


def test_a_state_without_evaluations_is_refused(tmp_path):
    path = state(tmp_path, {"step": 20, "loss": 1.0}, {"step": 20, "train_runtime": 3.0})
    with pytest.raises(UserError, match="logs no evaluation"):
        importer.read(path)


def test_a_loss_that_is_nan_is_refused_with_its_row(tmp_path):
    path = state(tmp_path, {"step": 20, "loss": 1.0}, {"step": 20, "eval_loss": float("nan")})
    with pytest.raises(UserError, match="log row 2, eval_loss: nan is not a finite number"):
        importer.read(path)
