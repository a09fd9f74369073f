"""What was published where, byte for byte; written when it has been downloaded and compared."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from mbrelease.errors import UserError
from mbrelease.files import read_json, write_json
from mbrelease.hub.signing import signature_path


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PublishedFile(_Frozen):
    """One file, as it was read back from the Hub."""

    sha256: str
    size_bytes: int
    blob_id: str
    """What the Hub's tree calls it: git's sha1 of the file, or of its pointer if it is large."""


class PlanSummary(_Frozen):
    """What the push changed: paths."""

    added: list[str]
    changed: list[str]
    unchanged: list[str]
    remote_only: list[str]
    """On the Hub and not part of the release; kept."""
    deleted: list[str] = []
    """On the Hub before, and taken out."""
    bytes_to_send: int | None = None
    checks: dict[str, str] = {}
    """What else was asked about the release before its push, and what came out."""


class Verified(_Frozen):
    """What was done with the bytes that the Hub served."""

    files: int
    """Downloaded at the commit, every byte hashed."""
    bytes: int
    loading: list[str]
    """The checks that the downloaded model passed, such as ``loading.masked_lm``."""
    not_loaded: str | None = None
    """Why no library loaded it; ``None`` where one did."""
    read_before: dict[str, str] = {}
    """Of each file that was not downloaded again: the commit at which the very object of the Hub
    was, by its receipt."""
    loaded_before: str | None = None
    """The commit at which ``loading`` was passed, by the same files and libraries, where the model
    was not loaded again."""


class Receipt(_Frozen):
    """A publication. A receipt exists only for bytes that were downloaded and compared."""

    version: Literal[1] = 1
    repo_id: str
    endpoint: str
    revision: str
    """The branch, or the pull request's ref (``refs/pr/1``)."""
    commit: str
    parent_commit: str | None
    """``None`` where an interrupted run was completed and the parent was not recorded."""
    pull_request: str | None
    tag: str | None
    """That was set last."""
    files: dict[str, PublishedFile]
    summary: PlanSummary
    verified: Literal[True] = True
    published: str
    """UTC, ISO 8601."""
    published_by: str | None
    mbrelease: str
    decision_sha256: str | None = None
    """Of the decision file that chose these weights."""
    versions: dict[str, str] = {}
    """Of Python and of the packages that sent it and loaded it."""
    what_was_verified: Verified | None = None
    """``None`` in the receipts of versions that did not tell."""
    card_taken_over_from: str | None = None
    """The commit whose card held an author's text that went into this one."""
    variant: str | None = None
    """Of the registry, where one was pushed."""
    step: int | None = None
    """Of a checkpoint of the training run that was published on a branch of its own."""
    aliases: list[str] = []
    """Names that mean this variant from now on."""
    earlier_tags: list[str] = []
    """That later pushes of the same commit have found set."""
    announced: str | None = None
    """The pull request that leads the readers of the superseded model here."""

    @property
    def is_proposal(self) -> bool:
        """Whether it is of a pull request, and not of a branch that the world loads."""
        return self.revision.startswith("refs/")

    @property
    def tags(self) -> list[str]:
        """Every tag that was set on the commit, the first one first."""
        return [*self.earlier_tags, *([self.tag] if self.tag is not None else [])]

    def with_tag(self, tag: str | None) -> Receipt:
        """The receipt with one tag more, if it is one."""
        if tag is None or tag in self.tags:
            return self
        return self.model_copy(update={"tag": tag, "earlier_tags": self.tags})

    def with_aliases(self, aliases: Iterable[str]) -> Receipt:
        """The receipt with those of ``aliases`` that it does not name yet."""
        return self.model_copy(update={"aliases": list(dict.fromkeys([*self.aliases, *aliases]))})

    @property
    def url(self) -> str:
        """The page of the model at this commit."""
        return f"{self.endpoint}/{self.repo_id}/tree/{self.commit}"


def receipt_path(root: Path, repo_id: str, commit: str) -> Path:
    """Where the receipt of ``commit`` lies below ``root``.

    The first twelve digits name it, as they do a commit in most sentences; the receipt itself has
    all forty, and who looks one up compares them.
    """
    return root / repo_id.replace("/", "__") / f"{commit[:12]}.json"


def write_receipt(root: Path, receipt: Receipt) -> Path:
    """Write ``receipt`` below ``root`` and return its path.

    One that says the same already is left as it is. Where it does not, its signature is removed,
    for that does not hold any more: ``require_key`` of ``receipt_changes`` comes before.
    """
    path = receipt_path(root, receipt.repo_id, receipt.commit)
    if path.exists():
        if read_receipt(path) == receipt:
            return path
        signature_path(path).unlink(missing_ok=True)
    write_json(path, receipt.model_dump(mode="json"))
    return path


def read_receipt(path: Path) -> Receipt:
    """Read the receipt at ``path``.

    Raises:
        UserError: it is missing, or not a receipt.
    """
    content = read_json(path)
    try:
        return Receipt.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"{path} is not a receipt: {where}: {first['msg']}", mend="move it out of the way"
        ) from error


def read_receipts(root: Path, repo_id: str, endpoint: str) -> list[Receipt]:
    """Every receipt for ``repo_id`` at ``endpoint``, the oldest first.

    Raises:
        UserError: one is no receipt.
    """
    folder = receipt_path(root, repo_id, "").parent
    receipts = [read_receipt(path) for path in sorted(folder.glob("*.json"))]
    # "a/b__c" and "a__b/c" share a folder.
    here = [r for r in receipts if r.endpoint == endpoint and r.repo_id == repo_id]
    return sorted(here, key=lambda receipt: receipt.published)


def release_receipts(root: Path, repo_id: str, endpoint: str) -> list[Receipt]:
    """Every receipt of a release of ``repo_id`` at ``endpoint``, the oldest first.

    Those of checkpoints on branches of their own are not among them.

    Raises:
        UserError: there is none.
    """
    here = [each for each in read_receipts(root, repo_id, endpoint) if each.step is None]
    if not here:
        raise UserError(
            f"no receipt for {repo_id} at {endpoint} in {root}",
            mend="run it where the push was run, or push first",
        )
    return here


def now() -> str:
    """This moment in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
