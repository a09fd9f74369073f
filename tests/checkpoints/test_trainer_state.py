"""What the Trainer's log says of a schedule."""

import json
import math
from pathlib import Path

import pytest

from mbrelease.checkpoints.trainer_state import TrainerState, read_trainer_state

RUNS = Path(__file__).parents[3] / "shared" / "runs"


def state(rate, steps, every):
    rows = [{"step": s, "learning_rate": 3e-4 * rate(s)} for s in range(every, steps + 1, every)]
    return TrainerState(steps, steps, tuple(rows))


def warmup_stable_decay(step):
    return min(1.0, step / 100, 1 - math.sqrt(max(0, step - 700) / 300))


def cosine(step):
    return step / 4000 if step < 4000 else 0.5 * (1 + math.cos(math.pi * (step - 4000) / 76000))


@pytest.mark.parametrize(
    ("rate", "steps", "every", "start"),
    [
        (warmup_stable_decay, 1000, 10, 700),
        (warmup_stable_decay, 1000, 30, 690),
        (warmup_stable_decay, 600, 10, None),
        (cosine, 80_000, 10, None),
        (lambda step: min(step / 100, 1.1 - step / 1000), 1000, 10, None),
        (lambda step: 1.0, 1000, 10, None),
    ],
)
def test_the_decay_starts_where_a_stable_phase_ends(rate, steps, every, start):
    assert state(rate, steps, every).decay_start == start


def test_rows_without_a_number_are_no_part_of_a_curve(tmp_path):
    rows = [
        {"step": 5, "eval_loss": 2.5},
        {"step": None, "eval_loss": 1.0},
        {"step": 10, "eval_loss": None},
        {"step": 10, "train_runtime": 3.0},
        {"eval_loss": 1.0},
        "a row",
    ]
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps({"global_step": 5, "max_steps": 10, "log_history": rows}))
    found = read_trainer_state(path)
    assert found.curve("eval_loss") == [(5, 2.5)]
    assert found.eval_loss == 2.5


@pytest.mark.skipif(not RUNS.exists(), reason="the real runs are not here")
@pytest.mark.parametrize(("run", "last", "start"), [("dapt", 1200, 825), ("dapt-long", 4000, 2800)])
def test_the_real_runs_decay_from_840_of_1200_and_2800_of_4000(run, last, start):
    """Learning rates are logged every 25 steps: 825 is the last row before 840."""
    found = read_trainer_state(RUNS / run / f"checkpoint-{last}" / "trainer_state.json")
    assert found.decay_start == start
