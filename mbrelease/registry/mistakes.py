"""What is wrong with a registry: every mistake with its place, said in one line each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mbrelease.errors import UserError


@dataclass(frozen=True)
class Mistake:
    """One thing to mend; ``line`` and ``column`` count from 1."""

    line: int
    column: int
    message: str
    path: Path | None = None
    """The included file that it is in; ``None`` means the registry itself."""


class InvalidRegistry(UserError):
    """A registry with mistakes; the message has a line for each, in the order of the file."""

    def __init__(self, path: Path, mistakes: Sequence[Mistake], *, lead: str | None = None) -> None:
        self.path = path
        self.mistakes = tuple(sorted(set(mistakes), key=_order))
        lines = [
            f"{shown_path(m.path or path)}:{m.line}:{m.column}: {m.message}" for m in self.mistakes
        ]
        super().__init__("\n".join([lead, *lines] if lead else lines))

    def as_json(self) -> list[dict[str, Any]]:
        """The mistakes for ``--json``."""
        return [
            {**asdict(mistake), "path": shown_path(mistake.path or self.path)}
            for mistake in self.mistakes
        ]


def _order(mistake: Mistake) -> tuple[str, int, int, str]:
    """By file, the registry itself first, and by place."""
    return str(mistake.path or ""), mistake.line, mistake.column, mistake.message


def shown_path(path: Path) -> str:
    """``path`` as a person would type it: relative to the current folder when below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
