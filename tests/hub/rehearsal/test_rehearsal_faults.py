"""What goes wrong on request: each kind of fault, as it looks from the other end of the wire."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import HfApi

from mbrelease.errors import UserError
from mbrelease.hub.rehearsal.faults import CALLS, KINDS, Fault, call_of, parse_fault
from mbrelease.hub.rehearsal.server import running

REPO = "lab/model"
CommitText = Callable[[str, str, str], str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A Hub that holds a repository with a text in it."""
    root = tmp_path / "hub"
    with running(root) as url:
        api = HfApi(endpoint=url, token="x")
        api.create_repo(REPO)
        api.upload_file(repo_id=REPO, path_or_fileobj=b"before", path_in_repo="text.txt")
    return root


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        body: bytes = answer.read()
        return body


def text(url: str) -> bytes:
    return get(f"{url}/{REPO}/resolve/main/text.txt")


@pytest.mark.parametrize(
    ("kind", "status", "lands"),
    [("500", 500, False), ("504", 504, True), ("429", 429, False), ("quota", 403, False),
     ("absent", 404, False)],
)  # fmt: skip
def test_an_answer_of_another_status(
    root: Path, commit_text: CommitText, kind: str, status: int, lands: bool
) -> None:
    with running(root, faults=[Fault("commit", kind, seconds=1.2)]) as url:
        with pytest.raises(urllib.error.HTTPError) as refusal:
            commit_text(url, REPO, "after")
        with refusal.value as answer:
            assert answer.code == status
            if kind == "429":
                assert answer.headers["Retry-After"] == "2"
                assert answer.headers["RateLimit"] == '"api";r=0;t=2'
        assert text(url) == (b"after" if lands else b"before")
        commit_text(url, REPO, "again")
        assert text(url) == b"again", "a fault befalls one call unless it says otherwise"


@pytest.mark.parametrize(
    ("kind", "error", "lands"),
    [
        ("reset", ConnectionResetError, False),
        ("lost", ConnectionResetError, True),
        ("truncated", http.client.IncompleteRead, True),
        ("wrong-bytes", json.JSONDecodeError, True),
    ],
)
def test_a_connection_that_breaks(
    root: Path, commit_text: CommitText, kind: str, error: type[Exception], lands: bool
) -> None:
    with running(root, faults=[Fault("commit", kind)]) as url:
        with pytest.raises(error):
            commit_text(url, REPO, "after")
        assert text(url) == (b"after" if lands else b"before")


def test_other_bytes_than_the_stored_ones(root: Path) -> None:
    with running(root, faults=[Fault("resolve", "wrong-bytes")]) as url:
        assert text(url) == b"cefore"
        assert text(url) == b"before"


@pytest.mark.parametrize(("kind", "lands"), [("slow", True), ("late", False)])
def test_an_answer_that_takes_its_time(root: Path, kind: str, lands: bool) -> None:
    with running(root, faults=[Fault("commit", kind, seconds=0.4)]) as url:
        address = url.removeprefix("http://")
        connection = http.client.HTTPConnection(address, timeout=0.2)
        lines = [
            {"key": "header", "value": {"summary": "s"}},
            {"key": "file", "value": {"path": "text.txt", "content": "after"}},
        ]
        body = "\n".join(json.dumps(line) for line in lines)
        path = f"/api/models/{REPO}/commit/main"
        connection.request("POST", path, body, {"Authorization": "Bearer x"})
        with pytest.raises(TimeoutError):
            connection.getresponse()
        connection.close()
        assert text(url) == (b"after" if lands else b"before")
        time.sleep(0.4)
        assert text(url) == b"after", "it lands also for a client that has gone"


def test_a_replica_that_lags_behind(root: Path, commit_text: CommitText) -> None:
    faults = [Fault("info", "stale", times=2), Fault("commits", "stale"), Fault("tree", "stale")]
    with running(root, faults=faults) as url:
        before = json.loads(get(f"{url}/api/models/{REPO}/revision/main"))["sha"]
        after = commit_text(url, REPO, "after")
        assert json.loads(get(f"{url}/api/models/{REPO}/revision/main"))["sha"] == before
        assert json.loads(get(f"{url}/api/models/{REPO}/revision/main"))["sha"] == after
        assert json.loads(get(f"{url}/api/models/{REPO}/commits/main"))[0]["id"] == before
        with pytest.raises(urllib.error.HTTPError) as refusal:
            get(f"{url}/api/models/{REPO}/tree/{after}")
        with refusal.value as answer:
            assert answer.headers["X-Error-Code"] == "RevisionNotFound"
        assert len(json.loads(get(f"{url}/api/models/{REPO}/tree/{after}"))) == 2


def test_how_often_and_after_how_many_calls(root: Path) -> None:
    faults = [Fault("refs", "500", times=2, after=1), Fault("whoami", "500", times=None)]
    with running(root, faults=faults) as url:
        statuses = [_status(f"{url}/api/models/{REPO}/refs") for _ in range(5)]
        assert statuses == [200, 500, 500, 200, 200]
        assert [_status(f"{url}/api/whoami-v2") for _ in range(7)] == [500] * 7


def _status(url: str) -> int:
    try:
        get(url)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code
    return 200


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("commit=504", Fault("commit", "504")),
        ("object-put=reset:3", Fault("object-put", "reset", times=3)),
        ("whoami=429@0.5:always", Fault("whoami", "429", times=None, seconds=0.5)),
        ("tree=wrong-bytes:2+4", Fault("tree", "wrong-bytes", times=2, after=4)),
        ("resolve=slow@30+1", Fault("resolve", "slow", after=1, seconds=30)),
    ],
)
def test_a_fault_as_it_is_written(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault
    assert str(fault) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("comit=504", "did you mean 'commit'"),
        ("commit=503", "503' is no kind of fault"),
        ("commit", "write CALL=KIND"),
        ("commit=504:0x", "write CALL=KIND"),
        ("commit=stale", "reads nothing that could be stale"),
    ],
)
def test_a_fault_that_is_none(text: str, told: str) -> None:
    with pytest.raises(UserError) as refusal:
        parse_fault(text)
    assert told in str(refusal.value)


def test_every_call_has_a_request() -> None:
    model, sha256 = "/api/models/a/b", "0" * 64
    requests = {
        "oidc": ("POST", "/oauth/token"),
        "whoami": ("GET", "/api/whoami-v2"),
        "create": ("POST", "/api/repos/create"),
        "validate-yaml": ("POST", "/api/validate-yaml"),
        "info": ("GET", model),
        "refs": ("GET", f"{model}/refs"),
        "tree": ("GET", f"{model}/tree/main"),
        "paths-info": ("POST", f"{model}/paths-info/main"),
        "commits": ("GET", f"{model}/commits/refs%2Fpr%2F1"),
        "preupload": ("POST", f"{model}/preupload/main"),
        "xet": ("GET", f"{model}/xet-write-token/main"),
        "lfs-batch": ("POST", "/a/b.git/info/lfs/objects/batch"),
        "object-put": ("PUT", f"/-/lfs/{sha256}/5"),
        "multipart-part": ("PUT", f"/-/lfs/{sha256}/5/parts/1"),
        "multipart-complete": ("POST", f"/-/lfs/{sha256}/5/parts"),
        "verify": ("POST", "/a/b.git/info/lfs/objects/verify"),
        "commit": ("POST", f"{model}/commit/main"),
        "resolve": ("HEAD", "/a/b/resolve/main/c/d"),
        "tag": ("POST", f"{model}/tag/main"),
        "branch": ("POST", f"{model}/branch/x"),
        "pr": ("POST", f"{model}/discussions/1/merge"),
    }
    assert tuple(requests) == CALLS
    assert {call: call_of(*request) for call, request in requests.items()} == {
        call: call for call in CALLS
    }
    assert call_of("GET", "/") is None


def test_the_document_names_every_call_and_kind() -> None:
    document = (Path(__file__).parents[3] / "docs/rehearsal-hub.md").read_text()
    for call in CALLS:
        assert f"`{call}`" in document
    for kind, meaning in KINDS.items():
        assert f"| `{kind}` | {meaning} |" in document


def test_a_misspelt_fault_stops_the_command(tmp_path: Path) -> None:
    from mbrelease.cli.rehearse import command

    call = ["--root", str(tmp_path / "hub"), "--port", "0", "--fault", "commit=5o4"]
    refused = CliRunner().invoke(command, call)
    assert isinstance(refused.exception, UserError)
    assert not (tmp_path / "hub").exists()


def test_a_fault_is_said_in_the_log(root: Path) -> None:
    said: list[str] = []
    with running(root, faults=[Fault("refs", "500")], log=said.append) as url:
        assert _status(f"{url}/api/models/{REPO}/refs?token=secret") == 500
    assert said[0] == "fault: refs=500"
    assert said[1].startswith(f"GET    /api/models/{REPO}/refs 500 ")
    assert "secret" not in "".join(said)
