"""Run a checkpoint over texts: embed them, give their token vectors, or score masked tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mbrelease.checkpoints.checkpoint import Checkpoint, open_checkpoint
from mbrelease.errors import CheckFailed, UserError
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.batching import run_batches
from mbrelease.evaluation.dataset import Names
from mbrelease.evaluation.embedding_cache import cached, embedding_key, model_identity
from mbrelease.evaluation.forward import hidden_states, load_model
from mbrelease.evaluation.tokenizer import Tokenizer, Tokens
from mbrelease.evaluation.transfer import to_device
from mbrelease.progress import SILENT, Progress

if TYPE_CHECKING:
    import torch

TEXTS_A_PIECE = 16_384
"""Tokenized and sorted by length together, so that memory does not grow with the texts."""
MASKED_A_PIECE = 1024
"""Positions the head runs on together: their logits, one a token of the vocabulary, are large."""
SCORED_AT_ONCE = {"cpu": 16, "cuda": MASKED_A_PIECE}
"""Positions whose logits are scored together: on a CPU as many as stay in its cache."""


@dataclass(frozen=True)
class MaskedScore:
    """The score of the masked tokens of one text."""

    nll_sum: float
    n_correct: int


class Encoder:
    """A checkpoint to measure. Its weights are read when they are first needed."""

    def __init__(self, checkpoint: Checkpoint, backend: Backend) -> None:
        """Read the tokenizer of ``checkpoint``.

        Raises:
            MissingExtra: what reads tokenizers is not installed.
            UserError: there is no tokenizer, or none with a mask token.
        """
        self.checkpoint = checkpoint
        self.backend = backend
        self.config = checkpoint.config
        self.tokenizer = Tokenizer(checkpoint)
        self._identity = model_identity(checkpoint)

    @cached_property
    def model(self) -> Any:
        """The masked-language model; see ``load_model`` for what it raises."""
        return load_model(self.checkpoint, self.backend)

    def embed(
        self,
        texts: Sequence[str],
        *,
        max_length: int,
        pooling: str,
        names: Names | None = None,
        progress: Progress = SILENT,
    ) -> tuple[NDArray[np.float32], int]:
        """Pooled embeddings, shape (texts, hidden), and how many texts were truncated.

        The result is kept, because tasks share their texts.

        Args:
            texts: An empty text is its special tokens.
            max_length: Tokens kept of each, special tokens included.
            pooling: cls or mean.
            names: What messages call the texts; without, their numbers from 1.
            progress: Told of each text.

        Raises:
            CheckFailed: the model returns NaN or infinite values.
            UserError: the model does not load, or a text has no token at all.
        """
        # Of the files before the model was read: where they have changed since, nothing is kept.
        identity = self._identity
        return cached(
            embedding_key(identity, self.backend, texts, max_length=max_length, pooling=pooling),
            lambda: self._embed(texts, max_length, pooling, names, progress),
            still_true=lambda: model_identity(open_checkpoint(self.checkpoint.path)) == identity,
        )

    def token_vectors(
        self,
        texts: Sequence[str],
        *,
        max_length: int,
        names: Names | None = None,
        progress: Progress = SILENT,
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """The last hidden states of each text, shape (tokens, hidden), special tokens included.

        Yields a row of ``texts`` and its vectors, every row once and in no order; nothing is kept.

        Raises:
            CheckFailed: the model returns NaN or infinite values.
            UserError: the model does not load, or a text has no token at all.
        """
        progress.start(f"{self.checkpoint.name}: token vectors", len(texts), "texts")
        for first, ids, _ in self._pieces(texts, max_length):

            def vectors(rows: list[int], ids: list[NDArray[np.int64]] = ids) -> torch.Tensor:
                return hidden_states(self.model, self.backend, [ids[row] for row in rows]).float()

            for rows, found in self._run(vectors, ids, first, names, progress):
                ends = np.cumsum([len(ids[row]) for row in rows])
                for row, part in zip(rows, np.split(found, ends[:-1]), strict=True):
                    yield first + row, part

    def score_masked(
        self,
        inputs: Sequence[NDArray[np.int64]],
        targets: Sequence[NDArray[np.int64]],
        *,
        names: Names | None = None,
        progress: Progress = SILENT,
    ) -> list[MaskedScore]:
        """Negative log-likelihood (nats) and hits of the masked tokens of each text.

        The head runs on the masked positions only, which gives the same loss for a tenth of
        the work.

        Args:
            inputs: Token ids of each text, masked.
            targets: The true ids, -100 where nothing is asked.
            names: What messages call the texts; without, their numbers from 1.
            progress: Told of each text.

        Raises:
            CheckFailed: the model returns NaN or infinite values.
            UserError: the model does not load or has no head, or a text has no token at all.
        """
        if self.model.head is None:
            raise UserError(
                f"{self.checkpoint.path} has no head for masked tokens, or not the whole of it",
                mend="measure it on other tasks; 'mlm' is for models as they come from pretraining",
            )

        def scored(rows: list[int]) -> torch.Tensor:
            return self._score([inputs[row] for row in rows], [targets[row] for row in rows])

        result = np.empty((len(inputs), 2))
        progress.start(f"{self.checkpoint.name}: masked tokens", len(inputs), "texts")
        for rows, sums in self._run(scored, inputs, 0, names, progress):
            result[rows] = sums
        return [MaskedScore(float(nll), int(hits)) for nll, hits in result]

    def tokens(self, texts: Sequence[str], max_length: int) -> list[Tokens]:
        """Token ids of each text, cut to ``max_length`` and to the model's own context.

        Raises:
            UserError: the tokenizer knows tokens that the model has no embedding for.
        """
        tokens = self.tokenizer.encode(texts, min(max_length, self.config.max_position_embeddings))
        self._refuse_unknown([token.ids for token in tokens])
        return tokens

    def _embed(
        self,
        texts: Sequence[str],
        max_length: int,
        pooling: str,
        names: Names | None,
        progress: Progress,
    ) -> tuple[NDArray[np.float32], int]:
        pool = {"cls": _first_of_each, "mean": _mean_of_each}[pooling]
        result = np.empty((len(texts), self.config.hidden_size), dtype=np.float32)
        n_truncated = 0
        progress.start(f"{self.checkpoint.name}: embed", len(texts), "texts")
        for first, ids, truncated in self._pieces(texts, max_length):

            def pooled(rows: list[int], ids: list[NDArray[np.int64]] = ids) -> torch.Tensor:
                import torch

                batch = [ids[row] for row in rows]
                hidden = hidden_states(self.model, self.backend, batch)
                with torch.inference_mode():
                    return pool(hidden, [len(sequence) for sequence in batch])

            n_truncated += int(truncated.sum())
            for rows, vectors in self._run(pooled, ids, first, names, progress):
                result[first + np.asarray(rows)] = vectors
        return result, n_truncated

    def _pieces(
        self, texts: Sequence[str], max_length: int
    ) -> Iterator[tuple[int, list[NDArray[np.int64]], NDArray[np.bool_]]]:
        """The first row of each piece, the ids of its texts, and which of them were cut."""
        longest = min(max_length, self.config.max_position_embeddings)
        for first in range(0, len(texts), TEXTS_A_PIECE):
            ids, truncated = self.tokenizer.ids(texts[first : first + TEXTS_A_PIECE], longest)
            self._refuse_unknown(ids)
            yield first, ids, truncated

    def _score(
        self, inputs: Sequence[NDArray[np.int64]], targets: Sequence[NDArray[np.int64]]
    ) -> torch.Tensor:
        """Sum of the negative log-likelihoods and number of hits: float64, shape (texts, 2)."""
        import torch

        hidden = hidden_states(self.model, self.backend, inputs)
        labels = np.concatenate(targets)
        asked = np.flatnonzero(labels != -100)
        row = np.repeat(np.arange(len(targets)), [len(target) for target in targets])[asked]
        where, label, text = (
            torch.split(to_device(array, self.backend.device), MASKED_A_PIECE)
            for array in (asked, labels[asked], row)
        )
        rows = SCORED_AT_ONCE[self.backend.device]
        with torch.inference_mode():
            sums = torch.zeros(len(inputs), 2, dtype=torch.float64, device=hidden.device)
            for at, true, into in zip(where, label, text, strict=True):
                logits = self.model.decoder(self.model.head(hidden[at]))
                scores = [
                    _nll_and_hit(some.float(), tokens)
                    for some, tokens in zip(
                        torch.split(logits, rows), torch.split(true, rows), strict=True
                    )
                ]
                sums.index_add_(0, into, torch.cat(scores))
            return sums

    def _run(
        self,
        function: Callable[[list[int]], torch.Tensor],
        sequences: Sequence[NDArray[np.int64]],
        first: int,
        names: Names | None,
        progress: Progress,
    ) -> Iterator[tuple[list[int], NDArray[Any]]]:
        """Apply ``function`` to batches of rows, and refuse results that are not finite.

        Args:
            function: Gives the same number of rows for each text, or one for each token.
            sequences: Token ids of each row.
            first: How many texts were before the first row.
            names: What messages call the texts.
            progress: Told of each text.
        """
        lengths = [len(sequence) for sequence in sequences]
        if 0 in lengths:
            called = _called([first + lengths.index(0)], names)
            raise UserError(
                f"{self.checkpoint.path}: {called} has no token, for it is empty and "
                "tokenizer.json adds no special tokens",
                mend="drop it from the data",
            )
        _ = self.model  # loaded once, before threads ask for it
        for rows, result in run_batches(function, lengths, self.backend, progress):
            if not np.isfinite(result).all():
                called = _called(sorted(first + row for row in rows), names)
                raise CheckFailed(
                    f"{self.checkpoint.path}: the model returns NaN or infinite values in the "
                    f"batch of {called}",
                    mend="check it with 'mbrelease verify', or leave it out of the candidates",
                )
            yield rows, result
            progress.advance(len(rows))

    def _refuse_unknown(self, ids: Sequence[NDArray[np.int64]]) -> None:
        largest = max([self.tokenizer.mask_id, *(int(one.max(initial=0)) for one in ids)])
        if largest >= self.config.vocab_size:
            raise UserError(
                f"{self.checkpoint.path}: tokenizer.json gives id {largest}, and the model has "
                f"{self.config.vocab_size} embeddings",
                mend="put the tokenizer beside it that the model was trained with",
            )


def _called(rows: Sequence[int], names: Names | None) -> str:
    """What messages call the texts in ``rows``; by their numbers from 1 if they have no names."""
    if names is not None:
        return names.of(rows)
    numbers = ", ".join(str(row + 1) for row in rows[:5])
    return f"text{'s' * (len(rows) > 1)} {numbers}{' …' if len(rows) > 5 else ''}"


def _nll_and_hit(logits: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of each true token and whether it leads: float64, (positions, 2)."""
    import torch

    nll = logits.logsumexp(dim=-1) - logits.gather(1, true[:, None])[:, 0]
    hit = logits.argmax(dim=-1) == true
    return torch.stack([nll.double(), hit.double()], dim=1)


def _first_of_each(hidden: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    """The first token's vector of each text, shape (texts, hidden), in float32."""
    starts = np.cumsum(lengths) - lengths
    return hidden[to_device(starts, hidden.device.type)].float()


def _mean_of_each(hidden: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    """The mean of each text's vectors, shape (texts, hidden), taken in float32."""
    import torch

    return torch.stack([text.float().mean(dim=0) for text in torch.split(hidden, lengths)])
