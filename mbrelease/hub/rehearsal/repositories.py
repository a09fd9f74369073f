"""Repositories: making, finding, listing and deleting them."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

from mbrelease.hub.rehearsal import history, references
from mbrelease.hub.rehearsal.attributes import ATTRIBUTES_PATH, DEFAULT_ATTRIBUTES
from mbrelease.hub.rehearsal.blobs import Blobs
from mbrelease.hub.rehearsal.objects import regular_file
from mbrelease.hub.rehearsal.refusals import Refused, repo_not_found


@dataclass(frozen=True)
class Repository:
    """A model repository; a private one is shown only to requests with a token."""

    id: str
    private: bool
    created_at: datetime


def create(connection: sqlite3.Connection, blobs: Blobs, repo_id: str, *, private: bool) -> None:
    """Make a repository with the Hub's usual first commit, which holds ``.gitattributes``.

    Raises:
        Refused: 409, it exists already.
    """
    not_taken(connection, repo_id)
    connection.execute(
        "INSERT INTO repositories VALUES (?, ?, ?)",
        (repo_id, private, datetime.now(UTC).replace(microsecond=0).isoformat()),
    )
    data = DEFAULT_ATTRIBUTES.encode()
    first = history.record(
        connection,
        repo_id,
        {ATTRIBUTES_PATH: regular_file(ATTRIBUTES_PATH, data, blobs.add(data))},
        (),
        title="initial commit",
        description="",
        author="system",
    )
    references.create(connection, repo_id, references.MAIN, first)


def not_taken(connection: sqlite3.Connection, repo_id: str) -> None:
    """See that no repository has this id, in whichever case.

    Raises:
        Refused: 409, one has.
    """
    taken = connection.execute(
        "SELECT id FROM repositories WHERE lower(id) = lower(?)", (repo_id,)
    ).fetchone()
    if taken is not None:
        raise Refused(409, "You already created this model repo")


def find(connection: sqlite3.Connection, repo_id: str, *, see_private: bool) -> Repository:
    """The repository with this id.

    Raises:
        Refused: 404, there is none, or it is private and ``see_private`` is false.
    """
    row = connection.execute("SELECT * FROM repositories WHERE id = ?", (repo_id,)).fetchone()
    if row is None or (row["private"] and not see_private):
        raise repo_not_found(repo_id)
    return _repository(row)


def every(connection: sqlite3.Connection, *, see_private: bool) -> list[Repository]:
    """All repositories, the last changed first."""
    rows = connection.execute(
        "SELECT repositories.* FROM repositories JOIN commits ON repository = repositories.id"
        " GROUP BY repositories.id ORDER BY max(number) DESC"
    )
    return [_repository(row) for row in rows if see_private or not row["private"]]


def delete(connection: sqlite3.Connection, repo_id: str) -> None:
    """Remove a repository with its history; its contents stay in the store."""
    connection.execute("DELETE FROM repositories WHERE id = ?", (repo_id,))


def _repository(row: sqlite3.Row) -> Repository:
    return Repository(row["id"], bool(row["private"]), datetime.fromisoformat(row["created_at"]))
