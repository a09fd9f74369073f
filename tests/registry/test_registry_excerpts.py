"""Beneath each mistake stands its line, with a caret where the eye is to look."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from valid_registry import VALID

from mbrelease.cli.main import main
from mbrelease.errors import UserError
from mbrelease.registry.excerpt import WIDTH, excerpt, printable
from mbrelease.registry.load import load_project

HEAD = "version: 1\nfamily: x\nvariants:\n"


@pytest.fixture
def said(tmp_path, monkeypatch):
    """What loading a text complains with, excerpts and all."""
    monkeypatch.chdir(tmp_path)

    def load(text):
        data = text if isinstance(text, bytes) else text.encode()
        Path("registry.yaml").write_bytes(data)
        with pytest.raises(UserError) as caught:
            load_project()
        return str(caught.value).splitlines()

    return load


def columns(text):
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.category(c) == "Mn" for c in text)


def test_the_whole_of_a_complaint(said):
    text = VALID.replace("fine-tuning", "finetuning").replace("suite: science", "suite: sience")
    assert said(text) == [
        "registry.yaml:17:41: unknown relation 'finetuning', did you mean 'fine-tuning'?",
        "  |     parents: [{variant: base, relation: finetuning}]",
        "  |                                         ^",
        "registry.yaml:18:12: suite 'sience' is not in the registry, did you mean 'science'?",
        "  |     suite: sience",
        "  |            ^",
    ]


@pytest.mark.parametrize(
    "before",
    ["card: {summary: 文字文字文字", 'card: {summary: "a\t\tb"', "card: {summary: cafe\u0301"],
    ids=["wide letters", "tabs", "combining marks"],
)
def test_the_caret_stands_under_the_place(before, said):
    _, source, caret = said(f"{HEAD}  a: {{{before}}}, repos: b/c}}\n")
    start = source[: source.index("repos")]
    assert columns(start) == caret.index("^")
    assert "\t" not in source


@pytest.mark.parametrize("where", ["start", "middle", "end"])
def test_a_long_line_is_cut_around_the_place(where, said):
    filler = "very " * 60
    before = "" if where == "start" else f"card: {{summary: {filler}}}, "
    after = "" if where == "end" else f", license: {filler}"
    _, source, caret = said(f"{HEAD}  a: {{{before}repos: b/c{after}}}\n")
    at = source.index("repos")
    assert at == caret.index("^")
    assert len(source) <= WIDTH
    assert source.startswith("  | …") == (where != "start")
    assert source.endswith("…") == (where != "end")


def test_lines_are_those_of_yaml():
    lines = ["a", "b"]
    assert excerpt(lines, 2, 2) == ["  | b", "  |  ^"]
    assert excerpt(lines, 3, 1) == []
    assert excerpt(lines, 1, 3) == []


def test_line_separators_count_as_the_parser_counts_them(said):
    text = VALID.replace("family: Owls", 'family: "Ow\u2028ls"').replace("suite: sc", "suite: x")
    assert said(text) == [
        "registry.yaml:19:12: suite 'xience' is not in the registry, did you mean 'science'?",
        "  |     suite: xience",
        "  |            ^",
    ]


def test_what_a_terminal_would_obey_is_not_sent_to_it(said):
    complaint, source, _ = said(f'{HEAD}  a: {{"\\e[31m\u202e": 1}}\n')
    assert complaint.startswith(r"registry.yaml:4:7: unknown key '\x1b[31m\u202e' in variants.a")
    assert source == r'  |   a: {"\e[31m·": 1}'
    assert printable("a\x1b\ud800b") == r"a\x1b\ud800b"


def test_latin_1_is_shown_as_far_as_it_can_be(said):
    assert said(b"version: 1\nfamily: caf\xe9\n") == [
        "registry.yaml:2:12: byte 0xe9 is not UTF-8; save the file as UTF-8",
        "  | family: caf\ufffd",
        "  |            ^",
    ]


def test_a_flood_is_told_in_a_line_each_after_the_first(said):
    entries = "".join(f"  v{i}: {{repos: x}}\n" for i in range(100))
    lines = said(HEAD + entries)
    assert sum("unknown key" in line for line in lines) == 100
    assert sum(line.endswith("^") for line in lines) == 20


def test_in_an_included_file_the_line_is_of_that_file(said, capsys):
    Path("part.yaml").write_text("# a part\nvariants:\n  b: {repos: x/y}\n")
    assert said("version: 1\nfamily: x\ninclude: [part.yaml]\nvariants: {a: {repo: 3}}\n") == [
        "registry.yaml:4:22: repo should be text, not the number 3; put it in quotes",
        "  | variants: {a: {repo: 3}}",
        "  |                      ^",
        "part.yaml:3:7: unknown key 'repos' in variants.b, did you mean 'repo'?",
        "  |   b: {repos: x/y}",
        "  |       ^",
    ]
    assert main(["registry", "set", "a", "repo", "a/b"]) == 2
    assert "  |   b: {repos: x/y}\n  |       ^" in capsys.readouterr().err


def test_a_refused_edit_shows_the_line_that_would_have_been(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("registry.yaml").write_text(VALID)
    assert main(["registry", "set", "child", "suite", "sciense"]) == 2
    assert "  |     suite: sciense\n  |            ^" in capsys.readouterr().err
    assert Path("registry.yaml").read_text() == VALID
