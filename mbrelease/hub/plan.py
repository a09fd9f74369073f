"""What a push would do, and all that stands in its way. Making a plan sends nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mbrelease.errors import UserError, did_you_mean
from mbrelease.hub.client import shown_endpoint, token_of
from mbrelease.hub.contents import LocalFile, read_contents
from mbrelease.hub.front_matter import ask_server
from mbrelease.hub.problems import Problem, refusal
from mbrelease.hub.remote import GIT_ATTRIBUTES, Remote, is_same, is_tag_name, read_remote
from mbrelease.hub.rights import read_rights

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True)
class Plan:
    """A push before it happens; ``added``, ``changed`` and ``unchanged`` are paths of ``files``."""

    folder: Path
    repo_id: str
    endpoint: str
    revision: str
    create_pr: bool
    private: bool
    tag: str | None
    user: str | None
    """The account behind the token."""
    repo_exists: bool
    head: str | None
    """The commit that the new one will stand on; a remote that has left it is not touched."""
    files: tuple[LocalFile, ...]
    added: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    remote_only: tuple[str, ...]
    """On the remote and not in the folder; they are kept."""
    tag_commit: str | None
    """What ``tag`` names on the remote already."""
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Whether nothing stands in the way."""
        return not self.problems

    @property
    def to_send(self) -> tuple[LocalFile, ...]:
        """The files whose bytes the remote does not have at their paths."""
        sent = {*self.added, *self.changed}
        return tuple(file for file in self.files if file.path in sent)

    @property
    def has_changes(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self.added or self.changed)

    @property
    def bytes_to_send(self) -> int:
        """The bytes of the added and changed files."""
        return sum(file.size_bytes for file in self.to_send)

    @property
    def url(self) -> str:
        """The page of the model."""
        return f"{self.endpoint}/{self.repo_id}"

    def require_clean(self) -> None:
        """Do nothing if the plan is clean.

        Raises:
            CheckFailed: it is not; every problem is told.
        """
        if self.problems:
            raise refusal(self.problems)

    def as_json(self) -> dict[str, Any]:
        """The plan as plain values, for ``--json``."""
        values = {**asdict(self), "folder": str(self.folder)}
        return {**values, "bytes_to_send": self.bytes_to_send, "clean": self.is_clean}


def make_plan(
    folder: Path,
    repo_id: str,
    *,
    tag: str | None = None,
    revision: str = "main",
    create_pr: bool = False,
    private: bool = False,
    api: HfApi,
) -> Plan:
    """Compare ``folder`` with ``repo_id`` on the Hub and gather every problem; nothing is sent.

    Args:
        folder: what to publish: every file in it, or none.
        repo_id: ``org/name``; made by ``publish`` where it does not exist.
        tag, revision, create_pr: a tag for the commit, its branch, or a pull request instead.
        private: make a new repository private; one that is public already is a problem.
        api: any client; ``mbrelease.hub.client.connect`` makes one.

    Raises:
        UserError: ``folder`` is no folder.
    """
    contents = read_contents(folder, token_of(api))
    problems = [*contents.problems, *_wrong_names(repo_id, tag, create_pr)]
    state = _State(None, None, ())
    if not _wrong_names(repo_id, None, False):
        readme = folder / "README.md"
        is_sound = readme.is_file() and not any("README.md" in p.message for p in problems)
        state = _ask(api, repo_id, revision, create_pr, readme if is_sound else None, problems)
    remote = state.remote
    added, changed, unchanged = _compare(folder, contents.files, remote)
    problems.extend(_tag_problems(remote, tag, has_changes=bool(added or changed)))
    if private:
        problems.extend(_privacy_problems(remote, repo_id))
    return Plan(
        folder=folder,
        repo_id=repo_id,
        endpoint=shown_endpoint(api),
        revision=revision,
        create_pr=create_pr,
        private=private,
        tag=tag,
        user=state.user,
        repo_exists=remote is not None,
        head=remote.head if remote else None,
        files=contents.files,
        added=added,
        changed=changed,
        unchanged=unchanged,
        remote_only=_remote_only(contents.files, remote),
        tag_commit=remote.tags.get(tag) if remote and tag else None,
        problems=tuple(problems),
        notes=tuple(state.notes),
    )


def _privacy_problems(remote: Remote | None, repo_id: str) -> list[Problem]:
    if remote is None or remote.private:
        return []
    message = f"{repo_id} exists and is public; --private does not change it"
    return [Problem(message, "make it private on the Hub, or leave out --private")]


@dataclass(frozen=True)
class _State:
    """What the Hub told; ``user`` is ``None`` where it was not asked further."""

    user: str | None
    remote: Remote | None
    notes: tuple[str, ...]


def _ask(
    api: HfApi,
    repo_id: str,
    revision: str,
    create_pr: bool,
    readme: Path | None,
    problems: list[Problem],
) -> _State:
    """Ask the Hub about the account, the repository and the metadata; adds to ``problems``."""
    rights = read_rights(api, repo_id, create_pr=create_pr)
    problems.extend(rights.problems)
    if rights.user is None:
        # Without an account every further question would get the same answer.
        return _State(None, None, ())
    remote: Remote | None = None
    notes: list[str] = []
    try:
        remote = read_remote(api, repo_id, revision)
        problems.extend(_remote_problems(repo_id, remote, revision, create_pr))
        if rights.is_stranger:
            notes.extend(_strange(rights.user, repo_id, remote, problems))
    except UserError as error:
        problems.append(Problem.of(error))
    if readme is not None:
        try:
            notes.extend(_validate_metadata(api, repo_id, readme))
        except UserError as error:
            problems.append(Problem.of(error))
    return _State(rights.user, remote, tuple(notes))


def _wrong_names(repo_id: str, tag: str | None, create_pr: bool) -> list[Problem]:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    problems = []
    try:
        validate_repo_id(repo_id)
        if "/" not in repo_id:
            problems.append(Problem(f"'{repo_id}' names no account", f"give --to ORG/{repo_id}"))
    except HFValidationError:
        mend = "give ORG/NAME of letters, digits, '-', '_' and '.'"
        problems.append(Problem(f"'{repo_id}' is no repository id", mend))
    if tag is not None and not is_tag_name(tag):
        problems.append(Problem(f"'{tag}' is no name for a tag", "try one like v1.0"))
    if tag is not None and create_pr:
        mend = "tag it when it is merged"
        problems.append(Problem("a pull request cannot be tagged", mend))
    return problems


def _remote_problems(
    repo_id: str, remote: Remote | None, revision: str, create_pr: bool
) -> Iterable[Problem]:
    if remote is None:
        if create_pr:
            yield Problem(
                f"{repo_id} does not exist: a pull request needs a repository", "drop --pr"
            )
        if revision != "main":
            yield Problem(f"{repo_id} does not exist: it has no branch '{revision}'", "use main")
    elif remote.repo_id != repo_id:
        mend = did_you_mean(repo_id, [remote.repo_id]) or f"it is {remote.repo_id} now"
        yield Problem(f"{repo_id} is known to the Hub as {remote.repo_id}", mend)


def _strange(
    user: str, repo_id: str, remote: Remote | None, problems: list[Problem]
) -> Iterable[str]:
    """A stranger to the namespace cannot write to what is there; a new one may yet be made."""
    namespace = repo_id.partition("/")[0]
    told = f"{user} is not a member of '{namespace}'"
    if remote is None:
        yield f"{told}; the Hub may refuse to make {repo_id}"
    else:
        mend = f"join it, push to {user}/…, or propose the change with --pr"
        problems.append(Problem(told, mend))


def _tag_problems(
    remote: Remote | None, tag: str | None, *, has_changes: bool
) -> Iterable[Problem]:
    if remote is None or tag is None:
        return
    commit = remote.tags.get(tag)
    if commit is not None and (has_changes or commit != remote.head):
        yield Problem(
            f"tag '{tag}' of {remote.repo_id} names {commit[:12]} already, and is not moved",
            "choose another tag",
        )
    if tag in remote.branches:
        yield Problem(f"'{tag}' is a branch of {remote.repo_id}", "choose another tag")


def _compare(
    folder: Path, files: Iterable[LocalFile], remote: Remote | None
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    added, changed, unchanged = [], [], []
    for file in files:
        there = remote.files.get(file.path) if remote else None
        if there is None:
            added.append(file.path)
        elif is_same(folder, file, there):
            unchanged.append(file.path)
        else:
            changed.append(file.path)
    return tuple(added), tuple(changed), tuple(unchanged)


def _remote_only(files: Iterable[LocalFile], remote: Remote | None) -> tuple[str, ...]:
    here = {GIT_ATTRIBUTES, *(file.path for file in files)}
    return tuple(sorted(set(remote.files) - here)) if remote else ()


def _validate_metadata(api: HfApi, repo_id: str, readme: Path) -> list[str]:
    """Let the Hub check the README's metadata; returns its warnings.

    Raises:
        CheckFailed: the Hub does not accept it, or cannot be asked.
    """
    errors, warnings = ask_server(api, repo_id, readme.read_text(encoding="utf-8"))
    if errors:
        told = "; ".join(errors)
        raise refusal([Problem(f"the Hub does not accept README.md's metadata: {told}")])
    return [f"README.md: {warning}" for warning in warnings]
