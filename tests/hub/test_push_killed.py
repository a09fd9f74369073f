"""A push that is killed at any moment: the remote is as before or whole, a second run ends it."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from outcome import REPO, TAG, State, is_as_before, read_receipts, read_state, whole, write_release

from mbrelease.cli.main import main
from mbrelease.hub.rehearsal.server import running

TOKEN = "hf_" + "Rehearsal" * 4
MOMENTS = 40
PART_BYTES = 2_000_000


@dataclass(frozen=True)
class Start:
    """A folder with a release and a Hub, and what is on the Hub."""

    folder: Path
    before: State


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> list[Start]:
    """Nothing on the Hub, and an earlier release on it."""
    new = tmp_path_factory.mktemp("starts") / "new"
    write_release(new / "release", numbers=3_000_000)
    old = Path(shutil.copytree(new, new.parent / "old"))
    weights = old / "release" / "model.safetensors"
    later = weights.read_bytes()
    weights.write_bytes(later[:-4] + bytes(4))
    (old / "release" / "LICENSE").write_text("An earlier one\n")
    with pushing(old, way="lfs") as process:
        assert process.wait(60) == 0, process.communicate()
    with running(old / "hub") as url:
        from huggingface_hub import HfApi

        HfApi(endpoint=url, token=TOKEN).delete_tag(REPO, tag=TAG)
    shutil.rmtree(old / "receipts")
    shutil.copy(new / "release" / "LICENSE", old / "release")
    weights.write_bytes(later)
    return [Start(folder, read_state(folder / "hub")) for folder in (new, old)]


@contextmanager
def pushing(folder: Path, way: str) -> Iterator[subprocess.Popen[str]]:
    """``mbrelease push`` on its way, from its first request on."""
    asked = threading.Event()
    with running(folder / "hub", part_bytes=PART_BYTES, log=lambda _line: asked.set()) as url:
        environment = {
            **os.environ,
            "HF_ENDPOINT": url,
            "HF_TOKEN": TOKEN,
            "HF_HOME": str(folder / "home"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "" if way == "xet" else "1",
        }
        call = ["push", "release", "--to", REPO, "--tag", TAG]
        process = subprocess.Popen(
            [sys.executable, "-m", "mbrelease.cli.main", *call],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            assert asked.wait(60)
            yield process
        finally:
            process.kill()
            process.communicate()


def push_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """The same command, in this process."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with running(folder / "hub") as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        return main(["push", "release", "--to", REPO, "--tag", TAG])


@pytest.fixture(scope="module")
def undisturbed_seconds(starts: list[Start], tmp_path_factory: pytest.TempPathFactory) -> float:
    """How long a push takes from its first request to its end."""
    folder = Path(shutil.copytree(starts[0].folder, tmp_path_factory.mktemp("undisturbed") / "new"))
    with pushing(folder, "xet") as process:
        begun = time.monotonic()
        assert process.wait(60) == 0
        return time.monotonic() - begun


@pytest.fixture(scope="module")
def seen() -> list[str]:
    """What each kill left: nothing, a commit, its tag, its receipt."""
    return []


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_killed_push_is_ended_by_the_next(
    moment: int,
    starts: list[Start],
    undisturbed_seconds: float,
    seen: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, way = starts[moment % 2], ("xet", "lfs")[moment // 2 % 2]
    part = (moment + random.Random(moment).random()) / MOMENTS
    folder = Path(shutil.copytree(start.folder, tmp_path / "killed"))
    with pushing(folder, way) as process:
        time.sleep(part * undisturbed_seconds)
        process.kill()
        process.wait()
    state = read_state(folder / "hub")
    release, receipts = folder / "release", folder / "receipts"
    commit = whole(state, start.before, release)
    assert is_as_before(state, start.before) != (commit is not None), state
    assert set(state.tags.values()) | set(read_receipts(receipts)) <= {commit}
    seen.append("receipt" if read_receipts(receipts) else "commit" if commit else "nothing")

    assert push_again(folder, monkeypatch) == 0
    after = read_state(folder / "hub")
    ended = whole(after, start.before, release)
    assert ended is not None and commit in {None, ended}
    assert after.tags == {TAG: ended}
    assert read_receipts(receipts) == {ended: TAG}
    shutil.rmtree(folder)  # forty of them would be a gigabyte


@pytest.mark.slow
def test_the_moments_fall_into_all_parts_of_a_push(seen: list[str]) -> None:
    if len(seen) < MOMENTS:
        pytest.skip("not all moments were tried")
    assert set(seen) == {"nothing", "commit", "receipt"}
