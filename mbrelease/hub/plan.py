"""What a push would do, and all that stands in its way. Making a plan sends nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mbrelease.errors import UserError
from mbrelease.hub.card_changes import README, CardChanges, card_changes
from mbrelease.hub.client import sentences, shown_endpoint, token_of
from mbrelease.hub.comparison import Comparison, compare
from mbrelease.hub.contents import Contents, LocalFile, read_contents
from mbrelease.hub.kept import leftovers, matching, shadows, unmatched
from mbrelease.hub.look import Look, blind, look
from mbrelease.hub.plan_problems import public_already, taken_tag, wrong_repo_id, wrong_tag
from mbrelease.hub.problems import Check, Problem, refusal
from mbrelease.hub.remote import Remote
from mbrelease.hub.remote_card import read_remote_card
from mbrelease.hub.signature_problems import signature_problems, without_signature
from mbrelease.hub.signed_files import SIGNATURE
from mbrelease.metadata.card_merge import is_same_text
from mbrelease.secrets import without_secrets

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# What nobody knows of a Hub that nobody looked at.
UNKNOWN = (
    *("repo_exists", "head", "added", "changed", "unchanged", "deleted", "remote_only"),
    *("tag_commit", "branches", "tags", "card", "bytes_to_send"),
)
TO_BE_SIGNED = f"{SIGNATURE} is made when nothing stands in the way, before anything is sent"


@dataclass(frozen=True)
class TakenOver:
    """A card with what was written on the Hub since the folder's was made; not yet written."""

    text: str
    commit: str
    """Whose card it takes account of."""


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
    not_compared: str | None
    """Why the Hub was not looked at. Then there are problems, and all that would be told of it is
    empty below."""
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
    taken_over: TakenOver | None = None
    """The card to publish in the place of that in the folder."""

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
        """The plan as plain values, for ``--json``; ``None`` for what is not known."""
        values = asdict(self)
        del values["taken_over"]
        values |= {
            "folder": str(self.folder),
            "files": [file.as_json() for file in self.files],
            "bytes_to_send": self.bytes_to_send,
            "card_taken_over_from": self.taken_over.commit if self.taken_over else None,
            "clean": self.is_clean,
        }
        return values if self.not_compared is None else {**values, **dict.fromkeys(UNKNOWN)}


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
    nowhere = [*wrong_repo_id(repo_id), *told]
    if nowhere:
        found = blind(nowhere)
    else:
        readme = _readme_to_ask_about(folder, contents)
        found = look(
            api, repo_id, revision, create_pr=create_pr, anonymous=anonymous, readme=readme
        )
    wish = _Wish(folder, repo_id, revision, create_pr, private, sign, tag, tuple(delete))
    return _planned(wish, contents, found, checks, token, api)


@dataclass(frozen=True)
class _Wish:
    """What was asked for; as the fields of ``Plan``."""

    folder: Path
    repo_id: str
    revision: str
    create_pr: bool
    private: bool
    sign: bool
    tag: str | None
    delete: tuple[str, ...]


def _planned(
    wish: _Wish,
    contents: Contents,
    found: Look,
    checks: Sequence[Check],
    token: str | None,
    api: HfApi,
) -> Plan:
    """The plan of what is here and what was found there."""
    files = without_signature(contents.files) if wish.sign else contents.files
    compared = _compare(wish, files, found)
    card, remarks = _card_changes(api, wish.folder, found.remote, compared, token)
    problems = [
        *contents.problems,
        *(problem for check in checks for problem in check.problems),
        *wrong_tag(wish.tag, wish.create_pr),
        *found.problems,
        *problems_there(wish.folder, files, found.remote, compared, tag=wish.tag, sign=wish.sign),
        *(public_already(found.remote, wish.repo_id) if wish.private else ()),
    ]
    notes = [*found.notes, *_notes_there(wish, files, found, compared), *remarks]
    return Plan(
        folder=wish.folder,
        repo_id=wish.repo_id,
        revision=wish.revision,
        create_pr=wish.create_pr,
        private=wish.private,
        sign=wish.sign,
        tag=wish.tag,
        endpoint=shown_endpoint(api),
        user=found.user,
        not_compared=found.not_compared and without_secrets(found.not_compared, token),
        files=files,
        **place(found.remote, compared, wish.tag),
        card=card,
        checks=tuple(replace(one, told=without_secrets(one.told, token)) for one in checks),
        # What two of the checks found is told once.
        problems=tuple(dict.fromkeys(_shown(one, token) for one in problems)),
        notes=(*notes, *([TO_BE_SIGNED] if wish.sign else [])),
    )


def place(remote: Remote | None, compared: Comparison, tag: str | None) -> dict[str, Any]:
    """The fields of a plan that tell what is on the Hub, and what would be done with it."""
    return {
        "repo_exists": remote is not None,
        "head": remote.head if remote else None,
        "branches": dict(remote.branches) if remote else {},
        "tags": dict(remote.tags) if remote else {},
        "tag_commit": remote.tags.get(tag) if remote and tag else None,
        **vars(compared),
    }


def problems_there(
    folder: Path,
    files: Sequence[LocalFile],
    remote: Remote | None,
    compared: Comparison,
    *,
    tag: str | None,
    sign: bool,
) -> list[Problem]:
    """What would mislead those who load or check the release, for what is on the Hub already."""
    has_changes = compared.has_changes
    return [
        *taken_tag(remote, tag, has_changes=has_changes),
        *shadows([file.path for file in files], compared.remote_only),
        *signature_problems(
            folder, files, compared.remote_only, has_changes=has_changes, will_be_signed=sign
        ),
    ]


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


def _readme_to_ask_about(folder: Path, contents: Contents) -> str | None:
    """The card, unless something is wrong with it: one with a credential in it is sent nowhere."""
    if any(README in problem.message for problem in contents.problems):
        return None
    return _text(folder / README)


def _compare(wish: _Wish, files: Sequence[LocalFile], found: Look) -> Comparison:
    if found.not_compared is not None:
        return Comparison()
    there = found.remote.files if found.remote else {}
    delete = partial(matching, patterns=wish.delete)
    return compare(wish.folder, files, there, delete, sign=wish.sign)


def _notes_there(
    wish: _Wish, files: Sequence[LocalFile], found: Look, compared: Comparison
) -> list[str]:
    """Remarks on what stays there, or does not."""
    if found.not_compared is not None:
        return []
    others = [*compared.deleted, *compared.remote_only]
    ours = [file.path for file in files]
    left = leftovers(ours, compared.remote_only, has_changes=compared.has_changes)
    return [*unmatched(others, wish.delete), *left]


def _card_changes(
    api: HfApi, folder: Path, remote: Remote | None, compared: Comparison, token: str | None
) -> tuple[CardChanges | None, list[str]]:
    """How the card changes; where that cannot be told, a remark why."""
    new = _text(folder / README)
    if remote is None or remote.head is None or README not in compared.changed or new is None:
        return None, []
    try:
        old = read_remote_card(api, remote.repo_id, remote.head)
    except UserError as error:
        return None, [f"the cards are not compared: {error.message}"]
    remarks = [f"{README} changes in nothing but its line ends"] if is_same_text(old, new) else []
    return shown_changes(old, new, token), remarks


def shown_changes(old: str, new: str, token: str | None) -> CardChanges:
    """How a card changes, as it may be shown.

    A plan goes into logs and onto pages: it must not spread what it refuses to publish.
    """
    return card_changes(without_secrets(old, token), without_secrets(new, token))


def _text(path: Path) -> str | None:
    """The text of a small file; ``None`` where there is none."""
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
