"""The greedy soup: who stays, what a trial reads, and that a trial is the average it stands for."""

import json
import resource
import threading
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mbrelease.averaging.average import average_checkpoints
from mbrelease.averaging.reader import Reader
from mbrelease.averaging.search import Scored, greedy_search
from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.errors import CheckFailed, UserError
from mbrelease.progress import Silent

RANDOM = np.random.default_rng(0)


def nearness(target):
    """A score that is the higher the nearer the model's ``w`` lies to ``target``."""

    def score(checkpoint):
        [info] = [header.tensors["w"] for header in checkpoint.headers]
        data = checkpoint.weight_files[0].read_bytes()[info.start : info.end]
        return -float(np.square(np.frombuffer(data, "<f4") - np.float32(target)).sum())

    return score


@pytest.fixture
def scored(make_checkpoint):
    """Candidates with these ``w``, and the score that each has by itself."""

    def make(points, target=(0, 0)):
        score = nearness(target)
        sources = [
            open_checkpoint(make_checkpoint(n * 10, {"w": np.array(point, dtype="f4")}))
            for n, point in enumerate(points, 1)
        ]
        return [Scored(source, score(source)) for source in sources], score

    return make


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def names(search):
    return [source.name.removeprefix("checkpoint-") for source, weight in search.members if weight]


def order(search):
    return [trial.candidate.name.removeprefix("checkpoint-") for trial in search.trials]


@pytest.mark.parametrize(
    ("points", "tried", "kept"),
    [
        # On the other side of the target: the mean is nearer than either.
        ([(1, 0), (-2, 0)], ["20"], ["10", "20"]),
        # Farther on the same side, or off to another: dropped.
        ([(1, 0), (3, 0), (0, 9)], ["20", "30"], ["10"]),
        # What hurts is passed over, and what comes after it is tried without it.
        ([(0, 4), (2, 0), (-3, 0)], ["30", "10"], ["20", "30"]),
        # Of equal scores the earlier is the first, and then the next.
        ([(0, 1), (1, 0), (-1, 0)], ["20", "30"], ["10", "20", "30"]),
        ([(0, 5), (0, -1), (0, -1)], ["30", "10"], ["10", "20", "30"]),
        # The same score once more is no reason to drop.
        ([(1, 0), (1, 0)], ["20"], ["10", "20"]),
        ([(2, 0)], [], ["10"]),
    ],
)
def test_who_stays_can_be_told_from_where_they_lie(scored, workspace, points, tried, kept):
    candidates, score = scored(points)
    search = greedy_search(candidates, score, workspace)
    assert order(search) == tried
    assert names(search) == kept
    assert [trial.kept for trial in search.trials] == [name in kept for name in tried]
    assert {weight for _, weight in search.members if weight} == {Fraction(1, len(kept))}
    assert [source for source, _ in search.members] == [one.source for one in candidates]


def test_the_result_is_never_worse_than_the_best_and_no_addition_made_it_worse(scored, workspace):
    candidates, score = scored(np.random.default_rng(1).standard_normal((8, 3)), (0, 0, 0))
    told = []
    search = greedy_search(candidates, score, workspace, on_trial=told.append)
    assert told == list(search.trials)
    best = max(candidate.score for candidate in candidates)
    for trial in told:
        assert trial.kept == (trial.score >= best)
        best = trial.score if trial.kept else best
    assert 1 < len(names(search)) < 8


MODELS = {
    "float32": lambda: {"w": RANDOM.standard_normal(5000).astype("f4"), "ids": np.arange(3)},
    "float16": lambda: {"w": RANDOM.standard_normal(5000).astype("f2")},
    "bfloat16": lambda: {
        "w": (RANDOM.standard_normal(5000).astype("f4").view("u4") >> 16).astype("u2")
    },
    "float64": lambda: {"w": RANDOM.standard_normal(5000), "b": np.ones(2, dtype="f4")},
}


@pytest.mark.parametrize("dtype", MODELS)
def test_each_trial_is_byte_for_byte_the_average_that_it_stands_for(
    make_checkpoint, workspace, tmp_path, dtype
):
    sources = [
        open_checkpoint(make_checkpoint(n, MODELS[dtype](), bf16=True, shards=1 + (n == 3)))
        for n in range(1, 7)
    ]
    # The second trial of five is dropped.
    answers = iter([1.0, 0.0, 1.0, 2.0, 3.0])
    files = []

    def evaluate(trial):
        files.append({path.name: path.read_bytes() for path in trial.path.iterdir()})
        return next(answers)

    candidates = [Scored(source, -source.step) for source in sources]
    search = greedy_search(candidates, evaluate, workspace, recipe="greedy")
    assert [source.step for source, weight in search.members if weight] == [1, 2, 4, 5, 6]
    kept = [sources[0]]
    for trial, found in zip(search.trials, files, strict=True):
        together = sorted([*kept, trial.candidate], key=lambda source: source.step)
        share = Fraction(1, len(together))
        direct = average_checkpoints(
            [(source, share) for source in together], tmp_path / "direct", recipe="greedy"
        )
        assert direct.weights_sha256 == trial.weights_sha256
        del (written := {f.name: f.read_bytes() for f in direct.path.iterdir()})["averaging.json"]
        assert found == written
        kept += [trial.candidate] if trial.kept else []
    final = average_checkpoints(search.members, tmp_path / "out", recipe="greedy")
    assert final.weights_sha256 == search.trials[-1].weights_sha256


class Reads(Silent):
    """The bytes that each pass of the engine reads from each folder."""

    def __init__(self, monkeypatch):
        self.passes, self.totals = [], []
        lock, read = threading.Lock(), Reader.read

        def counting(reader, name, first, elements, into):
            data = read(reader, name, first, elements, into)
            with lock:
                if self.passes:
                    self.passes[-1][reader.source.path.name] += len(data)
            return data

        monkeypatch.setattr(Reader, "read", counting)

    def start(self, description, total, unit):
        self.passes.append(Counter())
        self.totals.append(total)


def test_a_trial_reads_the_sum_and_one_checkpoint(make_checkpoint, workspace, monkeypatch):
    elements = 100_000
    sources = [
        open_checkpoint(make_checkpoint(n, {"w": RANDOM.standard_normal(elements).astype("f4")}))
        for n in range(1, 7)
    ]
    one, both = 4 * elements, 8 * elements
    for source in sources:
        assert source.weights_sha256  # measured before, so known
    reads = Reads(monkeypatch)
    answers = iter([-5.0, 1.0, 1.0, 0.0, 1.0])
    greedy_search(
        [Scored(source, -source.step) for source in sources],
        lambda trial: next(answers),
        workspace,
        progress=reads,
    )
    assert reads.passes == [
        {"checkpoint-1": one, "checkpoint-2": one},  # dropped
        {"checkpoint-1": one, "checkpoint-3": one},  # kept
        {"checkpoint-1": one, "checkpoint-3": one},  # their sum
        {"sum": both, "checkpoint-4": one},  # kept
        {"sum": both, "checkpoint-4": one},  # their sum
        {"sum": both, "checkpoint-5": one},  # dropped
        {"sum": both, "checkpoint-6": one},  # kept, and no sum, for there is no other
    ]
    assert reads.totals == [sum(counted.values()) for counted in reads.passes]


def test_one_trial_at_a_time_lies_on_the_disk(scored, workspace):
    candidates, score = scored([(1, 0), (-2, 0), (3, 0), (-4, 0)])

    def evaluate(trial):
        assert len([path for path in workspace.iterdir() if path.name != "sum"]) == 1
        return score(trial)

    greedy_search(candidates, evaluate, workspace)
    assert [path.name for path in workspace.iterdir()] in ([], ["sum"])


def test_config_and_tokenizer_are_those_of_the_last_member(make_checkpoint, workspace, tmp_path):
    """Who comes first in the ranking does not matter."""
    config = {"model_type": "modernbert", "vocab_size": 64, "hidden_size": 8}
    sources = [
        open_checkpoint(
            make_checkpoint(n, {"w": np.ones(2, dtype="f4")}, config=config | {"note": n})
        )
        for n in (1, 2)
    ]
    seen = []

    def evaluate(trial):
        seen.append(json.loads((trial.path / "config.json").read_text())["note"])
        return 1.0

    greedy_search([Scored(sources[0], 0.0), Scored(sources[1], 1.0)], evaluate, workspace)
    assert seen == [2]


def never(trial):
    raise AssertionError("measured")


def test_checkpoints_that_differ_stop_it_before_anything_is_measured(make_checkpoint, workspace):
    sources = [
        open_checkpoint(make_checkpoint(n, {"w": np.ones(size, dtype="f4")}))
        for n, size in ((1, 2), (2, 2), (3, 4))
    ]
    with pytest.raises(CheckFailed, match=r"checkpoint-3: tensor w has shape \[4\]"):
        greedy_search([Scored(source, -source.step) for source in sources], never, workspace)


def test_nan_in_a_checkpoint_is_named(scored, workspace):
    candidates, score = scored([(1, 0), (-1, 0), (np.nan, 0)])
    candidates[2] = Scored(candidates[2].source, -9.0)
    with pytest.raises(CheckFailed, match=r"tensor w of .*checkpoint-30 holds nan"):
        greedy_search(candidates, score, workspace)


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_a_sentence(scored, workspace, score):
    candidates, _ = scored([(1, 0), (-1, 0)])
    with pytest.raises(CheckFailed, match=rf"the score with .*checkpoint-20 is {score}"):
        greedy_search(candidates, lambda trial: score, workspace)
    candidates[0] = Scored(candidates[0].source, score)
    with pytest.raises(CheckFailed, match=rf"the score with .*checkpoint-10 is {score}"):
        greedy_search(candidates, never, workspace)


@pytest.mark.parametrize("limit", [100_000, 600_000])
def test_a_disk_without_room_is_a_sentence(make_checkpoint, workspace, limit):
    """A limit on file sizes stands for the full disk: of 400 kB the trial, then the sum."""
    sources: list = [
        open_checkpoint(make_checkpoint(n, {"w": np.ones(100_000, dtype="f4")})) for n in (1, 2, 3)
    ]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    measured: list[Path] = []
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        with pytest.raises(UserError, match="cannot write"):
            greedy_search(
                [Scored(source, 0.0) for source in sources],
                lambda trial: float(len(measured.append(trial.path) or measured)),
                workspace,
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(measured) == (limit > 400_000)
    assert list(workspace.iterdir()) == []
