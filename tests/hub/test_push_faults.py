"""Each call of a push, with each fault: the remote is as before or whole, and a second run ends it.

The command itself, the real client and a rehearsal Hub that fails on request. Most of the time is
the client's waiting before it asks again, so the cells run beside one another.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import multiprocessing
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from outcome import REPO, TAG, State, is_as_before, read_receipts, read_state, whole, write_release

from mbrelease.errors import UserError
from mbrelease.hub.rehearsal.faults import CALLS, KINDS, Fault, parse_fault
from mbrelease.hub.rehearsal.server import running

# How long the command waits for an answer where one is slow; docs/push.md tells of the setting.
SHORT_SECONDS = "0.8"
SLOW_SECONDS = 1.6
PART_BYTES = 10_000
PROCESSES = 16

# Reading changes nothing, so whether it was carried out makes no difference.
READING = {"whoami", "validate-yaml", "info", "refs", "tree", "commits", "resolve", "xet"}
WITHOUT_BODY = {"object-put", "multipart-part"}
# What a push does not call: it has a token, makes no branches, and reads whole trees.
NOT_CALLED = {"oidc", "branch", "paths-info"}


@dataclass(frozen=True)
class Cell:
    """One push and what goes wrong in it.

    Fields:
        start: "new", or "old" with an earlier release on the Hub.
        way: how large files go up: "xet", "lfs" or "parts".
    """

    faults: tuple[Fault, ...]
    start: str = "old"
    way: str = "lfs"
    pull: bool = False

    def __str__(self) -> str:
        told = ",".join(str(fault) for fault in self.faults)
        return f"{told}-{self.start}-{self.way}" + ("-pr" if self.pull else "")

    @property
    def is_slow(self) -> bool:
        return any(fault.kind in {"slow", "late"} for fault in self.faults)


def _cell(call: str, kind: str) -> Cell:
    fault = Fault(call, kind, seconds=SLOW_SECONDS if kind in {"slow", "late"} else 1)
    if call in {"create", "whoami"}:
        return Cell((fault,), start="new")
    if call == "commits":  # it is asked when the answer to a commit was lost
        return Cell((Fault("commit", "lost"), fault))
    if call == "pr":
        return Cell((fault,), pull=True)
    if call.startswith("multipart"):
        return Cell((fault,), way="parts")
    return Cell((fault,), way="xet" if call == "xet" else "lfs")


def _matrix() -> Iterator[Cell]:
    for call, kind in itertools.product(CALLS, KINDS):
        if call in NOT_CALLED or (call in READING and kind in {"504", "lost", "late"}):
            continue
        if call in WITHOUT_BODY and kind in {"truncated", "wrong-bytes"}:
            continue
        with contextlib.suppress(UserError):  # what reads nothing is not stale
            yield _cell(call, kind)


def _several(*texts: str, **fields: object) -> Cell:
    return Cell(tuple(parse_fault(text) for text in texts), **fields)  # type: ignore[arg-type]


# Faults that come together, or do not go away.
WORSE = [
    _several("commit=500:always"),
    _several("commit=504:always", start="new"),
    _several("commit=lost", "commits=stale:2"),
    _several("commit=lost", "commits=stale:always"),
    _several("commit=lost", "commits=absent:always"),
    _several("commit=504", "tree=stale:always"),
    _several("commit=reset", "commit=504"),
    _several("commit=late@6"),
    _several("commit=late@1.6", pull=True),
    _several("commit=lost", pull=True),
    _several("commit=reset:always", pull=True),
    _several("commit=504", "refs=stale:always", pull=True),
    _several("commit=lost", way="xet"),
    _several("commit=lost", way="xet", start="new"),
    _several("create=lost", "info=stale:always", start="new"),
    _several("create=late@1.6", start="new"),
    _several("info=stale:always"),
    _several("refs=stale:always"),
    _several("tag=lost", "refs=500:always+1"),
    _several("tree=absent:always+1"),
    _several("tag=500:always"),
    _several("resolve=wrong-bytes:always"),
    _several("resolve=reset:always"),
    _several("resolve=stale:always"),
    _several("object-put=reset:2", "verify=504", "commit=504", "resolve=reset", "tag=lost"),
    _several("object-put=500:always"),
    _several("xet=reset+1", way="xet"),
    _several("whoami=500:always"),
]
CELLS = [*_matrix(), *WORSE]


@dataclass(frozen=True)
class Run:
    """How a run ended, what it said, and what was there then.

    Fields:
        whole: the commit that publishes the release.
        receipts: the tag by commit.
    """

    code: int
    said: str
    is_as_before: bool
    whole: str | None
    tags: dict[str, str]
    receipts: dict[str, str | None]


def push(url: str, *, pull: bool = False) -> tuple[int, str]:
    """``mbrelease push`` in this process and the current folder: its exit code and what it said."""
    from mbrelease.cli.main import main

    said = io.StringIO()
    options = ["--pr"] if pull else ["--tag", TAG]
    os.environ["HF_ENDPOINT"] = url
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(["push", "release", "--to", REPO, *options])
    return code, said.getvalue()


def make_old_start(starts: Path) -> None:
    """Beside ``starts/new`` with its release, ``starts/old``: an earlier one is on its Hub."""
    old = Path(shutil.copytree(starts / "new", starts / "old"))
    release = old / "release"
    later = {name: (release / name).read_bytes() for name in ("LICENSE", "model.safetensors")}
    (release / "LICENSE").write_text("An earlier one\n")
    (release / "model.safetensors").write_bytes(later["model.safetensors"][:-4] + bytes(4))
    os.chdir(old)
    with running(old / "hub") as url:
        code, said = push(url)
        assert code == 0, said
        delete_tag(url)
    shutil.rmtree(old / "receipts")
    for name, data in later.items():
        (release / name).write_bytes(data)


def delete_tag(url: str) -> None:
    from huggingface_hub import HfApi

    HfApi(endpoint=url).delete_tag(REPO, tag=TAG)


def run_cell(cell: Cell, start: Path, before: State, folder: Path) -> tuple[Run, Run]:
    """Push twice, the second time without faults."""
    shutil.copytree(start, folder)
    os.chdir(folder)
    first = _run(cell, cell.faults, before, SHORT_SECONDS if cell.is_slow else "")
    second = _run(cell, (), before, "")
    os.chdir(start)
    shutil.rmtree(folder)
    return first, second


def _run(cell: Cell, faults: tuple[Fault, ...], before: State, answer_seconds: str) -> Run:
    if cell.way != "xet":
        faults = (*faults, Fault("xet", "absent", times=None))
    part_bytes = PART_BYTES if cell.way == "parts" else 10**9
    os.environ["MBRELEASE_ANSWER_SECONDS"] = answer_seconds
    with running(Path("hub"), faults=faults, part_bytes=part_bytes) as url:
        code, said = push(url, pull=cell.pull)
    state = read_state(Path("hub"))
    return Run(
        code=code,
        said=said,
        is_as_before=is_as_before(state, before),
        whole=whole(state, before, Path("release"), pull=cell.pull),
        tags=dict(state.tags),
        receipts=read_receipts(Path("receipts")),
    )


def run_cells(cells: Sequence[Cell], folder: Path) -> list[tuple[Run, Run]]:
    """All cells, in processes that begin as copies of this one, which has imported all it needs."""
    os.environ |= {
        "HF_HOME": str(folder / "home"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "HF_TOKEN": "hf_" + "Rehearsal" * 4,
        "HF_HUB_DISABLE_TELEMETRY": "1",  # the client asks nobody else for anything
    }
    import mbrelease.cli.push
    import mbrelease.hub.publish
    import mbrelease.hub.rehearsal.app  # noqa: F401

    starts, copies = folder / "starts", multiprocessing.get_context("fork")
    (folder / "cells").mkdir()
    write_release(starts / "new/release")
    with ProcessPoolExecutor(PROCESSES, copies) as pool:
        pool.submit(make_old_start, starts).result()
        before = {name: read_state(starts / name / "hub") for name in ("new", "old")}
        runs = [
            pool.submit(
                run_cell, cell, starts / cell.start, before[cell.start], folder / f"cells/{number}"
            )
            for number, cell in enumerate(cells)
        ]
        return [run.result() for run in runs]


@pytest.fixture(scope="module")
def results(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> dict[Cell, tuple[Run, Run]]:
    """Both runs of every cell that is asked for."""
    asked = [getattr(item, "callspec", None) for item in request.session.items]
    cells = list(
        dict.fromkeys(spec.params["cell"] for spec in asked if spec and "cell" in spec.params)
    )
    folder = tmp_path_factory.mktemp("faults")
    # The processes are copies of one without threads, which this one cannot promise to be.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as single:
        return dict(zip(cells, single.submit(run_cells, cells, folder).result(), strict=True))


def published_by(run: Run, cell: Cell) -> bool:
    """Whether everything is there: the commit, the tag and the receipt."""
    tag = None if cell.pull else TAG
    tags = {} if cell.pull else {TAG: run.whole}
    return run.whole is not None and run.tags == tags and run.receipts == {run.whole: tag}


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_push_is_whole_or_has_not_happened(
    cell: Cell, results: dict[Cell, tuple[Run, Run]]
) -> None:
    first, second = results[cell]
    assert first.is_as_before != (first.whole is not None), "neither as before nor whole"
    assert set(first.tags.values()) <= {first.whole}
    assert set(first.receipts) <= {first.whole}

    told = first.said.partition("error: ")[2]
    if first.code == 0:
        assert published_by(first, cell)
    elif first.whole is not None:
        assert re.search("published as|unknown whether|is not what was sent", told)
        assert not re.search("nothing was sent|not published", told)
    else:
        assert "published as" not in told and not first.receipts
    assert first.code in {0, 1}
    assert "Traceback" not in first.said and "Rehearsal" * 4 not in first.said

    assert second.code == 0, second.said
    assert published_by(second, cell)
    assert first.whole in {None, second.whole}


# What a fault does to one call, and is over then: these stop a push, for they may stay.
FINAL = {"quota", "absent"}
# A server that serves other bytes than those of the commit is told of, and not asked until it does.
NOT_ASKED_AGAIN = {"resolve": {"wrong-bytes"}}


def is_got_over(cell: Cell) -> bool:
    """Whether the push is to end well although the fault befell it."""
    fault = cell.faults[-1]
    if cell in WORSE or (cell.is_slow and fault.call != "commit"):
        return False
    return fault.kind not in FINAL | NOT_ASKED_AGAIN.get(fault.call, set())


@pytest.mark.parametrize("cell", [cell for cell in CELLS if is_got_over(cell)], ids=str)
def test_what_passes_is_got_over(cell: Cell, results: dict[Cell, tuple[Run, Run]]) -> None:
    first, _ = results[cell]
    assert first.code == 0, first.said
