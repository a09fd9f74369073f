"""Which characters of a YAML text are replaced for a change: those of the change and no others.

Each function is given a file of a registry as a document of its own and answers with splices of
its text. None is certain to be right in every corner of YAML: ``draft`` reads the text again.

What belongs to an entry, and goes with it when it is removed: its lines with the comments on and
between them, comments below it that are indented deeper than it, and the comments directly above
it that start in its column. Where blank lines stood on both sides, those above go too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mbrelease.registry.document import Document, Node
from mbrelease.registry.scalars import flow_text, string_text

Path = Sequence[str | int]

_LINE_END = re.compile(r"\r?\n|\r|\Z")
_ANCHOR = re.compile(r"&\S+\s+")


@dataclass(frozen=True, order=True)
class Splice:
    """The characters ``start`` to ``end`` become ``text``."""

    start: int
    end: int
    text: str = ""


class Unsafe(Exception):
    """A place that is not written as it must be for a change that touches nothing else."""

    def __init__(self, why: str, where: Path) -> None:
        super().__init__(why)
        self.where = where


def spliced(text: str, splices: Sequence[Splice]) -> str:
    """``text`` with all ``splices``, which do not overlap."""
    pieces, done = [], 0
    for splice in sorted(splices):
        pieces += [text[done : splice.start], splice.text]
        done = splice.end
    return "".join([*pieces, text[done:]])


def replacing(part: Document, path: Path, value: Any) -> Splice:
    """Another value at a ``path`` that has one."""
    text, node = part.text, part.at(path)
    assert node is not None
    parent = part.at(path[:-1])
    key = parent.keys.get(str(path[-1])) if parent is not None and parent.keys else None
    new = flow_text(value)
    if key is not None and "\n" in text[key.end : node.start]:
        # The value began on a line of its own; what stands behind the key may be a comment.
        colon = text.index(":", key.end) + 1
        return Splice(colon, node.end, " " + new + text[colon : _end_of_line(text, colon)])
    space = " " if node.start == node.end and text[node.start - 1 : node.start] == ":" else ""
    return Splice(node.start, node.end, space + new)


def inserting(part: Document, path: Path, value: Any) -> Splice:
    """A new key at the end of a mapping that is there.

    Raises:
        Unsafe: there is no mapping to put it in.
    """
    text, key = part.text, str(path[-1])
    parent = part.at(path[:-1])
    if parent is None or not isinstance(parent.children, dict) or parent.keys is None:
        raise Unsafe(f"what stands above '{key}' is no mapping", path)
    entries = list(parent.children.values())
    newline = _newline(text)
    step = indent_step(part)
    if parent.flow and not entries and len(path) == 2 and not part.root.flow:
        lines = block(key, value, step, step)
        line_end = _end_of_line(text, parent.end)
        start = len(text[: parent.start].rstrip(" "))
        rest = text[parent.end : line_end] + newline + newline.join(lines)
        return Splice(start, line_end, rest)
    if parent.flow:
        at = entries[-1].end if entries else parent.start + 1
        comma = ", " if entries else ""
        return Splice(at, at, f"{comma}{string_text(key)}: {flow_text(value)}")
    column = next(iter(parent.keys.values())).column - 1
    lines = block(key, value, column, step)
    if len(path) == 2 and _spaced(text, list(parent.keys.values())[-1]):
        lines = ["", *lines]
    end = _end_of_entry(text, entries[-1].end, column)
    return Splice(end, end, newline + newline.join(lines))


def appending(part: Document, path: Path, value: Any) -> Splice:
    """A value behind the last of a list that has some."""
    text, node = part.text, part.at(path)
    assert node is not None
    assert isinstance(node.children, list)
    last = node.children[-1]
    if node.flow:
        return Splice(last.end, last.end, f", {flow_text(value)}")
    end = _end_of_entry(text, last.end, node.column - 1)
    return Splice(end, end, f"{_newline(text)}{' ' * (node.column - 1)}- {flow_text(value)}")


def renaming(part: Document, node: Node, name: str) -> Splice:
    """Another ``name`` in the place of one, in its quotes if it has some."""
    old = part.text[node.start : node.end]
    anchor = _ANCHOR.match(old)
    start = node.start + (anchor.end() if anchor else 0)
    quote = part.text[start : start + 1]
    new = quote + name + quote if quote in ('"', "'") else string_text(name)
    return Splice(start, node.end, new)


def removing(part: Document, path: Path) -> list[Splice]:
    """Nothing at a ``path`` that has a value; a collection that loses its last stays, empty.

    Raises:
        Unsafe: it shares its lines with something else.
    """
    parent = part.at(path[:-1])
    assert parent is not None
    assert parent.children
    if len(parent.children) == 1:
        return [replacing(part, path[:-1], {} if isinstance(parent.children, dict) else [])]
    spans = _spans(part.text, parent, path)
    index = list(parent.keys).index(str(path[-1])) if parent.keys else int(path[-1])
    if parent.flow:
        return _out_of_flow(part.text, spans, index)
    return [_out_of_block(part.text, spans, index, path)]


def _spans(text: str, parent: Node, path: Path) -> list[tuple[int, int]]:
    """Where each entry starts, with its key or its dash, and ends."""
    if isinstance(parent.children, dict):
        keys = (parent.keys or {}).values()
        pairs = zip(keys, parent.children.values(), strict=True)
        return [(key.start, max(key.end, child.end)) for key, child in pairs]
    children = parent.children or []
    if parent.flow:
        return [(child.start, child.end) for child in children]
    spans, at = [], parent.start
    dash = re.compile(rf"^ {{{parent.column - 1}}}-", re.MULTILINE)
    for index, child in enumerate(children):
        match = None if index == 0 else dash.search(text, at, child.start)
        if index and match is None:
            raise Unsafe("its list is written in an unusual way", path)
        spans.append((match.end() - 1 if match else parent.start, child.end))
        at = child.end
    return spans


def _out_of_flow(text: str, spans: Sequence[tuple[int, int]], index: int) -> list[Splice]:
    """Without an entry of a collection in braces or brackets, and without one comma."""
    start, end = spans[index]
    comma = _comma(text, end)
    line, behind = _line_start(text, start), _end_of_line(text, end if comma is None else comma)
    rest = text[end if comma is None else comma : behind].strip()
    if not text[line:start].strip() and (not rest or rest.startswith("#")):
        # On lines of its own: they go whole.
        splices = [Splice(line, _next_line(text, behind))]
        before = _comma(text, spans[index - 1][1]) if index else None
        if comma is None and before is not None:
            splices.append(Splice(before - 1, before))
        return splices
    if index + 1 < len(spans) and "\n" not in text[end : spans[index + 1][0]]:
        return [Splice(start, spans[index + 1][0])]
    if index and "\n" not in text[spans[index - 1][1] : start]:
        return [Splice(spans[index - 1][1], end)]
    return [Splice(start, end if comma is None else comma)]


def _comma(text: str, end: int) -> int | None:
    """Behind the comma that follows an entry, if one does on the same line."""
    match = re.compile(r"[ \t]*,").match(text, end)
    return match.end() if match else None


def _out_of_block(text: str, spans: Sequence[tuple[int, int]], index: int, path: Path) -> Splice:
    """Without the lines of an entry, and without the comments that belong to it."""
    first, end = spans[index]
    start, last = _line_start(text, first), _line_start(text, end)
    # A block scalar that keeps its last line breaks ends where the next line starts.
    stop = _next_line(text, end) if last <= first or text[last:end].strip() else last
    if text[start:first].strip():
        # It begins on the line of its list's dash, to which the next one moves up.
        above = _end_of_line(text, end)
        if index + 1 == len(spans) or "#" in text[above : spans[index + 1][0]]:
            raise Unsafe("it shares a line with something else", path)
        return Splice(first, spans[index + 1][0])
    column = first - start
    stop = _below(text, stop, column)
    while start and _comment_column(text, above := _line_above(text, start)) == column:
        start = above
    if not text[stop : _next_line(text, stop)].strip():
        while start and not text[(above := _line_above(text, start)) : start].strip():
            start = above
    if stop == len(text) and not text.endswith(("\n", "\r")):
        start = _line_break(text, start)
    return Splice(start, stop)


def _end_of_entry(text: str, end: int, column: int) -> int:
    """Where the last line of an entry ends, or that of the comments below that belong to it."""
    after = _next_line(text, end)
    below = _below(text, after, column)
    if below == after:
        return _end_of_line(text, end)
    return _line_break(text, below) if text.endswith(("\n", "\r"), 0, below) else below


def _below(text: str, stop: int, column: int) -> int:
    """Where the comments end that are indented deeper than ``column``, if some follow."""
    at = stop
    while at < len(text):
        comment, after = _comment_column(text, at), _next_line(text, at)
        if comment is not None and comment > column:
            stop = after
        elif text[at:after].strip():
            break
        at = after
    return stop


def _comment_column(text: str, line: int) -> int | None:
    """Where the comment starts on a line that is nothing but one, counted from 0."""
    content = text[line : _end_of_line(text, line)]
    bare = content.lstrip(" ")
    return len(content) - len(bare) if bare.startswith("#") else None


def _newline(text: str) -> str:
    if "\r\n" in text:
        return "\r\n"
    return "\n" if "\n" in text or "\r" not in text else "\r"


def _line_start(text: str, at: int) -> int:
    """Where the line of ``at`` starts."""
    return max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1 if at else 0


def _line_above(text: str, start: int) -> int:
    """Where the line above the one that starts at ``start`` starts."""
    return _line_start(text, _line_break(text, start))


def _line_break(text: str, start: int) -> int:
    """Where the line break before ``start`` begins."""
    return start - (2 if text.startswith("\r\n", max(start - 2, 0)) else 1)


def _end_of_line(text: str, start: int) -> int:
    """Where the line of ``start`` ends, before its line break."""
    match = _LINE_END.search(text, start)
    assert match is not None  # the end of the text is one
    return match.start()


def _next_line(text: str, at: int) -> int:
    """Where the line after that of ``at`` starts."""
    match = _LINE_END.search(text, at)
    assert match is not None
    return match.end()


def block(key: str, value: Any, column: int, step: int) -> list[str]:
    """``key: value`` as lines; a mapping has a line for each key, deeper values are flow."""
    margin = " " * column
    if isinstance(value, dict) and value:
        inner = " " * (column + step)
        pairs = [f"{inner}{string_text(k)}: {flow_text(v)}" for k, v in value.items()]
        return [f"{margin}{string_text(key)}:", *pairs]
    return [f"{margin}{string_text(key)}: {flow_text(value)}"]


def indent_step(part: Document) -> int:
    """How far this registry indents, judged by its first variant."""
    variants = part.at(("variants",))
    if variants is None or not variants.keys or variants.flow:
        return 2
    return max(next(iter(variants.keys.values())).column - 1, 1)


def _spaced(text: str, key: Node) -> bool:
    """Whether a blank line stands before the line (and the comments) of ``key``."""
    start = _line_start(text, key.start)
    while start:
        above = _line_above(text, start)
        if _comment_column(text, above) is None:
            return not text[above:start].strip()
        start = above
    return False
