"""What reading a large registry gave, kept in ``.mbrelease`` for the next command.

The file is keyed by the content of every file of the registry and by the code that read them, so
it is never out of date; it has a checksum, so damage shows; and only valid registries are kept.
What is kept is data (JSON), and the schema checks it again. Without it, or where it cannot be
written, all is read as ever, only slower.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mbrelease import __version__
from mbrelease.errors import UserError
from mbrelease.files import sha256_bytes, write_bytes
from mbrelease.registry.included_files import included_by, read_bytes
from mbrelease.registry.journal import at_one_moment
from mbrelease.registry.layout import Layout, Slot
from mbrelease.registry.project import Project, Unread
from mbrelease.registry.schema import Registry

if TYPE_CHECKING:
    from mbrelease.registry.document import Document

FOLDER = Path(".mbrelease") / "parsed"
MIN_BYTES = 100_000
"""Of all files together; fewer are read again sooner than looked up."""


Places = Mapping[str, tuple[Path, int]]


@dataclass(frozen=True)
class Kept:
    """A registry as it was read and found valid."""

    folder: Path
    """Of the registry."""
    include: Sequence[str]
    files: Mapping[str, str]
    """The sha256 of each file, by its path relative to the registry, in their order."""
    where: bytes
    """Of each file: its layout or, where it has none, the line of each variant; as JSON."""
    texts: bytes
    """Of each file, by path: what it held, unless it has no layout; as JSON."""
    values: bytes
    """What all files say together, as JSON."""

    @classmethod
    def read(cls, registry: Path) -> Kept | None:
        """What is kept of the registry at this path; ``None`` if nothing that can be relied on."""
        try:
            checksum, rest = kept_path(registry).read_bytes().split(b"\n", 1)
            if sha256_bytes(rest).encode() != checksum:
                return None
            header, where, texts, values = rest.split(b"\n")
            content = json.loads(header)
            if content["code"] != code_version():
                return None
            return cls(
                registry.resolve().parent,
                content["include"],
                content["files"],
                where,
                texts,
                values,
            )
        except (OSError, RuntimeError, ValueError, KeyError, TypeError):
            return None

    def project(self, path: Path) -> Project | None:
        """The registry at ``path``, if its files hold what they held."""
        if not self._holds(path):
            return None
        try:
            registry = Registry.model_validate_json(self.values, strict=True)
        except ValidationError:
            return None
        return Project(registry, path.resolve(), Unread(self._places))

    def parse(self, data: bytes, path: Path, *, file: int = 0) -> Document:
        """As ``parse_document``, but of what was read before only what changed is read.

        Raises:
            InvalidRegistry: it cannot be parsed.
        """
        # Not needed where nothing is parsed, which is most of the time.
        from mbrelease.registry.document import decoded, parse_document
        from mbrelease.registry.folding import changed, folded

        layout, old = self._by_path.get(path.resolve(), (None, None))
        before = None
        if layout is not None and old is not None:
            before = folded(path, *decoded(old.encode()), file, layout, self._variants)
        if before is not None:
            with contextlib.suppress(UnicodeDecodeError):
                text, has_bom = decoded(data)
                if has_bom == before.has_bom:
                    return changed(before, text)
        return parse_document(data, path, file=file)

    @cached_property
    def _by_path(self) -> dict[Path, tuple[Layout | None, str | None]]:
        """The layout and the text of each file that has a layout."""
        texts = json.loads(self.texts)
        stored = zip(self.files, json.loads(self.where), strict=True)
        return {
            self.folder / file: (_layout(where), texts[file])
            for file, where in stored
            if isinstance(where, list)
        }

    @cached_property
    def _variants(self) -> Mapping[str, Any]:
        variants: Mapping[str, Any] = json.loads(self.values)["variants"]
        return variants

    def _places(self) -> Places:
        """Where each variant is defined."""
        places: dict[str, tuple[Path, int]] = {}
        for file, stored in zip(self.files, json.loads(self.where), strict=True):
            lines = stored
            if isinstance(stored, list):
                lines = {name: slot.key_line for name, slot in _layout(stored).slots.items()}
            places |= {name: (self.folder / file, line) for name, line in lines.items()}
        return places

    def _holds(self, path: Path) -> bool:
        """Whether the registry at ``path`` is the one that was kept."""

        def read(read_one: Callable[[Path], bytes]) -> bool:
            files = [path, *included_by(path, self.include)]
            return len(files) == len(self.files) and all(
                file.resolve() == self.folder / known and sha256_bytes(read_one(file)) == sha256
                for file, (known, sha256) in zip(files, self.files.items(), strict=True)
            )

        try:
            return at_one_moment(path, read, read_bytes)
        except UserError:
            return False  # reading it all tells


def keep(parts: Sequence[Document], whole: Document) -> None:
    """Keep what the files of a valid registry say, if there is much of it and it can be kept.

    Args:
        parts: a document for each file.
        whole: all of them together.
    """
    from mbrelease.registry.document import encoded

    if sum(len(part.text) for part in parts) < MIN_BYTES:
        return
    registry = parts[0].path.resolve()
    files, where, texts = {}, [], {}
    for part in parts:
        (file,) = part.files
        path = part.path.resolve().relative_to(registry.parent).as_posix()
        data = encoded(file.text, file.has_bom)
        files[path] = sha256_bytes(data)
        where.append(_stored(part))
        if isinstance(where[-1], list):
            texts[path] = data.decode()
    include = whole.value.get("include", [])
    header = json.dumps({"code": code_version(), "include": include, "files": files})
    rest = "\n".join([header, json.dumps(where), json.dumps(texts), whole.as_json]).encode()
    with contextlib.suppress(UserError):  # a folder that cannot be written
        write_bytes(kept_path(registry), sha256_bytes(rest).encode() + b"\n" + rest)


def kept_path(registry: Path) -> Path:
    """Where what is kept of a registry lies."""
    registry = Path(os.path.realpath(registry))  # a loop of links is told by who reads it
    return registry.parent / FOLDER / f"{registry.name}.json"


@cache
def code_version() -> str:
    """What changes whenever the code changes that reads and checks registries."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return sha256_bytes(b"\0".join([__version__.encode(), *(s.read_bytes() for s in sources)]))


def _stored(part: Document) -> Any:
    """The layout of a file as JSON has it, or the line of each variant."""
    from mbrelease.registry.folding import layout_of

    layout = layout_of(part)
    if layout is not None:
        return [layout.column, layout.slots, layout.below, layout.lines_above]
    node = part.at(("variants",))
    keys = (node.keys if node is not None else None) or {}
    return {name: key.line for name, key in keys.items()}


def _layout(stored: Sequence[Any]) -> Layout:
    column, slots, below, lines_above = stored
    return Layout(column, {name: Slot(*slot) for name, slot in slots.items()}, below, lines_above)
