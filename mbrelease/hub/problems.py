"""What stands in the way of a push: gathered first, shown all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mbrelease.errors import CheckFailed, UserError

CheckState = Literal["passed", "failed", "not run"]

LIST_MARK = "\n  - "


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and what to do about it."""

    message: str
    mend: str | None = None

    @classmethod
    def of(cls, error: UserError) -> Problem:
        """The problem that ``error`` tells of."""
        return cls(error.message, error.mend)

    @property
    def parts(self) -> tuple[str, ...]:
        """The message, and each line of a list that it ends with."""
        return tuple(self.message.split(LIST_MARK))

    def __str__(self) -> str:
        return self.message if self.mend is None else f"{self.message} → {self.mend}"


@dataclass(frozen=True)
class Check:
    """A question that was asked about a release before its push, or why it was not."""

    name: str
    """Such as ``verify``."""
    state: CheckState
    told: str
    """What came out, or how to run it."""
    problems: tuple[Problem, ...] = ()


def refusal(problems: Sequence[Problem]) -> CheckFailed:
    """The one exception for all ``problems``, at least one."""
    if len(problems) == 1:
        return CheckFailed(problems[0].message, mend=problems[0].mend)
    lines = "".join(f"\n  - {problem}" for problem in problems)
    return CheckFailed(f"{len(problems)} problems; nothing was sent{lines}")
