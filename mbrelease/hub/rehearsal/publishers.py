"""Trusted Publishers: which CI jobs may publish a model, and the short-lived tokens they get."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

TOKEN_PREFIX = "hf_jwt_"  # noqa: S105  as the public Hub's begin
TOKEN_SECONDS = 3600


@dataclass(frozen=True)
class Publisher:
    """Jobs of one issuer with these claims, each matched exactly."""

    issuer: str
    claims: Mapping[str, str]
    read_only: bool = False

    def matches(self, claims: Mapping[str, Any]) -> bool:
        """Whether a job with ``claims`` is meant."""
        stated = {name: claims.get(name) for name in self.claims}
        return claims.get("iss") == self.issuer and stated == dict(self.claims)


@dataclass(frozen=True)
class Grant:
    """What a token is good for: one repository, for an hour."""

    repo_id: str
    may_write: bool
    expires_at: float
    """Seconds since 1970."""


def add(connection: sqlite3.Connection, repo_id: str, publisher: Publisher) -> None:
    """Trust ``publisher`` with a repository."""
    claims = json.dumps(dict(publisher.claims), sort_keys=True)
    connection.execute(
        "INSERT INTO publishers VALUES (?, ?, ?, ?)",
        (repo_id, publisher.issuer, claims, publisher.read_only),
    )


def every(connection: sqlite3.Connection, repo_id: str) -> list[Publisher]:
    """The publishers that a repository trusts, the oldest first."""
    rows = connection.execute(
        "SELECT * FROM publishers WHERE repository = ? ORDER BY rowid", (repo_id,)
    )
    return [
        Publisher(row["issuer"], json.loads(row["claims"]), bool(row["read_only"])) for row in rows
    ]


def issue(repo_id: str, *, may_write: bool, key: bytes) -> str:
    """A token for one repository, signed with ``key``; nothing of it is kept."""
    grant = Grant(repo_id, may_write, time.time() + TOKEN_SECONDS)
    body = base64.urlsafe_b64encode(json.dumps(asdict(grant)).encode()).decode()
    return f"{TOKEN_PREFIX}{body}.{_signature(body, key)}"


def read(token: str, *, key: bytes) -> Grant | None:
    """What ``token`` is good for; ``None`` where it was not issued here or has expired."""
    body, _, signature = token.removeprefix(TOKEN_PREFIX).partition(".")
    if not hmac.compare_digest(signature.encode(), _signature(body, key).encode()):
        return None
    grant = Grant(**json.loads(base64.urlsafe_b64decode(body)))
    return grant if time.time() < grant.expires_at else None


def _signature(body: str, key: bytes) -> str:
    return hmac.new(key, f"token {body}".encode(), hashlib.sha256).hexdigest()
