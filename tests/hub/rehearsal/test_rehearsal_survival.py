"""The server as a program: killed, restarted, interrupted, refused a port."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import CommitOperationAdd, HfApi

from mbrelease.cli.main import main
from mbrelease.errors import UserError
from mbrelease.hub.rehearsal.server import running

CommitText = Callable[[str, str, str], str]

WEIGHTS = os.urandom(200_000)


@contextlib.contextmanager
def server(root: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`mbrelease rehearse` in a process of its own, and its address."""
    command = [sys.executable, "-m", "mbrelease.cli.main", "rehearse"]
    process = subprocess.Popen(
        [*command, "--root", str(root), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.communicate()


def commit_until_it_dies(commit_text: CommitText, url: str, repo_id: str) -> list[str]:
    """Commit 0, 1, 2, … as fast as can be; the ids that were acknowledged."""
    acknowledged: list[str] = []
    with contextlib.suppress(OSError, http.client.HTTPException):
        while True:
            acknowledged.append(commit_text(url, repo_id, str(len(acknowledged))))
    return acknowledged


def test_a_kill_loses_nothing_that_was_acknowledged(
    tmp_path: Path, commit_text: CommitText
) -> None:
    root, repo_id = tmp_path / "hub", "lab/model"
    with server(root) as (url, process):
        api = HfApi(endpoint=url, token="x")
        api.create_repo(repo_id)
        add = CommitOperationAdd("model.safetensors", WEIGHTS)
        weights = api.create_commit(repo_id, [add], commit_message="weights").oid
        api.create_tag(repo_id, tag="v1")
        # Killed from another thread, in the midst of whatever it does then.
        threading.Timer(0.5, process.send_signal, [signal.SIGKILL]).start()
        acknowledged = commit_until_it_dies(commit_text, url, repo_id)
    assert len(acknowledged) > 3
    with server(root) as (url, _):
        api = HfApi(endpoint=url, token="x")
        found = [commit.commit_id for commit in api.list_repo_commits(repo_id)]
        # The commit in flight was applied or was not, but never by half.
        in_flight = len(found) - len(acknowledged) - 2
        assert in_flight in {0, 1}
        assert found[in_flight:-1] == [*acknowledged[::-1], weights]
        folder = Path(api.snapshot_download(repo_id, cache_dir=tmp_path / "cache"))
        assert (folder / "model.safetensors").read_bytes() == WEIGHTS
        assert (folder / "text.txt").read_text() == str(len(acknowledged) - 1 + in_flight)
        tags = api.list_repo_refs(repo_id).tags
        assert [(tag.name, tag.target_commit) for tag in tags] == [("v1", weights)]
        assert list((root / "blobs").glob("*/.*")) == []


def test_ctrl_c_ends_it_cleanly(tmp_path: Path) -> None:
    with server(tmp_path / "hub") as (url, process):
        HfApi(endpoint=url, token="hf_secret").create_repo("lab/model")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 0
        lines = said.splitlines()
        assert f"export HF_ENDPOINT={url}" in lines[1]
        assert lines[3].startswith("POST   /api/repos/create 200 ")
        assert lines[-1] == "stopped"
        assert "secret" not in said


def test_a_busy_port_is_a_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["rehearse", "--root", str(tmp_path / "hub"), "--port", str(port)]) == 2
    assert capfd.readouterr().err == (
        f"error: port {port} is in use by another program\n"
        "  choose another with --port, or --port 0 for any free one\n"
    )


def test_two_servers_do_not_share_a_folder(tmp_path: Path) -> None:
    with running(tmp_path), pytest.raises(UserError, match="served by another"), running(tmp_path):
        pass
    with running(tmp_path):
        pass


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"), running(tmp_path / "file"):
        pass


def test_no_option_opens_it_to_the_network(tmp_path: Path) -> None:
    from mbrelease.cli.rehearse import command

    refused = CliRunner().invoke(command, ["--root", str(tmp_path), "--host", "0.0.0.0"])
    assert refused.exit_code == 2
    with running(tmp_path) as url:
        assert url.startswith("http://127.0.0.1:")
        # Whoever listens on all addresses listens on this one too.
        where = ("127.0.0.2", int(url.rpartition(":")[2]))
        call = f"import socket; socket.create_connection({where!r}, timeout=5)"
        tried = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True)
    assert "ConnectionRefusedError" in tried.stderr


def test_a_database_that_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "hub.sqlite").write_text("not a database, and long enough to be read as one" * 99)
    with pytest.raises(UserError, match="not the database of a rehearsal Hub"), running(tmp_path):
        pass


def test_what_a_kill_left_half_done_is_swept_away(tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    left = [
        tmp_path / "blobs/ab/.abc.x1.tmp",
        tmp_path / "xet/read-1/xet/xorbs",
        tmp_path / "xet/upload-old/xet",
        tmp_path / "xet/upload-new/xet",
    ]
    for path in left:
        path.mkdir(parents=True)
    left[0].rmdir()
    left[0].write_bytes(b"half")
    os.utime(tmp_path / "xet/upload-old", (0, 0))
    with running(tmp_path):
        assert [path.exists() for path in left] == [False, False, False, True]


def test_the_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mbrelease.hub.rehearsal.server._EXTRA", ("a_module_that_is_not_there",))
    with pytest.raises(UserError, match=r"needs the extra \[rehearsal\]"), running(tmp_path):
        pass
