"""Run a checkpoint over texts: tokenize, batch by length, embed or score masked tokens."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.errors import CheckFailed, MissingExtra, UserError
from mbrelease.evaluation.backend import Backend, available_cores
from mbrelease.files import sha256_json
from mbrelease.progress import SILENT, Progress

if TYPE_CHECKING:
    import torch

# Tokens a batch, padding included. On a CPU a small batch stays in the cache: 1,024 was faster
# than 4,096 on every length tried.
TOKEN_BUDGET = {"cpu": 1024, "cuda": 32_768}


Result = TypeVar("Result")


@dataclass(frozen=True)
class Tokens:
    """One text as token ids. ``spans`` are character offsets in the text."""

    ids: NDArray[np.int64]
    is_special: NDArray[np.bool_]
    spans: tuple[tuple[int, int], ...]
    truncated: bool


class Tokenizer:
    """tokenizer.json as it stands, read by the tokenizers library.

    Whatever transformers generation wrote tokenizer_config.json, the ids are the same.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Read the tokenizer of ``checkpoint``.

        Raises:
            UserError: there is none, it is malformed, or it has no mask token.
        """
        try:
            import tokenizers
        except ImportError as error:
            raise MissingExtra("eval", "measuring a checkpoint") from error
        path = checkpoint.path / "tokenizer.json"
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise UserError(f"cannot read {path}: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        mask_id = self._tokenizer.token_to_id(checkpoint.mask_token)
        if mask_id is None:
            raise UserError(f"{path}: the mask token {checkpoint.mask_token!r} is not in it")
        self.mask_id = int(mask_id)

    def encode(self, texts: Sequence[str], max_length: int) -> list[Tokens]:
        """Token ids of each text, special tokens added, cut to ``max_length``."""
        self._tokenizer.enable_truncation(max_length)
        return [
            Tokens(
                np.asarray(encoding.ids, dtype=np.int64),
                np.asarray(encoding.special_tokens_mask, dtype=np.bool_),
                tuple(encoding.offsets),
                bool(encoding.overflowing),
            )
            for encoding in self._tokenizer.encode_batch(list(texts))
        ]


@dataclass(frozen=True)
class MaskedScore:
    """The score of the masked tokens of one text."""

    nll_sum: float
    n_correct: int


class Encoder:
    """A checkpoint in memory."""

    def __init__(self, checkpoint: Checkpoint, backend: Backend) -> None:
        """Load ``checkpoint`` for inference.

        Raises:
            MissingExtra: torch or transformers is not installed.
            UserError: the checkpoint is not a ModernBERT, or its tensors do not fit its config.
        """
        self.checkpoint = checkpoint
        self.backend = backend
        self.config = checkpoint.config
        self.tokenizer = Tokenizer(checkpoint)
        self.model = _load(checkpoint, backend)
        self._embeddings: dict[str, tuple[NDArray[np.float32], int]] = {}

    def embed(
        self,
        texts: Sequence[str],
        *,
        max_length: int,
        pooling: str,
        progress: Progress = SILENT,
    ) -> tuple[NDArray[np.float32], int]:
        """Pooled embeddings, shape (texts, hidden), and how many texts were truncated.

        The result is kept, because tasks share their texts.

        Raises:
            CheckFailed: the model returns NaN or infinite values.
        """
        key = sha256_json([list(texts), max_length, pooling])
        if key not in self._embeddings:
            tokens = self.tokens(texts, max_length)
            ids = [token.ids for token in tokens]
            result = np.empty((len(tokens), self.config.hidden_size), dtype=np.float32)

            def pooled(rows: list[int]) -> NDArray[np.float32]:
                hidden, mask = self._hidden([ids[row] for row in rows])
                vectors = hidden[:, 0] if pooling == "cls" else _mean_pool(hidden, mask)
                return np.asarray(vectors.float().cpu().numpy())

            progress.start(f"{self.checkpoint.name}: embed", len(tokens), "texts")
            for rows, vectors in self._by_batches(ids, pooled):
                result[rows] = vectors
                progress.advance(len(rows))
            self._check_finite(result)
            self._embeddings[key] = result, sum(token.truncated for token in tokens)
        return self._embeddings[key]

    def score_masked(
        self,
        inputs: Sequence[NDArray[np.int64]],
        targets: Sequence[NDArray[np.int64]],
        *,
        progress: Progress = SILENT,
    ) -> list[MaskedScore]:
        """Negative log-likelihood (nats) and hits of the masked tokens of each text.

        The head runs on the masked positions only, which gives the same loss for a tenth of
        the work.

        Args:
            inputs: Token ids of each text, masked.
            targets: The true ids, -100 where nothing is asked.
            progress: Told of each text.

        Raises:
            CheckFailed: the model returns NaN or infinite values.
        """

        def scored(rows: list[int]) -> list[MaskedScore]:
            return self._score([inputs[row] for row in rows], [targets[row] for row in rows])

        scores: dict[int, MaskedScore] = {}
        progress.start(f"{self.checkpoint.name}: masked tokens", len(inputs), "texts")
        for rows, batch in self._by_batches(inputs, scored):
            scores.update(zip(rows, batch, strict=True))
            progress.advance(len(rows))
        result = [scores[row] for row in range(len(inputs))]
        self._check_finite(np.asarray([score.nll_sum for score in result]))
        return result

    def tokens(self, texts: Sequence[str], max_length: int) -> list[Tokens]:
        """Token ids of each text, cut to ``max_length`` and to the model's own context.

        Raises:
            UserError: the tokenizer knows tokens that the model has no embedding for.
        """
        tokens = self.tokenizer.encode(texts, min(max_length, self.config.max_position_embeddings))
        largest = max([self.tokenizer.mask_id, *(int(t.ids.max(initial=0)) for t in tokens)])
        if largest >= self.config.vocab_size:
            raise UserError(
                f"{self.checkpoint.path}: tokenizer.json gives id {largest}, and the model has "
                f"{self.config.vocab_size} embeddings",
                mend="put the tokenizer beside it that the model was trained with",
            )
        return tokens

    def _score(
        self, inputs: Sequence[NDArray[np.int64]], targets: Sequence[NDArray[np.int64]]
    ) -> list[MaskedScore]:
        import torch

        hidden, _ = self._hidden(inputs)
        labels = _pad(targets, -100).to(self.model.device)
        asked = labels != -100
        with torch.inference_mode():
            logits = self.model.decoder(self.model.head(hidden[asked])).float()
            nll = torch.nn.functional.cross_entropy(logits, labels[asked], reduction="none")
            hits = logits.argmax(dim=-1) == labels[asked]
        counts = asked.sum(dim=1).tolist()
        return [
            MaskedScore(float(row_nll.sum()), int(row_hits.sum()))
            for row_nll, row_hits in zip(
                torch.split(nll.double(), counts), torch.split(hits, counts), strict=True
            )
        ]

    def _by_batches(
        self, sequences: Sequence[NDArray[np.int64]], function: Callable[[list[int]], Result]
    ) -> Iterator[tuple[list[int], Result]]:
        """Apply ``function`` to the rows of each batch; yields rows and result, in order.

        On a CPU the batches run beside each other, one core each: for models and batches of this
        size that is faster than several cores on one batch, and where other work shares the
        machine it does not collapse (threads that wait for each other within an operation
        slowed it four times).
        """
        import torch

        batches = batches_by_length(
            [len(sequence) for sequence in sequences], TOKEN_BUDGET[self.backend.device]
        )
        if self.backend.device != "cpu":
            for rows in batches:
                yield rows, function(rows)
            return
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        pool = ThreadPoolExecutor(available_cores())
        try:
            yield from zip(batches, pool.map(function, batches), strict=True)
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)

    def _hidden(self, sequences: Sequence[NDArray[np.int64]]) -> tuple[torch.Tensor, torch.Tensor]:
        """The last hidden states (batch, length, hidden) and the mask (batch, length)."""
        import torch

        ids = _pad(sequences, 0)  # any id: the mask hides it
        lengths = np.asarray([len(sequence) for sequence in sequences])
        mask = _to_tensor(np.arange(ids.shape[1]) < lengths[:, None]).to(self.model.device)
        with torch.inference_mode():
            output = self.model.model(input_ids=ids.to(self.model.device), attention_mask=mask)
        return output.last_hidden_state, mask

    def _check_finite(self, values: NDArray[Any]) -> None:
        if not np.isfinite(values).all():
            raise CheckFailed(
                f"{self.checkpoint.path}: the model returns NaN or infinite values",
                mend="check it with 'mbrelease verify', or leave it out of the candidates",
            )


def batches_by_length(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Group rows of similar length so that rows × longest stays within ``token_budget``.

    Longest first, so that a batch that does not fit in memory fails at once. A row longer than
    the budget is a batch of its own.
    """
    batches: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        longest = lengths[batches[-1][0]] if batches else 0
        if batches and (len(batches[-1]) + 1) * longest <= token_budget:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def _load(checkpoint: Checkpoint, backend: Backend) -> Any:
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtra("eval", "measuring a checkpoint") from error
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    _ = checkpoint.headers  # a truncated file gets its own sentence before torch sees it
    try:
        model, info = transformers.AutoModelForMaskedLM.from_pretrained(
            checkpoint.path,
            local_files_only=True,
            use_safetensors=True,
            attn_implementation=backend.attn,
            dtype=getattr(torch, backend.dtype),
            output_loading_info=True,
        )
    except Exception as error:  # a config that cannot be built fails in its own way each time
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{checkpoint.path} does not load: {first}", mend="check it with 'mbrelease verify'"
        ) from error
    if info["missing_keys"]:
        # transformers fills missing tensors with random numbers and only warns.
        raise UserError(
            f"{checkpoint.path} lacks {len(info['missing_keys'])} tensors of its config, such as "
            f"'{min(info['missing_keys'])}'",
            mend="check it with 'mbrelease verify'",
        )
    return model.eval().to(backend.device)


def _pad(sequences: Sequence[NDArray[np.int64]], value: int) -> torch.Tensor:
    longest = max(len(sequence) for sequence in sequences)
    padded = np.full((len(sequences), longest), value, dtype=np.int64)
    for row, sequence in enumerate(sequences):
        padded[row, : len(sequence)] = sequence
    return _to_tensor(padded)


def _to_tensor(array: NDArray[Any]) -> torch.Tensor:
    import torch

    return torch.from_numpy(array)


def _mean_pool(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)
