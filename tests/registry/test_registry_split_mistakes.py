"""One bad file of a split family hides no mistake of the others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mbrelease.cli.main import main
from mbrelease.errors import UserError
from mbrelease.registry.family import Family

HEAD = "version: 1\nfamily: Owls\ninclude: ['variants/*.yaml']\n"
BAD = """\
variants:
  base: {repo: owls/base, trainig: {}}
  child: {parents: [{variant: bas, relation: finetuning}], candidates: {averages: [foo]}}
"""
SHAPE = [
    "variants/bad.yaml:2:27: unknown key 'trainig' in variants.base, did you mean 'training'?",
    "variants/bad.yaml:3:46: unknown relation 'finetuning', did you mean 'fine-tuning'?",
    "variants/bad.yaml:3:84: no recipe 'foo'",
]
LOST = "variants/bad.yaml:3:31: parent 'bas' is not in the registry, did you mean 'base'?"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("variants").mkdir()
    Path("registry.yaml").write_text(HEAD)
    Path("variants/bad.yaml").write_text(BAD)
    return tmp_path


def linted(capsys, *path):
    """The mistakes that lint tells."""
    assert main(["registry", "lint", *path]) == 1
    said = capsys.readouterr().out.splitlines()
    return [line.partition("; one of")[0] for line in said if not line.startswith("  |")]


def test_an_empty_file_is_told_with_all_else(here, capsys):
    for text in ("", "# later\n"):
        Path("variants/e.yaml").write_text(text)
        assert linted(capsys) == [
            SHAPE[0],
            LOST,
            *SHAPE[1:],
            "variants/e.yaml:1:1: the file is empty; write variants in it, or delete it",
        ]


def test_a_file_that_is_no_yaml_holds_back_only_lost_names(here, capsys):
    Path("variants/e.yaml").write_text("variants:\n\tbas: {}\n")
    expected = [*SHAPE, "variants/e.yaml:2:1: tab in the indentation; use spaces"]
    assert linted(capsys) == expected
    assert linted(capsys, "variants/bad.yaml") == expected
    Path("variants/bad.yaml").unlink()
    assert linted(capsys) == expected[-1:]


def test_a_link_that_leads_out_holds_back_only_lost_names(here, capsys, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "x.yaml"
    outside.write_text("variants: {bas: {}}\n")
    Path("variants/a.yaml").symlink_to(outside)
    out = "include 'variants/*.yaml': variants/a.yaml leads out of the folder of the registry"
    expected = [f"registry.yaml:3:11: {out}", *SHAPE]
    assert linted(capsys) == expected
    assert linted(capsys, "variants/bad.yaml") == expected


def test_a_file_that_cannot_be_parsed_is_not_said_to_be_of_no_registry(here, capsys):
    Path("tab.yaml").write_text("version: 1\nvariants:\n\ta: {}\n")
    assert main(["registry", "lint", "tab.yaml"]) == 1
    assert capsys.readouterr().err == "1 mistake in tab.yaml\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_folder_that_may_not_be_listed_is_no_empty_one(here, capsys):
    Path("variants").chmod(0)
    try:
        (said,) = linted(capsys)
    finally:
        Path("variants").chmod(0o755)
    assert said.endswith("the folder variants cannot be read: Permission denied")


@pytest.mark.parametrize("path", ["variants/good.yaml", ".", "registry.yaml"])
def test_a_registry_is_given_by_its_file_its_folder_or_a_part(here, path, capsys):
    Path("variants/bad.yaml").unlink()
    Path("variants/good.yaml").write_bytes(b"variants:\r\n  base: {repo: owls/base}\r\n")
    assert Family.load(path).path == here / "registry.yaml"
    assert main(["registry", "list", "--registry", path]) == 0
    assert "owls/base" in capsys.readouterr().out
    assert main(["registry", "set", "base", "license", "mit", "--registry", path]) == 0
    assert "license: mit" in Path("variants/good.yaml").read_text()
    assert main(["registry", "lint", path]) == 0


def test_a_folder_without_a_registry_is_told(here, capsys):
    with pytest.raises(UserError, match=r"variants/registry\.yaml does not exist"):
        Family.load(here / "variants")
    for call in (["list", "--registry", "variants"], ["lint", "variants"]):
        assert main(["registry", *call]) == 2
        assert capsys.readouterr().err == "error: cannot read variants: Is a directory\n"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a:\n  b: 1\n c: 2\n", "keys of one mapping start in one column"),
        ("l:\n  - a\n  b: 1\n", "items of one list each start with '- ' in one column"),
        ("a: [1\nb: 2\n", "']' behind the last"),
        ('a: "x\n', "a text in quotes is not closed"),
        ("a: @x\n", "put text that starts with '@', '%' or '`' in quotes"),
        ("a: - b\n", "a list starts on the line below its key"),
        (" a: 1\nb: 2\n", "all keys at the top start in the first column"),
    ],
)
def test_what_the_parser_says_comes_with_its_mend(here, text, hint, capsys):
    Path("x.yaml").write_text(text)
    (said,) = linted(capsys, "x.yaml")
    assert said.startswith("x.yaml:")
    assert hint in said
