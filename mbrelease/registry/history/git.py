"""The little of git that a history needs: commits of paths, and objects by one running process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from mbrelease.errors import UserError

_FORMAT = "%T%x00%an%x00%aI%x00%s"


@dataclass(frozen=True)
class Commit:
    """One commit; ``parents`` are the nearest above it that touched the paths asked for."""

    sha: str
    parents: tuple[str, ...]
    tree: str
    author: str
    date: str
    """When it was written, ISO 8601 with its time zone."""
    subject: str


@dataclass(frozen=True)
class Repository:
    """A git repository with a working tree."""

    root: Path

    def commits(self, pathspecs: Sequence[str]) -> list[Commit]:
        """The commits of ``HEAD`` that touched the paths, children before their parents.

        Merges are kept only where their sides differ. Empty where nothing is committed yet.
        """
        if not self._has_head():
            return []
        lines = self._run(
            "rev-list", "--parents", "--simplify-merges", "--topo-order", f"--format={_FORMAT}",
            "HEAD", "--", *pathspecs,
        ).split("\n")  # fmt: skip
        found = []
        # "commit SHA PARENT…" and then what the format asks for.
        for head, line in zip(lines[:-1:2], lines[1::2], strict=True):
            _, sha, *parents = head.split()
            tree, author, date, subject = line.split("\0", 3)
            found.append(Commit(sha, tuple(parents), tree, author, date, subject))
        return found

    @property
    def is_shallow(self) -> bool:
        """Whether older commits were left out when it was cloned."""
        return self._run("rev-parse", "--is-shallow-repository").strip() == "true"

    @contextmanager
    def objects(self) -> Iterator[Objects]:
        """A reader of objects, for the length of a block."""
        process = subprocess.Popen(  # noqa: S603
            _call(self.root, "cat-file", "--batch"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )
        assert process.stdin is not None and process.stdout is not None
        try:
            yield Objects(process.stdin, process.stdout)
        finally:
            process.stdin.close()
            process.stdout.close()
            process.wait()

    def _has_head(self) -> bool:
        return _git(self.root, "rev-parse", "--verify", "--quiet", "HEAD").returncode == 0

    def _run(self, *arguments: str) -> str:
        done = _git(self.root, *arguments)
        if done.returncode != 0:
            raise UserError(f"git {arguments[0]} failed in {self.root}: {_first_line(done.stderr)}")
        return done.stdout


@dataclass
class Objects:
    """Blobs and trees by their names; each is read once."""

    requests: IO[bytes]
    answers: IO[bytes]
    _trees: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)

    def read(self, sha: str) -> bytes | None:
        """The content of an object; ``None`` where it is not here, as in a partial clone."""
        self.requests.write(f"{sha}\n".encode())
        self.requests.flush()
        header = self.answers.readline().split()
        if len(header) != 3:
            return None
        size = int(header[2])
        data = self.answers.read(size)
        self.answers.read(1)
        return data

    def tree(self, sha: str) -> dict[str, tuple[str, str]]:
        """What a folder holds: mode and name of the object of each entry."""
        if sha not in self._trees:
            self._trees[sha] = dict(_entries(self.read(sha) or b"", len(sha) // 2))
        return self._trees[sha]


def _entries(data: bytes, size: int) -> Iterator[tuple[str, tuple[str, str]]]:
    """The entries of a tree: ``mode SP name NUL`` and the hash in ``size`` bytes."""
    start = 0
    while start < len(data):
        end = data.index(b"\0", start)
        mode, _, name = data[start:end].partition(b" ")
        start = end + 1 + size
        yield os.fsdecode(name), (mode.decode(), data[end + 1 : start].hex())


def find_repository(folder: Path) -> Repository:
    """The repository that ``folder`` lies in.

    Raises:
        UserError: there is no git, or no repository, or git will not read it.
    """
    done = _git(folder, "rev-parse", "--show-toplevel")
    if done.returncode == 0:
        return Repository(Path(done.stdout.removesuffix("\n")))
    if "not a git repository" in done.stderr:
        raise UserError(
            f"{folder} is in no git repository, so its registry has no history",
            mend="git init, and commit the registry",
        )
    raise UserError(f"git cannot read {folder}: {_first_line(done.stderr)}")


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603
            _call(folder, *arguments),
            capture_output=True,
            env=_environment(),
            encoding="utf-8",
            errors="replace",
        )
    except FileNotFoundError as error:
        raise UserError(
            "git is not installed, or not on the PATH", mend="a history is read with git"
        ) from error


def _call(folder: Path, *arguments: str) -> list[str]:
    return ["git", "-C", str(folder), "-c", "i18n.logOutputEncoding=UTF-8", *arguments]


def _environment() -> dict[str, str]:
    # Its words are looked at, it must not take locks from who works there, nor fetch or ask.
    ours = {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1"}
    return {**os.environ, **ours, "GIT_TERMINAL_PROMPT": "0"}


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0].removeprefix("fatal: ") if lines else "it gives no reason"
