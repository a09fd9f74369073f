"""The folder of a card that is shown: its pictures, its files, and the size of its model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import quote, unquote

from mbrelease.checkpoints.safetensors_header import read_header
from mbrelease.errors import UserError
from mbrelease.pages.addresses import PUBLIC_HUB, Addresses, NoPicture
from mbrelease.pages.pictures import inlined, inside
from mbrelease.pages.preview import ListedFile

_MOST_FILES = 1000
_NOT_PUBLISHED = frozenset({".git", ".cache"})


@dataclass(frozen=True)
class CardFolder:
    """Where a card lies.

    Fields:
        repo_id: where the folder will be published, if that is known.
        left_out: what the card speaks of that is not there; grows while the card is rendered.
    """

    path: Path
    repo_id: str | None
    left_out: list[str] = field(default_factory=list)

    @cached_property
    def is_release(self) -> bool:
        """Whether a model lies beside the card; elsewhere other files say nothing about it."""
        return (self.path / "config.json").is_file()

    @cached_property
    def files(self) -> Sequence[ListedFile]:
        """What would be published with the card, by path; empty beside no model."""
        if not self.is_release:
            return ()
        found = [
            ListedFile(file.relative_to(self.path).as_posix(), _size_bytes(file))
            for file, _ in zip(_files(self.path), range(_MOST_FILES), strict=False)
        ]
        return sorted(found, key=lambda each: each.path)

    @cached_property
    def parameters(self) -> dict[str, int]:
        """Parameters by dtype, read off the headers of the weights; empty if that fails."""
        counts: dict[str, int] = {}
        try:
            for file in sorted(self.path.glob("*.safetensors")):
                for tensor in read_header(file).tensors.values():
                    counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.elements
        except UserError:
            return {}
        return counts

    def addresses(self) -> Addresses:
        """Where the links and pictures of the card lead."""
        return Addresses(link=self._link, picture=self._picture)

    def _picture(self, path: str) -> str:
        try:
            return inlined(self.path, path)
        except NoPicture as reason:
            self.left_out.append(str(reason))
            raise

    def _link(self, path: str) -> str | None:
        if self.is_release:
            try:
                inside(self.path, path)
            except NoPicture as reason:
                self.left_out.append(f"{reason}, and the card links it")
        if self.repo_id is None:
            return None
        return f"{PUBLIC_HUB}/{quote(self.repo_id)}/blob/main/{quote(unquote(path))}"


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - _NOT_PUBLISHED)
        yield from (Path(parent) / name for name in sorted(names))


def _size_bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
