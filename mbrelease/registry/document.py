"""A YAML document as values *and* places: where each key and value stands in the text."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from mbrelease.registry.composing import Composer, Origin, Stop
from mbrelease.registry.excerpt import LINE_BREAK
from mbrelease.registry.layout import Layout
from mbrelease.registry.mistakes import InvalidRegistry, Mistake
from mbrelease.registry.nodes import Inside
from mbrelease.registry.nodes import Node as Node

BOM = "\ufeff"
MAX_MISTAKES_OF_A_KIND = 20

_CONFLICT = re.compile(r"^(?:<{7}|\|{7}|>{7})(?: .*)?$|^={7}$", re.MULTILINE)
_TAB_INDENT = re.compile(r"^ *\t", re.MULTILINE)
_UNPRINTABLE = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HINTS = {
    "mapping values are not allowed": "put text that contains ': ' in quotes",
    "expected <block end>": "keys of one mapping start in one column",
    "expected key": "keys of one mapping start in one column, and what follows a quoted text goes "
    "inside the quotes",
    "expected '-' indicator": "items of one list each start with '- ' in one column",
    "expected ',' or '}'": "put ',' between the entries, '}' behind the last, and text that "
    "contains either in quotes",
    "expected ',' or ']'": "put ',' between the items, ']' behind the last, and text that "
    "contains either in quotes",
    "expected node content": "a value is missing, or text that starts with a special character "
    "needs quotes",
    "expected the node content": "a value is missing, or text that starts with a special "
    "character needs quotes",
    "cannot start any token": "put text that starts with '@', '%' or '`' in quotes",
    "unexpected end of stream": "a text in quotes is not closed",
    "unknown escape character": "write '\\\\' for a backslash, or use single quotes",
    "could not find expected ':'": "a key ends with ':'",
    "found undefined alias": "define it with & above",
    "expected alphabetic or numeric character": "put text that starts with '*' or '&' in quotes",
    "undefined tag handle": "put text that starts with '!' in quotes",
    "sequence entries are not allowed": "a list starts on the line below its key",
    "expected comment or line break": "text in the form of '|' or '>' starts on the line below",
    "<document start>": "all keys at the top start in the first column",
}


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
    has_anchors: bool = False
    """Whether parts of it may depend on each other."""
    layout: Layout | None = None
    """Where its variants stand, once that is known."""


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
    is_whole: bool = True
    """Whether all that it includes could be read; if not, a name may stand in what could not."""
    hints: dict[tuple[str, str], str] = field(default_factory=dict, compare=False, repr=False)
    """What was proposed so far for names that lead nowhere (see ``entries.lost``)."""

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

    @cached_property
    def as_json(self) -> str:
        """The document as JSON, on one line."""
        return json.dumps(self.value)

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
    has_bom, text = text.startswith(BOM), text.removeprefix(BOM)
    unreadable = list(islice(_unreadable(text), MAX_MISTAKES_OF_A_KIND))
    if unreadable:
        raise InvalidRegistry(path, unreadable, texts={path: text})
    composer = Composer(text, Origin(file))
    try:
        root = composer.document()
        if root is None and file:
            empty = Mistake(1, 1, "the file is empty; write variants in it, or delete it")
            return without_content(path, text, file, [empty])
        if root is None:
            raise Stop(Mistake(1, 1, "the registry is empty"))
    except Stop as stop:
        told = [*composer.mistakes, stop.mistake]
        raise InvalidRegistry(path, told, texts={path: text}) from stop
    except yaml.YAMLError as error:
        told = _not_yaml(text, error)
        raise InvalidRegistry(path, told, texts={path: text}) from error
    mistakes = composer.mistakes
    if file:
        mistakes = [replace(mistake, path=path) for mistake in mistakes]
    files = (SourceFile(path, text, has_bom, root, has_anchors=bool(composer.anchors)),)
    return Document(files, root, tuple(mistakes), composer.repeated)


def without_content(path: Path, text: str, file: int, mistakes: Sequence[Mistake]) -> Document:
    """The document of an included file of which nothing could be read, so that others can be."""
    root = Node({}, 0, 0, 1, 1, file, inside=Inside({}, {}))
    told = tuple(replace(mistake, path=path) for mistake in mistakes)
    return Document((SourceFile(path, text, has_bom=False, root=root),), root, told)


def decoded(data: bytes) -> tuple[str, bool]:
    """The text of a file that is known to be UTF-8, and whether it has a byte order mark."""
    text = data.decode()
    return text.removeprefix(BOM), text.startswith(BOM)


def encoded(text: str, has_bom: bool) -> bytes:
    """The bytes of a file that has this text.

    Raises:
        UnicodeEncodeError: there is half of a surrogate pair in it.
    """
    return ((BOM if has_bom else "") + text).encode()


def is_readable(text: str) -> bool:
    """Whether there are neither conflict markers nor control characters in some lines."""
    return next(_unreadable(text), None) is None


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
