"""Tokens a second and the largest batch that fits, by the protocol of ModernBERT's paper.

Section 4.1 and appendix F of arXiv:2412.13663: four synthetic sets of documents, all of the longest
length or normal around half of it, and the mean and standard deviation over ten runs. The paper
filled the card with each batch; here batches are those that every other task runs in, and how many
documents fit is found apart. What is timed is the encoder, from token ids to hidden states.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mbrelease.errors import UserError
from mbrelease.evaluation.backend import Backend, available_cores
from mbrelease.evaluation.batching import is_out_of_memory, release_cached_memory, run_batches
from mbrelease.evaluation.dataset import Dataset
from mbrelease.evaluation.encoder import Encoder
from mbrelease.evaluation.forward import hidden_states
from mbrelease.evaluation.metrics import speed_metrics
from mbrelease.evaluation.tasks.outcome import Outcome
from mbrelease.progress import SILENT, Progress
from mbrelease.registry.tasks import SHORTEST_DOCUMENT, EfficiencyTask

if TYPE_CHECKING:
    import torch

CODE_VERSION = 1

DEVIATIONS_IN_LONGEST = 8
"""64 of 512 tokens and 1,024 of 8,192: the paper, Table 10."""

Documents = list[NDArray[np.int64]]


def measure(
    task: EfficiencyTask,
    data: Mapping[str, Dataset],
    split: str,
    encoder: Encoder,
    progress: Progress = SILENT,
) -> Outcome:
    """Tokens a second on each set; on a GPU also how many of its longest documents fit at once.

    Each set is run once before its runs are timed.

    Raises:
        UserError: the model's context is shorter than the documents.
    """
    context = encoder.config.max_position_embeddings
    if task.long > context:
        raise UserError(
            f"task '{task.name}' wants documents of {task.long:,} tokens, and the context of "
            f"{encoder.checkpoint.name} is {context:,}",
            mend=f"lower 'long' to {context}",
        )
    rows = []
    progress.start(f"{encoder.checkpoint.name}: speed", len(task.sets) * task.runs, "runs")
    for name in task.sets:
        documents = drawn(task, name, encoder.config.vocab_size)
        n_tokens = sum(map(len, documents))
        _run_all(encoder, documents, progress)
        for run in range(1, task.runs + 1):
            started = time.perf_counter()
            _run_all(encoder, documents, progress)
            rows.append((name, run, time.perf_counter() - started, n_tokens))
            progress.advance(1)
    examples = _columns(rows)
    experiments = []
    for run in range(1, task.runs + 1):
        one = {name: column[examples["run"] == run] for name, column in examples.items()}
        speeds = zip(one["set"], one["tokens"] / one["seconds"], strict=True)
        experiments.append({"run": run, **{f"{s}_tokens_per_second": float(v) for s, v in speeds}})
    return Outcome(
        metrics=speed_metrics(examples, task.sets),
        ci95={},  # a few runs one after the other are no sample of anything: hence the deviation
        n_examples=task.documents,
        examples=examples,
        counts=_largest_batches(task, encoder, progress),
        experiments=tuple(experiments),
        machine=machine_name(encoder.backend),
    )


def drawn(task: EfficiencyTask, name: str, vocabulary: int) -> Documents:
    """The token ids of the documents of a set: the same for every model with that vocabulary."""
    generator = np.random.default_rng([task.seed, task.sets.index(name)])
    longest = task.short if name.startswith("short") else task.long
    lengths = np.full(task.documents, longest)
    if name.endswith("variable"):
        normal = generator.normal(longest / 2, longest / DEVIATIONS_IN_LONGEST, task.documents)
        lengths = normal.round().astype(np.int64).clip(SHORTEST_DOCUMENT, longest)
    return [generator.integers(0, vocabulary, length) for length in lengths]


def largest_that_fits(fits: Callable[[int], bool], most: int) -> int:
    """The largest number from 1 to ``most`` that fits, by doubling and bisecting; 0 if none does.

    Args:
        fits: Whether a number fits; one that is smaller than another that fits does too.
        most: Where the search ends.
    """
    fitting, too_many = 0, 1
    while too_many <= most and fits(too_many):
        fitting, too_many = too_many, 2 * too_many
    too_many = min(too_many, most + 1)
    while too_many - fitting > 1:
        middle = (fitting + too_many) // 2
        if fits(middle):
            fitting = middle
        else:
            too_many = middle
    return fitting


def machine_name(backend: Backend) -> str:
    """What computes: ``NVIDIA L4``, or ``AMD EPYC 9R14, 8 cores``."""
    if backend.device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = available_cores()
    model = models[0] if models else platform.processor() or platform.machine()
    return f"{model}, {cores} {'core' if cores == 1 else 'cores'}"


def _run_all(encoder: Encoder, documents: Documents, progress: Progress) -> None:
    """The forward pass over all documents; ends when the last result is on the CPU."""

    def first_tokens(rows: list[int]) -> torch.Tensor:
        hidden = hidden_states(encoder.model, encoder.backend, [documents[row] for row in rows])
        return hidden[: len(rows), 0].float()

    lengths = [len(document) for document in documents]
    for _ in run_batches(first_tokens, lengths, encoder.backend, progress):
        pass


def _largest_batches(task: EfficiencyTask, encoder: Encoder, progress: Progress) -> dict[str, int]:
    """How many documents of the full length fit, at most all of a set; nothing on a CPU."""
    if encoder.backend.device == "cpu":
        progress.note("largest batch: only on a GPU, for a CPU has no memory of its own to fill")
        return {}
    return {
        f"{name}_largest_batch": largest_that_fits(partial(_fits, encoder, length), task.documents)
        for name, length in (("short", task.short), ("long", task.long))
    }


def _fits(encoder: Encoder, length: int, count: int) -> bool:
    import torch

    try:
        batch = [np.zeros(length, dtype=np.int64)] * count
        hidden_states(encoder.model, encoder.backend, batch)
        torch.cuda.synchronize()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        fitted = False
    else:
        fitted = True
    # After the exception, which holds on to the tensors, is gone.
    release_cached_memory()
    return fitted


def _columns(rows: Sequence[tuple[str, int, float, int]]) -> dict[str, NDArray[np.generic]]:
    names, runs, seconds, tokens = zip(*rows, strict=True)
    return {
        "set": np.asarray(names),
        "run": np.asarray(runs),
        "seconds": np.asarray(seconds),
        "tokens": np.asarray(tokens),
    }
