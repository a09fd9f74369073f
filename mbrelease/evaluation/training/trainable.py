"""A checkpoint with a fresh head, in memory to be trained: answers, gradients, and what fits."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from mbrelease.errors import MissingExtra, UserError
from mbrelease.evaluation.backend import Backend, available_cores
from mbrelease.evaluation.batching import (
    batches_by_length,
    is_out_of_memory,
    release_cached_memory,
    run_batches,
)
from mbrelease.evaluation.forward import refuse_missing
from mbrelease.evaluation.training.examples import Example
from mbrelease.progress import SILENT, Progress

if TYPE_CHECKING:
    import torch

# Tokens of a forward and backward pass, padding included. A training batch is made of such pieces.
TOKEN_BUDGET = {"cpu": 512, "cuda": 16_384}
# Pieces that are passed at once on a CPU: each has gradients as large as the model.
MOST_AT_ONCE = 8

Answers = list[NDArray[np.float32]]
"""What a model answers to each example, shape (answers, outputs)."""
Result = TypeVar("Result")


@dataclass(frozen=True)
class Start:
    """Weights to start from, and how they are run."""

    path: Path
    """The checkpoint that is measured."""
    name: str
    """What progress calls it."""
    backend: Backend
    weights: Path | None = None
    """A folder whose weights and config are loaded instead, of a model trained from it."""


@dataclass(frozen=True)
class Head:
    """What is put on top: a label or a number for each text, or a tag for each word."""

    kind: Literal["label", "number", "tag"]
    n_outputs: int
    pooling: str | None = None
    """cls or mean; left out, what the checkpoint's config says."""


class Trainable:
    """A model in training.

    Weights are float32. On CUDA the passes run in the backend's dtype by autocast; on a CPU they
    are float32 whatever the backend says. Attention is eager where the backend says so, else
    PyTorch's sdpa as transformers calls it: what packs texts or runs in bands is for measuring.
    """

    def __init__(self, start: Start, head: Head, *, progress: Progress = SILENT) -> None:
        """Load ``start`` and draw its head from torch's generator.

        Raises:
            MissingExtra: torch or transformers is not installed.
            UserError: the tensors do not fit the config.
        """
        self.start = start
        self.head = head
        self.model = _load(start, head)
        self.token_budget = TOKEN_BUDGET[start.backend.device]
        self._progress = progress

    def answers(self, examples: Sequence[Example]) -> Answers:
        """What the model answers to each example, in order.

        Raises:
            UserError: one text alone does not fit in memory.
        """
        import torch

        self.model.eval()

        def answered(rows: list[int]) -> torch.Tensor:
            with torch.inference_mode():
                return self._forward([examples[row] for row in rows])

        result: dict[int, NDArray[np.float32]] = {}
        lengths = [len(example.ids) for example in examples]
        for rows, found in run_batches(answered, lengths, self.start.backend, self._progress):
            ends = np.cumsum([examples[row].n_answers for row in rows])
            result |= zip(rows, np.split(found, ends[:-1]), strict=True)
        return [result[row] for row in range(len(examples))]

    def backward(self, examples: Sequence[Example], targets: Sequence[NDArray[Any]]) -> float:
        """Set the gradients to those of the mean loss of all answers; returns that loss.

        The batch is passed in pieces of similar length, so padding is small whatever was drawn.
        Where memory does not suffice it is passed again in smaller pieces, and so are later ones.

        Raises:
            UserError: one text alone does not fit in memory.
        """
        self.model.train()
        lengths = [len(example.ids) for example in examples]
        while True:
            pieces = batches_by_length(lengths, self.token_budget)
            try:
                return self._accumulated(pieces, examples, targets)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Only here, after the exception and the tensors it holds on to are gone.
            self.model.zero_grad(set_to_none=True)
            release_cached_memory()
            if all(len(rows) == 1 for rows in pieces):
                raise UserError(
                    f"{self.start.path}: out of memory in training with one text of "
                    f"{max(lengths)} tokens",
                    mend="lower the task's max_length",
                )
            self.token_budget //= 2
            self._progress.note(
                f"{self.start.name}: out of memory in training: going on with "
                f"{self.token_budget} tokens at a time"
            )

    def _accumulated(
        self,
        pieces: Sequence[list[int]],
        examples: Sequence[Example],
        targets: Sequence[NDArray[Any]],
    ) -> float:
        import torch

        self.model.zero_grad(set_to_none=True)
        parameters = list(self.model.parameters())
        total = sum(example.n_answers for example in examples)

        def gradient(rows: list[int]) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
            answered = self._forward([examples[row] for row in rows])
            loss = self._loss(answered, np.concatenate([targets[row] for row in rows])) / total
            return loss.detach(), torch.autograd.grad(loss, parameters)

        losses = []
        for loss, gradients in self._beside_each_other(gradient, pieces):
            losses.append(loss)
            for parameter, one in zip(parameters, gradients, strict=True):
                # In the order of the pieces, so that the sum has the same bits again.
                parameter.grad = one if parameter.grad is None else parameter.grad.add_(one)
        return float(sum(losses))

    def _beside_each_other(
        self, function: Callable[[list[int]], Result], pieces: Sequence[list[int]]
    ) -> Iterator[Result]:
        """``function`` of each piece, in order; on a CPU of several at once, a core each.

        Dropout draws from one generator, so with it the pieces take turns.
        """
        workers = min(available_cores(), len(pieces), MOST_AT_ONCE)
        if self.start.backend.device != "cpu" or workers == 1 or self._drops():
            yield from map(function, pieces)
            return
        with ThreadPoolExecutor(workers) as pool:
            for first in range(0, len(pieces), workers):
                yield from pool.map(function, pieces[first : first + workers])

    def _drops(self) -> bool:
        names = ("attention", "embedding", "mlp", "classifier")
        return any(getattr(self.model.config, f"{name}_dropout", 0.0) > 0 for name in names)

    def _forward(self, examples: Sequence[Example]) -> torch.Tensor:
        """All answers of ``examples``, shape (answers, outputs), in float32."""
        import torch

        backend = self.start.backend
        ids = torch.nn.utils.rnn.pad_sequence(
            [torch.from_numpy(example.ids) for example in examples], batch_first=True
        )  # with 0, or any id: the mask hides it
        lengths = torch.tensor([len(example.ids) for example in examples])
        mask = torch.arange(ids.shape[1]) < lengths[:, None]
        half = backend.device != "cpu" and backend.dtype != "float32"
        with torch.autocast(backend.device, dtype=torch.bfloat16, enabled=half):
            output = self.model(
                input_ids=ids.to(backend.device), attention_mask=mask.to(backend.device)
            ).logits
        if self.head.kind != "tag":
            return output.float()  # type: ignore[no-any-return]
        asked = [example.asked for example in examples]
        rows = np.repeat(np.arange(len(asked)), [len(one) for one in asked if one is not None])
        places = np.concatenate([one for one in asked if one is not None])
        return output[torch.from_numpy(rows), torch.from_numpy(places)].float()  # type: ignore[no-any-return]

    def _loss(self, answered: torch.Tensor, target: NDArray[Any]) -> torch.Tensor:
        """The sum over all answers: squared error of numbers, else cross-entropy in nats."""
        import torch

        wanted = torch.from_numpy(target).to(answered.device)
        if self.head.kind == "number":
            return torch.nn.functional.mse_loss(answered[:, 0], wanted.float(), reduction="sum")
        return torch.nn.functional.cross_entropy(answered, wanted, reduction="sum")


@contextlib.contextmanager
def threads_for_training(backend: Backend) -> Iterator[None]:
    """On a CPU, as few threads an operation as leave each piece of a batch a core of its own.

    Threads of one operation wait for each other. Where other work shared two cores, a step of
    AdamW over a model of 1.4 million parameters took 1 ms with one thread and 476 ms with two.
    """
    import torch

    threads = torch.get_num_threads()
    if backend.device == "cpu":
        torch.set_num_threads(max(1, available_cores() // MOST_AT_ONCE))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _load(start: Start, head: Head) -> Any:
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtra("eval", "fine-tuning a checkpoint") from error
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    kind = transformers.AutoModelForSequenceClassification
    if head.kind == "tag":
        kind = transformers.AutoModelForTokenClassification
    pooling = {} if head.pooling is None else {"classifier_pooling": head.pooling}
    try:
        model, info = kind.from_pretrained(
            start.weights or start.path,
            local_files_only=True,
            use_safetensors=True,
            attn_implementation="eager" if start.backend.attn == "eager" else "sdpa",
            dtype=torch.float32,
            num_labels=head.n_outputs,
            output_loading_info=True,
            **pooling,
        )
    except Exception as error:  # a config that cannot be built fails in its own way each time
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{start.path} does not load: {first}", mend="check it with 'mbrelease verify'"
        ) from error
    refuse_missing(start.path, info["missing_keys"], but=("classifier.", "head."))
    return model.to(start.backend.device)
