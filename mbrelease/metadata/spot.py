"""A value with its place: what a rule looks at, and where its findings point."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mbrelease.metadata.finding import README, Finding
from mbrelease.registry.document import Document, Node


@dataclass(frozen=True)
class Spot:
    """The value at a path of a document."""

    document: Document
    path: tuple[str | int, ...] = ()
    file: str = README

    @property
    def node(self) -> Node:
        """The node itself."""
        node = self.document.at(self.path)
        assert node is not None, "a spot is made from a node that is there"
        return node

    @property
    def value(self) -> Any:
        """The value as plain Python, read as YAML 1.2."""
        return self.node.value

    @property
    def line(self) -> int:
        """The line of the key, or of the item of a list, in the file."""
        return self.document.key_place(self.path)[0]

    @property
    def name(self) -> str:
        """``model-index[0].results[2].task``."""
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path)
        return "".join(steps).removeprefix(".")

    def get(self, key: str) -> Spot | None:
        """The value under ``key``, if this is a mapping that has it."""
        children = self.node.children
        if not isinstance(children, dict) or key not in children:
            return None
        return self.below(key)

    def below(self, step: str | int) -> Spot:
        """The value one step further."""
        return Spot(self.document, (*self.path, step), self.file)

    @property
    def keys(self) -> list[str]:
        """Of a mapping; of all else, none."""
        return list(self.node.keys or {})

    def items(self) -> list[Spot]:
        """The items of a list; any other value is the one item of itself."""
        if not isinstance(self.value, list):
            return [self]
        return [self.below(index) for index in range(len(self.value))]

    def everything(self) -> Iterator[Spot]:
        """This value and all in it, each once though an alias repeats it."""
        waiting = [self]
        while waiting:
            spot = waiting.pop()
            yield spot
            node = spot.node
            if node.shared:
                continue
            if isinstance(node.children, dict):
                waiting += [spot.below(key) for key in reversed(node.children)]
            elif isinstance(node.children, list):
                waiting += [spot.below(index) for index in reversed(range(len(node.children)))]

    def error(self, what: str, mend: str | None = None) -> Finding:
        """A finding here that the Hub refuses, or that makes it show something untrue."""
        return Finding(self.line, self.name, what, mend, "error", file=self.file)

    def warning(self, what: str, mend: str | None = None) -> Finding:
        """A finding here that the Hub takes, to nobody's good."""
        return Finding(self.line, self.name, what, mend, "warning", file=self.file)
