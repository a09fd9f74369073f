"""A release to push, and what the push left on a rehearsal Hub: read from disk, not the wire."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from mbrelease.files import sha256_file
from mbrelease.hub.rehearsal import history, references
from mbrelease.hub.rehearsal.hub import opened

REPO = "lab/tiny"
TAG = "v1.0"
# The Hub makes it, and adds a line for an LFS file that it does not cover.
_OF_THE_HUB = ".gitattributes"


@dataclass(frozen=True)
class Line:
    """A branch or pull request: its commits, the last first, and its files by sha256."""

    commits: tuple[str, ...]
    files: Mapping[str, str]


@dataclass(frozen=True)
class State:
    """A repository; ``main`` has no commits where there is none."""

    main: Line
    tags: Mapping[str, str]
    pulls: tuple[Line, ...]


def write_release(folder: Path, *, numbers: int = 8192) -> None:
    """A text, a config and weights; no library is to load them, which takes seconds."""
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\nlanguage: [en]\n---\n\n# Tiny\n")
    (folder / "LICENSE").write_text("Apache License\n")
    (folder / "config.json").write_text(json.dumps({"model_type": "tiny"}))
    noise = np.random.default_rng(8).standard_normal(numbers, dtype=np.float32)
    save_file({"a": noise}, folder / "model.safetensors", metadata={"format": "pt"})


def read_state(root: Path) -> State:
    """The state of the repository on the Hub below ``root``, which nobody serves now."""
    with opened(root) as hub, hub.database.reading() as connection:
        lines: dict[str, Line] = {}
        tags = {}
        for reference in references.every(connection, REPO):
            if reference.name.startswith(references.TAGS):
                tags[reference.short_name] = reference.commit_id
                continue
            head = history.find(connection, REPO, reference.commit_id)
            assert head is not None
            files = history.listing(connection, head)
            for file in files.values():
                assert sha256_file(hub.blobs.path(file.sha256)) == file.sha256
            lines[reference.name] = Line(
                tuple(commit.id for commit in history.ancestors(connection, head)),
                {path: file.sha256 for path, file in files.items() if path != _OF_THE_HUB},
            )
    main = lines.pop(references.MAIN, Line((), {}))
    return State(main, tags, tuple(lines.values()))


def contents(folder: Path) -> dict[str, str]:
    """The files of a folder by sha256."""
    return {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in folder.rglob("*")
        if path.is_file()
    }


def is_as_before(state: State, before: State) -> bool:
    """Whether nothing is published: at most a repository was made, with its first commit."""
    made = not before.main.commits and not state.main.files and len(state.main.commits) == 1
    return state == before or (made and not state.tags and not state.pulls)


def whole(state: State, before: State, folder: Path, *, pull: bool = False) -> str | None:
    """The commit that publishes ``folder`` and all of it; ``None`` if there is none.

    It is one commit, on what was there before; nothing else has changed.
    """
    line = state.main
    if pull:
        assert state.main == before.main
        if len(state.pulls) != 1:
            return None
        line = state.pulls[0]
    older = before.main.commits or line.commits[1:2]  # the first commit of a new repository
    is_one_more = line.commits[1:] == older
    if not is_one_more or line.files != {**before.main.files, **contents(folder)}:
        return None
    return line.commits[0]


def read_receipts(folder: Path) -> dict[str, str | None]:
    """The commits that have a receipt, each with its tag."""
    found = [json.loads(path.read_text()) for path in folder.rglob("*.json")]
    return {receipt["commit"]: receipt["tag"] for receipt in found}
