"""`mbrelease registry` as a user types it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from valid_registry import VALID

from mbrelease.cli.main import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "registry.yaml").write_text(VALID)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_lint_of_a_good_registry(here, capsys):
    assert main(["registry", "lint"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "registry.yaml: 2 variants, no mistakes\n")


def test_lint_of_a_bad_one(here, capsys):
    Path("registry.yaml").write_text(VALID.replace("fine-tuning", "finetuning"))
    assert main(["registry", "lint", "registry.yaml"]) == 1
    said = capsys.readouterr()
    sentence = "unknown relation 'finetuning', did you mean 'fine-tuning'?"
    assert said.out == (
        f"registry.yaml:17:41: {sentence}\n"
        "  |     parents: [{variant: base, relation: finetuning}]\n"
        "  |                                         ^\n"
    )
    assert said.err == "1 mistake in registry.yaml\n"
    assert main(["registry", "lint", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "path": "registry.yaml",
        "valid": False,
        "mistakes": [{"line": 17, "column": 41, "message": sentence, "path": "registry.yaml"}],
    }


@pytest.mark.parametrize("call", [["list"], ["show", "base"], ["tree"], ["add", "x"]])
def test_a_bad_registry_stops_every_command_with_its_mistakes(here, capsys, call):
    Path("registry.yaml").write_text(VALID.replace("fine-tuning", "finetuning"))
    assert main(["registry", *call]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: registry.yaml:17:41: unknown relation 'finetuning'")


def test_no_registry(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["registry", "lint"]) == 2
    assert "no registry.yaml" in capsys.readouterr().err
    assert main(["registry", "lint", "gone.yaml"]) == 2
    assert capsys.readouterr().err == "error: gone.yaml does not exist\n"


def test_list(here, capsys):
    assert main(["registry", "list"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert rows[0] == ["variant", "state", "parents", "repo"]
    assert rows[2:] == [
        ["base", "unknown", "–", "owls/base"],
        ["child", "unknown", "base", "owls/child"],
    ]


def test_released_by_a_receipt_and_planned_by_a_run(here, capsys):
    main(["registry", "set", "base", "run", "runs/base"])
    (here / "receipts/owls/child").mkdir(parents=True)
    (here / "receipts/owls/child/1.json").write_text('{"repo_id": "Owls/child"}')
    (here / "receipts/broken.json").write_text("{")
    capsys.readouterr()
    assert main(["registry", "list", "--json"]) == 0
    base, child = json.loads(capsys.readouterr().out)
    assert base == {"name": "base", "repo": "owls/base", "parents": [], "state": "planned"}
    assert child["state"] == "released"


@pytest.mark.parametrize("columns", [40, 80])
def test_list_fits_the_terminal(columns):
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    environment |= {"TERM": "dumb", "NO_COLOR": "1"}
    call = [sys.executable, "-m", "mbrelease.cli.main", "registry", "list"]
    process = subprocess.Popen(call, cwd=ROOT, stdout=writer, env=environment)
    os.close(writer)
    seen = b""
    while True:
        try:
            piece = os.read(reader, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        seen += piece
    os.close(reader)
    assert process.wait() == 0
    lines = [line.rstrip() for line in seen.decode().splitlines()]
    assert max(map(len, lines)) <= columns
    # Names and repo ids stand whole, so that they can be copied.
    assert "  brettgenz/modernbert-science-dapt-v2" in lines


def test_show_tells_lineage_defaults_and_places(here, capsys):
    assert main(["registry", "show", "production", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["variant"] == "child"
    assert answer["aliases"] == ["production"]
    step = {"child": "child", "parent": "base", "relation": "fine-tuning"}
    assert answer["lineage"] == [{**step, "changes": [], "files": {}}]
    assert answer["defined_in"] == {"file": "registry.yaml", "line": 15}
    assert answer["files"]["decision"] == {"path": "decisions/child.json", "exists": False}
    assert main(["registry", "show", "child"]) == 0
    text = capsys.readouterr().out
    assert "  lineage: child ← base (fine-tuning)\n" in text
    assert "  release: releases/child (not there yet)\n" in text
    assert main(["registry", "show", "base"]) == 0
    assert "  descendants: child\n" in capsys.readouterr().out


def test_show_of_every_variant_of_the_root_registry(capsys):
    path = str(ROOT / "registry.yaml")
    main(["registry", "list", "--json", "--registry", path])
    for row in json.loads(capsys.readouterr().out):
        assert main(["registry", "show", row["name"], "--registry", path]) == 0
        assert main(["registry", "tree", row["name"], "--registry", path]) == 0
    text = capsys.readouterr().out
    assert "    tokens: 450,000,000\n" in text
    assert "None" not in text


def test_show_of_an_unknown_variant(here, capsys):
    assert main(["registry", "show", "chidl"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: no variant 'chidl' in ")
    assert said.endswith("did you mean 'child'?\n")


def test_tree_of_the_root_registry(capsys):
    assert main(["registry", "tree", "--registry", str(ROOT / "registry.yaml")]) == 0
    assert (
        capsys.readouterr().out
        == """\
modernbert-base
├── modernbert-large  (weight-initialization)
│   └── modernbert-bio-large  (continued-pretraining)
├── modernbert-science-dapt-v1  (continued-pretraining)
├── modernbert-science-dapt-v2  (continued-pretraining; supersedes modernbert-science-dapt-v1)
└── modernbert-bio-base  (continued-pretraining)
moderncamembert-bio-base
moderncamembert-bio-large
bioclinical-modernbert-base
"""
    )


def test_tree_with_two_parents(here, capsys):
    main(["registry", "add", "mix", "--parent", "child:merging", "--parent", "base:merging"])
    capsys.readouterr()
    assert main(["registry", "tree"]) == 0
    assert (
        capsys.readouterr().out
        == """\
base
├── child  (fine-tuning)
│   └── mix  (merging; also merging of base)
└── mix  (merging; also merging of child; ↑ drawn above)
"""
    )
    assert main(["registry", "tree", "child", "--json"]) == 0
    (node,) = json.loads(capsys.readouterr().out)
    assert [child["variant"] for child in node["children"]] == ["mix"]


def test_add_with_everything(here, capsys):
    call = ["registry", "add", "new", "--repo", "owls/new", "--parent", "child:fine-tuning"]
    call += ["--supersedes", "child", "--run", "runs/new", "--suite", "science"]
    call += ["--policy", "science", "--license", "mit", "--language", "en", "--language", "no"]
    call += ["--summary", "A new one.", "--json"]
    assert main(call) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["changed"] is True
    assert main(["registry", "show", "new", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    for key, value in answer["entry"].items():
        assert shown[key] == value
    assert shown["languages"] == ["en", "no"]


def test_add_with_a_lost_parent(here, capsys):
    assert main(["registry", "add", "new", "--parent", "chidl:fine-tuning"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: nothing written: the change would make registry.yaml invalid\n")
    assert "parent 'chidl' is not in the registry, did you mean 'child'?" in said
    assert Path("registry.yaml").read_text() == VALID


def test_add_without_a_relation(here, capsys):
    assert main(["registry", "add", "new", "--parent", "child"]) == 2
    assert "write --parent child:continued-pretraining" in capsys.readouterr().err


def test_set(here, capsys):
    assert main(["registry", "set", "child", "training.tokens", "450_000_000", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["value"] == 450_000_000
    assert answer["changed"]
    assert main(["registry", "set", "child", "training.tokens", "450000000"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "unchanged: training.tokens of 'child' in registry.yaml\n"
    assert main(["registry", "set", "child", "card.title", "A: b", "--text"]) == 0
    assert main(["registry", "set", "child", "card.title", "A: [b"]) == 2
    assert "--text" in capsys.readouterr().err
    assert main(["registry", "show", "child", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["card"] == {"title": "A: b"}


def test_schema(capsys):
    assert main(["registry", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "mbrelease registry"


def test_help_imports_no_pydantic():
    code = (
        "import sys; from mbrelease.cli.main import main; main(['registry', 'lint', '--help']); "
        "print(sorted({'pydantic', 'yaml', 'rich', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_two_thousand_variants_in_reasonable_time(here, capsys):
    variants = "".join(
        f"  v{i}:\n    repo: owls/v{i}\n    parents: [{{variant: v{i - 1}, relation: merging}}]\n"
        f"    training: {{tokens: {i}_000, context: 512, objective: mlm}}\n"
        f"    card: {{summary: the one after v{i - 1}, limitations: [a, b]}}\n"
        for i in range(1, 2000)
    )
    Path("registry.yaml").write_text(f"version: 1\nfamily: x\nvariants:\n  v0: {{}}\n{variants}")
    start = time.process_time()
    assert main(["registry", "lint"]) == 0
    # Half a second of CPU on an idle machine.
    assert time.process_time() - start < 5
    assert capsys.readouterr().err == "registry.yaml: 2000 variants, no mistakes\n"
