"""Who is asking, and may they write? Asked before anything is sent."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mbrelease.errors import CheckFailed, UserError
from mbrelease.hub import trusted_publisher
from mbrelease.hub.client import no_token, sentences, shown_endpoint, status_code, token_of
from mbrelease.hub.patience import read_patiently
from mbrelease.hub.problems import Problem

if TYPE_CHECKING:
    from huggingface_hub import HfApi

JOB_TOKEN = "hf_jwt_"  # noqa: S105  how the tokens begin that a CI job gets for its identity
SOON_SECONDS = 1800


@dataclass(frozen=True)
class Rights:
    """The account behind the token, and what it lacks."""

    repo_id: str
    user: str | None
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    is_stranger: bool = False
    """Whether the Hub does not count the account among the namespace's members.

    For a repository that exists this is a no; a Hub that makes namespaces on the way (such as a
    rehearsal) counts members only after the first push.
    """
    is_job: bool = False
    """Whether the token is bound to one repository, that of a Trusted Publisher."""

    def missing_for(self, exists: bool) -> Iterator[Problem]:
        """What is missing for a repository that ``exists``, or that would have to be made."""
        if self.is_stranger and exists:
            mend = f"join it, push to {self.user}/…, or propose the change with --pr"
            yield Problem(self._told, mend)
        if self.is_job and not exists:
            yield Problem(
                f"{self.repo_id} does not exist, and a job's token cannot make it",
                f"make it once: hf repos create {self.repo_id}; then trust the job in its settings",
            )

    def doubts_about(self, exists: bool) -> Iterator[str]:
        """What only trying will tell."""
        if self.is_stranger and not exists:
            yield f"{self._told}; the Hub may refuse to make {self.repo_id}"

    @property
    def _told(self) -> str:
        return f"{self.user} is not a member of '{self.repo_id.partition('/')[0]}'"


def is_job(api: HfApi) -> bool:
    """Whether the token is that of a CI job, behind which no account stands."""
    return (token_of(api) or "").startswith(JOB_TOKEN)


def anyone(repo_id: str) -> Rights:
    """Of whoever looks at ``repo_id`` without a token: nothing is asked of them."""
    return Rights(repo_id, "anyone")


def read_rights(api: HfApi, repo_id: str, *, create_pr: bool) -> Rights:
    """Ask the Hub who the token belongs to, and whether it may write to ``repo_id``.

    A pull request needs no right on the namespace. What the Hub does not tell is not held against
    the token: the Hub itself refuses later, before any file has gone up.
    """
    token = token_of(api)
    if token is None:
        return Rights(repo_id, None, (Problem.of(no_token()),))
    elsewhere = tuple(_job_of_another(api, repo_id))
    try:
        account = _account(api, token, repo_id)
    except UserError as error:
        return Rights(repo_id, None, (Problem.of(error), *elsewhere))
    user = str(account.get("name", ""))
    is_job = token.startswith(JOB_TOKEN)
    lacks = tuple(_lacks(account, user, repo_id, create_pr=create_pr))
    notes = tuple(_ends_soon(account, token))
    members = {user, *(org.get("name") for org in account.get("orgs") or [])}
    # A job acts for a repository, whoever its account is.
    is_stranger = not (create_pr or is_job) and repo_id.partition("/")[0] not in members
    return Rights(repo_id, user, (*elsewhere, *lacks), notes, is_stranger, is_job)


def _account(api: HfApi, token: str, repo_id: str) -> dict[str, Any]:
    """What the Hub says of the token's account.

    Raises:
        CheckFailed: it does not accept the token, or cannot be asked.
    """
    try:
        with sentences(api, repo_id):
            account: dict[str, Any] = read_patiently(api.whoami)
            return account
    except UserError as error:
        cause = error.__cause__
        code = status_code(cause) if isinstance(cause, Exception) else None
        end = _end_of(token)
        has_expired = "expired" in _answer(cause) or (end is not None and end < _now())
        if token.startswith(JOB_TOKEN) and code in {401, 403} and not has_expired:
            # No account stands behind it. It is good for its repository all the same.
            return {"name": trusted_publisher.publisher_name()}
        if code != 401:
            raise
        told = ", which has expired" if has_expired else ""
        mend = "run 'hf auth login', or set HF_TOKEN"
        if os.environ.get("HF_TOKEN", "").strip() == token:
            mend = "it is that of HF_TOKEN: set another, or unset it and run 'hf auth login'"
        message = f"{shown_endpoint(api)} does not accept the token{told}"
        raise CheckFailed(message, mend=mend) from error


def _answer(error: object) -> str:
    """What the Hub answered, in lower case."""
    response = getattr(error, "response", None)
    headers = getattr(response, "headers", {})
    return f"{headers.get('x-error-message', '')} {getattr(response, 'text', '')}".lower()


def _job_of_another(api: HfApi, repo_id: str) -> Iterator[Problem]:
    """A CI job's token is for the one repository that the environment names."""
    resource = os.environ.get("HF_OIDC_RESOURCE")
    if resource and not isinstance(api.token, str) and resource != repo_id:
        yield Problem(
            f"the job's token is for {resource} alone, not for {repo_id}",
            f"set HF_OIDC_RESOURCE={repo_id}, and trust the job in the settings of that repository",
        )


def _lacks(
    account: dict[str, Any], user: str, repo_id: str, *, create_pr: bool
) -> Iterator[Problem]:
    token = (account.get("auth") or {}).get("accessToken") or {}
    namespace = repo_id.partition("/")[0]
    if token.get("role") == "read":
        yield Problem(f"the token of {user} may only read", "use one with the role 'write'")
        return
    if create_pr:
        return
    for org in account.get("orgs") or []:
        if org.get("name") == namespace and org.get("roleInOrg") == "read":
            yield Problem(f"{user} may only read in '{namespace}'", "ask for the role 'write'")
            return
    if token.get("role") == "fineGrained" and not _granted(token, namespace, repo_id):
        mend = "grant it 'repo.write' there, or use another token"
        yield Problem(f"the fine-grained token of {user} may not write to {repo_id}", mend)


def _granted(token: dict[str, Any], namespace: str, repo_id: str) -> bool:
    """Whether a fine-grained token has ``repo.write`` for the repository or its namespace."""
    fine = token.get("fineGrained") or {}
    if "repo.write" in (fine.get("global") or []):
        return True
    return any(
        "repo.write" in (scope.get("permissions") or [])
        and (scope.get("entity") or {}).get("name") in {namespace, repo_id}
        for scope in fine.get("scoped") or []
    )


def _ends_soon(account: dict[str, Any], token: str) -> Iterator[str]:
    """A remark on a token that may not last until the last file has gone up."""
    end = _time((account.get("auth") or {}).get("expiresAt")) or _end_of(token)
    if end is not None and 0 < (left := (end - _now()).total_seconds()) < SOON_SECONDS:
        yield f"the token ends in {left / 60:.0f} minutes, at {end:%H:%M} UTC"


def _end_of(token: str) -> datetime | None:
    """When a token of the form of a JSON Web Token (RFC 7519) says that it ends."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return datetime.fromtimestamp(claims["exp"], UTC)
    except (ValueError, TypeError, KeyError, OverflowError, OSError):
        return None


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except ValueError:
        return None


def _now() -> datetime:
    return datetime.now(UTC)
