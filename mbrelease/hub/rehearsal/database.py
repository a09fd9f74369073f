"""SQLite for what changes: repositories, commits, branches, tags, pull requests."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mbrelease.errors import UserError

SCHEMA = """
CREATE TABLE IF NOT EXISTS repositories (
    id TEXT PRIMARY KEY,
    private INTEGER NOT NULL,
    created_at TEXT NOT NULL
);
-- The files of a commit, as JSON; commits that hold the same files share a row.
CREATE TABLE IF NOT EXISTS listings (
    sha256 TEXT PRIMARY KEY,
    files TEXT NOT NULL
);
-- `number` grows along every line of history: a commit is recorded after its parents.
CREATE TABLE IF NOT EXISTS commits (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    repository TEXT NOT NULL REFERENCES repositories(id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    parents TEXT NOT NULL,
    listing TEXT NOT NULL REFERENCES listings(sha256),
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    author TEXT NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (repository, id)
);
CREATE TABLE IF NOT EXISTS refs (
    repository TEXT NOT NULL REFERENCES repositories(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    message TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (repository, name)
);
CREATE TABLE IF NOT EXISTS discussions (
    repository TEXT NOT NULL REFERENCES repositories(id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    title TEXT NOT NULL,
    status TEXT NOT NULL,
    is_pull_request INTEGER NOT NULL,
    author TEXT NOT NULL,
    created_at TEXT NOT NULL,
    merge_commit TEXT,
    PRIMARY KEY (repository, number)
);
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    repository TEXT NOT NULL REFERENCES repositories(id) ON DELETE CASCADE,
    discussion INTEGER NOT NULL,
    type TEXT NOT NULL,
    author TEXT NOT NULL,
    created_at TEXT NOT NULL,
    data TEXT NOT NULL
);
-- The claims of a CI's jobs, as JSON, that may publish without a stored token.
CREATE TABLE IF NOT EXISTS publishers (
    repository TEXT NOT NULL REFERENCES repositories(id) ON DELETE CASCADE,
    issuer TEXT NOT NULL,
    claims TEXT NOT NULL,
    read_only INTEGER NOT NULL
);
-- Where a repository went that had another id before.
CREATE TABLE IF NOT EXISTS moved (
    old TEXT PRIMARY KEY,
    new TEXT NOT NULL
);
"""


class Database:
    """One SQLite file; a connection a transaction, so that any thread may use it."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            UserError: there is a file of that name which is something else.
        """
        self.path = path
        # When the last connection closes, SQLite folds its log into the file and syncs it again:
        # this one stays, so that it happens once and not after every request.
        try:
            self._last = self._connect()
            self._last.execute("PRAGMA journal_mode = WAL")
            self._last.executescript(SCHEMA)
        except sqlite3.DatabaseError as error:
            raise UserError(
                f"{path} is not the database of a rehearsal Hub: {error}",
                mend="choose another folder with --root, or move that file away",
            ) from error

    def close(self) -> None:
        """Close the file; what was written is in it already."""
        self._last.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A transaction that sees one state throughout."""
        with contextlib.closing(self._connect()) as connection:
            connection.execute("BEGIN")
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is on disk when the block ends well, and never happened otherwise."""
        # Closing a connection rolls back what was not committed.
        with contextlib.closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    def _connect(self) -> sqlite3.Connection:
        # isolation_level=None: transactions begin and end where this module says.
        connection = sqlite3.connect(
            self.path, timeout=30, isolation_level=None, check_same_thread=False
        )
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection


class Past(Database):
    """What a database held at some moment, in memory and only to be read."""

    def __init__(self, database: Database) -> None:
        with database.reading() as connection:
            image = bytearray(connection.serialize())
        # Bytes 18 and 19 say that a log stands beside the file; in memory there is none.
        # https://www.sqlite.org/fileformat.html#file_format_version_numbers
        image[18:20] = b"\1\1"
        self._image = bytes(image)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The state at that moment."""
        with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            connection.deserialize(self._image)
            yield connection
