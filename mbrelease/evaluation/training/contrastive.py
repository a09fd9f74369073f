"""A fixed budget of contrastive training before a model is asked to retrieve.

Each learning rate is tried from the same weights on the same pairs; the one whose model scores best
is taken, as ModernBERT's paper did for BEIR (E.2, Table 9). A model is trained once, with one seed:
there is no head that a seed would draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mbrelease.errors import CheckFailed
from mbrelease.evaluation.dataset import Dataset, Names
from mbrelease.evaluation.encoder import Encoder
from mbrelease.evaluation.training.pairs import draw_batches, read_pairs
from mbrelease.evaluation.training.sentence_trainer import Diverged, Tokenized, Trainer
from mbrelease.progress import SILENT, Progress
from mbrelease.registry.tasks import RetrievalTask

if TYPE_CHECKING:
    from mbrelease.evaluation.training.sentence_trainer import Weights


class TrainedEncoder(Encoder):
    """A checkpoint that runs with weights of a training in place of its own."""

    def take(self, weights: Weights) -> None:
        """Run with ``weights`` from now on, in the dtype of the backend."""
        self.model.model.load_state_dict(weights)

    def embed(
        self,
        texts: Sequence[str],
        *,
        max_length: int,
        pooling: str,
        names: Names | None = None,
        progress: Progress = SILENT,
    ) -> tuple[NDArray[np.float32], int]:
        """As of ``Encoder``, but nothing is kept: nobody will ask these weights again."""
        return self._embed(texts, max_length, pooling, names, progress)


@dataclass(frozen=True)
class Trained:
    """A trained model and how it came about."""

    encoder: TrainedEncoder
    learning_rate: float
    tried: tuple[dict[str, float], ...]
    """Each learning rate with its ``score``, or the step it ``diverged_at_step``; empty if one."""
    counts: dict[str, int]


def train(
    task: RetrievalTask,
    dataset: Dataset,
    encoder: Encoder,
    score: Callable[[Encoder], float],
    progress: Progress = SILENT,
) -> Trained:
    """Train the model of ``encoder`` with each learning rate, and take the best.

    On a CPU the same pairs, seed and software give the same weights; on a GPU the order of sums is
    not fixed.

    Args:
        task: With ``training``.
        dataset: The pairs.
        encoder: Its weights are the start, and stay what they are.
        score: How well a trained model does; higher is better. Not asked for one learning rate.
        progress: Told of each step.

    Raises:
        CheckFailed: training diverged with each learning rate, or does not fit in memory.
        MissingExtra: sentence-transformers is not installed.
        UserError: the pairs are malformed or too few, or the model does not load.
    """
    training, place = task.training, str(dataset.path)
    assert training is not None
    pairs = read_pairs(dataset, training, task.query_prompt, task.document_prompt)
    batches = draw_batches(
        pairs.rows,
        size=training.batch_size,
        count=training.steps,
        seed=training.seed,
        place=place,
    )
    trained = TrainedEncoder(encoder.checkpoint, encoder.backend)
    _ = trained.model  # what does not load is told before anything is trained
    tokenized = Tokenized(encoder, pairs.rows, batches, task.max_length)
    trainer = Trainer(task, training, encoder.checkpoint, encoder.backend, tokenized, progress)
    chosen, weights, tried = _sweep(trainer, trained, score, progress)
    trained.take(weights)
    counts = {
        "pairs": len(pairs.rows),
        "empty_in_pairs": pairs.n_empty,
        "truncated_in_training": tokenized.n_truncated,
    }
    return Trained(trained, chosen, tuple(tried), counts)


def _sweep(
    trainer: Trainer,
    trained: TrainedEncoder,
    score: Callable[[Encoder], float],
    progress: Progress,
) -> tuple[float, Weights, list[dict[str, float]]]:
    """The best learning rate, its weights, and what was tried to find it."""
    rates = trainer.training.learning_rates
    if len(rates) == 1:
        return rates[0], trainer.train(rates[0], "the only learning rate"), []
    tried: list[dict[str, float]] = []
    best: tuple[float, float, Weights] | None = None
    for number, rate in enumerate(rates, start=1):
        try:
            weights = trainer.train(rate, f"{number} of {len(rates)}")
        except Diverged as error:
            progress.note(error.message)
            tried.append({"learning_rate": rate, "diverged_at_step": error.step})
            continue
        trained.take(weights)
        value = score(trained)
        tried.append({"learning_rate": rate, "score": value})
        if best is None or value > best[0]:
            best = value, rate, weights
    if best is None:
        raise CheckFailed(
            f"{trained.checkpoint.path}: contrastive training diverged with each of {len(rates)} "
            "learning rates",
            mend="lower learning_rates of the task's training",
        )
    return best[1], best[2], tried
