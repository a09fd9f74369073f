"""One thing to mend on a card: where, what, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from mbrelease.secrets import without_secrets

Level = Literal["error", "warning"]
README = "README.md"
MOST_SHOWN = 60


@dataclass(frozen=True)
class Finding:
    """What is wrong in a line of a card, or of a file beside it."""

    line: int
    """From 1."""
    field: str
    """Such as ``model-index[0].results[0].dataset.config``; empty where it is about no field."""
    what: str
    mend: str | None = None
    level: Level = "error"
    column: int | None = None
    """From 1, of what is no YAML."""
    file: str = README

    @property
    def is_error(self) -> bool:
        """Whether the Hub refuses it, or shows something untrue."""
        return self.level == "error"

    @property
    def place(self) -> str:
        """``README.md:7``."""
        column = "" if self.column is None else f":{self.column}"
        return f"{self.file}:{self.line}{column}"

    def __str__(self) -> str:
        level = "" if self.is_error else "warning: "
        mend = "" if self.mend is None else f"; mend: {self.mend}"
        return f"{self.place}: {level}{self.what}{mend}"

    def as_json(self) -> dict[str, Any]:
        """The finding as plain values, for ``--json``."""
        return {
            "file": self.file,
            "line": self.line,
            "field": self.field,
            "level": self.level,
            "what": self.what,
            "mend": self.mend,
        }


def shown(value: object) -> str:
    """A value as a message quotes it: short, on one line, nothing in it hidden."""
    # Before it is cut: a part of a secret looks like none.
    text = without_secrets(value) if isinstance(value, str) else _plain(value)
    text = text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…"
    visible = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return f"'{visible}'" if isinstance(value, str) else visible


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None or isinstance(value, bool):  # not by equality: 1 is no truth
        return str(value).lower() if value is not None else "null"
    return repr(value)
