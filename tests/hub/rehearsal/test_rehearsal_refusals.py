"""What a rehearsal Hub refuses: strange hosts, strange paths, broken requests."""

from __future__ import annotations

import base64
import http.client
import json
import logging
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from huggingface_hub import HfApi

from mbrelease.hub.rehearsal.loopback import is_loopback
from mbrelease.hub.rehearsal.names import checked_path, is_repo_id
from mbrelease.hub.rehearsal.refusals import Refused


def send(
    url: str,
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    host: str | None = None,
    token: str | None = "x",
) -> tuple[int, bytes]:
    """Send exactly these bytes; a client library would tidy the path up."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=20)
    headers = {"Host": parts.netloc if host is None else host}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:5290", True),
        ("localhost", True),
        ("LOCALHOST:80", True),
        ("[::1]:5290", True),
        ("127.8.8.8", True),
        ("", False),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("10.0.0.1:5290", False),
        ("0.0.0.0", False),
        ("127.0.0.1:5290@evil.example", False),
    ],
)
def test_only_loopback_names_are_served(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_foreign_host_header_is_refused(hub_url: str, repo: str) -> None:
    for path in ("/", "/api/models", f"/{repo}/resolve/main/.gitattributes"):
        assert send(hub_url, "GET", path, host="rebound.example")[0] == 403
        assert send(hub_url, "GET", path)[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/lab/%s/resolve/main/../../../hub.sqlite",
        "/lab/%s/resolve/main/..%%2F..%%2F..%%2Fhub.sqlite",
        "/lab/%s/resolve/main/%%2Fetc%%2Fpasswd",
        "/lab/%s/resolve/..%%2F..%%2Fhub.sqlite/x",
        "/../../etc/passwd",
        "/..%%2F..%%2Fhub.sqlite/resolve/main/a",
        "/-/../hub.sqlite",
        "/-/style.css/../../hub.sqlite",
        "/api/models/lab/%s/tree/main/..%%2F..",
    ],
)
def test_no_path_leaves_the_hub(hub_url: str, repo: str, path: str) -> None:
    path = path % repo.partition("/")[2] if "%s" in path else path.replace("%%", "%")
    status, body = send(hub_url, "GET", path)
    assert status == 404
    assert b"SQLite" not in body and b"root:" not in body


@pytest.mark.parametrize(
    "path",
    ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", ".git/config", "a/.GIT/x", "a\\b", "a\0b",
     "a\nb", "x" * 1025, "\ud800"],
)  # fmt: skip
def test_paths_that_no_repository_holds(path: str) -> None:
    with pytest.raises(Refused):
        checked_path(path)


@pytest.mark.parametrize("path", ["a", "a/b.txt", ".gitattributes", "..a/b..", "ü #?%.md"])
def test_paths_that_a_repository_may_hold(path: str) -> None:
    assert checked_path(path) == path


@pytest.mark.parametrize(
    "repo_id", ["a", "a/b/c", "../b", "a/..", "a/b.git", "a/-b", "a/b-", "a/b--c", "a/b..c", "a/ü"]
)
def test_repository_ids_that_the_hub_refuses(repo_id: str) -> None:
    assert not is_repo_id(repo_id)


def test_a_repository_with_such_an_id_is_not_made(hub_url: str) -> None:
    for name in ("..", "a/../b", "x.git", "", "a b"):
        body = json.dumps({"name": name, "organization": "lab"}).encode()
        assert send(hub_url, "POST", "/api/repos/create", body)[0] == 400
    body = json.dumps({"name": "models", "organization": "api"}).encode()
    assert send(hub_url, "POST", "/api/repos/create", body)[0] == 400
    body = json.dumps({"name": "x", "organization": "lab", "type": "dataset"}).encode()
    assert send(hub_url, "POST", "/api/repos/create", body)[0] == 400


def _line(key: str, **value: object) -> bytes:
    return json.dumps({"key": key, "value": value}).encode() + b"\n"


HEADER = _line("header", summary="s")
TEXT = base64.b64encode(b"x").decode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json\n",
        b"[]\n",
        b'{"key": "header"}\n',
        b'{"key": 1, "value": {}}\n',
        _line("header", summary="  "),
        _line("file", path="a", content=TEXT, encoding="base64"),
        HEADER + _line("file", path="../a", content=TEXT, encoding="base64"),
        HEADER + _line("file", path="a", content="no base64!", encoding="base64"),
        HEADER + _line("lfsFile", path="a", algo="md5", oid="0" * 64),
        HEADER + _line("lfsFile", path="a", algo="sha256", oid="../../x"),
        HEADER + _line("lfsFile", path="a", algo="sha256", oid="0" * 64, size="big"),
        HEADER + _line("lfsFile", path="a", algo="sha256", oid="0" * 64, size=1),
        HEADER + _line("mystery", path="a"),
        HEADER + b'{"key": "file", "value": {"path": "\\ud800", "content": ""}}\n',
    ],
)
def test_a_broken_commit_is_refused_and_changes_nothing(
    api: HfApi, hub_url: str, repo: str, body: bytes
) -> None:
    head = api.model_info(repo).sha
    status, answer = send(hub_url, "POST", f"/api/models/{repo}/commit/main", body)
    assert status == 400 and json.loads(answer)["error"]
    assert api.model_info(repo).sha == head


@pytest.mark.parametrize(
    "path", ["repos/create", "models/%s/preupload/main", "models/%s/tag/main", "validate-yaml"]
)
@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'"x"'])
def test_a_broken_request_is_refused(hub_url: str, repo: str, path: str, body: bytes) -> None:
    path = path % repo if "%s" in path else path
    assert send(hub_url, "POST", f"/api/{path}", body)[0] == 400


def test_what_it_does_not_know_is_said(hub_url: str) -> None:
    status, body = send(hub_url, "GET", "/api/datasets/a/b")
    assert status == 404 and b"does not know GET /api/datasets/a/b" in body
    assert send(hub_url, "DELETE", "/api/models")[0] == 405


def test_no_token_is_kept(
    hub_url: str, hub_root: Path, repo: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = "hf_AVerySpecialTokenIndeed"
    api = HfApi(endpoint=hub_url, token=token)
    api.upload_file(repo_id=repo, path_or_fileobj=b"\0x", path_in_repo="a.bin")
    api.create_tag(repo, tag="v1")
    kept = b"".join(path.read_bytes() for path in hub_root.rglob("*") if path.is_file())
    assert token.encode() not in kept
    assert token not in caplog.text
