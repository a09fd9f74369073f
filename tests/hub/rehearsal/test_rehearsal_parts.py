"""Large LFS objects in parts: as the real client sends them, and as nobody should."""

from __future__ import annotations

import hashlib
import io
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from mbrelease.hub.rehearsal.server import running

REPO = "lab/model"
PART_BYTES = 100_000
DATA = os.urandom(250_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
PARTS = [DATA[start : start + PART_BYTES] for start in range(0, len(DATA), PART_BYTES)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "hub"


@pytest.fixture
def url(root: Path) -> Iterator[str]:
    with running(root, part_bytes=PART_BYTES) as url:
        HfApi(endpoint=url, token="x").create_repo(REPO)
        yield url


def call(method: str, url: str, body: bytes, token: str | None = None) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, data=body, headers=headers, method=method)
    return urllib.request.urlopen(request)


def action(url: str) -> dict[str, Any]:
    """What the batch call says about the object."""
    body = {
        "operation": "upload",
        "transfers": ["basic", "multipart"],
        "objects": [{"oid": SHA256, "size": len(DATA)}],
    }
    where = f"{url}/{REPO}.git/info/lfs/objects/batch"
    with call("POST", where, json.dumps(body).encode(), "x") as answer:
        upload: dict[str, Any] = json.load(answer)["objects"][0].get("actions", {}).get("upload")
        return upload


def put(link: str, data: bytes) -> str:
    with call("PUT", link, data) as answer:
        etag: str = answer.headers["ETag"]
        return etag


def complete(upload: dict[str, Any], etags: list[str]) -> int:
    parts = [{"partNumber": n, "etag": etag} for n, etag in enumerate(etags, start=1)]
    body = json.dumps({"oid": SHA256, "parts": parts}).encode()
    try:
        with call("POST", upload["href"], body) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code


@pytest.mark.usefixtures("without_xet")
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own
def test_the_real_client_sends_parts(url: str, root: Path, tmp_path: Path) -> None:
    api = HfApi(endpoint=url, token="x")
    api.upload_file(repo_id=REPO, path_or_fileobj=io.BytesIO(DATA), path_in_repo="a.safetensors")
    found = api.hf_hub_download(REPO, "a.safetensors", cache_dir=tmp_path / "cache")
    assert Path(found).read_bytes() == DATA
    assert list((root / "parts").iterdir()) == []


def test_only_the_whole_is_kept(url: str, root: Path) -> None:
    upload = action(url)
    links = [upload["header"][str(number)] for number in (1, 2, 3)]
    assert set(upload["header"]) == {"1", "2", "3", "chunk_size"}
    assert int(upload["header"]["chunk_size"]) == PART_BYTES
    etags = [put(link, part) for link, part in zip(links, PARTS, strict=True)]
    assert complete(upload, etags[:2]) == 400
    assert complete(upload, etags[::-1]) == 400
    assert complete(upload, [*etags[:2], "0" * 64]) == 400
    assert action(url) is not None, "nothing is stored yet"
    assert complete(upload, etags) == 200
    assert action(url) is None
    assert (root / "blobs" / SHA256[:2] / SHA256).read_bytes() == DATA


def test_parts_that_make_something_else_are_refused(url: str) -> None:
    upload = action(url)
    others = [bytes(len(part)) for part in PARTS]
    etags = [put(upload["header"][str(n)], part) for n, part in enumerate(others, start=1)]
    assert complete(upload, etags) == 400
    assert action(url) is not None


def test_a_part_that_did_not_come_is_missed(url: str) -> None:
    upload = action(url)
    etags = [put(upload["header"][str(n)], PARTS[n - 1]) for n in (1, 3)]
    assert complete(upload, [etags[0], "0" * 64, etags[1]]) == 400


@pytest.mark.parametrize("size_bytes", [0, PART_BYTES - 1, PART_BYTES + 1])
def test_a_part_of_another_length_is_refused(url: str, root: Path, size_bytes: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        put(action(url)["header"]["1"], bytes(size_bytes))
    refusal.value.close()
    assert refusal.value.code == 400
    assert list((root / "parts").rglob("*.tmp")) == []


def test_a_link_for_one_part_is_for_no_other(url: str) -> None:
    upload = action(url)
    first, signature = upload["header"]["1"].split("?")
    for link in (
        f"{first[:-1]}2?{signature}",
        first,
        f"{upload['href'].split('?')[0]}?{signature}",
    ):
        method = "POST" if link.partition("?")[0].endswith("/parts") else "PUT"
        with pytest.raises(urllib.error.HTTPError) as refusal:
            call(method, link, PARTS[0])
        refusal.value.close()
        assert refusal.value.code == 403


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"parts": [1]}', b'{"parts": [{}]}'])
def test_a_broken_completion_is_refused(url: str, body: bytes) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        call("POST", action(url)["href"], body)
    refusal.value.close()
    assert refusal.value.code == 400


def test_parts_of_an_earlier_start_are_swept_away(root: Path) -> None:
    with running(root, part_bytes=PART_BYTES) as url:
        HfApi(endpoint=url, token="x").create_repo(REPO)
        put(action(url)["header"]["1"], PARTS[0])
        assert len(list((root / "parts").rglob("1"))) == 1
    with running(root):
        assert not (root / "parts").exists()
