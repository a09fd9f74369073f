"""What is wrong with a registry: every mistake with its place, said in one line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mbrelease.errors import UserError
from mbrelease.registry.excerpt import LINE_BREAK, excerpt, printable

MAX_EXCERPTS = 20
"""Mistakes that are shown with their source line; a flood of them is told in a line each."""


@dataclass(frozen=True)
class Mistake:
    """One thing to mend; ``line`` and ``column`` count from 1."""

    line: int
    column: int
    message: str
    path: Path | None = None
    """The included file that it is in; ``None`` means the registry itself."""


class InvalidRegistry(UserError):
    """A registry with mistakes; the message has a line for each, in the order of the file.

    As text it has the line of the source and a caret beneath each.
    """

    def __init__(
        self,
        path: Path,
        mistakes: Sequence[Mistake],
        *,
        lead: str | None = None,
        texts: Mapping[Path, str] | None = None,
    ) -> None:
        self.path = path
        self.mistakes = tuple(sorted(set(mistakes), key=_order))
        self.lead = lead
        self.texts = texts or {}
        """What the files hold, as far as it could be read."""
        lines = [self._line(mistake) for mistake in self.mistakes]
        super().__init__("\n".join([lead, *lines] if lead else lines))

    def __str__(self) -> str:
        said = [self.lead] if self.lead else []
        lines: dict[Path, list[str]] = {}
        for number, mistake in enumerate(self.mistakes):
            said.append(self._line(mistake))
            path = mistake.path or self.path
            if path in self.texts and number < MAX_EXCERPTS:
                if path not in lines:
                    lines[path] = LINE_BREAK.split(self.texts[path])
                said += excerpt(lines[path], mistake.line, mistake.column)
        return "\n".join(said)

    def _line(self, mistake: Mistake) -> str:
        place = f"{shown_path(mistake.path or self.path)}:{mistake.line}:{mistake.column}"
        return f"{place}: {printable(mistake.message)}"

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
    except (ValueError, OSError, RuntimeError):  # a loop of links, before Python 3.13
        return str(path)
