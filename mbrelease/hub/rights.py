"""Who is asking, and may they write? Asked before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mbrelease.errors import UserError
from mbrelease.hub.client import no_token, sentences, token_of
from mbrelease.hub.problems import Problem

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True)
class Rights:
    """The account behind the token, and what it lacks."""

    user: str | None
    problems: tuple[Problem, ...]


def read_rights(api: HfApi, repo_id: str, *, create_pr: bool) -> Rights:
    """Ask the Hub who the token belongs to, and whether it may write to ``repo_id``.

    A pull request needs no right on the namespace. What the Hub does not tell is not held against
    the token: the Hub itself refuses later, before any file has gone up.
    """
    if token_of(api) is None:
        return Rights(None, (Problem.of(no_token()),))
    try:
        with sentences(api, repo_id):
            account = api.whoami()
    except UserError as error:
        return Rights(None, (Problem.of(error),))
    user = str(account.get("name", ""))
    return Rights(user, tuple(_lacks(account, user, repo_id, create_pr)))


def _lacks(account: dict[str, Any], user: str, repo_id: str, create_pr: bool) -> list[Problem]:
    token = (account.get("auth") or {}).get("accessToken") or {}
    namespace = repo_id.partition("/")[0]
    if create_pr:
        return []
    if token.get("role") == "read":
        return [Problem(f"the token of {user} may only read", "use one with the role 'write'")]
    organizations = {org.get("name"): org for org in account.get("orgs") or []}
    if namespace != user and namespace not in organizations:
        mend = f"join it, push to {user}/…, or propose the change with --pr"
        return [Problem(f"{user} is not a member of '{namespace}'", mend)]
    if namespace != user and organizations[namespace].get("roleInOrg") == "read":
        return [Problem(f"{user} may only read in '{namespace}'", "ask for the role 'write'")]
    if token.get("role") == "fineGrained" and not _granted(token, namespace, repo_id):
        mend = "grant it 'repo.write' there, or use another token"
        return [Problem(f"the fine-grained token of {user} may not write to {repo_id}", mend)]
    return []


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
