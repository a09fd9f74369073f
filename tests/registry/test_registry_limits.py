"""Bombs stop soon and small, floods end, and a large family is read in the time that is promised.

Each in a process of its own, whose CPU time and peak memory the system tells. The bounds leave
room for slower machines; ``benchmarks/registry.py`` has the figures.
"""

from __future__ import annotations

import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import resource, sys
from pathlib import Path
from mbrelease.cli.main import run
code = run(sys.argv[1:])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
status = Path("/proc/self/status")
if status.exists():  # the figure above is that of the process that started this, if that is larger
    peak = next(line.split()[1] for line in status.open() if line.startswith("VmHWM"))
print(peak, code, file=sys.stderr)
"""
HEAD = "version: 1\nfamily: x\nvariants:\n"
SLOWER = 6
"""How much longer than promised a test may take; machines differ, and are shared."""


def registry(folder, *arguments):
    """What a command says, its exit code, its seconds of CPU and its peak memory in MB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    call = [sys.executable, "-c", CODE, "registry", *arguments]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    *said, last = done.stderr.splitlines()
    peak, code = last.split()
    return done.stdout + "\n".join(said), int(code), seconds, int(peak) / 1024


def nines():
    """A bomb: nine lists of nine, ten levels."""
    text = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True):
        text += f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n"
    return text


def keyed():
    """The same of mappings."""
    text = "a0: &a0 {x: 1, y: 2}\n"
    for n in range(1, 60):
        text += f"a{n}: &a{n} {{x: *a{n - 1}, y: *a{n - 1}}}\n"
    return text


BOMBS = {
    "lists of lists": (nines(), "aliases repeat more than 100,000 values"),
    "mappings of mappings": (keyed(), "aliases repeat more than 100,000 values"),
    "a long text": (
        f'a: &a "{"x" * 1_000_000}"\nb: [{", ".join(["*a"] * 5000)}]\n',
        "aliases repeat more than 100,000 values",
    ),
    "a long key": (
        f'a: &a {{"{"k" * 900}": 1}}\nb: [{", ".join(["*a"] * 90_000)}]\n',
        "aliases repeat more than 100,000 values",
    ),
    "deep": ("[" * 200_000, "nested more than 40 deep"),
    "deep in blocks": ("- " * 100_000, "nested more than 40 deep"),
    "itself": ("a: &a {b: [*a]}\n", "alias *a contains itself"),
    "merge keys": (nines() + "z:\n  <<: *i\n", "aliases repeat"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_stops_within_a_second_and_200_mb(name, tmp_path):
    text, complaint = BOMBS[name]
    (tmp_path / "registry.yaml").write_text(text)
    said, code, seconds, peak = registry(tmp_path, "lint")
    assert code == 1
    assert complaint in said
    assert seconds < 1 * SLOWER
    assert peak < 200


@pytest.mark.parametrize(
    "entry",
    ["{parents: [{variant: lost-%d, relation: merging}]}", "{repos: x/%d}", "{license: %d}"],
    ids=["lost parents", "unknown keys", "wrong types"],
)
def test_a_flood_of_mistakes_is_told_in_time(entry, tmp_path):
    lines = "".join(f"  v{n}: {entry % n}\n" for n in range(3000))
    (tmp_path / "registry.yaml").write_text(HEAD + lines)
    said, code, seconds, _ = registry(tmp_path, "lint")
    assert (code, said.count("registry.yaml:")) == (1, 3000)
    assert "3000 mistakes" in said
    assert seconds < 2 * SLOWER


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Ten thousand variants, 2 MB."""
    folder = tmp_path_factory.mktemp("large")
    draw = random.Random(0)
    lines = [HEAD]
    for n in range(10_000):
        parent = f"{{variant: v{draw.randrange(n)}, relation: fine-tuning}}" if n else ""
        lines.append(
            f"  v{n}:\n    repo: org/model-{n}\n    parents: [{parent}]\n    released: true\n"
            f"    training: {{objective: mlm, tokens: {n}}}\n"
            "    card: {summary: A model of the family for testing how fast it reads.}\n"
        )
    (folder / "registry.yaml").write_text("".join(lines))
    return folder


def test_ten_thousand_variants_are_answered_about_in_time(large):
    assert (large / "registry.yaml").stat().st_size > 1_900_000
    said, code, seconds, _ = registry(large, "lint")
    assert (said, code) == ("registry.yaml: 10000 variants, no mistakes", 0)
    assert seconds < 2 * SLOWER / 2
    cold = seconds
    for question in (["show", "v9000"], ["which", "--ancestor", "v5"], ["list"], ["tree"]):
        _, code, seconds, _ = registry(large, *question)
        assert code == 0
        assert seconds < 0.5 * SLOWER / 2
        assert seconds < cold, "from what lint kept"


def test_an_edit_of_ten_thousand_variants_in_time(large):
    before = (large / "registry.yaml").read_bytes()
    _, code, seconds, _ = registry(large, "set", "v5000", "license", "mit")
    assert code == 0
    assert seconds < 1 * SLOWER / 2
    after = (large / "registry.yaml").read_bytes()
    assert len(after) == len(before) + len("    license: mit\n")
    said, code, seconds, _ = registry(large, "show", "v5000")
    assert (code, "mit" in said) == (0, True)
    assert seconds < 0.5 * SLOWER / 2


def test_help_waits_for_nothing(tmp_path):
    _, code, seconds, _ = registry(Path(tmp_path), "--help")
    assert code == 0
    assert seconds < 0.1 * SLOWER / 2
