"""`mbrelease registry` on a family of ten thousand, and GTO and DVC on the same work.

    python benchmarks/registry.py [--variants 10000] [--rounds 5] [--gto PATH] [--dvc PATH]

A registry is made in which each variant but the first is a fine-tuning of one of the five hundred
before it. Each run is a process of its own, imports and all. Given is the median of --rounds, with
the least and the greatest, in seconds of CPU (user and system), which other work on the machine
disturbs less than the clock. "cold" means that nothing is kept of an earlier run (`lint` reads the
text whatever is kept), "edited by hand" that a line was changed since.

With --gto and --dvc (their executables) the same family is also a git repository with an annotated
tag for each model, as GTO registers it, and a `dvc.yaml` with a stage for each model that depends
on its parent's weights. These run once. Prints Markdown on stdout.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SEED = 0
REACH = 500
"""How many variants before it a parent may be."""
SUMMARY = "A model of the family for testing how fast it reads."
CODE = "from mbrelease.cli.main import main; main()"
KEPT = ".mbrelease"


@dataclass(frozen=True)
class Taken:
    """Seconds of the processes that did one thing."""

    cpu: Sequence[float]
    wall: Sequence[float]

    def cells(self) -> str:
        """Median, and least to greatest, of the CPU; median of the clock."""
        cpu, wall = statistics.median(self.cpu), statistics.median(self.wall)
        return f"{cpu:.2f} | {min(self.cpu):.2f}–{max(self.cpu):.2f} | {wall:.2f}"


def parents(variants: int) -> list[int | None]:
    """For each variant the number of its parent."""
    draw = random.Random(SEED)
    return [
        None if n == 0 else n - 1 if n % 7 == 0 else draw.randrange(max(0, n - REACH), n)
        for n in range(variants)
    ]


def name(number: int) -> str:
    """Of a variant."""
    return f"variant-{number:05d}"


def write_registry(folder: Path, variants: int) -> int:
    """Write ``registry.yaml``; returns its size in bytes."""
    head = ["version: 1", "family: Big", "defaults: {license: apache-2.0, languages: [en]}"]
    lines = [*head, "variants:"]
    for number, parent in enumerate(parents(variants)):
        lines += [f"  {name(number)}:", f"    repo: org/model-{number:05d}"]
        if parent is not None:
            lines.append(f"    parents: [{{variant: {name(parent)}, relation: fine-tuning}}]")
        lines.append("    released: true")
        lines.append(f"    training: {{objective: mlm, tokens: {number * 99_991}, context: 8192}}")
        lines.append(f"    card: {{summary: {SUMMARY}}}")
    path = folder / "registry.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path.stat().st_size


def write_dvc(folder: Path, variants: int) -> None:
    """Write ``dvc.yaml``: a stage for each model."""
    lines = ["stages:"]
    for number, parent in enumerate(parents(variants)):
        lines += [f"  {name(number)}:", f"    cmd: fine-tune {name(number)}"]
        if parent is not None:
            lines.append(f"    deps: [weights/{parent:05d}]")
        lines += [f"    outs: [weights/{number:05d}]", f"    desc: {SUMMARY}"]
    (folder / "dvc.yaml").write_text("\n".join(lines) + "\n")
    (folder / "weights").mkdir()


def write_tags(folder: Path, variants: int) -> None:
    """Make a git repository with a tag for each model, as ``gto register`` makes them."""
    git = ["git", "-C", str(folder)]
    subprocess.run([*git, "init", "-q"], check=True)
    who = "Owl <owl@example.org>"
    stream = [f"commit refs/heads/main\ncommitter {who} 1700000000 +0000\ndata 4\nall\n"]
    for number in range(variants):
        said = f"Registering artifact {name(number)} version v0.0.1\n"
        stream.append(
            f"tag {name(number)}@v0.0.1\nfrom refs/heads/main\n"
            f"tagger {who} {1_700_000_000 + number} +0000\ndata {len(said)}\n{said}"
        )
    subprocess.run([*git, "fast-import", "--quiet"], input="".join(stream).encode(), check=True)
    subprocess.run([*git, "reset", "-q", "--hard", "main"], check=True)
    subprocess.run([*git, "pack-refs", "--all"], check=True)
    for key, value in (("user.name", "Owl"), ("user.email", "owl@example.org")):
        subprocess.run([*git, "config", key, value], check=True)


def measured(
    call: Callable[[int], Sequence[str]],
    folder: Path,
    rounds: int,
    before: Callable[[], None] | None = None,
) -> Taken:
    """Run what ``call`` gives for each round, in ``folder``.

    Raises:
        SystemExit: a run failed.
    """
    cpu, wall = [], []
    for number in range(rounds):
        if before is not None:
            before()
        used, started = _children(), time.perf_counter()
        done = subprocess.run(call(number), cwd=folder, capture_output=True, text=True, check=False)
        wall.append(time.perf_counter() - started)
        cpu.append(_children() - used)
        if done.returncode:
            raise SystemExit(f"{' '.join(call(number))} failed:\n{done.stderr or done.stdout}")
    return Taken(cpu, wall)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def own(folder: Path, variants: int, rounds: int) -> dict[str, Taken]:
    """What ``mbrelease`` takes, by command."""

    def run(*arguments: str) -> Callable[[int], Sequence[str]]:
        def call(number: int) -> Sequence[str]:
            given = [argument.format(n=number) for argument in arguments]
            return [sys.executable, "-c", CODE, *given]

        return call

    def forget() -> None:
        shutil.rmtree(folder / KEPT, ignore_errors=True)

    def by_hand() -> None:
        path = folder / "registry.yaml"
        path.write_text(path.read_text().replace("testing how", "testing how very", 1))

    some, late = name(variants // 2), name(variants * 9 // 10)
    which = ["registry", "which", "--ancestor", name(parents(variants)[-1] or 0)]
    set_tokens = ["registry", "set", some, "training.tokens"]
    calls: dict[str, tuple[Callable[[int], Sequence[str]], Callable[[], None] | None]] = {
        "mbrelease --help": (run("--help"), None),
        "lint, cold": (run("registry", "lint"), forget),
        "show, cold": (run("registry", "show", late), forget),
        "show": (run("registry", "show", late), None),
        "which --ancestor": (run(*which), None),
        "list": (run("registry", "list"), None),
        "tree": (run("registry", "tree"), None),
        "set": (run(*set_tokens, "10{n}"), None),
        "add": (run("registry", "add", "new-{n}", "--parent", f"{some}:fine-tuning"), None),
        "set, cold": (run(*set_tokens, "20{n}"), forget),
        "show, edited by hand": (run("registry", "show", late), by_hand),
        "set, edited by hand": (run(*set_tokens, "30{n}"), by_hand),
    }
    return {what: measured(call, folder, rounds, before) for what, (call, before) in calls.items()}


def _always(call: Sequence[str]) -> Callable[[int], Sequence[str]]:
    return lambda _: call


def gto(program: str, folder: Path, variants: int) -> dict[str, Taken]:
    """What GTO takes."""
    some = name(variants // 2)
    calls = {
        "check": [program, "doctor"],
        "list": [program, "show"],
        "one": [program, "show", some],
        "change": [program, "register", "new", "--version", "v0.0.1"],
    }
    return {what: measured(_always(call), folder, 1) for what, call in calls.items()}


def dvc(program: str, folder: Path, variants: int) -> dict[str, Taken]:
    """What DVC takes."""
    late = name(variants * 9 // 10)
    subprocess.run([program, "init", "-q"], cwd=folder, check=True)
    new = ["-n", "new", "-d", "weights/00001", "-o", "weights/new", "fine-tune new"]
    calls = {
        "list": [program, "stage", "list"],
        "one": [program, "dag", "--mermaid", late],
        "change": [program, "stage", "add", *new],
    }
    return {what: measured(_always(call), folder, 1) for what, call in calls.items()}


def beside(
    taken: dict[str, Taken], gto_taken: dict[str, Taken], dvc_taken: dict[str, Taken]
) -> str:
    """The table of the three, in seconds of CPU."""

    def cell(figures: dict[str, Taken], key: str) -> str:
        return f"{statistics.median(figures[key].cpu):.2f}" if key in figures else "–"

    rows = [
        ("check everything", "lint, cold", "check"),
        ("list all", "list", "list"),
        ("one model: its ancestors (GTO: its versions)", "show", "one"),
        ("record one change", "set", "change"),
    ]
    lines = ["| work | mbrelease | GTO | DVC |", "| --- | --: | --: | --: |"]
    for work, key, other in rows:
        cells = cell(taken, key), cell(gto_taken, other), cell(dvc_taken, other)
        lines.append(f"| {work} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variants", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gto", help="the executable of GTO")
    parser.add_argument("--dvc", help="the executable of DVC")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        size = write_registry(folder, options.variants)
        python = f"Python {platform.python_version()}, {os.cpu_count()} processors"
        print(f"{options.variants:,} variants, {size / 1e6:.1f} MB; {python}\n")
        taken = own(folder, options.variants, options.rounds)
        print("| command | CPU s | from–to | clock s |\n| --- | --: | --: | --: |")
        for what, figures in taken.items():
            print(f"| `{what}` | {figures.cells()} |", flush=True)
        others: list[dict[str, Taken]] = []
        for program, write, run in ((options.gto, write_tags, gto), (options.dvc, write_dvc, dvc)):
            repository = folder / run.__name__
            repository.mkdir()
            if program:
                if write is write_dvc:
                    write_tags(repository, 0)
                write(repository, options.variants)
            others.append(run(program, repository, options.variants) if program else {})
        if any(others):
            print(f"\n{beside(taken, *others)}")


if __name__ == "__main__":
    main()
