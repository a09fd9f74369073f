"""The questions on docs/lineage.md are answered as it says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from mbrelease.cli.main import main

TOP = Path(__file__).parents[2]
PAGE = (TOP / "docs/lineage.md").read_text(encoding="utf-8")
SECTION = PAGE[PAGE.index("\n## Questions") :]
SCIENCE = "modernbert-science-dapt-v2:"


def examples() -> list[tuple[str, str]]:
    """Each call of a console block, with what it prints."""
    blocks = re.findall(r"^```console\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
    calls = [call for block in blocks for call in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return [(first, rest) for first, _, rest in (call.partition("\n") for call in calls)]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """This project's registry in a repository of its own, with a change that is not committed."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(TOP / "evidence", folder / "evidence")
    gallery = "docs/gallery/debian-science"
    kept = shutil.ignore_patterns(".mbrelease")
    shutil.copytree(TOP / gallery, folder / gallery, ignore=kept)
    text = (TOP / "registry.yaml").read_text(encoding="utf-8")
    before, after = text.split(SCIENCE, 1)
    earlier = after.replace("steps: 50_000", "steps: 80_000", 1)
    earlier = earlier.replace("checkpoint: 50_000", "checkpoint: 80_000", 1)
    _git(folder, 1, "init", "-q")
    _commit(folder, 2, "The family", before + SCIENCE + earlier)
    _commit(folder, 3, "Version 2 is the step where retrieval was best", text)
    now = after.replace("tokens: 450_000_000", "tokens: 460_000_000", 1)
    (folder / "registry.yaml").write_text(before + SCIENCE + now, encoding="utf-8")
    return folder


def _commit(folder: Path, day: int, subject: str, text: str) -> None:
    (folder / "registry.yaml").write_text(text, encoding="utf-8")
    _git(folder, day, "add", "registry.yaml")
    _git(folder, day, "commit", "-q", "-m", subject)


def _git(folder: Path, day: int, *arguments: str) -> None:
    date = f"2025-02-{day:02}T12:00:00+00:00"
    who = {"NAME": "Ada Lovelace", "EMAIL": "ada@example.org", "DATE": date}
    names = {f"GIT_{role}_{key}": who[key] for role in ("AUTHOR", "COMMITTER") for key in who}
    environment = os.environ | names | {"GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True)


def test_there_are_examples():
    names = {call.split()[2] for call, _ in examples()}
    assert names == {"which", "path", "show", "diff", "history"}


@pytest.mark.parametrize(("call", "expected"), examples(), ids=lambda text: text[:60])
def test_an_example_prints_what_the_page_says(project, monkeypatch, capsys, call, expected):
    monkeypatch.chdir(project)
    assert main(shlex.split(call)[1:]) == 0
    printed = _without_hashes(capsys.readouterr().out)
    start = 0
    for part in re.split(r"^…\n", _without_hashes(expected), flags=re.MULTILINE):
        found = printed.find(part, start)
        assert found >= start, f"{call} does not print:\n{part}"
        start = found + len(part)
    assert "…" in expected or printed == _without_hashes(expected)


def _without_hashes(text: str) -> str:
    return re.sub(r"^(\d{4}-\d\d-\d\d)  [0-9a-f]{9} ", r"\1  ......... ", text, flags=re.MULTILINE)
