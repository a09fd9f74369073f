"""The rules of git and of the Hub, each against its source where that is at hand."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mbrelease.hub.rehearsal.attributes import (
    DEFAULT_ATTRIBUTES,
    goes_to_lfs,
    matches_attributes,
    with_lfs_path,
)
from mbrelease.hub.rehearsal.gitignore import is_ignored
from mbrelease.hub.rehearsal.metadata import readme_metadata, split_readme, validate
from mbrelease.hub.rehearsal.objects import commit_oid, folder_oids, lfs_pointer, regular_file

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is the oracle")


def git(folder: Path, *arguments: str, stdin: bytes = b"", **environment: str) -> str:
    result = subprocess.run(
        ["git", "-c", "core.autocrlf=false", *arguments],
        cwd=folder,
        input=stdin,
        capture_output=True,
        check=True,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(folder), **environment},
    )
    return result.stdout.decode().strip()


@needs_git
def test_ids_are_those_of_git(tmp_path: Path) -> None:
    # Names that git sorts in an order of its own: a folder counts as if it ended with a slash.
    contents = {
        "a/b.txt": b"1", "a.txt": b"2", "a-b": b"3", "a/c/d": b"4", "z": b"", "ü": b"5",
        "ab/x": b"",
    }  # fmt: skip
    for path, data in contents.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    tree = git(tmp_path, "write-tree")
    files = [regular_file(path, data, "") for path, data in contents.items()]
    oids = folder_oids(files)
    assert oids[""] == tree
    assert oids["a/c"] == git(tmp_path, "rev-parse", f"{tree}:a/c")

    at = datetime(2025, 1, 31, 12, 0, tzinfo=UTC)
    who = {
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in {
            "NAME": "rehearsal",
            "EMAIL": "rehearsal@localhost",
            "DATE": f"{int(at.timestamp())} +0000",
        }.items()
    }
    first = git(tmp_path, "commit-tree", tree, stdin=b"Title\n", **who)
    assert commit_oid(tree, (), "rehearsal", at, "Title", "") == first
    merge = git(tmp_path, "commit-tree", tree, "-p", first, stdin=b"T\n\nBody\n", **who)
    assert commit_oid(tree, (first,), "rehearsal", at, "T", "Body") == merge


@pytest.mark.parametrize(
    ("path", "size_bytes", "sample", "expected"),
    [
        ("model.safetensors", 10, b"text", True),
        ("deep/er/model.safetensors", 10, b"text", True),
        ("pytorch_model.bin", 10, b"text", True),
        ("saved_model/a/b", 10, b"text", True),
        ("tokenizer.json", 10 * 1024 * 1024, b"{", False),
        ("tokenizer.json", 10 * 1024 * 1024 + 1, b"{", True),
        ("loss.png", 10, b"\x89PNG\0", True),
        ("loss.svg", 10, b"<svg", False),
        ("README.md", 10, b"#", False),
        ("model.safetensors", 0, b"", False),
    ],
)
def test_what_goes_to_lfs(path: str, size_bytes: int, sample: bytes, expected: bool) -> None:
    assert goes_to_lfs(path, size_bytes, sample, DEFAULT_ATTRIBUTES) is expected


@needs_git
@pytest.mark.parametrize("path", ["plain.png", "with space.png", "a[1]*.png", "deep/er/x.png"])
def test_a_path_written_to_gitattributes_means_that_path_to_git(tmp_path: Path, path: str) -> None:
    text = with_lfs_path("*.bin filter=lfs diff=lfs merge=lfs -text", path)
    assert matches_attributes(path, text)
    assert not matches_attributes("other.png", text)
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitattributes").write_text(text)
    answer = git(tmp_path, "check-attr", "-z", "filter", "--", path, "other.png").split("\0")
    assert (answer[2], answer[5]) == ("lfs", "unspecified")


RULES = "*.log\n!keep.log\n/runs/\ncache/\n# a comment\n\ndocs/*.tmp\n**/secret.txt\n"
PATHS = [
    "a.log", "deep/a.log", "keep.log", "runs/x", "runs", "deep/runs/x", "deep/cache/x", "cache",
    "docs/a.tmp", "a.tmp", "secret.txt", "deep/secret.txt", "README.md",
]  # fmt: skip


@needs_git
@pytest.mark.parametrize("path", PATHS)
def test_gitignore_is_understood_as_git_does(tmp_path: Path, path: str) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text(RULES)
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("")
    ignored = git(tmp_path, "ls-files", "-oi", "--exclude-standard", "--", path) == path
    assert is_ignored(path, RULES) is ignored


def test_the_pointer_is_that_of_git_lfs() -> None:
    assert lfs_pointer("ab" * 32, 7) == (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"ab" * 32 + b"\nsize 7\n"
    )


@pytest.mark.parametrize(
    ("text", "block", "body"),
    [
        ("# x\n", None, "# x\n"),
        ("---\na: 1\n---\n# x\n", "a: 1", "# x\n"),
        ("\ufeff---\r\na: 1\r\n---\r\n# x\r\n", "a: 1", "# x\n"),
        ("---\n---\n# x\n", "", "# x\n"),
        ("---\na: 1\n---", "a: 1", ""),
        ("---\na: 1\n", None, "---\na: 1\n"),
    ],
)
def test_the_metadata_of_a_card_is_found(text: str, block: str | None, body: str) -> None:
    assert split_readme(text) == (block, body)


GOOD = """---
license: apache-2.0
language: [en, fr]
tags: [a, b]
base_model: [a/b, bert-base-uncased]
base_model_relation: merge
datasets: a/d
pipeline_tag: fill-mask
model-index:
- name: m
  results:
  - task: {type: retrieval}
    dataset: {type: d, name: D}
    metrics: [{type: recall, value: 0.5}]
---
"""


def test_a_good_card_passes() -> None:
    assert validate(GOOD) == ([], [])


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("merge", "cousin", '"base_model_relation" must be one of'),
        ("base_model: [a/b, bert-base-uncased]\n", "", 'needs "base_model"'),
        ("[a/b, ", "['a b', ", '"base_model" must be model ids'),
        ("[a, b]", "a", '"tags" must be a list of strings'),
        ("[en, fr]", "[no]", '"language" must be'),  # YAML reads `no` as false
        ("[en, fr]", "[en, English]", '"language" must only contain lowercase characters'),
        ("[en, fr]", "[en, english]", '"language" must be ISO 639'),
        ("license: apache-2.0", "license: apache2", '"license" must be a license id'),
        ("[a, b]\n", "[a, b]\ntags: [c]\n", "duplicated mapping key 'tags'"),
        ("fill-mask", "[x]", '"pipeline_tag" must be a string'),
        ("{type: retrieval}", "{}", "needs task.type"),
        ("{type: d, name: D}", "{type: d}", "needs dataset.name"),
        ("[{type: recall, value: 0.5}]", "[]", "needs a list of metrics"),
        ("{type: recall, value: 0.5}", "{type: recall}", "needs a type and a value"),
        ("- name: m", "- named: m", "needs a name for each model"),
    ],
)
def test_each_rule_can_fail(old: str, new: str, fault: str) -> None:
    assert old in GOOD
    errors, _ = validate(GOOD.replace(old, new))
    assert len(errors) == 1 and fault in errors[0]


@pytest.mark.parametrize(
    ("block", "advice"),
    [
        ("pipeline_tag: fill-masks", "\"pipeline_tag\" with value 'fill-masks' is not in"),
        ("datasets: [./data/x]", '"datasets" should be dataset ids'),
        ("a: &a {x: 1}\nb: &b {y: 2}\nc: {<<: *a, <<: *b}", None),
    ],
)
def test_what_the_hub_only_warns_of(block: str, advice: str | None) -> None:
    errors, warnings = validate(f"---\nlicense: mit\n{block}\n---\n")
    assert errors == []
    assert [advice in warning for warning in warnings if advice] == ([True] if advice else [])


@pytest.mark.parametrize(
    ("block", "fault"),
    [
        ("date: 2024-13-45", "month must be"),
        ("x: " + "[" * 5000, "too deep"),
        ("x: &a [*a]", "too deep"),
        (
            "a0: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}]\n" for n in range(40)),
            "longer than",
        ),
    ],
)
def test_metadata_that_no_json_can_hold_is_refused_and_breaks_no_page(
    block: str, fault: str
) -> None:
    (told,), _ = validate(f"---\n{block}\n---\n")
    assert fault in told
    assert readme_metadata(f"---\n{block}\n---\n") == {}


def test_metadata_that_json_has_no_words_for_is_text() -> None:
    text = "---\n2024-01-01: .nan\nday: 2024-01-01\nraw: !!binary aGk=\n---\n"
    found = readme_metadata(text)
    assert json.dumps(found, allow_nan=False)
    assert found["2024-01-01"] == "nan" and found["day"] == "2024-01-01"
