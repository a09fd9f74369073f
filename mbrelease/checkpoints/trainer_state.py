"""Read what the Hugging Face Trainer logged: loss, learning rate and evaluations by step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbrelease.errors import UserError
from mbrelease.files import read_json


@dataclass(frozen=True)
class TrainerState:
    """The log of a run until one checkpoint."""

    global_step: int
    max_steps: int
    log: tuple[Mapping[str, Any], ...]

    def curve(self, key: str) -> list[tuple[int, float]]:
        """``(step, value)`` of every log row with a number under ``key``, such as ``eval_loss``."""
        rows = ((row.get("step"), row.get(key)) for row in self.log)
        return [
            (step, float(value))
            for step, value in rows
            if isinstance(step, int) and isinstance(value, int | float)
        ]

    @property
    def eval_loss(self) -> float | None:
        """The evaluation loss logged at this checkpoint's own step, if any."""
        return dict(self.curve("eval_loss")).get(self.global_step)

    @property
    def decay_start(self) -> int | None:
        """The last logged step before the learning rate falls for good.

        ``None`` where it falls from its start (no stable phase) or does not fall.
        """
        rates = self.curve("learning_rate")
        if len(rates) < 3:
            return None
        peak = max(rate for _, rate in rates)
        # A stable phase has one rate to the last digit; the top of a cosine is only nearly flat.
        at_peak = [step for step, rate in rates if rate >= peak * (1 - 1e-12)]
        if len(at_peak) < 2 or at_peak[-1] == rates[-1][0]:
            return None
        return at_peak[-1]


def read_trainer_state(path: Path) -> TrainerState:
    """Read a ``trainer_state.json``.

    Raises:
        UserError: it is missing or malformed.
    """
    content = read_json(path)
    try:
        log = tuple(row for row in content["log_history"] if isinstance(row, dict))
        return TrainerState(int(content["global_step"]), int(content["max_steps"]), log)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a trainer state: {error!r}") from error
