import errno
import fcntl
import os
import signal
import subprocess
import sys
import time

import pytest

from mbrelease.cli.main import main
from mbrelease.errors import UserError
from mbrelease.files import (
    atomic_file,
    atomic_folder,
    canonical_json,
    locked,
    read_json,
    sha256_json,
    write_files,
    write_json,
    write_text,
)


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a" / "file"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_file(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_no_file_of_several_is_replaced_before_all_are_written(tmp_path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o600)
    (tmp_path / "c").mkdir()  # cannot be replaced by a file
    with pytest.raises(UserError, match="cannot write"):
        write_files(tmp_path, {"a": b"new", "b": b"new", "c": b"new"})
    assert (tmp_path / "a").read_text() == "old"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a", "c"]
    write_files(tmp_path, {"a": b"new", "b": b"new"})
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text() == "new"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


def test_a_folder_may_hold_links_that_lead_nowhere(tmp_path):
    with atomic_folder(tmp_path / "folder") as folder:
        (folder / "link").symlink_to(tmp_path / "nowhere")
    assert (tmp_path / "folder" / "link").is_symlink()


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "folder"
    with atomic_folder(path) as folder:
        (folder / "a").write_text("old")
    with pytest.raises(RuntimeError), atomic_folder(path) as folder:
        (folder / "b").write_text("half")
        raise RuntimeError
    assert [entry.name for entry in path.iterdir()] == ["a"]
    with atomic_folder(path) as folder:
        (folder / "c").write_text("new")
    assert [entry.name for entry in path.iterdir()] == ["c"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_a_link_to_a_folder_is_replaced_and_what_it_points_to_stays(tmp_path, target):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a").write_text("kept")
    path = tmp_path / "here" / "folder"
    path.parent.mkdir()
    path.symlink_to(tmp_path / target)
    for name in ("b", "c"):
        with atomic_folder(path) as folder:
            (folder / name).write_text("new")
        assert [entry.name for entry in path.iterdir()] == [name]
    assert [entry.name for entry in path.parent.iterdir()] == ["folder"]
    assert (tmp_path / "elsewhere" / "a").read_text() == "kept"


KILLED = """
import sys
from pathlib import Path
from mbrelease.files import atomic_file
with atomic_file(Path(sys.argv[1])) as file:
    file.write(b"new" * 100_000)
    file.flush()
    print("half", flush=True)
    import time
    time.sleep(60)
"""


def test_a_writer_that_is_killed_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"half\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert path.read_text() == "old"


KILLED_FOLDER = """
import sys
from pathlib import Path
from mbrelease.files import atomic_folder
with atomic_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("x")
    print("half", flush=True)
    import time
    time.sleep(60)
"""


def test_what_a_killed_writer_left_is_swept_and_a_living_one_is_not(tmp_path):
    path = tmp_path / "folder"
    command = [sys.executable, "-c", KILLED_FOLDER, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"half\n"
    with atomic_folder(path) as folder:
        (folder / "a").write_text("mine")
    assert len(list(tmp_path.glob(".folder.*.tmp"))) == 1
    process.kill()
    process.wait()
    process.stdout.close()
    with atomic_folder(path) as folder:
        (folder / "b").write_text("mine")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


LOCKED = """
import sys, time
from pathlib import Path
from mbrelease.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def test_a_lock_is_waited_for_and_dies_with_its_holder(tmp_path):
    command = [sys.executable, "-c", LOCKED, str(tmp_path / "lock")]
    first = subprocess.Popen([*command, "60"], stdout=subprocess.PIPE)
    assert first.stdout is not None and first.stdout.readline() == b"held\n"
    second = subprocess.Popen([*command, "0"], stdout=subprocess.PIPE)
    time.sleep(0.5)
    assert second.poll() is None
    first.kill()
    assert second.stdout is not None and second.stdout.readline() == b"held\n"
    for process in (first, second):
        process.wait()
        process.stdout.close()


def test_a_file_system_without_locks_is_a_sentence(tmp_path, monkeypatch):
    def flock(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        pytest.raises(UserError, match="cannot lock .*lock: No locks available"),
        locked(tmp_path / "lock"),
    ):
        pass


def test_an_unwritable_place_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*\n.*choose another"):
        write_text(tmp_path / "file" / "below", "x")


def test_equal_values_have_equal_bytes():
    assert canonical_json({"b": 1, "a": [1.5, "é"]}) == '{"a":[1.5,"é"],"b":1}'
    assert sha256_json({"b": 1, "a": 2}) == sha256_json({"a": 2, "b": 1})


def test_nan_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"value": float("nan")})
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize(
    ("data", "said"),
    [(b'{"a": }', "x.json:1:7: not JSON"), (b"\xff", "not UTF-8"), (None, "does not exist")],
)
def test_unreadable_json_is_a_sentence(tmp_path, data, said):
    path = tmp_path / "x.json"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UserError, match="x.json") as caught:
        read_json(path)
    assert said in str(caught.value)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="/proc refuses even root")
@pytest.mark.parametrize(
    "arguments",
    [
        ["average", "{model}", "-o", "/proc/out"],
        ["card", "{model}", "-o", "/proc/out/README.md"],
        ["rehearse", "--root", "/proc/out", "--port", "0"],
        ["demo", "/proc/out"],
    ],
)
def test_no_write_access_is_two_lines_for_every_command(saved_by_5x, capsys, arguments):
    assert main([argument.format(model=saved_by_5x) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert "cannot write /proc/out" in error
    assert len(error.strip().splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "said"), [("[" * 200_000, "too deep"), ("1" * 5000, "too many digits")]
)
def test_json_that_python_gives_up_on_is_a_sentence(tmp_path, text, said):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UserError, match=said):
        read_json(tmp_path / "x.json")
