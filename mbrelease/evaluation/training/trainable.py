"""A checkpoint with a fresh head, in memory to be trained: answers, gradients, and what fits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from mbrelease.errors import CheckFailed, MissingExtra, UserError
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.batching import batches_by_length
from mbrelease.evaluation.training.examples import Example
from mbrelease.progress import SILENT, Progress

if TYPE_CHECKING:
    import torch

# Tokens of a forward and backward pass, padding included. A training batch is made of such pieces.
TOKEN_BUDGET = {"cpu": 2048, "cuda": 16_384}

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
            CheckFailed: one text alone does not fit in memory.
        """
        import torch

        self.model.eval()

        def attempt(pieces: list[list[int]]) -> Answers:
            result: dict[int, NDArray[np.float32]] = {}
            for rows in pieces:
                with torch.inference_mode():
                    answered = self._forward([examples[row] for row in rows]).cpu()
                counts = [examples[row].n_answers for row in rows]
                parts = torch.split(answered, counts)
                result |= {row: part.numpy() for row, part in zip(rows, parts, strict=True)}
            return [result[row] for row in range(len(examples))]

        return self._as_it_fits(examples, attempt)

    def backward(self, examples: Sequence[Example], targets: Sequence[NDArray[Any]]) -> float:
        """Set the gradients to those of the mean loss of all answers; returns that loss.

        The batch is passed in pieces of similar length, so padding is small whatever was drawn.
        """
        self.model.train()
        total = sum(example.n_answers for example in examples)

        def attempt(pieces: list[list[int]]) -> float:
            self.model.zero_grad(set_to_none=True)
            losses = []
            for rows in pieces:
                answered = self._forward([examples[row] for row in rows])
                loss = self._loss(answered, np.concatenate([targets[row] for row in rows])) / total
                loss.backward()  # type: ignore[no-untyped-call]
                losses.append(loss.detach())
            return float(sum(losses))

        return self._as_it_fits(examples, attempt)

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

    def _as_it_fits(
        self, examples: Sequence[Example], attempt: Callable[[list[list[int]]], Result]
    ) -> Result:
        """``attempt`` the examples in pieces; out of memory, in smaller ones from the start."""
        import torch

        lengths = [len(example.ids) for example in examples]
        while True:
            pieces = batches_by_length(lengths, self.token_budget)
            try:
                return attempt(pieces)
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                if all(len(rows) == 1 for rows in pieces):
                    raise CheckFailed(
                        f"{self.start.path}: out of memory with one text of {max(lengths)} tokens",
                        mend="lower max_length, or use a device with more memory",
                    ) from error
            self.model.zero_grad(set_to_none=True)
            if self.start.backend.device == "cuda":
                torch.cuda.empty_cache()
            self.token_budget //= 2
            self._progress.note(
                f"{self.start.name}: out of memory; from here {self.token_budget} tokens at a time"
            )


def _is_out_of_memory(error: BaseException) -> bool:
    import torch

    # On a CPU torch raises a plain RuntimeError.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        "can't allocate memory" in str(error)
    )


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
    lost = [key for key in info["missing_keys"] if not key.startswith(("classifier.", "head."))]
    if lost:
        raise UserError(
            f"{start.path} lacks {len(lost)} tensors of its config, such as '{min(lost)}'",
            mend="check it with 'mbrelease verify'",
        )
    return model.to(start.backend.device)
