"""Large files: by LFS, by Xet, stored once, and only if they are what they claim to be."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from huggingface_hub import CommitOperationAdd, HfApi

from mbrelease.hub.rehearsal.xet import read_shard

WEIGHTS = os.urandom(400_000)
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


def post(url: str, body: object) -> dict[str, object]:
    request = urllib.request.Request(
        url,
        data=json.dumps(body).encode(),
        headers={"Authorization": "Bearer x", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        result: dict[str, object] = json.load(answer)
        return result


def batch(url: str, repo: str, sha256: str, size_bytes: int) -> dict[str, object]:
    body = {"operation": "upload", "objects": [{"oid": sha256, "size": size_bytes}]}
    answer = post(f"{url}/{repo}.git/info/lfs/objects/batch", body)
    return answer["objects"][0]  # type: ignore[index,no-any-return]


@pytest.mark.usefixtures("without_xet")
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own
def test_lfs_sends_the_bytes_once(
    api: HfApi, repo: str, hub_root: Path, blob_writes: Callable[[], list[str]]
) -> None:
    data = os.urandom(50_000)
    sha256 = hashlib.sha256(data).hexdigest()
    for name in ("one.safetensors", "two.safetensors"):
        api.upload_file(repo_id=repo, path_or_fileobj=io.BytesIO(data), path_in_repo=name)
    api.create_repo("lab/other", exist_ok=True)
    api.upload_file(repo_id="lab/other", path_or_fileobj=data, path_in_repo="three.safetensors")
    assert blob_writes().count(sha256) == 1
    assert (hub_root / "blobs" / sha256[:2] / sha256).read_bytes() == data


def test_xet_works_as_the_client_comes(
    api: HfApi, repo: str, hub_root: Path, tmp_path: Path
) -> None:
    pytest.importorskip("hf_xet")
    path = tmp_path / "model.safetensors"
    path.write_bytes(WEIGHTS)
    api.create_commit(
        repo,
        [
            CommitOperationAdd("model.safetensors", path),
            CommitOperationAdd("again/model.safetensors", path),
            CommitOperationAdd("zeros.bin", bytes(2_000_000)),
        ],
        commit_message="weights",
    )
    found = api.hf_hub_download(repo, "again/model.safetensors", cache_dir=tmp_path / "cache")
    assert Path(found).read_bytes() == WEIGHTS
    found = api.hf_hub_download(repo, "zeros.bin", cache_dir=tmp_path / "cache")
    assert Path(found).read_bytes() == bytes(2_000_000)
    assert list((hub_root / "xet").iterdir()) == []  # what is stored is not kept twice


def test_an_object_is_stored_only_under_its_own_sha256(repo: str, hub_url: str) -> None:
    data = b"the announced bytes"
    sha256 = hashlib.sha256(data).hexdigest()
    href = batch(hub_url, repo, sha256, len(data))["actions"]["upload"]["href"]  # type: ignore[index]
    for wrong in (data[::-1], b"short", data + b"!"):
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(urllib.request.Request(href, data=wrong, method="PUT"))
        assert refusal.value.code == 400
        refusal.value.close()
        assert "actions" in batch(hub_url, repo, sha256, len(data))
    with urllib.request.urlopen(urllib.request.Request(href, data=data, method="PUT")) as answer:
        assert answer.status == 200
    assert "actions" not in batch(hub_url, repo, sha256, len(data))


def test_an_upload_that_breaks_off_leaves_nothing(repo: str, hub_url: str, hub_root: Path) -> None:
    data = os.urandom(100_000)
    sha256 = hashlib.sha256(data).hexdigest()
    href = batch(hub_url, repo, sha256, len(data))["actions"]["upload"]["href"]  # type: ignore[index]
    parts = urlsplit(href)
    with socket.create_connection((str(parts.hostname), parts.port or 0)) as connection:
        head = f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        connection.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data[:50_000])
        folder = hub_root / "blobs" / sha256[:2]
        wait_for(lambda: any(folder.glob(".*.tmp")))
    wait_for(lambda: not any(folder.glob(".*.tmp")))
    assert "actions" in batch(hub_url, repo, sha256, len(data))


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_an_upload_link_cannot_be_made_up(repo: str, hub_url: str) -> None:
    for signature in ("", "?signature=", "?signature=" + "0" * 64, "?signature=%C3%A9"):
        href = f"{hub_url}/-/lfs/{SHA256}/{len(WEIGHTS)}{signature}"
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(urllib.request.Request(href, data=WEIGHTS, method="PUT"))
        assert refusal.value.code == 403
        refusal.value.close()


def test_a_name_that_is_no_sha256_is_refused(repo: str, hub_url: str) -> None:
    for name in ("../../etc/passwd", "0" * 63, "G" * 64):
        assert batch(hub_url, repo, name, 1)["error"]["code"] == 422  # type: ignore[index]


def test_a_shard_tells_which_chunks_make_a_file(tmp_path: Path) -> None:
    hf_xet = pytest.importorskip("hf_xet")
    session = hf_xet.XetSession()
    with session.new_upload_commit(endpoint=f"local://{tmp_path}") as commit:
        handle = commit.start_upload_bytes(WEIGHTS, sha256=hf_xet.COMPUTE_SHA256)
    expected = handle.result().xet_info
    (shard,) = tmp_path.glob("xet/xorbs/shards/*.mdb")
    (found,) = read_shard(shard.read_bytes(), tmp_path)
    assert (found.sha256, found.xet_hash, found.size_bytes) == (
        SHA256, expected.hash, len(WEIGHTS),
    )  # fmt: skip
    for length in (0, 40, 48, 90, 100, 150):  # a shard that is still being written
        assert list(read_shard(shard.read_bytes()[:length], tmp_path)) == []
