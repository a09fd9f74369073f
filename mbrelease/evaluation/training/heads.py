"""Labels and numbers predicted for texts by models that were fine-tuned on others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbrelease.errors import UserError
from mbrelease.evaluation.metrics import Floats
from mbrelease.evaluation.training.examples import Example
from mbrelease.evaluation.training.finetuning import FineTuned, Problem, fine_tune
from mbrelease.evaluation.training.trainable import Answers, Head, Start
from mbrelease.progress import SILENT, Progress
from mbrelease.registry.tasks import FineTuning

Labels = NDArray[np.str_]


@dataclass(frozen=True)
class Learner:
    """What labels and numbers have in common in how they are learnt."""

    start: Start
    training: FineTuning
    seeds: Sequence[int]
    place: str
    """Where the training examples come from, for messages."""
    pooling: str | None = None
    progress: Progress = SILENT

    def labels(
        self,
        examples: Sequence[Example],
        labels: Labels,
        asked: Sequence[Example],
        score: Callable[[Labels, Labels], float],
    ) -> tuple[Labels, FineTuned]:
        """Predicted labels, shape (seeds, asked), and how they came about.

        Args:
            examples: To learn from.
            labels: Theirs.
            asked: What labels are predicted for.
            score: From true and predicted labels; higher is better.

        Raises:
            CheckFailed: training diverged.
            UserError: fewer than two labels, or too few examples for a search.
        """
        problem, classes = label_problem(examples, labels, score, self.place)
        head = Head("label", len(classes), self.pooling)
        tuned = fine_tune(
            self.start, head, self.training, self.seeds, problem, asked, progress=self.progress
        )
        return np.stack([_most_likely(classes, answers) for answers in tuned.answers]), tuned

    def numbers(
        self,
        examples: Sequence[Example],
        numbers: Floats,
        asked: Sequence[Example],
        score: Callable[[Floats, Floats], float],
    ) -> tuple[Floats, FineTuned]:
        """Predicted numbers, shape (seeds, asked), and how they came about.

        Numbers of any scale are learnt: they are standardised and their predictions brought back.

        Args:
            examples: To learn from.
            numbers: Theirs.
            asked: What numbers are predicted for.
            score: From true and predicted numbers; higher is better.

        Raises:
            CheckFailed: training diverged.
            UserError: all numbers are the same, or too few examples for a search.
        """
        mean, spread = float(numbers.mean()), float(numbers.std())
        if np.ptp(numbers) == 0:
            raise UserError(f"{self.place}: all numbers are {mean:g}: nothing can be learnt")

        def restored(answers: Answers) -> Floats:
            return np.asarray([float(answer[0, 0]) for answer in answers]) * spread + mean

        problem = Problem(
            examples,
            [np.asarray([(number - mean) / spread], dtype=np.float32) for number in numbers],
            lambda answers, rows: score(numbers[list(rows)], restored(answers)),
            self.place,
        )
        head = Head("number", 1, self.pooling)
        tuned = fine_tune(
            self.start, head, self.training, self.seeds, problem, asked, progress=self.progress
        )
        return np.stack([restored(answers) for answers in tuned.answers]), tuned


def label_problem(
    examples: Sequence[Example],
    labels: Labels,
    score: Callable[[Labels, Labels], float],
    place: str,
) -> tuple[Problem, Labels]:
    """The problem of predicting ``labels``, and its classes in the order of the outputs.

    Raises:
        UserError: fewer than two labels.
    """
    classes, numbers = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise UserError(f"{place}: fewer than two labels to learn")
    problem = Problem(
        examples,
        list(numbers[:, None]),
        lambda answers, rows: score(labels[list(rows)], _most_likely(classes, answers)),
        place,
    )
    return problem, classes


def _most_likely(classes: Labels, answers: Answers) -> Labels:
    chosen = [int(answer[0].argmax()) for answer in answers]
    return np.asarray(classes[np.asarray(chosen, dtype=np.int64)])
