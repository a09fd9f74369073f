"""Repositories under a new name: who asks for the old one is sent on."""

from __future__ import annotations

import sqlite3

from mbrelease.hub.rehearsal import repositories

# Whatever names a repository, in the order in which no row is ever without its repository.
_TABLES = ("commits", "refs", "discussions", "events", "publishers")


def move(connection: sqlite3.Connection, old: str, new: str) -> None:
    """Give the repository ``old`` the id ``new``, with all that belongs to it.

    Raises:
        Refused: 404, there is no such repository; 409, the new id is taken.
    """
    repositories.find(connection, old, see_private=True)
    repositories.not_taken(connection, new)
    connection.execute("PRAGMA defer_foreign_keys = ON")  # until the transaction ends
    connection.execute("UPDATE repositories SET id = ? WHERE id = ?", (new, old))
    for table in _TABLES:
        # Names of tables cannot be parameters; these are the ones above.
        connection.execute(f"UPDATE {table} SET repository = ? WHERE repository = ?", (new, old))  # noqa: S608
    connection.execute("INSERT OR REPLACE INTO moved VALUES (?, ?)", (old, new))


def moved_to(connection: sqlite3.Connection, repo_id: str) -> str | None:
    """The id that a repository has now which was called ``repo_id``, if it was moved."""
    row = connection.execute("SELECT new FROM moved WHERE old = ?", (repo_id,)).fetchone()
    return None if row is None else str(row["new"])
