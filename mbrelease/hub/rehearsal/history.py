"""Commits: recording them, finding them by revision, walking back."""

from __future__ import annotations

import heapq
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, datetime

from mbrelease.files import canonical_json, sha256_bytes
from mbrelease.hub.rehearsal.objects import File, commit_oid, folder_oids
from mbrelease.hub.rehearsal.refusals import revision_not_found

Listing = Mapping[str, File]
_ABBREVIATED = re.compile(r"[0-9a-f]{7,40}")


@dataclass(frozen=True)
class Commit:
    """A commit of a repository.

    Fields:
        number: grows along every line of history.
        id: 40 hex digits, as git would compute them.
        parents: ids; none for the first commit, two for a merge.
        listing: key of its files.
        created_at: UTC, whole seconds.
    """

    number: int
    repository: str
    id: str
    parents: tuple[str, ...]
    listing: str
    title: str
    description: str
    author: str
    created_at: datetime


def record(
    connection: sqlite3.Connection,
    repository: str,
    files: Listing,
    parents: tuple[str, ...],
    *,
    title: str,
    description: str,
    author: str,
) -> str:
    """Record a commit and return its id."""
    at = datetime.now(UTC).replace(microsecond=0)
    ordered = [files[path] for path in sorted(files)]
    text = canonical_json([astuple(file) for file in ordered])
    listing = sha256_bytes(text.encode())
    connection.execute("INSERT OR IGNORE INTO listings VALUES (?, ?)", (listing, text))
    tree = folder_oids(ordered)[""]
    commit_id = commit_oid(tree, parents, author, at, title, description)
    # As in git, the same change by the same author in the same second is the same commit.
    connection.execute(
        "INSERT OR IGNORE INTO commits"
        " (repository, id, parents, listing, title, description, author, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(repository, commit_id, json.dumps(parents), listing),
            *(title, description, author, at.isoformat()),
        ),
    )
    return commit_id


def find(connection: sqlite3.Connection, repository: str, commit_id: str) -> Commit | None:
    """The commit with this full id, if the repository has it."""
    row = connection.execute(
        "SELECT * FROM commits WHERE repository = ? AND id = ?", (repository, commit_id)
    ).fetchone()
    return None if row is None else _commit(row)


def resolve(connection: sqlite3.Connection, repository: str, revision: str) -> Commit:
    """The commit that a branch, a tag, a full reference or a (shortened) id stands for.

    Raises:
        Refused: 404, there is none, or a shortened id could be two.
    """
    names = [revision] if revision.startswith("refs/") else []
    names += [f"refs/heads/{revision}", f"refs/tags/{revision}"]
    for name in names:
        row = connection.execute(
            "SELECT commit_id FROM refs WHERE repository = ? AND name = ?", (repository, name)
        ).fetchone()
        if row is not None:
            commit = find(connection, repository, row["commit_id"])
            assert commit is not None
            return commit
    if _ABBREVIATED.fullmatch(revision.lower()):
        rows = connection.execute(
            "SELECT * FROM commits WHERE repository = ? AND id >= ? AND id < ? LIMIT 2",
            (repository, revision.lower(), revision.lower() + "g"),
        ).fetchall()
        if len(rows) == 1:
            return _commit(rows[0])
    raise revision_not_found(revision)


def listing(connection: sqlite3.Connection, commit: Commit) -> dict[str, File]:
    """The files of a commit, by path, in the order of their paths."""
    row = connection.execute(
        "SELECT files FROM listings WHERE sha256 = ?", (commit.listing,)
    ).fetchone()
    return {fields[0]: File(*fields) for fields in json.loads(row["files"])}


def ancestors(connection: sqlite3.Connection, commit: Commit) -> Iterator[Commit]:
    """The commit and all before it, each after its descendants."""
    waiting = [(-commit.number, commit)]
    seen = {commit.id}
    while waiting:
        _, current = heapq.heappop(waiting)
        yield current
        for parent_id in current.parents:
            parent = find(connection, commit.repository, parent_id)
            if parent is not None and parent.id not in seen:
                seen.add(parent.id)
                heapq.heappush(waiting, (-parent.number, parent))


def merge_base(connection: sqlite3.Connection, ours: Commit, theirs: Commit) -> Commit | None:
    """The last commit that both have in their history."""
    known = {commit.id for commit in ancestors(connection, ours)}
    return next((each for each in ancestors(connection, theirs) if each.id in known), None)


def last_changes(connection: sqlite3.Connection, commit: Commit) -> dict[str, Commit]:
    """For every file and folder of ``commit``, the last commit that changed it."""
    current = listing(connection, commit)
    open_paths = set(current)
    changed: dict[str, Commit] = {}
    for each in ancestors(connection, commit):
        if not open_paths:
            break
        parent = find(connection, each.repository, each.parents[0]) if each.parents else None
        before = listing(connection, parent) if parent else {}
        for path in [path for path in open_paths if before.get(path) != current[path]]:
            open_paths.discard(path)
            for name in (path, *_folders_above(path)):
                changed.setdefault(name, each)
    return changed


def _folders_above(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: length + 1]) for length in range(len(parts))]


def _commit(row: sqlite3.Row) -> Commit:
    fields = dict(row)
    fields["parents"] = tuple(json.loads(fields["parents"]))
    fields["created_at"] = datetime.fromisoformat(fields["created_at"])
    return Commit(**fields)
