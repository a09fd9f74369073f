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
    is_stranger: bool = False
    """Whether the Hub does not count the account among the namespace's members.

    For a repository that exists this is a no; a Hub that makes namespaces on the way (such as a
    rehearsal) counts members only after the first push.
    """


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
    if create_pr:
        return Rights(user, ())
    namespace = repo_id.partition("/")[0]
    members = {user, *(org.get("name") for org in account.get("orgs") or [])}
    return Rights(user, tuple(_lacks(account, user, repo_id)), namespace not in members)


def _lacks(account: dict[str, Any], user: str, repo_id: str) -> list[Problem]:
    token = (account.get("auth") or {}).get("accessToken") or {}
    namespace = repo_id.partition("/")[0]
    if token.get("role") == "read":
        return [Problem(f"the token of {user} may only read", "use one with the role 'write'")]
    for org in account.get("orgs") or []:
        if org.get("name") == namespace and org.get("roleInOrg") == "read":
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
