"""How the Hub says no: a status, a machine-readable code and a sentence."""

from __future__ import annotations


class Refused(Exception):
    """A request that is answered with an error.

    Fields:
        status: HTTP status.
        message: one sentence for the reader.
        code: value of ``X-Error-Code``, by which clients choose their exception class.
        headers: further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers or {}


def repo_not_found(repo_id: str) -> Refused:
    """The refusal for a repository that does not exist (or is not to be seen)."""
    return Refused(404, f"Repository not found: {repo_id}", code="RepoNotFound")


def revision_not_found(revision: str) -> Refused:
    """The refusal for a branch, tag or commit that does not exist."""
    return Refused(404, f"Invalid rev id: {revision}", code="RevisionNotFound")


def entry_not_found(path: str, commit_id: str) -> Refused:
    """The refusal for a file or folder that is not in a commit.

    The commit is named in a header: clients cache the absence of a file by it.
    """
    return Refused(
        404,
        f"Entry not found: {path}",
        code="EntryNotFound",
        headers={"X-Repo-Commit": commit_id},
    )
