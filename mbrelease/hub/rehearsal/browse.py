"""What the pages show, read from the Hub's state."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mbrelease.hub.rehearsal import discussions, history, references, repositories
from mbrelease.hub.rehearsal.facts import Facts, facts
from mbrelease.hub.rehearsal.hub import Hub
from mbrelease.hub.rehearsal.metadata import as_list, split_readme
from mbrelease.hub.rehearsal.objects import File
from mbrelease.hub.rehearsal.refusals import entry_not_found

COMMITS_SHOWN = 200


@dataclass(frozen=True)
class Subject:
    """A model at a revision.

    Fields:
        revision: as it stands in the address.
        branches, tags: names of what else can be looked at.
        open_pulls: number of pull requests that wait.
    """

    repository: repositories.Repository
    revision: str
    commit: history.Commit
    files: Mapping[str, File]
    facts: Facts
    branches: Sequence[str]
    tags: Sequence[str]
    open_pulls: int

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file.size_bytes for file in self.files.values())


@dataclass(frozen=True)
class Parent:
    """A base model: its id, how it was used, and whether it is on this Hub."""

    id: str
    relation: str | None
    is_here: bool


@dataclass(frozen=True)
class Family:
    """The models that a model comes from, and those on this Hub that come from it."""

    parents: Sequence[Parent]
    children: Sequence[str]


@dataclass(frozen=True)
class Entry:
    """A line in a folder: a file, or (``file`` is ``None``) a folder."""

    name: str
    path: str
    file: File | None
    changed_by: history.Commit


@dataclass(frozen=True)
class Changes:
    """What a commit changed against its first parent."""

    added: Sequence[File]
    changed: Sequence[File]
    removed: Sequence[File]


@dataclass(frozen=True)
class Pull:
    """A pull request with what happened in it."""

    discussion: discussions.Discussion
    events: Sequence[discussions.Event]
    conflicts: Sequence[str]


def models(hub: Hub, connection: sqlite3.Connection, *, see_private: bool) -> list[Subject]:
    """All models at the head of ``main``, the last changed first."""
    return [
        subject(hub, connection, repository, "main")
        for repository in repositories.every(connection, see_private=see_private)
    ]


def subject(
    hub: Hub, connection: sqlite3.Connection, repository: repositories.Repository, revision: str
) -> Subject:
    """A model at a revision.

    Raises:
        Refused: 404, there is no such revision.
    """
    commit = history.resolve(connection, repository.id, revision)
    files = history.listing(connection, commit)
    names = references.every(connection, repository.id)
    waiting = [
        each
        for each in discussions.every(connection, repository.id)
        if each.status in {"open", "draft"}
    ]
    return Subject(
        repository=repository,
        revision=revision,
        commit=commit,
        files=files,
        facts=facts(hub.blobs, files),
        branches=[each.short_name for each in names if each.name.startswith(references.HEADS)],
        tags=[each.short_name for each in names if each.name.startswith(references.TAGS)],
        open_pulls=len(waiting),
    )


def card(hub: Hub, model: Subject) -> str | None:
    """The text of the model card below its metadata; ``None`` if there is no card."""
    readme = model.files.get("README.md")
    if readme is None:
        return None
    return split_readme(hub.blobs.read(readme.sha256).decode(errors="replace"))[1]


def family(hub: Hub, connection: sqlite3.Connection, model: Subject) -> Family:
    """The model's parents by its card, and its children by theirs."""
    here = {each.repository.id: each for each in models(hub, connection, see_private=False)}
    relation = model.facts.metadata.get("base_model_relation")
    parents = [str(name) for name in as_list(model.facts.metadata.get("base_model"))]
    return Family(
        parents=[
            Parent(name, None if relation is None else str(relation), name in here)
            for name in parents
        ],
        children=sorted(
            name
            for name, each in here.items()
            if model.repository.id in as_list(each.facts.metadata.get("base_model"))
        ),
    )


def folder(connection: sqlite3.Connection, model: Subject, path: str) -> list[Entry]:
    """What is in a folder, folders first.

    Raises:
        Refused: 404, there is no such folder.
    """
    prefix = f"{path}/" if path else ""
    changed_by = history.last_changes(connection, model.commit)
    entries: dict[str, Entry] = {}
    for file in model.files.values():
        if not file.path.startswith(prefix):
            continue
        name, slash, _ = file.path[len(prefix) :].partition("/")
        full = prefix + name
        entries[name] = Entry(name, full, None if slash else file, changed_by[full])
    if not entries:
        raise entry_not_found(path, model.commit.id)
    return sorted(entries.values(), key=lambda entry: (entry.file is not None, entry.name))


def commits(connection: sqlite3.Connection, model: Subject) -> list[history.Commit]:
    """The last commits, the last first."""
    found = history.ancestors(connection, model.commit)
    return [each for each, _ in zip(found, range(COMMITS_SHOWN), strict=False)]


def changes(connection: sqlite3.Connection, commit: history.Commit) -> Changes:
    """What a commit changed."""
    after = history.listing(connection, commit)
    parent = (
        history.find(connection, commit.repository, commit.parents[0]) if commit.parents else None
    )
    before = history.listing(connection, parent) if parent else {}
    return Changes(
        added=[file for path, file in after.items() if path not in before],
        changed=[file for path, file in after.items() if path in before and before[path] != file],
        removed=[file for path, file in before.items() if path not in after],
    )


def pulls(connection: sqlite3.Connection, model: Subject) -> list[discussions.Discussion]:
    """The pull requests and discussions, the last first."""
    return discussions.every(connection, model.repository.id)


def pull(connection: sqlite3.Connection, model: Subject, number: int) -> Pull:
    """A pull request or discussion.

    Raises:
        Refused: 404, there is none with this number.
    """
    found = discussions.find(connection, model.repository.id, number)
    mergeable = found.is_pull_request and found.status in {"open", "draft"}
    return Pull(
        discussion=found,
        events=discussions.events(connection, found),
        conflicts=discussions.conflicts(connection, found) if mergeable else [],
    )
