"""``new_version`` put on a card that somebody wrote: one line more, and no other byte changed."""

from __future__ import annotations

import re
from typing import Any

from mbrelease.errors import UserError
from mbrelease.metadata.check import top_of
from mbrelease.metadata.finding import shown
from mbrelease.metadata.front_matter import read_front_matter
from mbrelease.metadata.repo_ids import fault_of_repo_id
from mbrelease.registry.document import BOM

_EMPTY = re.compile(rf"{BOM}?---[ \t]*\r?\n(?:\s*\n)?---[ \t]*(?:\r?\n|\Z)")


def with_new_version(text: str, new_repo: str) -> str:
    """``text`` with ``new_version: new_repo`` in its metadata, all else as it was.

    The line comes last in the block, with the line end of the block. A text that has it already is
    returned as it is; one without metadata gets a block.

    Raises:
        UserError: ``new_repo`` is no ``org/name``; another model is named; the metadata cannot be
            read, or have no line of their own for a field.
    """
    fault = fault_of_repo_id(new_repo) or (None if "/" in new_repo else "names no account")
    if fault is not None:
        raise UserError(f"{shown(new_repo)} {fault}", mend="give ORG/NAME")
    line = f"new_version: {new_repo}"
    if not text.removeprefix(BOM).lstrip().startswith("---"):
        return _with_block(text, line)
    before = _metadata(text)
    if before.get("new_version") == new_repo:
        return text
    if "new_version" in before:
        raise UserError(
            f"the card names another new_version: {shown(before['new_version'])}",
            mend="change it by hand on the Hub if it is wrong",
        )
    lines = text.split("\n")
    closing = read_front_matter(text).last_line - 1
    lines.insert(closing, line + ("\r" if lines[closing].endswith("\r") else ""))
    changed = "\n".join(lines)
    if _read(changed) != {**before, "new_version": new_repo}:
        raise UserError(
            "new_version cannot be added to metadata of this form", mend="add it by hand on the Hub"
        )
    return changed


def _with_block(text: str, line: str) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    mark = BOM if text.startswith(BOM) else ""
    return mark + newline.join(["---", line, "---", "", text.removeprefix(BOM)])


def _metadata(text: str) -> dict[str, Any]:
    found = _read(text)
    if found is None:
        first = next((each for each in read_front_matter(text).findings if each.is_error), None)
        said = f": {first.place}: {first.what}" if first is not None else ""
        raise UserError(f"the metadata of the card cannot be read{said}", mend="mend it by hand")
    return found


def _read(text: str) -> dict[str, Any] | None:
    if _EMPTY.match(text):
        return {}
    top = top_of(read_front_matter(text))
    return None if top is None else dict(top.value)
