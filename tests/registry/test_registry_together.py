"""Many processes edit one registry at once: each edit of each is there in the end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mbrelease.registry.load import load_project

N_PROCESSES = 16

EDITS = """
import os, sys
from pathlib import Path
from mbrelease.registry.edit import add_variant, rename_variant, set_alias, set_value

path, count, files = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3].split()

def work(who):
    file = files[who % len(files)] if files else None
    for index in range(count):
        if index % 10 == 0:
            add_variant(path, f"w{who}-{index}", {"license": f"{who}/{index}"}, file=file)
        elif index % 10 == 1:
            rename_variant(path, f"w{who}-{index - 1}", f"r{who}-{index}")
        elif index % 10 == 2:
            set_alias(path, f"a{who}-{index}", f"r{who}-{index - 1}")
        else:
            set_value(path, f"w{who}", "card.tags.+", f"{who}/{index}")

for who in range(int(sys.argv[4])):
    if os.fork() == 0:
        work(who)
        sys.exit()
codes = [os.wait()[1] for _ in range(int(sys.argv[4]))]
sys.exit(any(codes))
"""


def edited(path: Path, count: int, files: str = "") -> None:
    """Let the processes make ``count`` edits each, and hold the registry against them."""
    call = [sys.executable, "-c", EDITS, str(path), str(count), files, str(N_PROCESSES)]
    workers = subprocess.Popen(call)
    by_hand = [
        subprocess.Popen(
            [sys.executable, "-m", "mbrelease.cli.main", "registry", "set", f"w{who}", "license",
             f"by-hand-{who}", "--registry", str(path)]
        )
        for who in range(2)
    ]  # fmt: skip
    assert [one.wait() for one in (workers, *by_hand)] == [0, 0, 0]
    registry = load_project(path).registry
    assert len(registry.variants) == N_PROCESSES * (1 + count // 10)
    assert len(registry.aliases) == N_PROCESSES * (count // 10)
    assert [registry.variants[f"w{who}"].license for who in range(2)] == ["by-hand-0", "by-hand-1"]
    for who in range(N_PROCESSES):
        tags = [f"{who}/{index}" for index in range(count) if index % 10 > 2]
        assert registry.variants[f"w{who}"].card.tags == ["first", *tags]
        for index in range(2, count, 10):
            name = registry.aliases[f"a{who}-{index}"]
            assert name == f"r{who}-{index - 1}"
            assert registry.variants[name].license == f"{who}/{index - 2}"


def entry(who: int) -> str:
    return f"  w{who}:  # of process {who}\n    card: {{tags: [first]}}\n"


def test_sixteen_processes_make_fifty_edits_each(tmp_path):
    path = tmp_path / "registry.yaml"
    entries = "".join(entry(who) for who in range(N_PROCESSES))
    path.write_text(f"version: 1\nfamily: x\nvariants:\n{entries}")
    edited(path, 50)
    comments = [line for line in path.read_text().splitlines() if "#" in line]
    assert comments == [f"  w{who}:  # of process {who}" for who in range(N_PROCESSES)]


def test_sixteen_processes_edit_a_registry_in_several_files(tmp_path):
    path = tmp_path / "registry.yaml"
    (tmp_path / "variants").mkdir()
    path.write_text("version: 1\nfamily: x\ninclude: [variants/*.yaml]\n")
    for number in range(4):
        entries = "".join(entry(who) for who in range(number, N_PROCESSES, 4))
        (tmp_path / f"variants/{number}.yaml").write_text(f"variants:\n{entries}")
    edited(path, 10, " ".join(f"variants/{number}.yaml" for number in range(4)))


@pytest.mark.parametrize("split", [False, True])
def test_who_reads_meanwhile_reads_something_whole(tmp_path, split):
    path = tmp_path / "registry.yaml"
    variants = "variants:\n  root0: {}\n"
    children = "".join(f"  c{i}: {{parents: [{{variant: root0, relation: merging}}]}}\n"
                       for i in range(5))  # fmt: skip
    head = "version: 1\nfamily: x\n"
    if split:
        path.write_text(f"{head}include: ['*/*.yaml']\n{variants}")
        for number in range(3):
            (tmp_path / str(number)).mkdir()
            own = children.replace("  c", f"  c{number}-")
            (tmp_path / f"{number}/v.yaml").write_text(f"variants:\n{own}")
    else:
        path.write_text(head + variants + children)
    code = (
        "import sys\nfrom pathlib import Path\nfrom mbrelease.registry.edit import rename_variant\n"
        "for i in range(60): rename_variant(Path(sys.argv[1]), f'root{i}', f'root{i + 1}')\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)])
    seen = set()
    while writer.poll() is None:
        registry = load_project(path).registry  # a parent that is not there would be told
        (root,) = (name for name in registry.variants if name.startswith("root"))
        seen.add(root)
    assert writer.returncode == 0
    assert len(seen) > 3
