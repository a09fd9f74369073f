"""Change a registry in place: only the bytes of the change, and only to something valid.

A change is spliced into the text at the places that the document knows, so comments, order and
quoting elsewhere stay as they were. Two things are checked before anything is written: read
again, the text says what it said with just this change; and it is a valid registry.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbrelease.errors import UserError
from mbrelease.files import locked, write_bytes
from mbrelease.registry.document import BOM, Document, Node, parse_document
from mbrelease.registry.load import read_bytes, read_registry
from mbrelease.registry.mistakes import InvalidRegistry, shown_path
from mbrelease.registry.project import Project
from mbrelease.registry.scalars import flow_text, string_text
from mbrelease.registry.schema import Registry

_LINE_END = re.compile(r"\r?\n|\r|\Z")


@dataclass(frozen=True)
class Edit:
    """What an edit did."""

    project: Project
    changed: bool
    """False where the registry said so already; the file was not touched."""


def add_variant(path: Path, name: str, entry: Mapping[str, Any]) -> Edit:
    """Add the variant ``name`` at the end of the variants.

    Raises:
        UserError: there is one of that name, or the registry would become (or is) invalid.
    """

    def change(document: Document) -> Document:
        if document.at(("variants", name)) is not None:
            raise UserError(
                f"variant '{name}' is in {shown_path(path)} already",
                mend=f"mbrelease registry set {name} KEY VALUE",
            )
        return _set(document, ("variants", name), dict(entry))

    return _edit(path, change)


def set_value(path: Path, variant: str, key: str, value: Any) -> Edit:
    """Set a key of a variant, such as ``training.tokens`` or ``parents.0.relation``.

    Raises:
        UserError: there is no such variant, the place cannot be edited, or the registry would
            become (or is) invalid.
    """
    if not key or not all(key.split(".")):
        raise UserError(f"'{key}' is no key", mend="give one such as repo or training.tokens")

    def change(document: Document) -> Document:
        path: list[str | int] = ["variants", _variant_name(document, variant)]
        for step in key.split("."):
            node = document.at(path)
            in_list = node is not None and isinstance(node.children, list) and step.isdecimal()
            path.append(int(step) if in_list else step)
        return _set(document, path, value)

    return _edit(path, change)


def add_to_list(path: Path, variant: str, key: str, values: Sequence[str]) -> Edit:
    """Add what a list of a variant, such as ``candidates.averages``, lacks of ``values``.

    They go to its end; what is in it stays as it is written.

    Raises:
        UserError: there is no such variant, the place cannot be edited, or the registry would
            become (or is) invalid.
    """

    def change(document: Document) -> Document:
        place = ["variants", _variant_name(document, variant), *key.split(".")]
        for value in values:
            document = _append(document, place, value)
        return document

    return _edit(path, change)


def set_alias(path: Path, alias: str, variant: str) -> Edit:
    """Let ``alias`` mean ``variant``, whatever it meant before.

    Raises:
        UserError: there is no such variant, a variant has that name, the place cannot be edited,
            or the registry would become (or is) invalid.
    """

    def change(document: Document) -> Document:
        name = _variant_name(document, variant)
        if document.at(("variants", alias)) is not None:
            raise UserError(f"'{alias}' is a variant", mend="choose another alias")
        return _set(document, ("aliases", alias), name)

    return _edit(path, change)


def parse_value(text: str) -> Any:
    """A value given on the command line, read as YAML.

    Raises:
        UserError: it is no YAML.
    """
    try:
        document = parse_document(text.encode("utf-8", "surrogateescape"), Path("VALUE"))
    except InvalidRegistry as error:
        if not text.strip():
            return None
        raise UserError(
            f"'{text}' is no YAML value: {error.mistakes[0].message}",
            mend="put the YAML in quotes of its own, or give --text to take VALUE as text",
        ) from error
    if document.mistakes:
        raise UserError(f"'{text}': {document.mistakes[0].message}")
    return document.value


def _variant_name(document: Document, name: str) -> str:
    """The variant that ``name`` means in a document that may not be valid as yet."""
    alias = document.at(("aliases", name))
    if alias is not None and document.at(("variants", str(alias.value))) is not None:
        return str(alias.value)
    if document.at(("variants", name)) is None:
        # Says what is near, or what is wrong with the registry.
        Project(read_registry(document), document.path).resolve_name(name)
    return name


def _edit(path: Path, change: Callable[[Document], Document]) -> Edit:
    """Apply ``change`` to the file, alone and whole."""
    target = path.resolve()
    read_bytes(path)  # no lock file beside what is not there
    with locked(target.with_name(f".{target.name}.lock")):
        document = parse_document(read_bytes(path), path)
        after = change(document)
        registry = _still_valid(document, after)
        if after.text != document.text:
            # A rename would replace a read-only file without a word.
            if not os.access(target, os.W_OK):
                raise UserError(f"{shown_path(path)} is read-only", mend="make it writable")
            mode = target.stat().st_mode & 0o7777
            write_bytes(target, _encoded(after.text, after.has_bom), mode=mode)
    return Edit(Project(registry, target), changed=after.text != document.text)


def _encoded(text: str, has_bom: bool) -> bytes:
    return ((BOM if has_bom else "") + text).encode()


def _still_valid(before: Document, after: Document) -> Registry:
    """The registry that ``after`` describes; if it is wrong, say whether it was so before."""
    try:
        return read_registry(after)
    except InvalidRegistry as error:
        read_registry(before)  # was it wrong before? then that is to be mended first
        lead = f"nothing written: the change would make {shown_path(before.path)} invalid"
        raise InvalidRegistry(before.path, error.mistakes, lead=lead) from error


def _set(document: Document, path: Sequence[str | int], value: Any) -> Document:
    """The document with ``value`` at ``path``, making the mappings on the way to it."""
    known = 0
    while known < len(path) and document.at(path[: known + 1]) is not None:
        known += 1
    for depth in range(1, known + 1):
        node = document.at(path[:depth])
        if node is not None and node.shared and depth < len(path):
            raise _unsafe(document, path, "an alias stands on the way to it", path[:depth])
    # A key without a value, such as ``card:``, is no mapping to put a key in.
    while known > 0 and known < len(path):
        node = document.at(path[:known])
        if node is None or node.value is not None:
            break
        known -= 1
    for step in reversed(path[known + 1 :]):
        value = {str(step): value}
    place = path[: known + 1]
    node = document.at(place)
    if node is not None and _same(node.value, value):
        return document
    text = _insert(document, place, value) if node is None else _replace(document, place, value)
    return _checked(document, text, place, value)


def _append(document: Document, path: Sequence[str | int], value: str) -> Document:
    """The document with ``value`` at the end of the list at ``path``, unless it is in it."""
    node, text = document.at(path), document.text
    if node is None or not isinstance(node.children, list) or not node.children:
        return _set(document, path, [value])
    if value in node.value:
        return document
    for depth in range(1, len(path) + 1):
        above = document.at(path[:depth])
        if above is not None and above.shared:
            raise _unsafe(document, path, "an alias stands on the way to it", path[:depth])
    last = node.children[-1]
    if node.flow:
        text = f"{text[: last.end]}, {flow_text(value)}{text[last.end :]}"
    else:
        newline = "\r\n" if "\r\n" in text else "\n"
        end = _end_of_line(text, last.end)
        item = f"{' ' * (node.column - 1)}- {flow_text(value)}"
        text = text[:end] + newline + item + text[end:]
    return _checked(document, text, path, [*node.value, value])


def _replace(document: Document, path: Sequence[str | int], value: Any) -> str:
    """The text with another value at a ``path`` that has one."""
    text, node = document.text, document.at(path)
    assert node is not None
    parent = document.at(path[:-1])
    key = parent.keys.get(str(path[-1])) if parent is not None and parent.keys else None
    new = flow_text(value)
    if key is not None and "\n" in text[key.end : node.start]:
        # The value began on a line of its own; what stands behind the key may be a comment.
        colon = text.index(":", key.end) + 1
        return text[:colon] + " " + new + text[colon : _end_of_line(text, colon)] + text[node.end :]
    space = " " if node.start == node.end and text[node.start - 1 : node.start] == ":" else ""
    return text[: node.start] + space + new + text[node.end :]


def _insert(document: Document, path: Sequence[str | int], value: Any) -> str:
    """The text with a new key at the end of a mapping that is there."""
    text, key = document.text, str(path[-1])
    parent = document.at(path[:-1])
    if parent is None or not isinstance(parent.children, dict) or parent.keys is None:
        raise _unsafe(document, path, f"what stands above '{key}' is no mapping")
    entries = list(parent.children.values())
    newline = "\r\n" if "\r\n" in text else "\n"
    step = _indent_step(document)
    if parent.flow and not entries and len(path) == 2 and not document.root.flow:
        lines = _block(key, value, step, step)
        line_end = _end_of_line(text, parent.end)
        rest = text[parent.end : line_end] + newline + newline.join(lines) + text[line_end:]
        return text[: parent.start].rstrip(" ") + rest
    if parent.flow:
        at = entries[-1].end if entries else parent.start + 1
        comma = ", " if entries else ""
        return f"{text[:at]}{comma}{string_text(key)}: {flow_text(value)}{text[at:]}"
    column = next(iter(parent.keys.values())).column - 1
    lines = _block(key, value, column, step)
    if len(path) == 2 and _spaced(text, list(parent.keys.values())[-1]):
        lines = ["", *lines]
    end = _end_of_line(text, entries[-1].end)
    return text[:end] + newline + newline.join(lines) + text[end:]


def _end_of_line(text: str, start: int) -> int:
    """Where the line of ``start`` ends, before its line break."""
    match = _LINE_END.search(text, start)
    assert match is not None  # the end of the text is one
    return match.start()


def _block(key: str, value: Any, column: int, step: int) -> list[str]:
    """``key: value`` as lines; a mapping has a line for each key, deeper values are flow."""
    margin = " " * column
    if isinstance(value, dict) and value:
        inner = " " * (column + step)
        pairs = [f"{inner}{string_text(k)}: {flow_text(v)}" for k, v in value.items()]
        return [f"{margin}{string_text(key)}:", *pairs]
    return [f"{margin}{string_text(key)}: {flow_text(value)}"]


def _indent_step(document: Document) -> int:
    """How far this registry indents, judged by its first variant."""
    variants = document.at(("variants",))
    if variants is None or not variants.keys or variants.flow:
        return 2
    return max(next(iter(variants.keys.values())).column - 1, 1)


def _spaced(text: str, key: Node) -> bool:
    """Whether a blank line stands before the line (and the comments) of ``key``."""
    lines = text[: key.start].splitlines()[:-1]
    while lines and lines[-1].lstrip().startswith("#"):
        lines.pop()
    return bool(lines) and not lines[-1].strip()


def _checked(document: Document, text: str, path: Sequence[str | int], value: Any) -> Document:
    """Read the new text and see that it says the old things with this one change."""
    expected = copy.deepcopy(document.value)
    target = expected
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    try:
        after = parse_document(_encoded(text, document.has_bom), document.path)
    except (InvalidRegistry, UnicodeEncodeError) as error:
        raise _unsafe(document, path, "its surroundings are written in an unusual way") from error
    if not _same(after.value, expected):
        raise _unsafe(document, path, "its surroundings are written in an unusual way")
    return after


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal in type, order and content: 1 is not true, nor 1.0."""
    return repr(one) == repr(other)


def _unsafe(
    document: Document,
    path: Sequence[str | int],
    why: str,
    where: Sequence[str | int] | None = None,
) -> UserError:
    line, column = document.place(path if where is None else where)
    dotted = ".".join(map(str, path[2:] or path))
    return UserError(
        f"{shown_path(document.path)}:{line}:{column}: cannot set {dotted} safely: {why}",
        mend="edit the file by hand",
    )
