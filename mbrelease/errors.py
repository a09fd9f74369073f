"""What a user can mend: one or two lines that say what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """The call or its input was wrong; the message is shown as it is and the exit code is 2.

    Write the message as *what, where* and pass the mend apart: ``UserError("no checkpoints in
    runs/x", mend="give a folder that holds checkpoint-* folders")``.
    """

    exit_code = 2

    def __init__(self, message: str, *, mend: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        return self.message if self.mend is None else f"{self.message}\n  {self.mend}"


class CheckFailed(UserError):
    """The call was right and the answer is no: a check failed or nothing was chosen (exit 1)."""

    exit_code = 1


class MissingExtra(UserError):
    """A command needs an optional dependency that is not installed."""

    def __init__(self, extra: str, needed_for: str) -> None:
        super().__init__(
            f"{needed_for} needs the extra [{extra}], which is not installed",
            mend=f"pip install 'mbrelease[{extra}]'",
        )


def did_you_mean(given: str, known: Iterable[str]) -> str | None:
    """The mend for a misspelt name: the closest known one, or ``None`` if none is close."""
    close = difflib.get_close_matches(given, list(known), n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else None
