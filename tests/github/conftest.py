"""A rehearsal Hub, and an issuer of identity tokens, both on loopback."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from issuer import Issuer, Key, issuing

from mbrelease.hub.rehearsal.server import running


@pytest.fixture(scope="session")
def key() -> Key:
    return Key.make(seed=1)


@pytest.fixture(scope="module")
def issuer(key: Key) -> Iterator[Issuer]:
    with issuing(key) as found:
        yield found


@pytest.fixture(scope="module")
def hub_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root: Path = tmp_path_factory.mktemp("hub")
    with running(root) as url:
        yield url


@pytest.fixture(scope="module")
def trust(hub_url: str, issuer: Issuer):
    """Add a Trusted Publisher to a repository."""

    def add(repo_id: str, *, read_only: bool = False, **claims: str) -> None:
        httpx2.post(
            f"{hub_url}/api/models/{repo_id}/settings/trusted-publishers",
            json={"issuer": issuer.url, "claims": claims, "readOnly": read_only},
            headers={"Authorization": "Bearer hf_owner"},
        ).raise_for_status()

    return add
