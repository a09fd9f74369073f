"""Git's object ids, computed as git computes them, so that ids look and behave like the Hub's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class File:
    """A file in a commit.

    Fields:
        path: where it stands, with forward slashes.
        size_bytes: of the content.
        git_oid: sha1 of the git blob; for an LFS file, of the pointer that git would hold.
        sha256: of the content.
        lfs: whether git would hold a pointer only.
    """

    path: str
    size_bytes: int
    git_oid: str
    sha256: str
    lfs: bool

    @property
    def content_oid(self) -> str:
        """The id that clients compare their file with: sha256 for LFS, else the git blob's."""
        return self.sha256 if self.lfs else self.git_oid


def regular_file(path: str, data: bytes, sha256: str) -> File:
    """A file whose content git holds itself."""
    return File(path, len(data), git_oid("blob", data), sha256, lfs=False)


def lfs_file(path: str, sha256: str, size_bytes: int) -> File:
    """A file of which git holds a pointer."""
    pointer = lfs_pointer(sha256, size_bytes)
    return File(path, size_bytes, git_oid("blob", pointer), sha256, lfs=True)


def lfs_pointer(sha256: str, size_bytes: int) -> bytes:
    """The text that stands in git for an LFS file."""
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size_bytes}\n"
    return text.encode()


def git_oid(kind: str, data: bytes) -> str:
    """Id of a git object of ``kind`` (blob, tree, commit)."""
    # sha1 is git's choice; nothing here trusts it with more than a name.
    return hashlib.sha1(f"{kind} {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()


def folder_oids(files: Iterable[File]) -> dict[str, str]:
    """Git tree id of every folder, the repository's own under the empty path."""
    entries: dict[str, dict[str, tuple[str, str]]] = {"": {}}
    for file in files:
        folder, _, name = file.path.rpartition("/")
        _add_folder(entries, folder)[name] = ("100644", file.git_oid)
    oids: dict[str, str] = {}
    # Deepest first: a folder's id is part of its parent's content.
    for folder in sorted(entries, key=lambda path: path.count("/") + bool(path), reverse=True):
        oids[folder] = git_oid("tree", _tree_bytes(entries[folder]))
        if folder:
            parent, _, name = folder.rpartition("/")
            entries[parent][name] = ("40000", oids[folder])
    return oids


def commit_oid(
    tree: str, parents: Iterable[str], author: str, at: datetime, title: str, description: str
) -> str:
    """Id of a git commit with this content."""
    who = f"{author} <{author}@localhost> {int(at.timestamp())} +0000"
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
    lines += [f"author {who}", f"committer {who}", "", title]
    if description:
        lines += ["", description]
    return git_oid("commit", ("\n".join(lines) + "\n").encode())


def _add_folder(
    entries: dict[str, dict[str, tuple[str, str]]], folder: str
) -> dict[str, tuple[str, str]]:
    if folder not in entries:
        entries[folder] = {}
        _add_folder(entries, folder.rpartition("/")[0])
    return entries[folder]


def _tree_bytes(entries: Mapping[str, tuple[str, str]]) -> bytes:
    def order(item: tuple[str, tuple[str, str]]) -> bytes:
        # Git sorts a folder as if its name ended with a slash.
        name, (mode, _) = item
        return (name + "/" * (mode == "40000")).encode()

    return b"".join(
        f"{mode} {name}\0".encode() + bytes.fromhex(oid)
        for name, (mode, oid) in sorted(entries.items(), key=order)
    )
