"""Fine-tuning: one small loop for every task, with a grid that never sees what is reported.

AdamW (betas 0.9 and 0.98, epsilon 1e-6), gradients clipped to norm 1, a learning rate that rises
linearly and falls linearly to zero: as ModernBERT was fine-tuned on GLUE. Weight decay is apart
from the learning rate, as in the authors' optimizer (Composer's DecoupledAdamW): a step takes
``weight_decay`` × (its learning rate / the largest) of each matrix away. PyTorch's AdamW would
multiply by the learning rate once more, and the paper's 5e-6 would do nothing.

Where several settings are to be tried, or a run may stop early, a tenth of the training examples
is held out, the same for every checkpoint and seed. Each setting is trained with the first seed;
the best on the held-out part is trained with every seed. Nothing is chosen on the split that is
reported.

This is no ``transformers.Trainer`` because that, for early stopping, writes models and optimizer
states to disk and reads the best one back, sets the seeds of the whole process, starts again with
another effective batch size when memory runs out, and either pads to the longest of a random
batch or draws batches that are not random. Here a random batch is passed in pieces of similar
length, on a CPU several at once; the gradient is the same.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mbrelease.errors import CheckFailed, MissingExtra, UserError
from mbrelease.evaluation.training.examples import Example
from mbrelease.evaluation.training.trainable import (
    Answers,
    Head,
    Start,
    Trainable,
    threads_for_training,
)
from mbrelease.progress import SILENT, Progress
from mbrelease.registry.tasks import FineTuning

if TYPE_CHECKING:
    import torch

HELD_OUT_SHARE = 0.1
HELD_OUT_FEWEST, HELD_OUT_MOST = 5, 4000
FEWEST_TO_HOLD_OUT = 20
MAX_GRADIENT_NORM = 1.0
LOWER = "lower learning_rates of the task's training"


@dataclass(frozen=True)
class Point:
    """A point of the grid."""

    learning_rate: float
    weight_decay: float
    epochs: int

    def __str__(self) -> str:
        epochs = f"{self.epochs} epoch{'s' if self.epochs > 1 else ''}"
        return f"lr {self.learning_rate:g}, wd {self.weight_decay:g}, {epochs}"


@dataclass(frozen=True)
class Problem:
    """What is learnt, and how it is judged."""

    examples: Sequence[Example]
    targets: Sequence[NDArray[Any]]
    """Of each example, one an answer: class numbers, or numbers."""
    score: Callable[[Answers, Sequence[int]], float]
    """How good the answers to some of the examples (by number) are; higher is better."""
    place: str
    """Where the examples come from, for messages."""


@dataclass(frozen=True)
class FineTuned:
    """What the models with the chosen settings answer."""

    answers: tuple[Answers, ...]
    """One entry a seed."""
    chosen: Point
    tried: tuple[dict[str, float], ...]
    """Each point with its ``score`` on the held-out part, or the step it ``diverged_at_step``."""


class Diverged(CheckFailed):
    """A loss, a gradient or an answer is no finite number."""

    def __init__(self, start: Start, point: Point, step: int) -> None:
        super().__init__(
            f"{start.path}: fine-tuning with learning rate {point.learning_rate:g} diverged "
            f"(NaN or infinite at step {step})",
            mend=LOWER,
        )
        self.step = step


def fine_tune(
    start: Start,
    head: Head,
    training: FineTuning,
    seeds: Sequence[int],
    problem: Problem,
    asked: Sequence[Example],
    *,
    progress: Progress = SILENT,
) -> FineTuned:
    """Search the settings, train with each seed, and answer ``asked``.

    Raises:
        CheckFailed: training diverged, with all settings or with another seed of the best.
        UserError: too few examples to hold some out.
    """
    points = grid(training)
    kept, held = hold_out(problem, needed=len(points) > 1 or training.patience is not None)
    trainer = _Trainer(start, head, training, problem, kept, held, progress)
    tried: list[dict[str, float]] = []
    best: tuple[float, Point, Answers] | None = None
    for number, point in enumerate(points, start=1):
        try:
            model, score = trainer.train(point, seeds[0], f"{number} of {len(points)}")
            if best is None or score > best[0]:
                # Answered now, so that no model is kept but the one in training.
                best = score, point, trainer.answers(model, asked, point)
        except Diverged as error:
            if len(points) == 1:
                raise
            progress.note(error.message)
            tried.append({**asdict(point), "diverged_at_step": error.step})
        else:
            tried.append({**asdict(point), "score": score})
    if best is None:
        raise CheckFailed(
            f"{start.path}: fine-tuning diverged with each of {len(points)} settings",
            mend=LOWER,
        )
    _, chosen, first = best
    answers = [first]
    for seed in seeds[1:]:
        model, _ = trainer.train(chosen, seed, f"seed {seed}")
        answers.append(trainer.answers(model, asked, chosen))
    return FineTuned(tuple(answers), chosen, tuple(tried) if len(points) > 1 else ())


def train_one(
    start: Start,
    head: Head,
    training: FineTuning,
    seed: int,
    problem: Problem,
    *,
    progress: Progress = SILENT,
) -> Trainable:
    """The model trained with the best settings and one seed.

    Raises:
        CheckFailed: training diverged with all settings.
        UserError: too few examples to hold some out.
    """
    chosen = grid(training)[0]
    if len(grid(training)) > 1:
        chosen = fine_tune(start, head, training, [seed], problem, [], progress=progress).chosen
    kept, held = hold_out(problem, needed=training.patience is not None)
    trainer = _Trainer(start, head, training, problem, kept, held, progress)
    return trainer.train(chosen, seed, f"seed {seed}")[0]


def grid(training: FineTuning) -> list[Point]:
    """Every combination of the settings, in the order they are given."""
    return [
        Point(*values)
        for values in itertools.product(
            training.learning_rates, training.weight_decays, training.epochs
        )
    ]


def hold_out(problem: Problem, *, needed: bool) -> tuple[list[int], list[int]]:
    """The examples to train on and those to choose on, by number; none of these if not needed.

    The draw depends on the number of examples alone.
    """
    count = len(problem.examples)
    if not needed:
        return list(range(count)), []
    if count < FEWEST_TO_HOLD_OUT:
        raise UserError(
            f"{problem.place}: {count} examples are too few to choose settings or to stop early on "
            f"a part of them ({FEWEST_TO_HOLD_OUT} are needed)",
            mend="give more, or one of each setting and no patience",
        )
    size = min(max(round(HELD_OUT_SHARE * count), HELD_OUT_FEWEST), HELD_OUT_MOST)
    order = np.random.default_rng(0).permutation(count)
    return sorted(order[size:].tolist()), sorted(order[:size].tolist())


def rate_factor(step: int, total: int, warmup: float) -> float:
    """The share of the largest learning rate at ``step``, from 0, of ``total``."""
    rising = math.ceil(warmup * total)
    if step < rising:
        return (step + 1) / rising
    return (total - step) / (total - rising)


@dataclass(frozen=True)
class _Trainer:
    start: Start
    head: Head
    training: FineTuning
    problem: Problem
    kept: Sequence[int]
    held: Sequence[int]
    progress: Progress

    def train(self, point: Point, seed: int, title: str) -> tuple[Trainable, float]:
        """A trained model, and its score on the held-out part (0 where there is none)."""
        try:
            import torch
        except ImportError as error:
            raise MissingExtra("eval", "fine-tuning a checkpoint") from error
        cuda = range(torch.cuda.device_count()) if self.start.backend.device == "cuda" else ()
        with torch.random.fork_rng(devices=cuda), threads_for_training(self.start.backend):
            torch.manual_seed(seed)  # draws the head, and dropout where the config has any
            model = Trainable(self.start, self.head, progress=self.progress)
            return model, self._fit(model, point, seed, title)

    def answers(self, model: Trainable, examples: Sequence[Example], point: Point) -> Answers:
        """What ``model`` answers; answers that are no finite numbers are ``Diverged``."""
        answers = model.answers(examples)
        if not all(np.isfinite(answer).all() for answer in answers):
            raise Diverged(self.start, point, self._steps(point))
        return answers

    def _fit(self, model: Trainable, point: Point, seed: int, title: str) -> float:
        patience = self.training.patience
        self.progress.start(
            f"{self.start.name}: fine-tune, {title} ({point})", self._steps(point), "steps"
        )
        score, best, waited = 0.0, -math.inf, 0
        state: dict[str, torch.Tensor] = {}
        for _ in self._epochs(model, point, seed):
            if patience is None:
                continue
            score = self._score(model, point)
            if score > best:
                best, waited = score, 0
                state = {k: v.detach().cpu().clone() for k, v in model.model.state_dict().items()}
            else:
                waited += 1
            if waited >= patience:
                break
        if patience is not None:
            model.model.load_state_dict(state)
            return best
        return self._score(model, point) if self.held else 0.0

    def _epochs(self, model: Trainable, point: Point, seed: int) -> Iterator[int]:
        """Train; yields the number of each epoch when it is over."""
        optimizer = _optimizer(model, point)
        generator = np.random.default_rng(seed)
        step, total = 0, self._steps(point)
        for epoch in range(point.epochs):
            order = generator.permutation(self.kept).tolist()
            for first in range(0, len(order), self.training.batch_size):
                rows = order[first : first + self.training.batch_size]
                factor = rate_factor(step, total, self.training.warmup)
                for group in optimizer.param_groups:
                    group["lr"] = point.learning_rate * factor
                step += 1
                self._step(model, optimizer, rows, point, step)
                self.progress.advance()
            yield epoch

    def _step(
        self,
        model: Trainable,
        optimizer: torch.optim.Optimizer,
        rows: Sequence[int],
        point: Point,
        step: int,
    ) -> None:
        import torch

        loss = model.backward(
            [self.problem.examples[row] for row in rows],
            [self.problem.targets[row] for row in rows],
        )
        norm = torch.nn.utils.clip_grad_norm_(model.model.parameters(), MAX_GRADIENT_NORM)
        if not (math.isfinite(loss) and math.isfinite(float(norm))):
            raise Diverged(self.start, point, step)
        optimizer.step()

    def _score(self, model: Trainable, point: Point) -> float:
        held = [self.problem.examples[row] for row in self.held]
        return self.problem.score(self.answers(model, held, point), self.held)

    def _steps(self, point: Point) -> int:
        return point.epochs * math.ceil(len(self.kept) / self.training.batch_size)


def _optimizer(model: Trainable, point: Point) -> torch.optim.Optimizer:
    import torch

    parameters = [parameter for parameter in model.model.parameters() if parameter.requires_grad]
    # torch multiplies the decay by the learning rate, which is divided out here.
    decay = point.weight_decay / point.learning_rate
    return torch.optim.AdamW(
        [
            {"params": [one for one in parameters if one.ndim > 1], "weight_decay": decay},
            {"params": [one for one in parameters if one.ndim < 2], "weight_decay": 0.0},
        ],
        lr=point.learning_rate,
        betas=(0.9, 0.98),
        eps=1e-6,
        fused=True,
    )
