import numpy as np
import pytest
import torch

from mbrelease.errors import UserError
from mbrelease.evaluation import batching
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.batching import batches_by_length, run_batches
from mbrelease.progress import SILENT, Silent

CPU, CUDA = Backend(), Backend("fa2-varlen", "bfloat16", "cuda")


class Notes(Silent):
    def __init__(self):
        self.notes = []

    def note(self, message):
        self.notes.append(message)


def test_batches_hold_every_row_once_within_the_budget():
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 3000, 200).tolist()
    batches = batches_by_length(lengths, 1024)
    assert sorted(row for batch in batches for row in batch) == list(range(200))
    for batch in batches:
        longest = max(lengths[row] for row in batch)
        assert len(batch) == 1 or len(batch) * longest <= 1024
    assert lengths[batches[0][0]] == max(lengths)


@pytest.mark.parametrize("backend", [CPU, CUDA], ids=["cpu", "gathered"])
@pytest.mark.parametrize("cores", [1, 3])
def test_every_row_gets_its_own_result(monkeypatch, backend, cores):
    monkeypatch.setattr(batching, "available_cores", lambda: cores)
    monkeypatch.setattr(batching, "GATHERED_BYTES", 100)
    lengths = np.random.default_rng(0).integers(1, 40_000, 50).tolist()
    threads = torch.get_num_threads()
    found = {}
    for rows, result in run_batches(
        lambda rows: torch.tensor([[row, lengths[row]] for row in rows]), lengths, backend, SILENT
    ):
        assert len(rows) == len(result)
        found.update(zip(rows, result.tolist(), strict=True))
    assert found == {row: [row, length] for row, length in enumerate(lengths)}
    assert torch.get_num_threads() == threads


def test_no_rows_are_no_results():
    assert [*run_batches(lambda rows: torch.zeros(1), [], CPU, SILENT)] == []
    assert [*run_batches(lambda rows: torch.zeros(1), [], CUDA, SILENT)] == []


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("backend", [CPU, CUDA], ids=["cpu", "gathered"])
def test_out_of_memory_halves_the_batch_says_so_and_goes_on(monkeypatch, backend, error):
    monkeypatch.setattr(batching, "available_cores", lambda: 1)
    monkeypatch.setitem(batching.TOKEN_BUDGET, backend.device, 160)
    lengths, tried, progress = [10] * 40, [], Notes()

    def fails_above_50(rows):
        tried.append(10 * len(rows))
        if 10 * len(rows) > 50:
            raise error
        return torch.tensor(rows)

    found = []
    for rows, result in run_batches(fails_above_50, lengths, backend, progress):
        assert rows == result.tolist()
        found += rows
    assert sorted(found) == list(range(40))
    assert tried[:2] == [160, 80] and set(tried[2:]) <= {40, 20}  # not tried in vain again
    assert progress.notes == [
        "out of memory on a batch of 160 tokens: going on with 80",
        "out of memory on a batch of 80 tokens: going on with 40",
    ]


def test_one_text_that_does_not_fit_is_a_sentence():
    with pytest.raises(UserError, match="out of memory on one text of 9000 tokens\n  lower"):
        list(run_batches(raising(OUT_OF_MEMORY[0]), [9000], CPU, SILENT))


def test_another_error_is_not_taken_for_want_of_memory():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        list(run_batches(raising(RuntimeError("shapes cannot be multiplied")), [5], CPU, SILENT))


def test_results_do_not_pile_up_before_a_slow_reader(monkeypatch):
    monkeypatch.setattr(batching, "available_cores", lambda: 2)
    started = []

    def function(rows):
        started.append(rows)
        return torch.zeros(len(rows))

    results = run_batches(function, [1024] * 100, CPU, SILENT)
    next(results)
    assert len(started) <= 6
    results.close()
    assert len(started) <= 6


def raising(error):
    def function(rows):
        raise error

    return function
