"""`mbrelease push` beside `hf upload`: the same 600 MB to a rehearsal Hub on this machine.

    python benchmarks/push.py [--rounds 3] [--folder DIR]

Random weights in ModernBERT-base's geometry (598,635,032 bytes) with config, tokenizer, card and
card.lock.json. Each run is a process of its own that talks to a Hub of its own, which holds nothing
yet; the two commands take turns, and the table has the fastest of --rounds. Nothing is remembered
of a file before the first push; a second one follows at once. The columns:

- to the commit: seconds from the start of the process to the Hub's answer to its commit
- in all: seconds to its end. What `mbrelease push` does between the two `hf upload` does not do:
  it downloads every file, hashes it, and loads the model
- reads: bytes that the process read from files other than by mapping them, per byte of the folder
  (`rchar` of /proc; sockets do not count, the Python modules that it imports do)
- object calls: requests to the Hub that carry large files or ask where to bring them

`LFS` is HF_HUB_DISABLE_XET=1; `Xet` leaves the choice to the client, which has hf_xet. There the
chunks go into a folder beside the Hub, and it puts the file together when the commit comes. Prints
Markdown on stdout. With --folder the model is kept and used again. Linux only.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from verify import make_releases

from mbrelease.cards.write import write_variant_card
from mbrelease.hub.rehearsal.server import running
from mbrelease.registry.load import load_project

REPO, TOKEN = "rehearsal/owl", "hf_rehearsal"
REGISTRY = """version: 1
family: Owl
defaults: {license: apache-2.0, languages: [en]}
variants:
  owl: {repo: rehearsal/owl}
"""
TRANSPORTS = {"LFS": {"HF_HUB_DISABLE_XET": "1"}, "Xet": {}}
COMMIT = re.compile(r"POST +/api/models/rehearsal/owl/commit/main 200")
OBJECTS = re.compile(r"/-/|/info/lfs/|/xet-write-token/")


@dataclass(frozen=True)
class Taken:
    """One run. ``committed`` is ``None`` where it made no commit; ``read`` is in bytes."""

    committed: float | None
    seconds: float
    cpu_seconds: float
    read: int
    object_calls: int


@dataclass
class Heard:
    """What the Hub was asked, and when it had answered."""

    lines: list[tuple[float, str]] = field(default_factory=list)

    def __call__(self, line: str) -> None:
        self.lines.append((time.monotonic(), line))

    def since(self, started: float) -> list[tuple[float, str]]:
        return [(at, line) for at, line in self.lines if at >= started]


def make_project(root: Path) -> Path:
    """A registry and its one release with a card; returns the release."""
    release = root / "releases" / "owl"
    if not (release / "card.lock.json").is_file():
        made = root / "made"
        made.mkdir(parents=True, exist_ok=True)
        make_releases(made)
        release.parent.mkdir(exist_ok=True)
        shutil.move(made / "model", release)
        shutil.rmtree(made)
        (root / "registry.yaml").write_text(REGISTRY)
        write_variant_card(load_project(root / "registry.yaml"), "owl", release / "README.md")
    return release


def run(command: list[str], given: dict[str, str], heard: Heard, cwd: Path) -> Taken:
    """One process, which must succeed."""
    with tempfile.TemporaryFile("w+") as said:
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=said, stderr=said, env=given, cwd=cwd)
        # It is looked at after its end, and before anything forgets it.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        seconds = time.monotonic() - started
        counts = Path(f"/proc/{process.pid}/io").read_text()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{said.read()}")
    asked = heard.since(started)
    commits = [at - started for at, line in asked if COMMIT.match(line)]
    return Taken(
        committed=commits[0] if commits else None,
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        read=int(re.findall(r"rchar: (\d+)", counts)[0]),
        object_calls=sum(1 for _, line in asked if OBJECTS.search(line)),
    )


def twice(command: Callable[[Path], list[str]], release: Path, transport: str) -> list[Taken]:
    """The command against an empty Hub, and again, by someone who has nothing at home."""
    heard = Heard()
    # Beside the folder that is sent, so that both are on one disk.
    with tempfile.TemporaryDirectory(dir=release.parents[1]) as made:
        work = Path(made)
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        with running(work / "hub", log=heard) as url:
            given = inherited | {
                "HF_ENDPOINT": url,
                "HF_TOKEN": TOKEN,
                "HF_HOME": str(work / "home"),
                "XDG_CACHE_HOME": str(work / "cache"),
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "HF_HUB_DISABLE_UPDATE_CHECK": "1",
                **TRANSPORTS[transport],
            }
            runs = [run(command(release), given, heard, work) for _ in range(2)]
    # The receipts would be those of a Hub that is no more.
    shutil.rmtree(release.parents[1] / "receipts", ignore_errors=True)
    return runs


def program(name: str) -> str:
    return str(Path(sys.executable).parent / name)


COMMANDS: dict[str, Callable[[Path], list[str]]] = {
    "hf upload": lambda release: [program("hf"), "upload", REPO, str(release), "."],
    "mbrelease push": lambda release: [program("mbrelease"), "push", str(release), "--to", REPO],
}


def table(release: Path, rounds: int) -> str:
    """The fastest run of each row, as Markdown."""
    size = sum(path.stat().st_size for path in release.rglob("*") if path.is_file())
    taken: dict[tuple[str, str, int], list[Taken]] = {}
    for _ in range(rounds):
        for transport in TRANSPORTS:
            for name, command in COMMANDS.items():
                for turn, one in enumerate(twice(command, release, transport)):
                    taken.setdefault((transport, name, turn), []).append(one)
    lines = [
        "| by | command | to the commit, s | in all, s | CPU, s | reads | object calls |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for (transport, name, turn), runs in sorted(taken.items(), key=lambda row: row[0][2]):
        best = min(runs, key=lambda one: one.seconds)
        commits = [one.committed for one in runs if one.committed is not None]
        to_commit = f"{min(commits):.1f}" if commits else "none made"
        lines.append(
            f"| {transport} | `{name}`{', again' * turn} | {to_commit} | {best.seconds:.1f} "
            f"| {best.cpu_seconds:.1f} | {best.read / size:.2f} | {best.object_calls} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        release = make_project((arguments.folder or Path(made)).resolve())
        print(table(release, arguments.rounds))


if __name__ == "__main__":
    main()
