"""Every commit that changed a variant: its values, its file, its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from mbrelease.errors import UserError, did_you_mean
from mbrelease.registry.changes import Change, changes
from mbrelease.registry.history.git import Commit, Repository, find_repository
from mbrelease.registry.history.versions import (
    Committed,
    Entries,
    Includes,
    OnDisk,
    Stand,
    Version,
)

Kind = Literal["added", "removed", "changed", "renamed", "moved"]
_SIGNS_OF_ONE = ("repo", "run", "weights")
_ABSENT = Stand()


@dataclass(frozen=True)
class Event:
    """A commit that changed the variant."""

    commit: Commit | None
    """``None``: not committed yet."""
    kind: Kind
    name: str
    """What it was called from then on."""
    file: str | None
    changes: tuple[Change, ...]
    was_named: str | None = None
    """Of one that was renamed."""
    was_in: str | None = None
    """Of one that was moved: the file before."""

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        commit = self.commit
        return {
            "commit": commit.sha if commit else None,
            "date": commit.date if commit else None,
            "author": commit.author if commit else None,
            "subject": commit.subject if commit else None,
            "kind": self.kind,
            "name": self.name,
            "file": self.file,
            "was_named": self.was_named,
            "was_in": self.was_in,
            "changes": [change.as_json() for change in self.changes],
        }


@dataclass(frozen=True)
class PassedOver:
    """A commit whose registry cannot be read."""

    commit: Commit
    why: str

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"commit": self.commit.sha, "date": self.commit.date, "why": self.why}


@dataclass(frozen=True)
class History:
    """The events of a variant, the newest first."""

    name: str
    """What the variant is called now, or was called last."""
    events: tuple[Event, ...]
    passed_over: tuple[PassedOver, ...]
    shallow: bool = False
    """Whether older commits are not in this clone."""

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "name": self.name,
            "events": [event.as_json() for event in self.events],
            "passed_over": [one.as_json() for one in self.passed_over],
            "shallow": self.shallow,
        }


def history(registry: Path, name: str) -> History:
    """The history of the variant ``name`` in the registry at ``registry``.

    The variant may be gone by now, and ``name`` one that it had before it was renamed. Commits
    where its entry cannot be read are passed over: what they changed shows at the next where it
    can.

    Raises:
        UserError: there is no git repository, or no such variant was ever in it.
    """
    registry = registry.resolve()
    repository = find_repository(registry.parent)
    root = repository.root.resolve()
    path = PurePosixPath(registry.relative_to(root).as_posix())
    entries, now = Entries(), OnDisk(root, registry)
    with repository.objects() as objects:
        past = _Past(Includes(objects), path, entries)
        past.commits = _commits(repository, past)
        found = _read(past, now, _last_name(past, now, name))
        known = entries.all_names(now)
    if not found.events:
        raise UserError(
            f"no variant '{name}' in {registry}, nor in its history",
            mend=did_you_mean(name, known) or "see 'mbrelease registry list'",
        )
    return replace(found, shallow=repository.is_shallow)


@dataclass
class _Past:
    """The commits of a registry, newest first, and what they say of variants."""

    includes: Includes
    path: PurePosixPath
    entries: Entries
    commits: Sequence[Commit] = ()
    _stands: dict[tuple[str, str], Stand] = field(default_factory=dict)

    def version(self, commit: Commit) -> Committed:
        return Committed(self.includes, commit.tree, self.path)

    def stand(self, commit: Commit, name: str) -> Stand:
        key = (commit.tree, name)
        if key not in self._stands:
            self._stands[key] = self.entries.stand(self.version(commit), name)
        return self._stands[key]


def _commits(repository: Repository, past: _Past) -> list[Commit]:
    """The commits that touched the registry, or a file that it included at any time."""
    specs = [f":(top,literal){past.path}"]
    commits = repository.commits(specs)
    patterns = {pattern for commit in commits for pattern in past.version(commit).patterns()}
    if not patterns:
        return commits
    inner = [f":(top,glob){past.path.parent / pattern}" for pattern in sorted(patterns)]
    return repository.commits([*specs, *inner])


def _read(past: _Past, now: OnDisk, name: str) -> History:
    by_sha = {commit.sha: commit for commit in past.commits}
    head = past.commits[0] if past.commits else None
    on_disk = past.entries.stand(now, name)
    # What was renamed and not committed yet has its old name in all commits.
    first = name
    if head is not None and on_disk.entry is not None:
        first = _name_before(past, now, past.version(head), name, on_disk) or name
    names = _names(past, by_sha, first)
    known: dict[str, Stand] = {}
    events: list[Event] = []
    passed_over: list[PassedOver] = []
    for commit in reversed(past.commits):
        own = names[commit.sha]
        found = past.stand(commit, own)
        parents = [(names[sha], known[sha]) for sha in commit.parents]
        if found.unreadable is not None:
            passed_over.append(PassedOver(commit, found.unreadable))
            known[commit.sha] = parents[0][1] if parents else _ABSENT
            continue
        known[commit.sha] = found
        event = _event(commit, own, found, parents)
        events += [event] if event is not None else []
    if on_disk.unreadable is None:
        before = [(names[head.sha], known[head.sha])] if head is not None else []
        event = _event(None, name, on_disk, before)
        events += [event] if event is not None else []
    return History(name, tuple(reversed(events)), tuple(reversed(passed_over)))


def _last_name(past: _Past, now: OnDisk, name: str) -> str:
    """What became of ``name``: what the variant is called now, or was when it was removed."""
    seen: set[str] = set()
    while name not in seen and past.entries.stand(now, name) == _ABSENT:
        seen.add(name)
        name = _name_after(past, now, name) or name
    return name


def _name_after(past: _Past, now: OnDisk, name: str) -> str | None:
    """What ``name`` was called from the step on that took it away, if that one renamed it."""
    if not past.commits:
        return None
    by_sha = {commit.sha: commit for commit in past.commits}
    head = past.version(past.commits[0])
    if (before := past.entries.stand(head, name)).entry is not None:
        return _came_as(past, now, head, before)
    for commit in past.commits:  # children before their parents
        if past.stand(commit, name) != _ABSENT:
            continue
        for sha in commit.parents:
            before = past.stand(by_sha[sha], name)
            if before.entry is not None:
                version, above = past.version(commit), past.version(by_sha[sha])
                return _came_as(past, version, above, before)
    return None


def _came_as(past: _Past, version: Version, above: Version, before: Stand) -> str | None:
    """Under which new name of ``version`` a variant of the version ``above`` goes on."""
    known = set(past.entries.all_names(above))
    came = [each for each in past.entries.all_names(version) if each not in known]
    new = {each: past.entries.stand(version, each).entry for each in came}
    return _same_under_another_name(before.entry or {}, new)


def _names(past: _Past, by_sha: Mapping[str, Commit], name: str) -> dict[str, str]:
    """What the variant was called at each commit."""
    names: dict[str, str] = {}
    for commit in past.commits:  # children before their parents
        own = names.setdefault(commit.sha, name)
        found = past.stand(commit, own)
        for sha in commit.parents:
            if sha in names:
                continue
            before = None
            if found.entry is not None:
                version, above = past.version(commit), past.version(by_sha[sha])
                before = _name_before(past, version, above, own, found)
            names[sha] = before or own
    return names


def _name_before(
    past: _Past, version: Version, above: Version, name: str, found: Stand
) -> str | None:
    """What ``name`` was called in the version before, where a variant vanished as it came."""
    before = past.entries.stand(above, name)
    if before.entry is not None or before.unreadable is not None:
        return None
    here = set(past.entries.all_names(version))
    gone = [each for each in past.entries.all_names(above) if each not in here]
    old = {each: past.entries.stand(above, each).entry for each in gone}
    return _same_under_another_name(found.entry or {}, old)


def _same_under_another_name(
    entry: Mapping[str, Any], others: Mapping[str, Mapping[str, Any] | None]
) -> str | None:
    """Which of ``others`` is this one: the same entry, else the same repo, run or weights."""
    if not entry:
        return None
    same = [name for name, other in others.items() if other == entry]
    for key in _SIGNS_OF_ONE:
        own = entry.get(key)
        same += [n for n, other in others.items() if other and own and other.get(key) == own]
    return same[0] if same else None


def _event(
    commit: Commit | None, name: str, found: Stand, parents: Sequence[tuple[str, Stand]]
) -> Event | None:
    """What ``commit`` did to the variant; nothing where it is as in one of the parents."""
    for old_name, old in parents:
        if (old_name, old.entry, old.file) == (name, found.entry, found.file):
            return None
    old_name, old = parents[0] if parents else (name, _ABSENT)
    if found.entry is None and old.entry is None:
        return None
    changed = tuple(changes(old.entry, found.entry))
    file = found.file or old.file
    if old.entry is None:
        return Event(commit, "added", name, file, changed)
    if found.entry is None:
        return Event(commit, "removed", name, file, ())
    was_named = old_name if old_name != name else None
    was_in = old.file if old.file != found.file else None
    kind: Kind = "renamed" if was_named else "changed" if changed else "moved"
    return Event(commit, kind, name, file, changed, was_named, was_in)
