"""Nodes from the events of a YAML parser.

PyYAML's events are composed here, not by PyYAML, because its constructors forget the places,
let the last of two equal keys win, and read YAML 1.1 (see ``scalars``). libyaml parses where
PyYAML was built with it; the pure Python parser gives the same events, more slowly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import yaml
from yaml import events

from mbrelease.registry.mistakes import Mistake
from mbrelease.registry.nodes import Inside, Node
from mbrelease.registry.scalars import plain_value

PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAX_DEPTH = 40
# Nodes that aliases may repeat, all together: a bomb of nine lists of nine stops at once. Long
# text counts as several, so that repeating one long text is no way around.
MAX_REPEATED_NODES = 100_000
CHARACTERS_OF_A_NODE = 100

_STRING_TAGS = (None, "!", "tag:yaml.org,2002:str")
_COLLECTION_TAGS = (None, "!")


class Origin(NamedTuple):
    """Where a text begins in the file that it was cut from."""

    file: int = 0
    characters: int = 0
    """Those before it."""
    lines: int = 0
    """Those above it."""


class Stop(Exception):
    """A mistake after which reading on makes no sense."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(mistake.message)
        self.mistake = mistake


class Composer:
    """Builds nodes from events, gathering mistakes.

    Ten thousand variants are 300,000 events, so the common case comes first in each method, and
    costs no call that it does not need.
    """

    def __init__(self, text: str, origin: Origin = Origin()) -> None:  # noqa: B008
        self.text = text
        self.file, self.index, self.line = origin
        self.next: Callable[[], Any] = PARSER(text).get_event
        self.mistakes: list[Mistake] = []
        self.anchors: dict[str, Node | None] = {}
        self.repeated = 0

    def document(self, depth: int = 0) -> Node | None:
        """The one document of the text; ``None`` if there is nothing in it.

        Args:
            depth: how deep it stands in the text that it was cut from.
        """
        self.next()  # the start of the stream
        if isinstance(self.next(), events.StreamEndEvent):
            return None
        root = self.node(self.next(), depth)
        self.next()  # the end of the document
        after = self.next()
        if not isinstance(after, events.StreamEndEvent):
            raise Stop(self.at(after, "a registry is one YAML document; this starts another"))
        return root

    def node(self, event: Any, depth: int) -> Node:
        """The node that ``event`` begins."""
        kind = type(event)
        if kind is events.AliasEvent:
            return self.alias(event)
        if depth > MAX_DEPTH:
            raise Stop(self.at(event, f"nested more than {MAX_DEPTH} deep"))
        anchor = event.anchor
        if anchor is not None:
            self.anchors[anchor] = None  # not finished
        if kind is events.ScalarEvent:
            node = self.scalar(event)
        elif kind is events.MappingStartEvent:
            node = self.mapping(event, depth)
        else:
            node = self.sequence(event, depth)
        if anchor is not None:
            self.anchors[anchor] = node
        return node

    def alias(self, event: Any) -> Node:
        """What an alias stands for, at its place."""
        target = self.anchors.get(event.anchor)
        if target is None:
            known = event.anchor in self.anchors
            problem = "contains itself" if known else "is not defined above"
            raise Stop(self.at(event, f"alias *{event.anchor} {problem}"))
        self.repeated += target.size
        if self.repeated > MAX_REPEATED_NODES:
            raise Stop(self.at(event, f"aliases repeat more than {MAX_REPEATED_NODES:,} values"))
        start = event.start_mark
        return target.repeated_at(
            start.index + self.index,
            event.end_mark.index + self.index,
            start.line + self.line + 1,
            start.column + 1,
        )

    def scalar(self, event: Any) -> Node:
        """A text, a number, a truth, or nothing."""
        text, style, mark = event.value, event.style, event.start_mark
        start, end = mark.index, event.end_mark.index
        if event.tag not in _STRING_TAGS:
            self.mistakes.append(self.at(event, f"{_tag(event)} is not allowed here"))
        value = text
        if not style:
            if event.implicit[0]:
                value = plain_value(text)
        elif style == '"':
            if any("\ud800" <= c <= "\udfff" for c in text):
                self.mistakes.append(self.at(event, "half of a surrogate pair is no character"))
                value = text.encode("utf-8", "replace").decode()
        elif style in "|>" and "+" not in self.text[start : start + 3]:
            # The parsers end a block scalar where the next token starts.
            end = start + len(self.text[start:end].rstrip())
        return Node(
            value,
            start + self.index,
            end + self.index,
            mark.line + self.line + 1,
            mark.column + 1,
            self.file,
            1 + len(text) // CHARACTERS_OF_A_NODE,
        )

    def sequence(self, event: Any, depth: int) -> Node:
        """A list."""
        if event.tag not in _COLLECTION_TAGS:
            self.mistakes.append(self.at(event, f"{_tag(event)} is not allowed here"))
        children: list[Node] = []
        while type(item := self.next()) is not events.SequenceEndEvent:
            children.append(self.node(item, depth + 1))
        value = [child.value for child in children]
        size = 1 + sum(child.size for child in children)
        last = children[-1] if children else None
        return self.closed(event, item, last, value, size, Inside(None, children))

    def mapping(self, event: Any, depth: int) -> Node:
        """A mapping; of two equal keys the first holds, and the second is a mistake."""
        if event.tag not in _COLLECTION_TAGS:
            self.mistakes.append(self.at(event, f"{_tag(event)} is not allowed here"))
        keys: dict[str, Node] = {}
        children: dict[str, Node] = {}
        value: dict[str, Any] = {}
        size, last = 1, None
        while type(item := self.next()) is not events.MappingEndEvent:
            key = self.key(item)
            name = key.value
            last = child = self.node(self.next(), depth + 1)
            if name in keys:
                message = f"key '{name}' is given twice, first on line {keys[name].line}"
                self.mistakes.append(Mistake(key.line, key.column, message))
                continue
            keys[name], children[name], value[name] = key, child, child.value
            size += child.size + len(name) // CHARACTERS_OF_A_NODE
        return self.closed(event, item, last, value, size, Inside(keys, children))

    def key(self, event: Any) -> Node:
        """A key, whose value is its text: ``2024`` and ``yes`` are names here."""
        if not isinstance(event, events.ScalarEvent):
            raise Stop(self.at(event, "a key must be plain text"))
        text: str = event.value
        mark: Any = event.start_mark
        end: Any = event.end_mark
        if text == "<<" and not event.style:
            what = "merge keys (<<) are not supported; write them out"
            self.mistakes.append(self.at(event, what))
        return Node(
            text,
            mark.index + self.index,
            end.index + self.index,
            mark.line + self.line + 1,
            mark.column + 1,
            self.file,
        )

    def closed(
        self, event: Any, end_event: Any, last: Node | None, value: Any, size: int, inside: Inside
    ) -> Node:
        """A collection; one in block style ends with its last value, not where the next starts."""
        mark, flow = event.start_mark, bool(event.flow_style)
        end = start = mark.index + self.index
        if flow:
            end = end_event.end_mark.index + self.index
        elif last is not None:
            end = last.end
        line, column = mark.line + self.line + 1, mark.column + 1
        return Node(value, start, end, line, column, self.file, size, flow, False, inside)

    def at(self, event: Any, message: str) -> Mistake:
        """A mistake where ``event`` starts."""
        mark = event.start_mark
        return Mistake(mark.line + self.line + 1, mark.column + 1, message)


def _tag(event: Any) -> str:
    return f"tag {event.tag.replace('tag:yaml.org,2002:', '!!')}"
