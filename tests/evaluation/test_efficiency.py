from dataclasses import replace

import numpy as np
import pytest
from learnable import encoder_of

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.errors import UserError
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.comparable import conditions
from mbrelease.evaluation.evidence import read_examples
from mbrelease.evaluation.jobs import plan_jobs
from mbrelease.evaluation.measure import run_jobs
from mbrelease.evaluation.metric_names import shown
from mbrelease.evaluation.metrics import speed_metrics
from mbrelease.evaluation.tasks.efficiency import drawn, largest_that_fits, measure
from mbrelease.registry.tasks import EfficiencyTask


def task(**fields):
    small = {"documents": 6, "short": 32, "long": 128, "runs": 2}
    return EfficiencyTask(name="speed", type="efficiency", **{**small, **fields})


class Heard:
    def __init__(self):
        self.notes, self.done, self.total = [], 0, 0

    def start(self, description, total, unit):
        self.total = total

    def advance(self, amount=1):
        self.done += amount

    def note(self, message):
        self.notes.append(message)


def test_each_run_of_each_set_is_a_row(saved_by_5x):
    heard = Heard()
    outcome = measure(task(), {}, "dev", encoder_of(saved_by_5x), heard)
    examples = outcome.examples
    assert examples["set"].tolist() == [name for name in task().sets for _ in range(2)]
    assert examples["run"].tolist() == [1, 2] * 4
    assert examples["tokens"][:2].tolist() == [6 * 32, 6 * 32]
    assert examples["tokens"][4:6].tolist() == [6 * 128, 6 * 128]
    speed = examples["tokens"] / examples["seconds"]
    long_fixed = "long_fixed_tokens_per_second"
    assert outcome.metrics[long_fixed] == pytest.approx(speed[4:6].mean())
    assert outcome.metrics[f"{long_fixed}_std"] == pytest.approx(np.std(speed[4:6], ddof=1))
    assert [e["run"] for e in outcome.experiments] == [1, 2]
    assert [e[long_fixed] for e in outcome.experiments] == pytest.approx(speed[4:6])
    assert outcome.machine.endswith(("core", "cores"))
    assert (heard.done, heard.total) == (8, 8)


def test_a_cpu_has_no_largest_batch_and_that_is_said(saved_by_5x):
    heard = Heard()
    assert measure(task(), {}, "dev", encoder_of(saved_by_5x), heard).counts == {}
    assert heard.notes == [
        "largest batch: only on a GPU, for a CPU has no memory of its own to fill"
    ]


def test_the_sets_are_the_papers():
    """Table 10: normal around half of the longest, with a deviation of an eighth."""
    paper = EfficiencyTask(name="speed", type="efficiency", short=512, long=1024)
    fixed = [len(ids) for ids in drawn(paper, "short_fixed", 288)]
    assert fixed == [512] * 8192
    for name, longest in (("short_variable", 512), ("long_variable", 1024)):
        lengths = [len(ids) for ids in drawn(paper, name, 288)]
        assert len(lengths) == 8192
        assert np.mean(lengths) == pytest.approx(longest / 2, rel=0.01)
        assert np.std(lengths) == pytest.approx(longest / 8, rel=0.03)
        assert 8 <= min(lengths) < max(lengths) <= longest


def test_documents_are_the_same_each_time_and_follow_the_seed():
    first, again, other = (drawn(task(seed=seed), "short_variable", 288) for seed in (0, 0, 1))
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))
    assert max(map(np.max, first)) < 288


def test_documents_longer_than_the_context_are_refused(saved_by_5x):
    with pytest.raises(UserError, match="129 tokens, and the context of .* is 128") as error:
        measure(task(long=129), {}, "dev", encoder_of(saved_by_5x))
    assert error.value.mend == "lower 'long' to 128"


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 7, 8, 9, 99, 100, 1000])
def test_the_largest_batch_is_found(limit):
    tried = []

    def fits(count):
        tried.append(count)
        return count <= limit

    assert largest_that_fits(fits, 100) == min(limit, 100)
    assert max(tried) <= 100
    assert len(tried) == len(set(tried)) <= 14


def test_speeds_are_means_of_runs_and_not_of_seconds():
    examples = {
        "set": np.asarray(["a", "a", "b", "b"]),
        "seconds": np.asarray([1.0, 4.0, 1.0, 1.0]),
        "tokens": np.asarray([100, 100, 30, 30]),
    }
    assert speed_metrics(examples, ["a", "b"]) == {
        "a_tokens_per_second": 62.5,
        "a_tokens_per_second_std": pytest.approx(37.5 * 2**0.5),
        "b_tokens_per_second": 30.0,
        "b_tokens_per_second_std": 0.0,
    }
    assert shown("speed/a_tokens_per_second", 62.5) == "62"


def test_it_is_measured_once_and_kept(saved_by_5x, tmp_path):
    checkpoints = [open_checkpoint(saved_by_5x)]
    plan = {"backend": Backend(), "data_root": tmp_path}
    assert plan_jobs(checkpoints, [task()], "test", **plan) == []
    jobs = plan_jobs(checkpoints, [task()], "dev", **plan)
    [record] = run_jobs(jobs, tmp_path / "evidence")
    assert record.main_score == record.metrics["short_variable_tokens_per_second"] > 0
    assert read_examples(record).num_rows == 8
    assert record.provenance.machine.endswith(("core", "cores"))
    assert run_jobs(jobs, tmp_path / "evidence") == [record]


def test_speeds_of_two_machines_are_not_compared(saved_by_5x, tmp_path):
    first = open_checkpoint(saved_by_5x)
    [job] = plan_jobs([first], [task()], "dev", backend=Backend(), data_root=tmp_path)
    [record] = run_jobs([job], tmp_path / "evidence")
    elsewhere = replace(record.provenance, machine="NVIDIA L4")
    assert elsewhere.key == record.provenance.key  # who plans does not know where it will run
    assert conditions(elsewhere) != conditions(record.provenance)
