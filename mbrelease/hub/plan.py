"""What a push would do, and all that stands in its way. Making a plan sends nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mbrelease.errors import UserError
from mbrelease.hub.card_changes import README, CardChanges, card_changes
from mbrelease.hub.client import quiet_client, sentences, shown_endpoint, token_of
from mbrelease.hub.contents import LocalFile, read_contents
from mbrelease.hub.front_matter import ask_server
from mbrelease.hub.kept import leftovers, matching, shadows, unmatched
from mbrelease.hub.plan_problems import (
    public_already,
    taken_tag,
    wrong_place,
    wrong_repo_id,
    wrong_tag,
)
from mbrelease.hub.problems import Check, Problem, refusal
from mbrelease.hub.remote import GIT_ATTRIBUTES, Remote, is_same, read_remote
from mbrelease.hub.remote_card import read_remote_card
from mbrelease.hub.rights import Rights, anyone, read_rights
from mbrelease.hub.signature_problems import signature_problems, without_signature
from mbrelease.hub.signed_files import SIGNATURE
from mbrelease.secrets import without_secrets

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TO_BE_SIGNED = f"{SIGNATURE} is made when nothing stands in the way, before anything is sent"


@dataclass(frozen=True)
class Plan:
    """A push before it happens; ``added``, ``changed`` and ``unchanged`` are paths of ``files``."""

    folder: Path
    repo_id: str
    endpoint: str
    revision: str
    create_pr: bool
    private: bool
    sign: bool
    """``model.sig`` is made before anything is sent; until then it is in none of the lists."""
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
    deleted: tuple[str, ...]
    """On the remote and not in the folder, and named by a pattern of ``--delete``."""
    remote_only: tuple[str, ...]
    """On the remote and not in the folder; they are kept."""
    tag_commit: str | None
    """What ``tag`` names on the remote already."""
    branches: Mapping[str, str]
    """The commit of each branch on the remote."""
    tags: Mapping[str, str]
    """The commit of each tag on the remote."""
    card: CardChanges | None
    """How the card changes; ``None`` where it does not, or there was none."""
    checks: tuple[Check, ...]
    """What else was asked about the release, such as whether its card is true."""
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
        return bool(self.added or self.changed or self.deleted)

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
    anonymous: bool = False,
    sign: bool = False,
    delete: Sequence[str] = (),
    checks: Sequence[Check] = (),
    api: HfApi,
) -> Plan:
    """Compare ``folder`` with ``repo_id`` on the Hub and gather every problem; nothing is sent.

    Args:
        folder: what to publish: every file in it, or none.
        repo_id: ``org/name``; made by ``publish`` where it does not exist.
        tag, revision, create_pr: a tag for the commit, its branch, or a pull request instead.
        private: make a new repository private; one that is public already is a problem.
        anonymous: a plan to look at, as anyone can: no right to write is asked for.
        sign: ``sign_plan`` of ``mbrelease.hub.signed_plan`` follows, so ``model.sig`` is left out.
        delete: patterns of files to take out that are only on the Hub; ``*`` stands for all.
        checks: what else was asked about the release; their problems are the plan's.
        api: any client; ``mbrelease.hub.client.connect`` makes one.

    Raises:
        UserError: ``folder`` is no folder.
    """
    token, told = _token(api, repo_id)
    contents = read_contents(folder, token)
    wrong = list(wrong_repo_id(repo_id))
    problems = [
        *contents.problems,
        *(problem for check in checks for problem in check.problems),
        *wrong,
        *wrong_tag(tag, create_pr),
        *told,
    ]
    state = _State()
    if not wrong and not told:
        # A card with a credential in it is sent nowhere.
        faulty = any(README in problem.message for problem in contents.problems)
        readme = None if faulty else _text(folder / README)
        with quiet_client():
            rights = (
                anyone(repo_id) if anonymous else read_rights(api, repo_id, create_pr=create_pr)
            )
            state = _ask(api, repo_id, revision, create_pr, readme, rights)
        problems += state.problems
    remote = state.remote
    files = without_signature(contents.files) if sign else contents.files
    compared = _compare(folder, files, remote, delete, sign=sign)
    problems += taken_tag(remote, tag, has_changes=compared.has_changes)
    problems += shadows([file.path for file in files], compared.kept)
    problems += signature_problems(
        folder, files, compared.kept, has_changes=compared.has_changes, will_be_signed=sign
    )
    if private:
        problems += public_already(remote, repo_id)
    card, remarks = _card_changes(api, folder, remote, compared, token)
    return Plan(
        folder=folder,
        repo_id=repo_id,
        endpoint=shown_endpoint(api),
        revision=revision,
        create_pr=create_pr,
        private=private,
        sign=sign,
        tag=tag,
        user=state.user,
        repo_exists=remote is not None,
        head=remote.head if remote else None,
        files=files,
        added=compared.added,
        changed=compared.changed,
        unchanged=compared.unchanged,
        deleted=compared.deleted,
        remote_only=compared.kept,
        tag_commit=remote.tags.get(tag) if remote and tag else None,
        branches=dict(remote.branches) if remote else {},
        tags=dict(remote.tags) if remote else {},
        card=card,
        checks=tuple(replace(one, told=without_secrets(one.told, token)) for one in checks),
        # What two of the checks found is told once.
        problems=tuple(dict.fromkeys(_shown(one, token) for one in problems)),
        notes=(*state.notes, *compared.notes, *remarks, *([TO_BE_SIGNED] if sign else [])),
    )


def _shown(problem: Problem, token: str | None) -> Problem:
    mend = problem.mend and without_secrets(problem.mend, token)
    return Problem(without_secrets(problem.message, token), mend)


def _token(api: HfApi, repo_id: str) -> tuple[str | None, list[Problem]]:
    """The token in use; where it is asked for with a job's identity, that may be refused."""
    try:
        with sentences(api, repo_id):
            return token_of(api), []
    except UserError as error:
        return None, [Problem.of(error)]


@dataclass(frozen=True)
class _State:
    """What the Hub told; ``user`` is ``None`` where it was not asked further."""

    user: str | None = None
    remote: Remote | None = None
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def _ask(
    api: HfApi, repo_id: str, revision: str, create_pr: bool, readme: str | None, rights: Rights
) -> _State:
    """Ask the Hub about the repository and the metadata."""
    if rights.user is None:
        # Without an account every further question would get the same answer.
        return _State(problems=rights.problems)
    problems, notes = list(rights.problems), list(rights.notes)
    remote: Remote | None = None
    try:
        remote = read_remote(api, repo_id, revision)
        problems += wrong_place(repo_id, remote, revision, create_pr)
        problems += rights.missing_for(remote is not None)
        notes += rights.doubts_about(remote is not None)
    except UserError as error:
        problems.append(Problem.of(error))
    if readme is not None:
        try:
            errors, warnings = ask_server(api, repo_id, readme)
            refused = "the Hub does not accept README.md's metadata: "
            problems += [Problem(refused + "; ".join(errors))] if errors else []
            notes += [f"{README}: {warning}" for warning in warnings]
        except UserError as error:
            problems.append(Problem.of(error))
    return _State(rights.user, remote, tuple(problems), tuple(notes))


@dataclass(frozen=True)
class _Compared:
    """The paths of both sides, each in one of these."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    deleted: tuple[str, ...]
    kept: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def has_changes(self) -> bool:
        return bool(self.added or self.changed or self.deleted)


def _compare(
    folder: Path,
    files: Iterable[LocalFile],
    remote: Remote | None,
    delete: Collection[str],
    *,
    sign: bool,
) -> _Compared:
    there = remote.files if remote else {}
    here = {file.path: file for file in files}
    same = {path for path, file in here.items() if is_same(folder, file, there.get(path))}
    not_ours = {GIT_ATTRIBUTES, SIGNATURE} if sign else {GIT_ATTRIBUTES}
    others = sorted(there.keys() - here.keys() - not_ours)
    deleted = matching(others, delete)
    kept = tuple(path for path in others if path not in deleted)
    return _Compared(
        added=tuple(path for path in here if path not in there),
        changed=tuple(path for path in here if path in there and path not in same),
        unchanged=tuple(path for path in here if path in same),
        deleted=deleted,
        kept=kept,
        notes=(*unmatched(others, delete), *leftovers(here.keys(), kept)),
    )


def _card_changes(
    api: HfApi, folder: Path, remote: Remote | None, compared: _Compared, token: str | None
) -> tuple[CardChanges | None, list[str]]:
    """How the card changes; where that cannot be told, a remark why."""
    new = _text(folder / README)
    if remote is None or remote.head is None or README not in compared.changed or new is None:
        return None, []
    try:
        old = read_remote_card(api, remote.repo_id, remote.head)
        # A plan goes into logs and onto pages: it must not spread what it refuses to publish.
        return card_changes(without_secrets(old, token), without_secrets(new, token)), []
    except UserError as error:
        return None, [f"the cards are not compared: {error.message}"]


def _text(path: Path) -> str | None:
    """The text of a small file; ``None`` where there is none."""
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
