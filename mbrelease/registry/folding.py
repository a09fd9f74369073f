"""A file whose variants are left folded: known by name, value and place, but not read again.

Reading is most of the work on a large family, and an edit changes a line. Where it is known what
a text says and where each of its variants begins (see ``layout``), a changed text is read where it
changed: the lines above the variants, those below, or the variants that the change touches. What
an entry of a block mapping says depends on no other entry once there are no anchors, so the rest
says what it said. Where anything is out of the ordinary, the whole text is read.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from mbrelease.registry.composing import Composer, Origin, Stop
from mbrelease.registry.document import Document, SourceFile, encoded, is_readable, parse_document
from mbrelease.registry.excerpt import LINE_BREAK
from mbrelease.registry.layout import Layout, Slot
from mbrelease.registry.nodes import Inside, Node

_SHELF = "variants"
# Where a document or a directive begins or ends, or could; and keys whose missing value stands
# where the next thing does.
_UNUSUAL = re.compile(r"[\n\r\x85\u2028\u2029](?:---|\.\.\.|%|\ufeff)|[\s,{\[-]\?\s")

_LONG = 20_000


class _Unusual(Exception):
    """The text is to be read as a whole."""


def layout_of(document: Document) -> Layout | None:
    """The layout of a document of one file, if its variants stand in it one below the other."""
    (file,) = document.files
    if file.layout is not None:
        return file.layout
    root, node = file.root, file.root.child(_SHELF)
    if document.mistakes or file.has_anchors or root.flow or node is None or root.keys is None:
        return None
    if node.flow or not node.keys:
        return None
    try:
        slots = dict(_slots(file.text, node))
    except _Unusual:
        return None
    if _UNUSUAL.search(file.text, next(iter(slots.values())).starts):
        return None
    later = list(root.keys)[list(root.keys).index(_SHELF) + 1 :]
    if not later:
        return Layout(node.column, slots, len(file.text), 0)
    key = root.keys[later[0]]
    return Layout(node.column, slots, key.start - key.column + 1, key.line - 1)


def folded(
    path: Path, text: str, has_bom: bool, number: int, layout: Layout, values: Mapping[str, Any]
) -> Document | None:
    """The document of a text of which the layout, and what each variant says, are known.

    ``None`` if that cannot be; then the text is to be read as a whole.

    Args:
        path: of the file.
        text: what it holds.
        has_bom: whether a byte order mark stands before it.
        number: of the file in its registry.
        layout: of the text.
        values: what the variants say, by name.
    """
    try:
        return _folded(path, text, has_bom, number, layout, values)
    except (_Unusual, Stop, yaml.YAMLError):
        return None


def changed(before: Document, text: str) -> Document:
    """The document of one file after its text became ``text``, read again where it changed.

    Raises:
        InvalidRegistry: it cannot be parsed any more.
        UnicodeEncodeError: there is half of a surrogate pair in it.
    """
    (file,) = before.files
    number = file.root.file
    layout = layout_of(before)
    after = None
    if layout is not None:
        try:
            values = before.value[_SHELF]
            layout, values = _relaid(file.text, text, layout, values, number)
            text.encode()
            after = _folded(file.path, text, file.has_bom, number, layout, values)
        except (_Unusual, Stop, yaml.YAMLError):
            after = None
    return after or parse_document(encoded(text, file.has_bom), file.path, file=number)


def _slots(text: str, node: Node, before: int = 0) -> Iterator[tuple[str, Slot]]:
    """The slots of a block mapping.

    Args:
        text: that it was read from.
        node: the mapping.
        before: the characters before ``text`` in its file.

    Raises:
        _Unusual: an entry does not begin on a line of its own.
    """
    assert node.keys is not None
    assert isinstance(node.children, dict)
    margin = " " * (node.column - 1)
    for (name, key), child in zip(node.keys.items(), node.children.values(), strict=True):
        starts = key.start - key.column + 1
        if text[starts - before : key.start - before] != margin or not margin:
            raise _Unusual
        yield name, Slot(
            starts, key.start, key.end, key.line,
            child.start, child.end, child.line, child.column, child.size, child.flow,
        )  # fmt: skip


def _folded(
    path: Path, text: str, has_bom: bool, number: int, layout: Layout, values: Mapping[str, Any]
) -> Document:
    bounds = layout.bounds
    above = _composed(text[: bounds[0]], Origin(number))
    below = _composed(text[layout.below :], Origin(number, layout.below, layout.lines_above))
    if above is None or list((above.keys or {}).keys())[-1:] != [_SHELF]:
        raise _Unusual
    keys, children = (dict(nodes) for nodes in _pairs(above))
    value = dict(above.value)
    if value[_SHELF] is not None or above.column >= layout.column:
        raise _Unusual
    node = _variants(text, number, layout, values, bounds)
    children[_SHELF], value[_SHELF] = node, node.value
    end = node.end
    if below is not None:
        more_keys, more_children = _pairs(below)
        if below.column != above.column or keys.keys() & more_keys.keys():
            raise _Unusual
        keys, children, value = keys | more_keys, children | more_children, value | below.value
        end = below.end
    size = 1 + sum(child.size for child in children.values())
    root = Node(value, above.start, end, above.line, above.column, number, size,
                inside=Inside(keys, children))  # fmt: skip
    return Document((SourceFile(path, text, has_bom, root, layout=layout),), root, ())


def _pairs(node: Node) -> tuple[dict[str, Node], dict[str, Node]]:
    """The keys and the values of a mapping in block style.

    Raises:
        _Unusual: it is none.
    """
    if node.keys is None or node.flow or not isinstance(node.children, dict):
        raise _Unusual
    return node.keys, node.children


def _variants(
    text: str, number: int, layout: Layout, values: Mapping[str, Any], bounds: list[int]
) -> Node:
    """The mapping of variants, none of them read."""
    keys: dict[str, Node] = {}
    children: dict[str, Node] = {}
    value: dict[str, Any] = {}
    for (name, slot), (start, stop) in zip(layout.slots.items(), pairwise(bounds), strict=True):
        said = values[name]
        unfold = None
        if isinstance(said, dict | list):
            origin = Origin(number, start, slot.key_line - 1)
            unfold = partial(_unfolded, text, start, stop, origin, name)
        keys[name] = Node(name, slot.key_start, slot.key_end, slot.key_line, layout.column, number)
        children[name] = Node(said, slot.start, slot.end, slot.line, slot.column, number,
                              slot.size, slot.flow, False, unfold)  # fmt: skip
        value[name] = said
    first, last = next(iter(keys.values())), next(reversed(children.values()))
    size = 1 + sum(child.size for child in children.values())
    return Node(value, first.start, last.end, first.line, layout.column, number, size,
                inside=Inside(keys, children))  # fmt: skip


def _unfolded(text: str, start: int, stop: int, origin: Origin, name: str) -> Inside | None:
    """What a variant holds."""
    root = _composed(text[start:stop], origin)
    node = root.child(name) if root is not None else None
    return node.inside if node is not None else None


def _relaid(
    old: str, new: str, layout: Layout, values: Mapping[str, Any], number: int
) -> tuple[Layout, Mapping[str, Any]]:
    """The layout of a changed text, and what its variants say.

    Raises:
        _Unusual, Stop, YAMLError: the new text is to be read as a whole.
    """
    first, last = _changed_span(old, new)
    grown = len(new) - len(old)
    bounds = layout.bounds
    lines_around = _lines_around(new, first, last + grown)
    if not is_readable(lines_around) or _UNUSUAL.search(f"\n{lines_around}"):
        raise _Unusual
    if last < bounds[0]:
        # Above the variants: these only move.
        lines = _line_breaks(new[: bounds[0] + grown]) - _line_breaks(old[: bounds[0]])
        slots = {name: slot.moved(grown, lines) for name, slot in layout.slots.items()}
        moved = layout.lines_above + lines
        return Layout(layout.column, slots, layout.below + grown, moved), values
    if first > layout.below:
        return layout, values  # below the variants
    if first <= bounds[0] or last > layout.below:
        raise _Unusual
    # A line put where a variant starts may belong to the one above it.
    begin = bisect_left(bounds, first) - 1
    end = max(bisect_left(bounds, last), begin + 1)
    piece, before = new[bounds[begin] : bounds[end] + grown], old[bounds[begin] : bounds[end]]
    names = list(layout.slots)
    origin = Origin(number, bounds[begin], layout.slots[names[begin]].key_line - 1)
    if len(piece) > max(len(new) // 2, _LONG):
        raise _Unusual  # to read it and then all of it would take longer than to read all
    if bounds[end] < len(old) and not LINE_BREAK.fullmatch(piece[-1:]):
        raise _Unusual  # it runs into what follows
    root = _composed(piece, origin, depth=1)
    read: dict[str, Slot] = {}
    said: dict[str, Any] = {}
    if root is not None:
        if root.keys is None or root.flow or root.column != layout.column:
            raise _Unusual
        read, said = dict(_slots(piece, root, bounds[begin])), root.value
    lines = _line_breaks(piece) - _line_breaks(before)
    kept = [*names[:begin], *names[end:]]
    if read.keys() & set(kept) or not (read or kept):
        raise _Unusual
    slots = {name: layout.slots[name] for name in names[:begin]} | read
    slots |= {name: layout.slots[name].moved(grown, lines) for name in names[end:]}
    said = {name: said[name] if name in read else values[name] for name in slots}
    moved = layout.lines_above + lines
    return Layout(layout.column, slots, layout.below + grown, moved), said


def _changed_span(old: str, new: str) -> tuple[int, int]:
    """What of ``old`` is not in ``new``: where they begin to differ, and where they cease to."""
    first = _alike(old, new)
    rest = min(len(old), len(new)) - first
    return first, len(old) - _alike(old[::-1][:rest], new[::-1][:rest])


def _alike(one: str, other: str) -> int:
    """How many characters two texts have in common from their start."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _lines_around(text: str, first: int, last: int) -> str:
    """The whole lines of a span."""
    end = text.find("\n", last)
    return text[text.rfind("\n", 0, first) + 1 : len(text) if end < 0 else end]


def _line_breaks(text: str) -> int:
    return sum(1 for _ in LINE_BREAK.finditer(text))


def _composed(text: str, origin: Origin, *, depth: int = 0) -> Node | None:
    """The root of a piece of text; ``None`` if there is nothing in it.

    Raises:
        _Unusual, Stop, YAMLError: there is more to it than meets the eye.
    """
    composer = Composer(text, origin)
    root = composer.document(depth)
    if composer.mistakes or composer.anchors:
        raise _Unusual
    return root
