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
from mbrelease.pages import lineage
from mbrelease.pages.lineage import Named
from mbrelease.pages.tags import Tag, tags

COMMITS_SHOWN = 200


@dataclass(frozen=True)
class Subject:
    """A model at a revision.

    Fields:
        revision: as it stands in the address.
        labels: what stands at the head of the page, from the card and the files.
        branches, tags: names of what else can be looked at.
        open_pulls: number of pull requests that wait.
    """

    repository: repositories.Repository
    revision: str
    commit: history.Commit
    files: Mapping[str, File]
    facts: Facts
    labels: Sequence[Tag]
    branches: Sequence[str]
    tags: Sequence[str]
    open_pulls: int

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file.size_bytes for file in self.files.values())


@dataclass(frozen=True)
class Family:
    """The models that a model comes from, and those on this Hub that come from it."""

    parents: Sequence[Named]
    relation: str
    children: Sequence[Named]


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
    found = facts(hub.blobs, files)
    return Subject(
        repository=repository,
        revision=revision,
        commit=commit,
        files=files,
        facts=found,
        labels=_labels(found, files, _card(hub, files) or ""),
        branches=[each.short_name for each in names if each.name.startswith(references.HEADS)],
        tags=[each.short_name for each in names if each.name.startswith(references.TAGS)],
        open_pulls=len(waiting),
    )


def card(hub: Hub, model: Subject) -> str | None:
    """The text of the model card below its metadata; ``None`` if there is no card."""
    return _card(hub, model.files)


def _card(hub: Hub, files: Mapping[str, File]) -> str | None:
    readme = files.get("README.md")
    if readme is None:
        return None
    return split_readme(hub.blobs.read(readme.sha256).decode(errors="replace"))[1]


def _labels(found: Facts, files: Mapping[str, File], body: str) -> list[Tag]:
    formats = ["safetensors"] if any(path.endswith(".safetensors") for path in files) else []
    libraries = [*([found.library] if found.library else []), *formats]
    return tags(found.metadata, task=found.pipeline, libraries=libraries, body=body)


def family(hub: Hub, connection: sqlite3.Connection, model: Subject) -> Family:
    """The model's parents by its card, and its children by theirs."""
    here = {each.repository.id: each for each in models(hub, connection, see_private=False)}
    return Family(
        parents=[
            Named(parent.id, f"/{parent.id}")
            if parent.id in here
            else Named(parent.id, parent.href, "on the public Hub")
            for parent in lineage.parents(model.facts.metadata)
        ],
        relation=lineage.relation(model.facts.metadata),
        children=sorted(
            (
                Named(name, f"/{name}")
                for name, each in here.items()
                if model.repository.id in as_list(each.facts.metadata.get("base_model"))
            ),
            key=lambda child: child.id,
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
