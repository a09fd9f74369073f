"""Change a registry in place: only the bytes of the change, and only to something valid.

Each function is one edit: it waits for its turn, reads the registry, changes it, sees that it is
valid still and writes it, and is whole or not at all though it be killed. Of a registry in several
files, what stands somewhere already is changed there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mbrelease.errors import UserError, did_you_mean
from mbrelease.registry.document import Document, Node, parse_document
from mbrelease.registry.draft import Draft
from mbrelease.registry.entry import NAME
from mbrelease.registry.journal import finish, write_all
from mbrelease.registry.kept import keep
from mbrelease.registry.load import project_of, read_bytes, read_registry, without_collector
from mbrelease.registry.lock import editing
from mbrelease.registry.mistakes import InvalidRegistry, shown_path
from mbrelease.registry.named_files import named_files
from mbrelease.registry.plain import plain
from mbrelease.registry.project import Project
from mbrelease.registry.scalars import flow_text
from mbrelease.registry.schema import Registry
from mbrelease.registry.uses import Place, places_of

_ONE_OF = {"variants": "a variant", "aliases": "an alias", "peers": "a peer"}


@dataclass(frozen=True)
class Edit:
    """What an edit did."""

    project: Project
    """The registry as it is now."""
    changed: bool
    """False where the registry said so already; no file was touched."""
    files: tuple[Path, ...] = ()
    """Those that were written."""
    places: tuple[Place, ...] = ()
    """Of a renaming: what named the variant, where it stands now."""
    was: str | None = None
    """Of an alias: the variant that it meant before."""


class StillNamed(UserError):
    """A variant that cannot be removed, because other entries name it."""

    def __init__(self, variant: str, places: Sequence[Place]) -> None:
        self.variant, self.places = variant, tuple(places)
        count = "1 place names" if len(places) == 1 else f"{len(places)} places name"
        lines = [f"nothing removed: {count} '{variant}'", *map(str, places)]
        super().__init__("\n".join(lines), mend="change these first")


def add_variant(
    path: Path, name: str, entry: Mapping[str, Any], *, file: str | None = None
) -> Edit:
    """Add the variant ``name`` at the end of the variants.

    Args:
        path: the registry.
        name: of the variant.
        entry: what it says; of a parent, and of what it supersedes, an alias will do, and the
            name of its variant is written.
        file: the file to put it into, relative to the registry; made if it is not there and
            ``include`` asks for it. Left out, the one file that has variants.

    Raises:
        UserError: there is one of that name, the file is not of this registry, or the registry
            would become (or is) invalid.
    """

    return edit(path, lambda draft: with_variant(draft, name, entry, file=file))


def with_variant(
    draft: Draft, name: str, entry: Mapping[str, Any], *, file: str | None = None
) -> Draft:
    """``draft`` with a variant more, as ``add_variant`` adds it."""
    entry = plain(entry)
    node = draft.whole.at(("variants", name))
    if node is not None:
        raise UserError(
            f"variant '{name}' is in {shown_path(draft.whole.file_of(node).path)} already",
            mend=f"mbrelease registry set {name} KEY VALUE",
        )
    entry = _without_aliases(draft, entry)
    if file is None:
        return draft.put(("variants", name), entry, file=_file_of_variants(draft))
    wanted = (draft.path.resolve().parent / file).resolve()
    number = _file_named(draft, wanted)
    if number is None:
        return draft.add_file(wanted, "variants", name, entry)
    return draft.put(("variants", name), entry, file=number)


def _without_aliases(draft: Draft, entry: Mapping[str, Any]) -> dict[str, Any]:
    """A new entry that names its parents outright: an alias may mean another one tomorrow."""

    def outright(name: Any) -> Any:
        alias = draft.whole.at(("aliases", name)) if isinstance(name, str) else None
        is_variant = alias is not None and draft.whole.at(("variants", name)) is not None
        return name if alias is None or is_variant else alias.value

    entry = dict(entry)
    if "supersedes" in entry:
        entry["supersedes"] = outright(entry["supersedes"])
    if isinstance(parents := entry.get("parents"), list):
        entry["parents"] = [
            {**one, "variant": outright(one["variant"])}
            if isinstance(one, dict) and "variant" in one
            else one
            for one in parents
        ]
    return entry


def set_value(path: Path, variant: str, key: str, value: Any) -> Edit:
    """Set a key of a variant, such as ``training.tokens`` or ``parents.0.relation``.

    ``candidates.averages.+`` adds to the end of a list.

    Raises:
        UserError: there is no such variant, the place cannot be edited, or the registry would
            become (or is) invalid.
    """
    return edit(path, lambda draft: with_value(draft, variant, key, value))


def with_value(draft: Draft, variant: str, key: str, value: Any) -> Draft:
    """``draft`` with a key of a variant set, as ``set_value`` does."""
    place = _place(draft, variant, key)
    if place[-1] == "+":
        return draft.append(place[:-1], value)
    return draft.put(place, value)


def remove_value(path: Path, variant: str, key: str) -> Edit:
    """Remove a key of a variant, or an item of one of its lists, such as ``parents.1``.

    Raises:
        UserError: there is no such variant or key, the place cannot be edited, or the registry
            would become (or is) invalid.
    """

    return edit(path, lambda draft: without_value(draft, variant, key))


def without_value(draft: Draft, variant: str, key: str) -> Draft:
    """``draft`` without a key of a variant, as ``remove_value`` removes it."""
    place = _place(draft, variant, key)
    if draft.whole.at(place) is None:
        above = draft.whole.nearest(place)
        close = did_you_mean(str(place[-1]), above.keys or {})
        raise UserError(f"'{variant}' has no {key}", mend=close)
    return draft.remove(place)


def add_to_list(path: Path, variant: str, key: str, values: Sequence[str]) -> Edit:
    """Add what a list of a variant, such as ``candidates.averages``, lacks of ``values``.

    They go to its end; what is in it stays as it is written.

    Raises:
        UserError: there is no such variant, the place cannot be edited, or the registry would
            become (or is) invalid.
    """

    def change(draft: Draft) -> Draft:
        place = _place(draft, variant, key)
        for value in values:
            node = draft.whole.at(place)
            if node is None or not isinstance(node.value, list) or value not in node.value:
                draft = draft.append(place, value)
        return draft

    return edit(path, change)


def set_alias(path: Path, alias: str, variant: str) -> Edit:
    """Let ``alias`` mean ``variant``, whatever it meant before.

    Raises:
        UserError: there is no such variant, a variant has that name, the place cannot be edited,
            or the registry would become (or is) invalid.
    """
    return _edit_of_alias(path, alias, lambda draft: with_alias(draft, alias, variant))


def with_alias(draft: Draft, alias: str, variant: str) -> Draft:
    """``draft`` with an alias, as ``set_alias`` sets it."""
    name = _variant_name(draft, variant)
    if draft.whole.at(("variants", alias)) is not None:
        raise UserError(f"'{alias}' is a variant", mend="choose another alias")
    return draft.put(("aliases", alias), name)


def remove_alias(path: Path, alias: str) -> Edit:
    """Remove an alias; the variant that it means stays.

    Raises:
        UserError: there is none, the place cannot be edited, or the registry is invalid.
    """
    return _edit_of_alias(path, alias, lambda draft: without_alias(draft, alias))


def _edit_of_alias(path: Path, alias: str, change: Callable[[Draft], Draft]) -> Edit:
    """An edit that knows what the alias meant."""
    was: list[Any] = []

    def watched(draft: Draft) -> Draft:
        node = draft.whole.at(("aliases", alias))
        was.append(None if node is None else node.value)
        return change(draft)

    return replace(edit(path, watched), was=was[-1])


def without_alias(draft: Draft, alias: str) -> Draft:
    """``draft`` without an alias, as ``remove_alias`` removes it."""
    if draft.whole.at(("aliases", alias)) is None:
        aliases = draft.whole.at(("aliases",))
        known = (aliases.keys or {}) if aliases is not None else {}
        raise UserError(f"no alias '{alias}' in {shown_path(draft.path)}",
                        mend=did_you_mean(alias, known))  # fmt: skip
    return draft.remove(("aliases", alias))


def remove_variant(path: Path, variant: str) -> Edit:
    """Remove a variant that nothing else names.

    Raises:
        StillNamed: something does.
        UserError: there is no such variant, the place cannot be edited, or the registry would
            become (or is) invalid.
    """

    return edit(path, lambda draft: without_variant(draft, variant))


def without_variant(draft: Draft, variant: str) -> Draft:
    """``draft`` without a variant, as ``remove_variant`` removes it."""
    _own_name(draft, variant)
    own = ("variants", variant)
    places = [p for p in places_of(draft.whole, variant) if p.path[:2] != own]
    if places:
        raise StillNamed(variant, places)
    return draft.remove(own)


def rename_variant(path: Path, old: str, new: str) -> Edit:
    """Give a variant another name, wherever it is named, in all files of the registry at once.

    Files that carry the old name, such as its decision, stay (see ``named_files``).

    Raises:
        UserError: there is no such variant, the new name is taken (files may have it as well) or
            no name, a place cannot be edited, or the registry would become (or is) invalid.
    """
    told: list[Place] = []

    def change(draft: Draft) -> Draft:
        renamed = with_new_name(draft, old, new)
        told.extend(places_of(renamed.whole, new) if old != new else ())
        return renamed

    done = edit(path, change)
    return replace(done, places=tuple(told))


def with_new_name(draft: Draft, old: str, new: str) -> Draft:
    """``draft`` with another name for a variant, as ``rename_variant`` gives it."""
    _own_name(draft, old)
    if new == old:
        return draft
    if not re.fullmatch(NAME, new):
        mend = "names hold letters, digits, '.', '_' and '-', and start with a letter or digit"
        raise UserError(f"{new!r} is no name", mend=mend)
    for shelf, what in _ONE_OF.items():
        if draft.whole.at((shelf, new)) is not None:
            raise UserError(f"'{new}' is {what} already", mend="choose another name")
    for file in named_files(draft.path.resolve().parent, old, new):
        if file.renamed.exists():
            was, taken = shown_path(file.path), shown_path(file.renamed)
            mend = "move one of them away, or choose another name"
            raise UserError(f"{taken} is there already, and {was} too", mend=mend)
    places = [(place.path, place.is_key) for place in places_of(draft.whole, old)]
    return draft.rename([*places, (("variants", old), True)], new)


def parse_value(text: str) -> Any:
    """A value given on the command line, read as YAML.

    Raises:
        UserError: it is no YAML, or no value that a registry can hold.
    """
    if not text.strip():
        return ""  # what was given is a text of no letters; null is written null
    try:
        document = parse_document(plain(text).encode(), Path("VALUE"))
    except InvalidRegistry as error:
        raise UserError(
            f"'{text}' is no YAML value: {error.mistakes[0].message}",
            mend="put the YAML in quotes of its own, or give --text to take VALUE as text",
        ) from error
    if document.mistakes:
        raise UserError(f"'{text}': {document.mistakes[0].message}")
    return document.value


def edit(path: Path, change: Callable[[Draft], Draft]) -> Edit:
    """Apply ``change``, which may be several changes, as one edit.

    Raises:
        UserError: the registry cannot be read or written, or would become (or is) invalid.
    """
    read_bytes(path)  # no lock file beside what is not there
    target = path.resolve()
    with editing(target), without_collector():
        finish(target)
        before = Draft.read(path)
        after = change(before)
        registry = _still_valid(before, after)
        old = {part.path.resolve(): before.data(n) for n, part in enumerate(before.parts)}
        new = {part.path.resolve(): after.data(n) for n, part in enumerate(after.parts)}
        new = {file: data for file, data in new.items() if old.get(file) != data}
        for file in new.keys() & old.keys():
            # A rename would replace a read-only file without a word.
            if not os.access(file, os.W_OK, effective_ids=True):
                raise UserError(f"{shown_path(file)} is read-only", mend="make it writable")
        if new:
            write_all(target, old, new)
            keep(after.parts, after.whole)
    return Edit(project_of(after.whole, registry), bool(new), tuple(new))


def _still_valid(before: Draft, after: Draft) -> Registry:
    """The registry that ``after`` describes; if it is wrong, say whether it was so before."""
    try:
        return read_registry(after.whole)
    except InvalidRegistry as error:
        read_registry(before.whole)  # was it wrong before? then that is to be mended first
        lead = f"nothing written: the change would make {shown_path(before.path)} invalid"
        raise InvalidRegistry(before.path, error.mistakes, lead=lead, texts=error.texts) from error


def _variant_name(draft: Draft, name: str) -> str:
    """The variant that ``name`` means in a document that may not be valid as yet."""
    document = draft.whole
    alias = document.at(("aliases", name))
    if alias is not None and document.at(("variants", str(alias.value))) is not None:
        return str(alias.value)
    if document.at(("variants", name)) is None:
        # Says what is near, or what is wrong with the registry.
        _project(document).resolve_name(name)
    return name


def _own_name(draft: Draft, name: str) -> None:
    """See that ``name`` is a variant's own: an alias may mean another one tomorrow."""
    variant = _variant_name(draft, name)
    if variant != name:
        raise UserError(f"'{name}' is an alias", mend=f"name the variant that it means: {variant}")


def _project(document: Document) -> Project:
    return project_of(document, read_registry(document))


def _place(draft: Draft, variant: str, key: str) -> list[str | int]:
    """The path of a key of a variant; the steps into lists are numbers."""
    if not key or not all(key.split(".")):
        raise UserError(f"'{key}' is no key", mend="give one such as repo or training.tokens")
    path: list[str | int] = ["variants", _variant_name(draft, variant)]
    steps = key.split(".")
    for number, step in enumerate(steps):
        node, above = draft.whole.at(path), ".".join(steps[:number])
        if step == "+":
            if number == 0 or number + 1 < len(steps):
                mend = "give the new item as a whole: set VARIANT parents.+ '{variant: …}'"
                raise UserError(f"'{key}' is no key: + stands behind a list, at the end", mend=mend)
            path.append(step)
        elif node is not None and isinstance(node.children, list):
            path.append(_index(node, step, above))
        elif step.isdecimal() and (node is None or node.value in (None, {})):
            # No key of a variant is a number.
            if not above:
                raise UserError(f"'{key}' is no key", mend="give one such as parents.0.relation")
            mend = f"{above}.+ adds a first item"
            raise UserError(f"'{variant}' has no {above} as yet", mend=mend)
        elif node is not None and node.children is None and node.value is not None:
            raise UserError(f"{above} is {flow_text(node.value)}, and nothing stands below it")
        else:
            path.append(step)
    return path


def _index(node: Node, step: str, above: str) -> int:
    """Which item of a list a step of a key means."""
    assert isinstance(node.children, list)
    count = len(node.children)
    if not step.isdecimal() or len(step) > 9 or int(step) >= count:
        numbered = ": 0" if count == 1 else f"s: 0 to {count - 1}" if count else "s"
        raise UserError(
            f"{above} has no item '{step}': it is a list of {count} item{numbered}",
            mend=f"{above}.+ is behind the last",
        )
    return int(step)


def _file_of_variants(draft: Draft) -> int:
    """Where a new variant goes of which nothing else is said."""
    holders = [n for n, part in enumerate(draft.parts) if part.at(("variants",)) is not None]
    if 0 in holders or len(holders) < 2:
        return holders[0] if holders else 0
    files = ", ".join(shown_path(draft.parts[n].path) for n in holders[:3])
    more = ", …" if len(holders) > 3 else ""
    raise UserError(
        f"variants are in {len(holders)} files: {files}{more}",
        mend="say which is to hold the new one: --file PATH",
    )


def _file_named(draft: Draft, wanted: Path) -> int | None:
    """Which file of the registry ``wanted`` is; ``None`` if it is to be made."""
    for number, part in enumerate(draft.parts):
        if part.path.resolve() == wanted:
            return number
    if wanted.exists() or not draft.found_by(wanted):
        shown = shown_path(wanted)
        node = draft.parts[0].at(("include",))
        patterns = node.value if node is not None and isinstance(node.value, list) else []
        named = ", ".join(map(str, patterns))
        mend = (
            f"it includes {named}"
            if named
            else "add a line to it, such as: include: [variants/*.yaml]"
        )
        raise UserError(f"{shown} is no file of this registry", mend=mend)
    return None
