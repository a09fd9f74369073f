"""A value of a YAML text and where it stands there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Inside(NamedTuple):
    """What a collection holds."""

    keys: dict[str, Node] | None
    """Of a mapping."""
    children: dict[str, Node] | list[Node]


class Node:
    """A value and its span: characters ``start`` to ``end``; line and column count from 1.

    What it holds may be left unread until someone asks: of ten thousand variants an edit looks
    at two.
    """

    __slots__ = (
        "_inside", "column", "end", "file", "flow", "line", "shared", "size", "start", "value"
    )  # fmt: skip

    def __init__(
        self,
        value: Any,
        start: int,
        end: int,
        line: int,
        column: int,
        file: int = 0,
        size: int = 1,
        flow: bool = False,
        shared: bool = False,
        inside: Inside | Callable[[], Inside | None] | None = None,
    ) -> None:
        self.value = value
        self.start = start
        self.end = end
        self.line = line
        self.column = column
        self.file = file
        """Which of the document's files it stands in."""
        self.size = size
        """Values in it, itself included, with aliases spelt out."""
        self.flow = flow
        """Written in braces or brackets."""
        self.shared = shared
        """An alias: its content stands elsewhere."""
        self._inside = inside

    @property
    def inside(self) -> Inside | None:
        """What it holds; ``None`` of a scalar."""
        if callable(self._inside):
            self._inside = self._inside()
        return self._inside

    @property
    def keys(self) -> dict[str, Node] | None:
        """The keys of a mapping."""
        inside = self.inside
        return None if inside is None else inside.keys

    @property
    def children(self) -> dict[str, Node] | list[Node] | None:
        """The values of a mapping or the items of a sequence."""
        inside = self.inside
        return None if inside is None else inside.children

    def child(self, step: str | int) -> Node | None:
        """The value under a key or at an index, if there is one."""
        children = self.children
        if isinstance(children, dict):
            return children.get(str(step))
        if isinstance(children, list) and isinstance(step, int):
            return children[step] if 0 <= step < len(children) else None
        return None

    def with_inside(self, value: Any, inside: Inside) -> Node:
        """This place, holding something else."""
        return Node(value, self.start, self.end, self.line, self.column, self.file, self.size,
                    self.flow, self.shared, inside)  # fmt: skip

    def repeated_at(self, start: int, end: int, line: int, column: int) -> Node:
        """This value, as an alias repeats it at another place."""
        return Node(self.value, start, end, line, column, self.file, self.size, self.flow, True,
                    self._inside)  # fmt: skip
