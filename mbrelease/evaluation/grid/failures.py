"""Jobs that failed, in sentences; the others go on."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbrelease.errors import CheckFailed, MissingExtra, UserError

SHOWN_NAMES = 3


class CannotKeep(UserError):
    """Evidence cannot be written: whatever is measured next would be lost too."""


class InFlight(Exception):
    """Another process measures this job now."""


FATAL = (MissingExtra, CannotKeep)
"""What would stop every other job as well."""


@dataclass(frozen=True)
class Failure:
    """Why a job gave no result."""

    job: str
    """As people call it: ``checkpoint-500 · title-abstract dev``."""
    reason: str
    mend: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What ``failure_from_json`` reads."""
        return {"job": self.job, "reason": self.reason, "mend": self.mend}


def failure_from_json(content: dict[str, Any]) -> Failure:
    """A failure that another process wrote down."""
    return Failure(content["job"], content["reason"], content["mend"])


def failure_of(job: str, error: Exception) -> Failure:
    """What ``error`` says of ``job``."""
    if isinstance(error, UserError):
        return Failure(job, error.message, error.mend)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return Failure(job, "out of memory", "give the task a smaller max_length, or more memory")
    first = (str(error).strip() or "no message").splitlines()[0]
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}:{place.lineno}"
    return Failure(job, f"{type(error).__name__}: {first} ({where})")


class MeasurementsFailed(CheckFailed):
    """Jobs that failed, each named; those that failed for the same reason, together.

    ``failures`` has them by the key of their job. Whatever else there was to measure is kept.
    """

    def __init__(self, failures: Mapping[str, Failure], total: int) -> None:
        self.failures = failures
        message, mend = _summary(list(failures.values()), total)
        super().__init__(message, mend=mend)


def _summary(failures: Sequence[Failure], total: int) -> tuple[str, str | None]:
    if len(failures) == 1:
        [one] = failures
        return f"{one.job} failed: {one.reason}", one.mend
    reasons: dict[tuple[str, str | None], list[str]] = {}
    for failure in failures:
        reasons.setdefault((failure.reason, failure.mend), []).append(failure.job)
    lines = [f"{len(failures)} of {total} measurements failed; the others are kept"]
    for (reason, mend), jobs in reasons.items():
        more = f" and {len(jobs) - SHOWN_NAMES} more" if len(jobs) > SHOWN_NAMES else ""
        lines.append(f"  {', '.join(jobs[:SHOWN_NAMES])}{more}: {reason}")
        if mend:
            lines.append(f"    {mend}")
    return "\n".join(lines), None
