"""stdout is data, stderr is talk."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from mbrelease.progress import SILENT, Progress

if TYPE_CHECKING:
    from rich.progress import TaskID

    from mbrelease.pipeline import Step


def print_json(value: Any) -> None:
    """Print ``value`` as JSON on stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def talk(message: str) -> None:
    """Say something to a person, on stderr."""
    click.echo(message, err=True)


def step_line(step: Step) -> str:
    """A step of a release in one line, such as ``verify    unchanged  passed before``."""
    return f"{step.name:9} {'done' if step.changed else 'unchanged':10} {step.summary}"


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
    """Print a table on stdout; columns named with a leading ``>`` are right-aligned.

    On a terminal the table is as wide as the terminal; in a pipe it is as wide as it needs.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(
        file=sys.stdout,
        width=None if sys.stdout.isatty() else 10_000,
        highlight=False,
        # A checkpoint may be called [best] or :tada:.
        markup=False,
        emoji=False,
    )
    table = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in columns:
        table.add_column(
            column.removeprefix(">"),
            justify="right" if column.startswith(">") else "left",
            overflow="fold",
            no_wrap=column.startswith(">"),
        )
    for row in rows:
        table.add_row(*row)
    console.print(table)


class _Bar:
    """A rich progress bar on stderr."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            ProgressColumn,
            Task,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.text import Text

        class Amount(ProgressColumn):
            """``3/12 examples``, or ``1.2/2.4 GB``."""

            bytes, count = DownloadColumn(), MofNCompleteColumn()

            def render(self, task: Task) -> Text:
                if task.fields["unit"] == "bytes":
                    return self.bytes.render(task)
                return self.count.render(task).append(f" {task.fields['unit']}")

        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            Amount(),
            TimeRemainingColumn(),
            console=Console(stderr=True, highlight=False),
            transient=True,
        )
        self.task: TaskID | None = None

    def start(self, description: str, total: int, unit: str) -> None:
        if self.task is not None:
            self.bar.remove_task(self.task)
        self.task = self.bar.add_task(description, total=total, unit=unit)

    def advance(self, amount: int = 1) -> None:
        if self.task is not None:
            self.bar.advance(self.task, amount)

    def note(self, message: str) -> None:
        self.bar.console.print(message, markup=False, soft_wrap=True)


class _Lines:
    """Notes without a bar, where stderr is a log file."""

    def start(self, description: str, total: int, unit: str) -> None:
        pass

    def advance(self, amount: int = 1) -> None:
        pass

    def note(self, message: str) -> None:
        talk(message)


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Progress]:
    """Progress for the length of a block: a bar on a terminal, lines in a log, nothing if quiet."""
    if quiet:
        yield SILENT
    elif sys.stderr.isatty():
        bar = _Bar()
        with bar.bar:
            yield bar
    else:
        yield _Lines()
