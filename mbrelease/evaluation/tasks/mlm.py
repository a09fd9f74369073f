"""Masked language modelling on held-out text.

Which tokens are masked follows from the seed and the text alone, so every checkpoint with the
same tokenizer is asked the same, whatever the batch size or the order. Every chosen token is
replaced by the mask token (the Trainer's collator leaves a tenth as they are and swaps another
tenth, so its ``eval_loss`` is a little lower).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mbrelease.errors import UserError
from mbrelease.evaluation.dataset import Dataset, count_empty
from mbrelease.evaluation.encoder import Encoder
from mbrelease.evaluation.metrics import mlm_metrics
from mbrelease.evaluation.tasks.outcome import Outcome, Sample, point_and_interval
from mbrelease.evaluation.tokenizer import Tokens
from mbrelease.progress import SILENT, Progress
from mbrelease.registry.tasks import MlmTask

CODE_VERSION = 4


def measure(
    task: MlmTask,
    data: Mapping[str, Dataset],
    split: str,
    encoder: Encoder,
    progress: Progress = SILENT,
) -> Outcome:
    """Loss, accuracy, perplexity and bits a byte of the masked tokens of ``split``.

    Documents in which no token was chosen are left out and counted as ``unmasked``; those of
    nothing but white space, such as the newline between two empty fields, are among them.

    Raises:
        UserError: no token of any document was chosen.
    """
    dataset = data[split]
    everyone = Sample.of(dataset, task.cluster)
    texts = dataset.texts(task.text)
    tokens = encoder.tokens(texts, task.max_length)
    chosen = [
        choose_masked(text, token, task.seed, task.mask_rate)
        for text, token in zip(texts, tokens, strict=True)
    ]
    kept = [row for row, positions in enumerate(chosen) if positions.any()]
    if not kept:
        raise UserError(f"{dataset.path}: no token of any document was masked")
    scores = encoder.score_masked(
        [np.where(chosen[row], encoder.tokenizer.mask_id, tokens[row].ids) for row in kept],
        [np.where(chosen[row], tokens[row].ids, -100) for row in kept],
        names=dataset.names.only(kept),
        progress=progress,
    )
    sample = everyone.only(kept)
    size = [masked_bytes(texts[row], tokens[row], chosen[row]) for row in kept]
    examples: dict[str, NDArray[np.generic]] = {
        **sample.columns(),
        "nll_sum": np.asarray([score.nll_sum for score in scores]),
        "n_tokens": np.asarray([int(chosen[row].sum()) for row in kept]),
        "n_correct": np.asarray([score.n_correct for score in scores]),
        "n_bytes": np.asarray(size),
    }
    metrics, ci95 = point_and_interval(lambda weights: mlm_metrics(examples, weights), sample)
    counts = {
        "truncated": sum(token.truncated for token in tokens),
        "empty": count_empty(texts),
        "unmasked": len(texts) - len(kept),
        "masked_tokens": int(examples["n_tokens"].sum()),
    }
    return Outcome(metrics, ci95, len(kept), examples, counts)


def choose_masked(text: str, tokens: Tokens, seed: int, rate: float) -> NDArray[np.bool_]:
    """Which tokens are masked, shape (tokens,): each with probability ``rate``, never special.

    None of a text of white space.
    """
    if not text.strip():
        return np.zeros(len(tokens.ids), dtype=np.bool_)
    digest = hashlib.sha256(f"{seed}\0{text}".encode()).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
    return (generator.random(len(tokens.ids)) < rate) & ~tokens.is_special


def masked_bytes(text: str, tokens: Tokens, chosen: NDArray[np.bool_]) -> int:
    """The bytes that the masked tokens add to the text before them.

    Tokens of one character (byte-level BPE cuts ``é`` in two) all span the whole of it: only the
    first counts it, so that the tokens of a text add up to its bytes.
    """
    size = reached = 0
    for (_, end), masked in zip(tokens.spans, chosen, strict=True):
        if masked:
            size += len(text[reached:end].encode())
        reached = max(reached, end)
    return size
