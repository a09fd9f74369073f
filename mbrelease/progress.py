"""How long work tells how far it is, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Something that shows progress, such as a bar on a terminal."""

    def start(self, description: str, total: int, unit: str) -> None:
        """Begin a piece of work of ``total`` units; ends the one before."""

    def advance(self, amount: int = 1) -> None:
        """Say that ``amount`` more units are done."""

    def note(self, message: str) -> None:
        """Say something that stays on the screen."""


class Silent:
    """Shows nothing; the default of every library function."""

    def start(self, description: str, total: int, unit: str) -> None:
        """Ignore the start."""

    def advance(self, amount: int = 1) -> None:
        """Ignore the step."""

    def note(self, message: str) -> None:
        """Ignore the message."""


SILENT = Silent()
