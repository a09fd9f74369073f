"""Pull requests (and plain discussions): opening, talking, closing, merging."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mbrelease.hub.rehearsal import history, references
from mbrelease.hub.rehearsal.objects import File
from mbrelease.hub.rehearsal.refusals import Refused


@dataclass(frozen=True)
class Discussion:
    """A pull request or a plain discussion.

    Fields:
        status: draft, open, closed or merged.
        merge_commit: id of the commit that merged it.
    """

    repository: str
    number: int
    title: str
    status: str
    is_pull_request: bool
    author: str
    created_at: datetime
    merge_commit: str | None

    @property
    def reference(self) -> str:
        """Full name of a pull request's head."""
        return f"{references.PULLS}{self.number}"


@dataclass(frozen=True)
class Event:
    """Something that happened in a discussion: comment, commit, status-change or title-change."""

    number: int
    type: str
    author: str
    created_at: datetime
    data: Mapping[str, Any]


def open_new(
    connection: sqlite3.Connection,
    repository: str,
    *,
    title: str,
    description: str,
    author: str,
    status: str,
    pull_request_from: str | None,
) -> int:
    """Open a discussion, or a pull request that begins at a commit; return its number."""
    (number,) = connection.execute(
        "SELECT coalesce(max(number), 0) + 1 FROM discussions WHERE repository = ?", (repository,)
    ).fetchone()
    connection.execute(
        "INSERT INTO discussions VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
        (repository, number, title, status, pull_request_from is not None, author, _now()),
    )
    if pull_request_from is not None:
        references.create(connection, repository, f"{references.PULLS}{number}", pull_request_from)
    note(connection, repository, number, "comment", author, _comment(description))
    return int(number)


def find(connection: sqlite3.Connection, repository: str, number: int) -> Discussion:
    """The discussion with this number.

    Raises:
        Refused: 404, there is none.
    """
    row = connection.execute(
        "SELECT * FROM discussions WHERE repository = ? AND number = ?", (repository, number)
    ).fetchone()
    if row is None:
        raise Refused(404, f"There is no discussion {number} in {repository}")
    return _discussion(row)


def every(connection: sqlite3.Connection, repository: str) -> list[Discussion]:
    """All discussions, the last first."""
    rows = connection.execute(
        "SELECT * FROM discussions WHERE repository = ? ORDER BY number DESC", (repository,)
    )
    return [_discussion(row) for row in rows]


def events(connection: sqlite3.Connection, discussion: Discussion) -> list[Event]:
    """What happened in a discussion, the first first."""
    rows = connection.execute(
        "SELECT * FROM events WHERE repository = ? AND discussion = ? ORDER BY number",
        (discussion.repository, discussion.number),
    )
    return [
        Event(
            row["number"],
            row["type"],
            row["author"],
            datetime.fromisoformat(row["created_at"]),
            json.loads(row["data"]),
        )
        for row in rows
    ]


def note(
    connection: sqlite3.Connection,
    repository: str,
    number: int,
    kind: str,
    author: str,
    data: Mapping[str, Any],
) -> None:
    """Write an event down."""
    connection.execute(
        "INSERT INTO events (repository, discussion, type, author, created_at, data)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (repository, number, kind, author, _now(), json.dumps(data)),
    )


def note_commit(
    connection: sqlite3.Connection,
    repository: str,
    reference: str,
    title: str,
    commit_id: str,
    author: str,
) -> None:
    """Write a commit down in the pull request it went to, if it went to one."""
    if reference.startswith(references.PULLS):
        number = int(reference.removeprefix(references.PULLS))
        note(connection, repository, number, "commit", author, {"subject": title, "oid": commit_id})


def comment(connection: sqlite3.Connection, discussion: Discussion, author: str, text: str) -> None:
    """Say something in a discussion."""
    note(connection, discussion.repository, discussion.number, "comment", author, _comment(text))


def rename(connection: sqlite3.Connection, discussion: Discussion, author: str, title: str) -> None:
    """Give a discussion another title.

    Raises:
        Refused: 400, the title is shorter than the Hub allows.
    """
    if len(title.strip()) < 3:
        raise Refused(400, "A title has at least 3 characters")
    connection.execute(
        "UPDATE discussions SET title = ? WHERE repository = ? AND number = ?",
        (title, discussion.repository, discussion.number),
    )
    change = {"from": discussion.title, "to": title}
    note(connection, discussion.repository, discussion.number, "title-change", author, change)


def set_status(
    connection: sqlite3.Connection, discussion: Discussion, author: str, status: str
) -> None:
    """Open or close a discussion; opening a draft makes it ready to be merged.

    Raises:
        Refused: 400, it is merged, or the status is unknown.
    """
    if status not in {"open", "closed"} or discussion.status == "merged":
        raise Refused(400, f"A {discussion.status} pull request cannot become {status!r}")
    _write_status(connection, discussion, author, status)


def conflicts(connection: sqlite3.Connection, discussion: Discussion) -> list[str]:
    """Files that a pull request and ``main`` both changed, differently."""
    _, conflicting = _merged(connection, discussion)
    return conflicting


def base_of(connection: sqlite3.Connection, discussion: Discussion) -> history.Commit:
    """The commit of ``main`` that a pull request began from."""
    ours = history.resolve(connection, discussion.repository, references.MAIN)
    theirs = history.resolve(connection, discussion.repository, discussion.reference)
    base = history.merge_base(connection, ours, theirs)
    assert base is not None  # every line of history begins at the repository's first commit
    return base


def merge(connection: sqlite3.Connection, discussion: Discussion, author: str) -> str:
    """Merge a pull request into ``main`` and return the merge commit's id.

    Raises:
        Refused: 400, it is no open pull request; 409, it conflicts with ``main``.
    """
    if not discussion.is_pull_request or discussion.status != "open":
        raise Refused(
            400,
            "Only an open pull request can be merged;"
            f" {discussion.number} is {discussion.status}"
            + (": open it first" if discussion.status == "draft" else ""),
        )
    files, conflicting = _merged(connection, discussion)
    if conflicting:
        raise Refused(409, "The pull request conflicts with main in " + ", ".join(conflicting))
    ours = history.resolve(connection, discussion.repository, references.MAIN)
    theirs = history.resolve(connection, discussion.repository, discussion.reference)
    commit_id = history.record(
        connection,
        discussion.repository,
        files,
        (ours.id, theirs.id),
        title=f"{discussion.title} (#{discussion.number})",
        description="",
        author=author,
    )
    references.move(connection, discussion.repository, references.MAIN, commit_id)
    connection.execute(
        "UPDATE discussions SET merge_commit = ? WHERE repository = ? AND number = ?",
        (commit_id, discussion.repository, discussion.number),
    )
    _write_status(connection, discussion, author, "merged")
    return commit_id


def _merged(
    connection: sqlite3.Connection, discussion: Discussion
) -> tuple[dict[str, File], list[str]]:
    ours = history.resolve(connection, discussion.repository, references.MAIN)
    theirs = history.resolve(connection, discussion.repository, discussion.reference)
    base = history.listing(connection, base_of(connection, discussion))
    mine, other = history.listing(connection, ours), history.listing(connection, theirs)
    merged, conflicting = dict(mine), []
    for path in sorted({*base, *other}):
        if other.get(path) == base.get(path) or other.get(path) == mine.get(path):
            continue
        if mine.get(path) != base.get(path):
            conflicting.append(path)
        elif path in other:
            merged[path] = other[path]
        else:
            del merged[path]
    return merged, conflicting


def _write_status(
    connection: sqlite3.Connection, discussion: Discussion, author: str, status: str
) -> None:
    connection.execute(
        "UPDATE discussions SET status = ? WHERE repository = ? AND number = ?",
        (status, discussion.repository, discussion.number),
    )
    note(
        connection,
        discussion.repository,
        discussion.number,
        "status-change",
        author,
        {"status": status},
    )


def _comment(text: str) -> dict[str, Any]:
    return {"text": text}


def _now() -> str:
    return datetime.now(UTC).replace(microsecond=0).isoformat()


def _discussion(row: sqlite3.Row) -> Discussion:
    fields = dict(row)
    fields["is_pull_request"] = bool(fields["is_pull_request"])
    fields["created_at"] = datetime.fromisoformat(fields["created_at"])
    return Discussion(**fields)
