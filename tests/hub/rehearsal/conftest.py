"""A rehearsal Hub on a free port, and the real client."""

from __future__ import annotations

import itertools
import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants

from mbrelease.hub.rehearsal.server import running

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def hub_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def hub_url(hub_root: Path) -> Iterator[str]:
    with running(hub_root) as url:
        yield url


@pytest.fixture
def api(hub_url: str) -> HfApi:
    return HfApi(endpoint=hub_url, token="hf_rehearsal")


@pytest.fixture
def repo(api: HfApi) -> str:
    """A fresh repository with its first commit."""
    repo_id = f"lab/model-{next(_numbers)}"
    api.create_repo(repo_id)
    return repo_id


CommitText = Callable[[str, str, str], str]


@pytest.fixture
def commit_text() -> CommitText:
    """Commit a text under its own title: (url, repository, text) → the commit's id."""
    return _commit_text


def _commit_text(url: str, repo_id: str, text: str) -> str:
    """Write ``text.txt`` as the real client would, without its other calls and its retries."""
    lines = [
        {"key": "header", "value": {"summary": text}},
        {"key": "file", "value": {"path": "text.txt", "content": text, "encoding": "utf-8"}},
    ]
    request = urllib.request.Request(
        f"{url}/api/models/{repo_id}/commit/main",
        data="\n".join(json.dumps(line) for line in lines).encode(),
        headers={"Authorization": "Bearer x", "Content-Type": "application/x-ndjson"},
    )
    with urllib.request.urlopen(request) as answer:
        commit_id: str = json.load(answer)["commitOid"]
        return commit_id


@pytest.fixture
def without_xet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large files go by the LFS protocol."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)


@pytest.fixture
def blob_writes(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """The sha256 of every content that was written to the store since the test began."""
    from mbrelease.hub.rehearsal.blobs import Blobs

    written: list[str] = []
    receive = Blobs.receive

    def note(self: Blobs, sha256: str, size_bytes: int) -> object:
        written.append(sha256)
        return receive(self, sha256, size_bytes)

    monkeypatch.setattr(Blobs, "receive", note)
    return lambda: list(written)
