"""Where a block runs: a folder in which the release is what a reader will find on the Hub."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mbrelease.errors import UserError
from mbrelease.evaluation.backend import available_cores
from mbrelease.files import unreadable

LINKED_BYTES = 50_000_000
"""Larger files (weights) are linked; smaller ones are copied, and so safe from the block."""
MOST_THREADS = 8

_GUARD = Path(__file__).with_name("guard.py")
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "CUDA_HOME", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Stage:
    """A folder for one block and the environment of its process."""

    work: Path
    """Where the block runs."""
    environment: Mapping[str, str]
    linked: Mapping[Path, tuple[int, int]]
    """Files of the release that the block could change, with their size and time."""

    def changed(self) -> Path | None:
        """A file of the release that is not as it was."""
        return next((path for path, was in self.linked.items() if _stat(path) != was), None)


def build_stage(folder: Path, release: Path, repo_id: str | None, *, gpu: bool) -> Stage:
    """Lay out the release in the empty ``folder``.

    With ``repo_id`` the release stands in the cache of the Hub's client, so that the very code
    that names it finds it, without a network. Without one it is the folder that the block runs
    in. The block has no tokens, no settings and no home of the one who runs it.

    Raises:
        UserError: the release cannot be read.
    """
    places = {name: folder / name for name in ("work", "home", "hub", "temporary", "guard")}
    for place in places.values():
        place.mkdir()
    shutil.copyfile(_GUARD, places["guard"] / "sitecustomize.py")
    if repo_id is None:
        target = places["work"]
    else:
        repository = places["hub"] / f"models--{repo_id.replace('/', '--')}"
        revision = "0" * 40  # a commit; which one matters to nobody here
        target = repository / "snapshots" / revision
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text(revision, encoding="utf-8")
    try:
        linked = _lay_out(release, target)
    except OSError as error:
        raise unreadable(release, error) from error
    return Stage(places["work"], _environment(places, gpu=gpu), linked)


def _lay_out(release: Path, target: Path) -> dict[Path, tuple[int, int]]:
    linked = {}
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(release.rglob("*")):
        relative = path.relative_to(release)
        if any(part.startswith(".") for part in relative.parts):
            continue
        if path.is_dir():
            (target / relative).mkdir(exist_ok=True)
        elif path.stat().st_size > LINKED_BYTES:
            (target / relative).symlink_to(path.resolve())
            linked[path] = _stat(path)
        else:
            shutil.copyfile(path, target / relative)
    if not linked and not any(target.iterdir()):
        raise UserError(f"there is nothing in {release}", mend="run 'mbrelease release' first")
    return linked


def _stat(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (-1, -1)
    return found.st_size, found.st_mtime_ns


def _environment(places: Mapping[str, Path], *, gpu: bool) -> dict[str, str]:
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # More threads than that do not help a handful of texts, and wait for each other.
    threads = {"OMP_NUM_THREADS": str(min(available_cores(), MOST_THREADS))}
    # A block that does not ask for a GPU computes the same on a machine that has one.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") if gpu else ""
    return {
        **threads,
        **passed,
        **({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}),
        "HOME": str(places["home"]),
        "XDG_CACHE_HOME": str(places["home"] / ".cache"),
        "TMPDIR": str(places["temporary"]),
        "PYTHONPATH": str(places["guard"]),
        # Sets print in the same order each time.
        "PYTHONHASHSEED": "0",
        "HF_HOME": str(places["home"] / "huggingface"),
        "HF_HUB_CACHE": str(places["hub"]),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
        "DO_NOT_TRACK": "1",
        "TOKENIZERS_PARALLELISM": "false",
        # Other programs that the block starts, such as curl, find no way out either.
        **{f"{kind}_proxy": _NOWHERE for kind in ("http", "https", "all")},
        "no_proxy": "localhost,127.0.0.1,::1",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "COLUMNS": "80",
    }
