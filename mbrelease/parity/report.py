"""What a check says: expected, found, and the mend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from mbrelease.parity.drift import Drift

Status = Literal["pass", "fail", "warn", "skip"]


@dataclass(frozen=True)
class CheckResult:
    """The answer of one check. ``mend`` is what to do; only a pass or a skip has none."""

    name: str
    status: Status
    expected: str
    found: str
    mend: str | None = None
    details: Mapping[str, Any] | None = None
    """Tables behind the answer, as JSON values; ``--json`` carries them, the screen does not."""

    def as_json(self) -> dict[str, Any]:
        """The answer as JSON values; ``details`` only where there are any."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.details is None:
            del values["details"]
        return values


@dataclass(frozen=True)
class Report:
    """The answers of all checks on one folder, in the order they were asked."""

    path: Path
    results: tuple[CheckResult, ...]
    drift: Drift | None = None
    """How far the weights moved from the parent's, where that was asked; for its picture."""

    @property
    def passed(self) -> bool:
        """Whether no check failed; warnings and skipped checks do not count."""
        return not self.failures

    @property
    def failures(self) -> list[CheckResult]:
        """The checks that failed."""
        return self.with_status("fail")

    def with_status(self, status: Status) -> list[CheckResult]:
        """The checks that ended with ``status``."""
        return [result for result in self.results if result.status == status]

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "path": str(self.path),
            "passed": self.passed,
            "results": [result.as_json() for result in self.results],
        }


def passed(name: str, found: str, expected: str | None = None) -> CheckResult:
    """A check that found what it expected (``expected`` is said as ``found`` by default)."""
    return CheckResult(name, "pass", found if expected is None else expected, found)


def failed(name: str, *, expected: str, found: str, mend: str) -> CheckResult:
    """A check whose answer is no."""
    return CheckResult(name, "fail", expected, found, mend)


def warned(name: str, *, expected: str, found: str, mend: str) -> CheckResult:
    """A check that found something to know or to mend, which stops nothing."""
    return CheckResult(name, "warn", expected, found, mend)


def skipped(name: str, *, expected: str, reason: str) -> CheckResult:
    """A check that could not be asked, and why."""
    return CheckResult(name, "skip", expected, reason)


def graded(publishable: bool, name: str, *, expected: str, found: str, mend: str) -> CheckResult:
    """A fault in what would be published, and a remark on what a trainer is still to leave behind.

    A folder with ``trainer_state.json`` is a trainer's own; `mbrelease release` mends such faults
    on the way, so there they only warn.
    """
    status: Status = "fail" if publishable else "warn"
    return CheckResult(name, status, expected, found, mend)


def shortened(names: Iterable[str], shown: int = 3) -> str:
    """The first few of many names, and how many more there are."""
    listed = list(names)
    more = len(listed) - shown
    return ", ".join(listed[:shown]) + (f" and {more} more" if more > 0 else "")
