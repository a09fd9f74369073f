"""Branches, tags and the heads of pull requests: names that stand for commits."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from mbrelease.hub.rehearsal.refusals import Refused, revision_not_found

HEADS = "refs/heads/"
TAGS = "refs/tags/"
PULLS = "refs/pr/"
MAIN = HEADS + "main"


@dataclass(frozen=True)
class Reference:
    """A full reference name (``refs/heads/main``) and the commit it stands for."""

    name: str
    commit_id: str

    @property
    def short_name(self) -> str:
        """The name as people say it: ``main``, ``v1.0``, ``1``."""
        return self.name.split("/", 2)[2]


def every(connection: sqlite3.Connection, repository: str) -> list[Reference]:
    """All references of a repository, by name."""
    rows = connection.execute(
        "SELECT name, commit_id FROM refs WHERE repository = ? ORDER BY name", (repository,)
    )
    return [Reference(row["name"], row["commit_id"]) for row in rows]


def find(connection: sqlite3.Connection, repository: str, name: str) -> Reference | None:
    """The reference with this full name."""
    row = connection.execute(
        "SELECT name, commit_id FROM refs WHERE repository = ? AND name = ?", (repository, name)
    ).fetchone()
    return None if row is None else Reference(row["name"], row["commit_id"])


def writable(connection: sqlite3.Connection, repository: str, revision: str) -> Reference:
    """The branch or pull request that a commit on ``revision`` would move.

    Raises:
        Refused: 404, there is none (a tag or a commit id cannot be committed to).
    """
    name = revision if revision.startswith((HEADS, PULLS)) else HEADS + revision
    reference = find(connection, repository, name)
    if reference is None:
        raise revision_not_found(revision)
    return reference


def create(
    connection: sqlite3.Connection,
    repository: str,
    name: str,
    commit_id: str,
    *,
    message: str = "",
) -> None:
    """Make a reference.

    Raises:
        Refused: 409, the name is taken.
    """
    if find(connection, repository, name) is not None:
        raise Refused(409, f"Reference already exists: {name}")
    connection.execute(
        "INSERT INTO refs (repository, name, commit_id, message) VALUES (?, ?, ?, ?)",
        (repository, name, commit_id, message),
    )


def move(connection: sqlite3.Connection, repository: str, name: str, commit_id: str) -> None:
    """Let an existing reference stand for another commit."""
    connection.execute(
        "UPDATE refs SET commit_id = ? WHERE repository = ? AND name = ?",
        (commit_id, repository, name),
    )


def delete(connection: sqlite3.Connection, repository: str, name: str) -> None:
    """Remove a branch or a tag.

    Raises:
        Refused: 404, it does not exist; 403, it is ``main``.
    """
    if name == MAIN:
        raise Refused(403, "The branch main cannot be deleted")
    if find(connection, repository, name) is None:
        raise revision_not_found(name)
    connection.execute("DELETE FROM refs WHERE repository = ? AND name = ?", (repository, name))
