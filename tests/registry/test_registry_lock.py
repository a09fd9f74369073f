"""Editors wait for each other, say for whom, and are not stopped by those that are no more."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mbrelease.errors import UserError
from mbrelease.registry import lock
from mbrelease.registry.edit import set_value
from mbrelease.registry.load import load_project

TEXT = "version: 1\nfamily: x\nvariants: {a: {}}\n"
HOLD = """
import sys, time
from pathlib import Path
from mbrelease.registry.lock import editing
with editing(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    path = tmp_path / "registry.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def holder(registry):
    """Another process that is editing the registry."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(registry)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_waiting_is_told_with_who_is_waited_for(registry, holder, monkeypatch, caplog):
    monkeypatch.setattr(lock, "SECONDS_TO_WORD", 0.1)
    monkeypatch.setattr(lock, "SECONDS_FOR_ONE_HOLDER", 0.4)
    with pytest.raises(UserError) as caught:
        set_value(registry, "a", "repo", "x")
    who = f"process {holder.pid} on {os.uname().nodename} since 20"
    assert f"registry.yaml has been edited for 0 seconds by {who}" in caught.value.message
    mend = f"try again; if it hangs, end process {holder.pid}: its lock ends with it"
    assert caught.value.mend == mend
    (told,) = caplog.messages
    assert told.startswith("waiting: ")
    assert f"registry.yaml is being edited by {who}" in told
    assert registry.read_text() == TEXT


def test_the_time_that_counts_is_that_of_one_holder(registry, monkeypatch):
    monkeypatch.setattr(lock, "SECONDS_FOR_ONE_HOLDER", 0.3)
    path = lock.lock_path(registry)
    wait = lock._Wait(registry, path)
    start = time.monotonic()
    for number in range(8):  # others' edits, one after the other
        path.write_text(json.dumps({"pid": number, "host": "h", "since": "s"}))
        until = time.monotonic() + 0.1
        while time.monotonic() < until:
            wait.once(lambda path, holder: "")
    assert time.monotonic() - start > 0.6
    with pytest.raises(UserError, match="by process 7 on h since s"):
        while True:
            wait.once(lambda path, holder: "")


def test_a_holder_that_lets_go_is_followed(registry, holder):
    os.kill(holder.pid, signal.SIGSTOP)  # alive and idle
    waiting = subprocess.Popen(
        [sys.executable, "-m", "mbrelease.cli.main", "registry", "set", "a", "license", "mit",
         "--registry", str(registry)], stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert waiting.stderr is not None
    told = waiting.stderr.readline()
    assert f"registry.yaml is being edited by process {holder.pid} on " in told
    # The lock of a killed process is gone with it, whatever its file says.
    holder.kill()
    waiting.communicate()
    assert waiting.returncode == 0
    assert load_project(registry).variant("a").license == "mit"


def test_what_a_dead_process_left_stops_nobody(registry, holder):
    holder.kill()
    holder.wait()
    path = lock.lock_path(registry)
    assert json.loads(path.read_text())["pid"] == holder.pid
    start = time.monotonic()
    assert set_value(registry, "a", "repo", "x").changed
    assert time.monotonic() - start < 5
    assert path.read_text() == ""


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_locks_a_file_takes_their_stead(registry, monkeypatch, caplog, number):
    seen = []

    def flock(*arguments):
        raise OSError(number, os.strerror(number))

    def write_all(*arguments):
        seen.append(json.loads((registry.parent / ".registry.yaml.editing").read_text()))

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(lock, "_warned", set())
    monkeypatch.setattr("mbrelease.registry.edit.write_all", write_all)
    set_value(registry, "a", "repo", "x")
    set_value(registry, "a", "repo", "y")
    assert [one["pid"] for one in seen] == [os.getpid()] * 2
    (told,) = caplog.messages  # once
    assert "lies on a file system without locks: edits go one at a time by " in told
    assert not (registry.parent / ".registry.yaml.editing").exists()


def test_without_locks_a_dead_process_is_for_a_person_to_judge(registry, monkeypatch, caplog):
    caplog.set_level(logging.ERROR)

    def flock(*arguments):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(lock, "SECONDS_FOR_ONE_HOLDER", 0.2)
    left = registry.parent / ".registry.yaml.editing"
    left.write_text('{"pid": 1, "host": "elsewhere", "since": "yesterday"}')
    with pytest.raises(UserError, match="by process 1 on elsewhere since yesterday") as caught:
        set_value(registry, "a", "repo", "x")
    assert caught.value.mend is not None
    assert caught.value.mend.startswith("try again; if process 1 on elsewhere is no more, delete ")
    assert registry.read_text() == TEXT
    left.unlink()
    assert set_value(registry, "a", "repo", "x").changed


WITHOUT_LOCKS = """
import ctypes, struct, sys
# seccomp: flock answers ENOLCK (37), everything else is allowed.
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, int(sys.argv[1])), (0x06, 0, 0, 0x00050000 | 37),
         (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
program = struct.pack("H6xP", len(rules), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
    sys.exit(77)
from mbrelease.cli.main import main
sys.exit(main(sys.argv[2:]))
"""


def test_a_kernel_without_locks(registry):
    number = {"x86_64": 73, "aarch64": 32}.get(os.uname().machine)
    if sys.platform != "linux" or number is None:
        pytest.skip("the number of flock is not known here")
    call = [sys.executable, "-c", WITHOUT_LOCKS, str(number), "registry", "set", "a", "license"]
    done = subprocess.run(
        [*call, "mit", "--registry", str(registry)], capture_output=True, text=True, check=False
    )
    if done.returncode == 77:
        pytest.skip("no system call can be filtered here")
    assert done.returncode == 0, done.stderr
    assert "lies on a file system without locks" in done.stderr
    assert load_project(registry).variant("a").license == "mit"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
def test_a_read_only_folder_is_told_in_a_line(registry):
    registry.parent.chmod(0o555)
    try:
        with pytest.raises(UserError, match=r"cannot write .*\.registry\.yaml\.lock: Permission"):
            set_value(registry, "a", "repo", "x")
    finally:
        registry.parent.chmod(0o755)
    assert registry.read_text() == TEXT


def test_who_may_write_the_registry_may_lock_it(registry):
    registry.chmod(0o664)
    set_value(registry, "a", "repo", "x")
    assert lock.lock_path(registry).stat().st_mode & 0o777 == 0o664


@contextlib.contextmanager
def not_root(user: int = 65534) -> Iterator[None]:
    """Whom permissions stop; nothing changes for those whom they stop already."""
    if os.geteuid():
        yield
        return
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder():
    """A registry in a folder in which everybody may write, as root's own temporary ones are not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        with not_root():
            (folder / "registry.yaml").write_text(TEXT)
        yield folder / "registry.yaml"


def test_a_refused_edit_of_a_read_only_file_locks_nobody_out(open_folder):
    with not_root():
        open_folder.chmod(0o444)
        with pytest.raises(UserError, match="is read-only"):
            set_value(open_folder, "a", "license", "mit")
        assert lock.lock_path(open_folder).stat().st_mode & 0o777 == 0o644
        open_folder.chmod(0o644)
        assert set_value(open_folder, "a", "license", "mit").changed


def test_a_lock_file_that_is_read_only_stops_nobody(open_folder):
    path = lock.lock_path(open_folder)
    with not_root():
        path.touch(0o444)
        assert set_value(open_folder, "a", "license", "mit").changed
        assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_the_lock_file_of_another_user_stops_nobody(open_folder):
    path = lock.lock_path(open_folder)
    with not_root():
        path.touch(0o644)
        open_folder.chmod(0o666)
    with not_root(65533):
        assert set_value(open_folder, "a", "license", "mit").changed
        with lock.editing(open_folder), lock.editing_at_once(open_folder) as is_free:
            assert not is_free
