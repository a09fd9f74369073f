"""The registry with what is proposed: its very text, to be reviewed or written."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mbrelease.errors import UserError
from mbrelease.hub.family.proposal import Addition, Proposal, Setting
from mbrelease.registry.document import BOM, Document, parse_document
from mbrelease.registry.draft import Draft, same
from mbrelease.registry.load import read_registry
from mbrelease.registry.mistakes import InvalidRegistry, shown_path
from mbrelease.registry.splice import Splice, block, indent_step, spliced

_VARIANTS = "variants"
# Deeper mappings are on one line as others write them; a design has a line for each setting.
_DEEP = "architecture"


@dataclass(frozen=True)
class Written:
    """A registry with the changes of a proposal, and those that it could not take."""

    draft: Draft
    refused: tuple[str, ...]


def with_proposal(draft: Draft, proposal: Proposal) -> Written:
    """``draft`` with what is proposed. What would make it invalid is left out, and told."""
    try:
        after = _with_all(draft, proposal.additions, proposal)
        read_registry(after.whole)
        return Written(after, ())
    except UserError:
        read_registry(draft.whole)  # was it wrong before? then that is to be mended first
    refused: list[str] = []
    changes: list[Addition | Setting] = [*proposal.additions, *proposal.settings]
    for change in changes:
        try:
            if isinstance(change, Addition):
                after = with_additions(draft, [change])
            else:
                after = draft.put((_VARIANTS, change.variant, *change.key.split(".")), change.value)
            read_registry(after.whole)
            draft = after
        except UserError as error:
            name = change.name if isinstance(change, Addition) else change.variant
            why = error.mistakes[0].message if isinstance(error, InvalidRegistry) else error.message
            refused.append(f"{name}: {why}")
    return Written(draft, tuple(refused))


def _with_all(draft: Draft, additions: Sequence[Addition], proposal: Proposal) -> Draft:
    draft = with_additions(draft, additions)
    for setting in proposal.settings:
        draft = draft.put((_VARIANTS, setting.variant, *setting.key.split(".")), setting.value)
    return draft


def with_additions(draft: Draft, additions: Sequence[Addition]) -> Draft:
    """``draft`` with new variants at the end of those that it has, in one splice of each file.

    Raises:
        UserError: a file cannot be edited so.
    """
    files: dict[int, list[Addition]] = {}
    placed: dict[str, int] = {}
    for addition in additions:
        number = placed[addition.name] = _file_for(draft, addition, placed)
        files.setdefault(number, []).append(addition)
    for number, some in files.items():
        variants = draft.parts[number].at((_VARIANTS,))
        if variants is None or variants.flow or not variants.keys or variants.shared:
            first = some.pop(0)
            draft = draft.put((_VARIANTS, first.name), first.ordered(), file=number)
        if some:
            draft = _with_lines(draft, number, some)
    return draft


def _file_for(draft: Draft, addition: Addition, placed: Mapping[str, int]) -> int:
    """The registry itself, if it holds variants; else the file of a parent; else the first."""
    if draft.parts[0].at((_VARIANTS,)) is not None:
        return 0
    for parent in addition.entry.get("parents", []):
        number = draft.file_with((_VARIANTS, parent["variant"]))
        if number is None:
            number = placed.get(parent["variant"])
        if number is not None:
            return number
    return draft.file_with((_VARIANTS,)) or 0


def _with_lines(draft: Draft, number: int, additions: Sequence[Addition]) -> Draft:
    part = draft.parts[number]
    variants = part.at((_VARIANTS,))
    if variants is None or not variants.keys or not isinstance(variants.children, dict):
        raise _unusual(part)
    names, last = list(variants.keys.values()), list(variants.children.values())[-1]
    is_spaced = len(names) > 1 and _is_spaced(part, names[-1].start)
    lines: list[str] = []
    for addition in additions:
        lines += [""] if is_spaced else []
        lines += _lines(addition, names[0].column - 1, indent_step(part))
    newline = "\r\n" if "\r\n" in part.text else "\n"
    at = _end_of_line(part.text, last.end)
    splice = Splice(at, at, newline + newline.join(lines))
    text = (BOM if part.has_bom else "") + spliced(part.text, [splice])
    try:
        after = parse_document(text.encode(), part.path, file=number)
    except (InvalidRegistry, UnicodeEncodeError) as error:
        raise _unusual(part) from error
    gained = {addition.name: addition.ordered() for addition in additions}
    if not same(after.value, {**part.value, _VARIANTS: {**part.value[_VARIANTS], **gained}}):
        raise _unusual(part)
    return replace(draft, parts=(*draft.parts[:number], after, *draft.parts[number + 1 :]))


def _end_of_line(text: str, start: int) -> int:
    ends = [at for end in "\r\n" if (at := text.find(end, start)) >= 0]
    return min(ends, default=len(text))


def _lines(addition: Addition, column: int, step: int) -> list[str]:
    """The entry of a variant, below comments about what is open."""
    margin = " " * column
    entry: dict[str, Any] = addition.ordered()
    deep = entry.pop(_DEEP, None)
    lines = [f"{margin}# open: {_one_line(remark)}" for remark in addition.remarks]
    lines += block(addition.name, entry, column, step)
    if deep:
        lines += block(_DEEP, deep, column + step, step)
    return lines


def _one_line(text: str) -> str:
    """A remark as a comment holds it: no line ends, nothing that is not shown."""
    return "".join(c if c.isprintable() else " " for c in text)


def _is_spaced(part: Document, start: int) -> bool:
    """Whether a blank line stands above the line of ``start``, and the comments above that."""
    lines = part.text[:start].splitlines()[:-1]
    while lines and lines[-1].lstrip().startswith("#"):
        lines.pop()
    return bool(lines) and not lines[-1].strip()


def _unusual(part: Document) -> UserError:
    return UserError(
        f"{shown_path(part.path)}: variants cannot be added safely: they are written in an unusual "
        "way",
        mend="edit the file by hand",
    )


def changed_files(before: Draft, after: Draft) -> tuple[Path, ...]:
    """The files whose text is another, in the order of the registry."""
    old = {part.path: part.text for part in before.parts}
    return tuple(part.path for part in after.parts if part.text != old.get(part.path))


def unified_diff(before: Draft, after: Draft) -> str:
    """The change of all files, as ``git apply`` and ``patch -p1`` take it."""
    root = before.path.resolve().parent
    old = {part.path: part.text for part in before.parts}
    pieces: list[str] = []
    for part in after.parts:
        path = part.path.resolve().relative_to(root).as_posix()
        lines = difflib.unified_diff(
            _lines_of(old.get(part.path, "")), _lines_of(part.text), f"a/{path}", f"b/{path}"
        )
        for line in lines:
            ends = line.endswith("\n")
            pieces.append(line if ends else f"{line}\n\\ No newline at end of file\n")
    return "".join(pieces)


def _lines_of(text: str) -> list[str]:
    """Lines with their ends; only ``\\n`` ends one, as for git."""
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
