"""An average that was killed goes on from its finished tiles and ends with the same bytes."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mbrelease.cli.main import main

TILES = 12
# Runs the command and kills its own process, hard, the n-th time that a function is called.
KILLED = """
import os, signal, sys
import mbrelease.averaging.journal, mbrelease.averaging.write_model, mbrelease.files
from mbrelease.cli.main import main
place, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
owner = eval(place, {"mbrelease": mbrelease})
original, calls = getattr(owner, name), 0
def killer(*arguments, **options):
    global calls
    calls += 1
    if calls > count:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **options)
setattr(owner, name, killer)
sys.exit(main(sys.argv[4:]))
"""
# Runs the command and prints how many tiles were made.
COUNTED = """
import sys
from mbrelease.averaging.journal import Journal
from mbrelease.cli.main import main
original, made = Journal.mark, []
Journal.mark = lambda self, number: (made.append(number), original(self, number))
code = main(sys.argv[1:])
print(len(made), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def run_folder(make_checkpoint):
    rng = np.random.default_rng(0)
    for step in (1, 2, 3):
        half = TILES // 2 * 65536 - 7
        tensors = {name: rng.standard_normal(half).astype("f4") for name in ("a", "b")}
        folder = make_checkpoint(step, tensors)
    return folder.parent


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


@pytest.fixture
def whole(run_folder, tmp_path):
    """What an undisturbed run writes."""
    assert main(["average", str(run_folder), "-o", str(tmp_path / "whole")]) == 0
    return contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("place", "name", "count", "left"),
    [
        ("mbrelease.averaging.journal.Journal", "mark", 0, TILES),
        ("mbrelease.averaging.journal.Journal", "mark", 5, TILES - 5),
        ("mbrelease.averaging.write_model", "_write_header", 0, 0),
        ("mbrelease.averaging.write_model", "write_bytes", 1, 0),
        ("mbrelease.averaging.write_model", "write_json", 0, 0),
        ("mbrelease.files", "_replace", 0, 0),
    ],
)
def test_a_killed_average_goes_on(run_folder, whole, tmp_path, place, name, count, left):
    output = tmp_path / "out"
    call = ["average", str(run_folder), "-o", str(output)]
    killed = run(KILLED, place, name, str(count), *call)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not output.exists()
    assert (tmp_path / ".out.partial").is_dir()
    again = run(COUNTED, *call)
    assert again.returncode == 0, again.stderr
    # A worker that was about to mark its tile when the other killed them both makes it again.
    assert left <= int(again.stderr.split()[-1]) <= left + 1
    assert contents(output) == whole
    assert not (tmp_path / ".out.partial").exists()


def test_killed_again_and_again(run_folder, whole, tmp_path):
    output = tmp_path / "out"
    call = ["average", str(run_folder), "-o", str(output)]
    for _ in range(3):
        killed = run(KILLED, "mbrelease.averaging.journal.Journal", "mark", "3", *call)
        assert killed.returncode == -signal.SIGKILL
    again = run(COUNTED, *call)
    assert int(again.stderr.split()[-1]) <= TILES - 9 + 1
    assert contents(output) == whole


@pytest.mark.parametrize("change", ["input", "recipe", "dtype"])
def test_what_was_made_of_something_else_is_not_kept(run_folder, tmp_path, change):
    output = tmp_path / "out"
    call = ["average", str(run_folder), "-o", str(output)]
    killed = run(KILLED, "mbrelease.averaging.journal.Journal", "mark", "5", *call)
    assert killed.returncode == -signal.SIGKILL
    if change == "input":
        file = run_folder / "checkpoint-2" / "model.safetensors"
        data = bytearray(file.read_bytes())
        data[-2] ^= 1
        file.write_bytes(data)
    more = {"input": [], "recipe": ["--recipe", "last:2"], "dtype": ["--dtype", "bfloat16"]}
    again = run(COUNTED, *call, *more[change])
    assert int(again.stderr.split()[-1]) == TILES
    fresh = [*call[:-1], str(tmp_path / "fresh"), *more[change]]
    assert main(fresh) == 0
    assert contents(output) == contents(tmp_path / "fresh")


def test_another_boot_starts_over(run_folder, whole, tmp_path, monkeypatch):
    """What a crashed machine had not yet written to its disk cannot be told from what it had."""
    output = tmp_path / "out"
    call = ["average", str(run_folder), "-o", str(output)]
    run(KILLED, "mbrelease.averaging.journal.Journal", "mark", "5", *call)
    state = tmp_path / ".out.partial" / ".resume" / "state"
    content = json.loads(state.read_text())
    state.write_text(json.dumps(content | {"boot": "another"}))
    again = run(COUNTED, *call)
    assert int(again.stderr.split()[-1]) == TILES
    assert contents(output) == whole


def test_an_interrupted_average_is_kept_for_the_next(run_folder, whole, tmp_path):
    output = tmp_path / "out"
    call = ["average", str(run_folder), "-o", str(output)]
    script = KILLED.replace("os.kill(os.getpid(), signal.SIGKILL)", "raise KeyboardInterrupt")
    stopped = run(script, "mbrelease.averaging.journal.Journal", "mark", "5", *call)
    assert stopped.returncode == 130
    assert "Traceback" not in stopped.stderr
    again = run(COUNTED, *call)
    assert int(again.stderr.split()[-1]) <= TILES - 5 + 1
    assert contents(output) == whole


def test_an_earlier_average_stays_until_the_new_one_is_whole(run_folder, tmp_path):
    output = tmp_path / "out"
    assert main(["average", str(run_folder), "-o", str(output)]) == 0
    before = contents(output)
    call = ["average", str(run_folder), "-o", str(output), "--recipe", "last:2"]
    run(KILLED, "mbrelease.averaging.journal.Journal", "mark", "5", *call)
    assert contents(output) == before


def test_two_at_once_do_not_mix(run_folder, tmp_path):
    output = tmp_path / "out"
    call = ["average", str(run_folder), "-o", str(output)]
    holder = (
        "import sys\nfrom pathlib import Path\nfrom mbrelease.files import resumable_folder\n"
        "with resumable_folder(Path(sys.argv[1]), 'x'):\n"
        "    print('held', flush=True)\n    sys.stdin.read()\n    raise KeyboardInterrupt"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(output)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as first:  # fmt: skip
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        second = run(COUNTED, *call)
        assert second.returncode == 2
        assert f"another process is writing {output}" in second.stderr
        first.communicate("")
    assert run(COUNTED, *call).returncode == 0
