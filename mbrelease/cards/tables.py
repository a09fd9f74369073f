"""Markdown tables: every cell escaped, columns that hold nothing left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mbrelease.cards.escape import markdown
from mbrelease.cards.told import visible

# Cells are padded so that the file reads well as text too, but one long cell must not
# make every line of its table as long as itself.
_WIDEST_PADDING = 32


@dataclass(frozen=True)
class Table:
    """Columns and rows; a column named with a leading ``>`` is right-aligned."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """``Markup`` is taken as Markdown, other text is escaped."""

    def __bool__(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.rows)

    @property
    def markdown(self) -> Markup:
        """The table as Markdown, without a final newline."""
        if not self.rows:
            return Markup("")
        alignments = [column.startswith(">") for column in self.columns]
        header = [_cell(column.removeprefix(">")) for column in self.columns]
        body = [[_cell(text) for text in row] for row in self.rows]
        widths = [
            min(_WIDEST_PADDING, max(3, *(len(visible(row[index])) for row in [header, *body])))
            for index in range(len(self.columns))
        ]
        rule = [
            "-" * (width - 1) + ":" if right else "-" * width
            for width, right in zip(widths, alignments, strict=True)
        ]
        lines = [_line(row, widths, alignments) for row in [header, rule, *body]]
        return Markup("\n".join(lines))  # noqa: S704  (every cell was escaped by _cell)


def table(columns: Sequence[str], rows: Sequence[Sequence[str | None]]) -> Table:
    """A table without the columns that hold nothing; ``None`` becomes an empty cell."""
    kept = [i for i in range(len(columns)) if any(row[i] not in (None, "") for row in rows)]
    return Table(
        columns=tuple(columns[i] for i in kept),
        rows=tuple(tuple(_text(row[i]) for i in kept) for row in rows),
    )


def bold(text: str) -> Markup:
    """``text`` in bold."""
    return Markup(f"**{_cell(text)}**")  # noqa: S704


def _text(value: str | None) -> str:
    return "" if value is None else value


def _cell(text: str) -> str:
    return text if isinstance(text, Markup) else markdown(text)


def _line(cells: Sequence[str], widths: Sequence[int], alignments: Sequence[bool]) -> str:
    padded = []
    for cell, width, right in zip(cells, widths, alignments, strict=True):
        blanks = " " * (width - len(visible(cell)))
        padded.append(f"{blanks}{cell}" if right else f"{cell}{blanks}")
    return f"| {' | '.join(padded)} |"
