"""Run a function over batches of texts: several at once on a CPU, without waiting on a GPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mbrelease.errors import UserError
from mbrelease.evaluation.backend import Backend, available_cores
from mbrelease.progress import Progress

if TYPE_CHECKING:
    import torch

# Tokens a batch. On a CPU a small batch stays in the cache: 1,024 was faster than 4,096 on every
# length tried.
TOKEN_BUDGET = {"cpu": 1024, "cuda": 65_536}

GATHERED_BYTES = 16 << 20
"""Results that may lie on the GPU before they are fetched, which makes it wait for the CPU."""

BatchFunction = Callable[[list[int]], "torch.Tensor"]
"""From the rows of a batch to its result, whatever the shape."""


def batches_by_length(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Group rows of similar length so that rows × longest stays within ``token_budget``.

    Longest first, so that a batch that does not fit in memory fails at once and the last ones
    to run are short. A row longer than the budget is a batch of its own.
    """
    batches: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        longest = lengths[batches[-1][0]] if batches else 0
        if batches and (len(batches[-1]) + 1) * longest <= token_budget:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def run_batches(
    function: BatchFunction, lengths: Sequence[int], backend: Backend, progress: Progress
) -> Iterator[tuple[list[int], NDArray[Any]]]:
    """Apply ``function`` to all rows, batch by batch; yields rows and result.

    Where memory does not suffice for a batch, its halves are run, and later batches no larger.

    Args:
        function: Runs on the rows of one batch.
        lengths: The tokens of each row.
        backend: Decides the size of a batch and how they run.
        progress: Told where memory did not suffice.

    Raises:
        UserError: memory does not suffice for one row.
    """
    batches = batches_by_length(lengths, TOKEN_BUDGET[backend.device])
    halving = _Halving(function, lengths, progress)
    if backend.device == "cpu":
        for parts in _beside_each_other(halving, batches):
            yield from ((rows, result.numpy()) for rows, result in parts)
    else:
        yield from _gathered(part for rows in batches for part in halving(rows))


@dataclass
class _Halving:
    """Runs a batch, or where memory does not suffice its parts."""

    function: BatchFunction
    lengths: Sequence[int]
    progress: Progress
    most: float = float("inf")
    """Tokens that a batch may have, as far as is known."""

    def __call__(self, rows: list[int]) -> list[tuple[list[int], torch.Tensor]]:
        tokens = sum(self.lengths[row] for row in rows)
        if tokens > self.most and len(rows) > 1:
            return self._halves(rows)
        try:
            return [(rows, self.function(rows))]
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Only here, after the exception and the tensors it holds on to are gone.
        release_cached_memory()
        if len(rows) == 1:
            raise UserError(
                f"out of memory on one text of {tokens} tokens", mend="lower the task's max_length"
            )
        if tokens // 2 < self.most:
            self.most = tokens // 2
            self.progress.note(
                f"out of memory on a batch of {tokens} tokens: going on with {self.most}"
            )
        return self._halves(rows)

    def _halves(self, rows: list[int]) -> list[tuple[list[int], torch.Tensor]]:
        middle = len(rows) // 2
        return [*self(rows[:middle]), *self(rows[middle:])]


def _beside_each_other(
    halving: _Halving, batches: Sequence[list[int]]
) -> Iterator[list[tuple[list[int], torch.Tensor]]]:
    """Results in order, of one batch a core where there are enough.

    For models and batches of this size that is faster than several cores on one batch, and
    where other work shares the machine it does not collapse (threads that wait for each other
    within an operation slowed it four times).
    """
    import torch

    if not batches:
        return
    workers = min(available_cores(), len(batches))
    threads = torch.get_num_threads()
    # No more than torch would take by itself: OMP_NUM_THREADS is to be heard.
    torch.set_num_threads(max(1, min(threads, available_cores() // workers)))
    pool = ThreadPoolExecutor(workers)
    running: deque[Future[list[tuple[list[int], torch.Tensor]]]] = deque()
    try:
        for rows in batches:
            running.append(pool.submit(halving, rows))
            if len(running) > 2 * workers:  # results do not pile up before who reads them
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def _gathered(
    results: Iterable[tuple[list[int], torch.Tensor]],
) -> Iterator[tuple[list[int], NDArray[Any]]]:
    """The results on the CPU, fetched several at a time."""
    waiting: list[tuple[list[int], torch.Tensor]] = []
    for result in results:
        waiting.append(result)
        if sum(tensor.nbytes for _, tensor in waiting) >= GATHERED_BYTES:
            yield from _fetched(waiting)
            waiting = []
    yield from _fetched(waiting)


def _fetched(
    waiting: Sequence[tuple[list[int], torch.Tensor]],
) -> Iterator[tuple[list[int], NDArray[Any]]]:
    import torch

    if not waiting:
        return
    together = torch.cat([tensor for _, tensor in waiting]).cpu().numpy()
    ends = np.cumsum([len(tensor) for _, tensor in waiting])
    pieces = np.split(together, ends[:-1])
    yield from zip((rows for rows, _ in waiting), pieces, strict=True)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether that is what ``error`` means: the CPU's allocator raises a plain RuntimeError, and
    so does cuBLAS.
    """
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return any(
        sign in str(error)
        for sign in ("can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")
    )


def release_cached_memory() -> None:
    """Give the GPU's unused memory back, so that smaller pieces find room."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
