"""A YAML document as values *and* places: where each key and value stands in the text.

PyYAML's events are composed here, not by PyYAML, because its constructors forget the places,
let the last of two equal keys win, and read YAML 1.1 (see ``scalars``). libyaml parses where
PyYAML was built with it; the pure Python parser gives the same events, more slowly.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from yaml import events

from mbrelease.registry.excerpt import LINE_BREAK
from mbrelease.registry.mistakes import InvalidRegistry, Mistake
from mbrelease.registry.scalars import plain_value

BOM = "\ufeff"
PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAX_DEPTH = 40
# Nodes that aliases may repeat, all together: a bomb of nine lists of nine stops at once. Long
# text counts as several, so that repeating one long text is no way around.
MAX_REPEATED_NODES = 100_000
CHARACTERS_OF_A_NODE = 100
MAX_MISTAKES_OF_A_KIND = 20

_STRING_TAGS = (None, "!", "tag:yaml.org,2002:str")
_CONFLICT = re.compile(r"^(?:<{7}|\|{7}|>{7})(?: .*)?$|^={7}$", re.MULTILINE)
_TAB_INDENT = re.compile(r"^ *\t", re.MULTILINE)
_UNPRINTABLE = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HINTS = {
    "mapping values are not allowed": "put text that contains ': ' in quotes",
    "expected <block end>": "keys of one mapping start in one column",
    "could not find expected ':'": "a key ends with ':'",
    "found undefined alias": "define it with & above",
}


@dataclass(slots=True)
class Node:
    """A value and its span: characters ``start`` to ``end``; line and column count from 1."""

    value: Any
    start: int
    end: int
    line: int
    column: int
    size: int = 1
    """Values in it, itself included, with aliases spelt out."""
    flow: bool = False
    """Written in braces or brackets."""
    shared: bool = False
    """An alias: its content stands elsewhere."""
    keys: dict[str, Node] | None = None
    """Of a mapping."""
    children: dict[str, Node] | list[Node] | None = None
    """Of a mapping or a sequence."""
    file: int = 0
    """Which of the document's files it stands in."""

    def child(self, step: str | int) -> Node | None:
        """The value under a key or at an index, if there is one."""
        if isinstance(self.children, dict):
            return self.children.get(str(step))
        if isinstance(self.children, list) and isinstance(step, int):
            return self.children[step] if 0 <= step < len(self.children) else None
        return None


@dataclass(frozen=True)
class SourceFile:
    """The text of one file, without a byte order mark and with its line ends as they were.

    The spans of nodes are places in this text.
    """

    path: Path
    text: str
    has_bom: bool
    root: Node
    """What stands in this file alone."""


@dataclass(frozen=True)
class Document:
    """A parsed registry; of several files where it includes some."""

    files: tuple[SourceFile, ...]
    """``registry.yaml`` first, then what it includes, in order."""
    root: Node
    """What all files say together."""
    mistakes: tuple[Mistake, ...]
    """What is wrong with the YAML though it could be read, such as a key given twice."""
    repeated: int = 0
    """Values that aliases repeat."""

    @property
    def path(self) -> Path:
        """The registry itself."""
        return self.files[0].path

    @property
    def text(self) -> str:
        """Of the registry itself."""
        return self.files[0].text

    @property
    def has_bom(self) -> bool:
        """Whether the registry itself begins with a byte order mark."""
        return self.files[0].has_bom

    @property
    def texts(self) -> dict[Path, str]:
        """The text of each file."""
        return {file.path: file.text for file in self.files}

    def file_of(self, node: Node) -> SourceFile:
        """The file that ``node`` stands in; its span is a place in the text of this file."""
        return self.files[node.file]

    @property
    def value(self) -> Any:
        """The document as plain Python values."""
        return self.root.value

    def at(self, path: Sequence[str | int]) -> Node | None:
        """The node at ``path``, such as ``("variants", "a", "parents", 0)``, if there is one."""
        node: Node | None = self.root
        for step in path:
            if node is None:
                return None
            node = node.child(step)
        return node

    def nearest(self, path: Sequence[str | int]) -> Node:
        """The node at ``path``, or the nearest thing around it."""
        node = self.root
        for step in path:
            child = node.child(step)
            if child is None:
                break
            node = child
        return node

    def place(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Line and column of the value at ``path``, or of the nearest thing around it."""
        node = self.nearest(path)
        return node.line, node.column

    def key_place(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Line and column of the key of ``path``, or of the item where it is in a list."""
        key = self.key_node(path)
        return key.line, key.column

    def key_node(self, path: Sequence[str | int]) -> Node:
        """The key of ``path``, the item where it is in a list, or the nearest thing around it."""
        parent = self.at(path[:-1]) if path else None
        if parent is not None and parent.keys is not None and str(path[-1]) in parent.keys:
            return parent.keys[str(path[-1])]
        return self.nearest(path)

    def mistake(self, path: Sequence[str | int], message: str, *, key: bool = False) -> Mistake:
        """A mistake at the value (or the key) of ``path``."""
        node = self.key_node(path) if key else self.nearest(path)
        return self.mistake_at(node, message)

    def mistake_at(self, node: Node, message: str) -> Mistake:
        """A mistake at ``node``, in whichever file that stands."""
        file = None if node.file == 0 else self.files[node.file].path
        return Mistake(node.line, node.column, message, file)


def parse_document(data: bytes, path: Path, *, file: int = 0) -> Document:
    """Parse the bytes of one file; ``path`` is for the messages.

    Args:
        data: what the file holds.
        path: where it is.
        file: its number, where it is one of several (see ``include``).

    Raises:
        InvalidRegistry: it is no UTF-8, no YAML, empty, more than one document, or has conflict
            markers, or aliases that repeat too much.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        told = [_not_utf8(data, error.start)]
        texts = {path: data.decode(errors="replace")}
        raise InvalidRegistry(path, told, texts=texts) from error
    has_bom = text.startswith(BOM)
    text = text.removeprefix(BOM)
    unreadable = list(islice(_unreadable(text), MAX_MISTAKES_OF_A_KIND))
    if unreadable:
        raise InvalidRegistry(path, unreadable, texts={path: text})
    composer = _Composer(text, file)
    try:
        root = composer.document()
    except _Stop as stop:
        told = [*composer.mistakes, stop.mistake]
        raise InvalidRegistry(path, told, texts={path: text}) from stop
    except yaml.YAMLError as error:
        told = _not_yaml(text, error)
        raise InvalidRegistry(path, told, texts={path: text}) from error
    mistakes = composer.mistakes
    if file:
        mistakes = [replace(mistake, path=path) for mistake in mistakes]
    files = (SourceFile(path, text, has_bom, root),)
    return Document(files, root, tuple(mistakes), composer.repeated)


class _Stop(Exception):
    """A mistake after which reading on makes no sense."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(mistake.message)
        self.mistake = mistake


class _Composer:
    """Builds nodes from events, gathering mistakes."""

    def __init__(self, text: str, file: int) -> None:
        self.text = text
        self.file = file
        self.events: Iterator[Any] = yaml.parse(text, Loader=PARSER)
        self.mistakes: list[Mistake] = []
        self.anchors: dict[str, Node | None] = {}
        self.repeated = 0

    def document(self) -> Node:
        """The one document of the text."""
        next(self.events)  # the start of the stream
        if isinstance(next(self.events), events.StreamEndEvent):
            raise _Stop(Mistake(1, 1, "the registry is empty"))
        root = self.node(next(self.events), 0)
        next(self.events)  # the end of the document
        after = next(self.events)
        if not isinstance(after, events.StreamEndEvent):
            raise _Stop(_at(after, "a registry is one YAML document; this starts another"))
        return root

    def node(self, event: Any, depth: int) -> Node:
        """The node that ``event`` begins."""
        if isinstance(event, events.AliasEvent):
            return self.alias(event)
        if depth > MAX_DEPTH:
            raise _Stop(_at(event, f"nested more than {MAX_DEPTH} deep"))
        if event.anchor is not None:
            self.anchors[event.anchor] = None  # not finished
        if isinstance(event, events.ScalarEvent):
            node = self.scalar(event)
        elif isinstance(event, events.MappingStartEvent):
            node = self.mapping(event, depth)
        else:
            node = self.sequence(event, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def alias(self, event: Any) -> Node:
        target = self.anchors.get(event.anchor)
        if target is None:
            known = event.anchor in self.anchors
            problem = "contains itself" if known else "is not defined above"
            raise _Stop(_at(event, f"alias *{event.anchor} {problem}"))
        self.repeated += target.size
        if self.repeated > MAX_REPEATED_NODES:
            raise _Stop(_at(event, f"aliases repeat more than {MAX_REPEATED_NODES:,} values"))
        start, end = event.start_mark, event.end_mark
        return replace(
            target,
            start=start.index,
            end=end.index,
            line=start.line + 1,
            column=start.column + 1,
            shared=True,
        )

    def scalar(self, event: Any) -> Node:
        if event.tag not in _STRING_TAGS:
            self.mistakes.append(_at(event, f"tag {_short_tag(event.tag)} is not allowed here"))
        text = event.value
        plain = event.implicit[0] and not event.style
        if event.style == '"' and any("\ud800" <= c <= "\udfff" for c in text):
            self.mistakes.append(_at(event, "half of a surrogate pair is no character"))
            text = text.encode("utf-8", "replace").decode()
        node = self.new(event, plain_value(text) if plain else text)
        node.size += len(text) // CHARACTERS_OF_A_NODE
        if event.style in ("|", ">") and "+" not in self.text[node.start : node.start + 3]:
            # The parsers end a block scalar where the next token starts.
            node.end = node.start + len(self.text[node.start : node.end].rstrip())
        return node

    def sequence(self, event: Any, depth: int) -> Node:
        self.no_tag(event)
        node = self.new(event, [])
        children: list[Node] = []
        while not isinstance(event := next(self.events), events.SequenceEndEvent):
            child = self.node(event, depth + 1)
            children.append(child)
            node.size += child.size
        node.value = [child.value for child in children]
        node.children = children
        self.close(node, event, children[-1] if children else None)
        return node

    def mapping(self, event: Any, depth: int) -> Node:
        self.no_tag(event)
        node = self.new(event, {})
        keys: dict[str, Node] = {}
        children: dict[str, Node] = {}
        last: Node | None = None
        while not isinstance(event := next(self.events), events.MappingEndEvent):
            key, name = self.key(event)
            last = child = self.node(next(self.events), depth + 1)
            if name in keys:
                first = keys[name].line
                message = f"key '{name}' is given twice, first on line {first}"
                self.mistakes.append(Mistake(key.line, key.column, message))
                continue
            keys[name], children[name] = key, child
            node.size += child.size + len(name) // CHARACTERS_OF_A_NODE
        node.value = {name: child.value for name, child in children.items()}
        node.keys, node.children = keys, children
        self.close(node, event, last)
        return node

    def key(self, event: Any) -> tuple[Node, str]:
        """A key and its text: ``2024`` and ``yes`` are names here, not a number and a truth."""
        if not isinstance(event, events.ScalarEvent):
            raise _Stop(_at(event, "a key must be plain text"))
        if event.value == "<<" and not event.style:
            self.mistakes.append(_at(event, "merge keys (<<) are not supported; write them out"))
        return self.new(event, event.value), event.value

    def no_tag(self, event: Any) -> None:
        if event.tag not in (None, "!"):
            self.mistakes.append(_at(event, f"tag {_short_tag(event.tag)} is not allowed here"))

    def new(self, event: Any, value: Any) -> Node:
        start = event.start_mark
        return Node(
            value,
            start.index,
            event.end_mark.index,
            start.line + 1,
            start.column + 1,
            flow=bool(getattr(event, "flow_style", False)),
            file=self.file,
        )

    def close(self, node: Node, event: Any, last: Node | None) -> None:
        """Set where a collection ends: block style ends with its last value, not at the next."""
        if node.flow:
            node.end = event.end_mark.index
        else:
            node.end = node.start if last is None else last.end


def _at(event: Any, message: str) -> Mistake:
    return Mistake(event.start_mark.line + 1, event.start_mark.column + 1, message)


def _short_tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


def _not_utf8(data: bytes, position: int) -> Mistake:
    before = data[:position]
    column = len(before[before.rfind(b"\n") + 1 :].decode(errors="replace")) + 1
    byte = data[position]
    message = f"byte 0x{byte:02x} is not UTF-8; save the file as UTF-8"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # UTF-32 LE begins so too
        width = 32 if data.startswith(codecs.BOM_UTF32_LE) else 16
        message = f"the file is UTF-{width}; save it as UTF-8"
    return Mistake(before.count(b"\n") + 1, column, message)


def _unreadable(text: str) -> Iterator[Mistake]:
    """What no parser need look at: conflict markers and control characters."""
    for match in _CONFLICT.finditer(text):
        message = f"merge-conflict marker '{match.group()[:7]}'; resolve the conflict"
        yield Mistake(*_place(text, match.start()), message)
    for match in _UNPRINTABLE.finditer(text):
        message = f"control character U+{ord(match.group()):04X} is not allowed"
        yield Mistake(*_place(text, match.start()), message)


def _place(text: str, index: int) -> tuple[int, int]:
    line, start = 1, 0
    for line_break in LINE_BREAK.finditer(text, 0, index):
        line, start = line + 1, line_break.end()
    return line, index - start + 1


def _not_yaml(text: str, error: yaml.YAMLError) -> list[Mistake]:
    """The parser's complaint, or the tabs behind it."""
    tabs = [_place(text, match.end() - 1) for match in _TAB_INDENT.finditer(text)]
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    # A tab below the complaint did not cause it.
    tabs = [place for place in tabs if place[0] <= line + 1][:MAX_MISTAKES_OF_A_KIND]
    if tabs:
        return [Mistake(*place, "tab in the indentation; use spaces") for place in tabs]
    problem = str(getattr(error, "problem", None) or error).split("\n")[0]
    context = getattr(error, "context", None)
    context_mark = getattr(error, "context_mark", None)
    message = f"not YAML: {problem}"
    if context and context_mark is not None:
        message += f" {context} that starts on line {context_mark.line + 1}"
    hint = next((hint for sign, hint in _HINTS.items() if sign in problem), None)
    return [Mistake(line, column, f"{message}; {hint}" if hint else message)]
