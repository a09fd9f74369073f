"""A registry in several files is one registry, and every mistake has its own file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mbrelease.cli.main import main
from mbrelease.errors import UserError
from mbrelease.registry.include import including_registry, read_document
from mbrelease.registry.load import load_project

HEAD = "version: 1\nfamily: Owls\ninclude: [variants/*.yaml]\n"
BASE = "variants:\n  base: {repo: owls/base}\n"
CHILD = """\
variants:
  child:
    parents: [{variant: base, relation: fine-tuning}]
aliases: {production: child}
"""


@pytest.fixture
def family(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("registry.yaml", HEAD)
    write("variants/a.yaml", BASE)
    write("variants/b.yaml", CHILD)
    return tmp_path


def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def complaints():
    with pytest.raises(UserError) as caught:
        load_project()
    return [line for line in str(caught.value).splitlines() if ":" in line.split(" ")[0]]


def test_files_are_one_registry(family):
    project = load_project()
    assert list(project.registry.variants) == ["base", "child"]
    assert project.resolve_name("production") == "child"
    assert project.defined_in("production") == (family / "variants/b.yaml", 2)
    assert project.defined_in("base") == (family / "variants/a.yaml", 2)


def test_the_registrys_own_come_first_and_patterns_in_their_order(family):
    text = "version: 1\nfamily: x\ninclude: [variants/b.yaml, '**/*.yaml']\nvariants: {own: {}}\n"
    write("registry.yaml", text)
    write("deep/er/c.yaml", "variants: {deep: {}}\n")
    write("deep/.hidden.yaml", "no registry")
    assert list(load_project().registry.variants) == ["own", "child", "deep", "base"]
    assert load_project().defined_in("own") == (family / "registry.yaml", 4)


def test_each_mistake_has_its_file(family):
    write("registry.yaml", HEAD + "default: {}\n")
    write("variants/a.yaml", BASE + "  base: {}\n")
    write("variants/b.yaml", CHILD.replace("variant: base", "variant: bas"))
    write("variants/c.yaml", "variants: {late: {repos: x/y}, child: {}}\nfamily: y\nvariant: {}\n")
    assert complaints() == [
        "registry.yaml:4:1: unknown key 'default', did you mean 'defaults'?",
        "variants/a.yaml:3:3: key 'base' is given twice, first on line 2",
        "variants/b.yaml:3:25: parent 'bas' is not in the registry, did you mean 'base'?",
        "variants/c.yaml:1:19: unknown key 'repos' in variants.late, did you mean 'repo'?",
        "variants/c.yaml:1:32: variant 'child' is given twice, first in variants/b.yaml:2:3",
        "variants/c.yaml:2:1: 'family' stands in the registry itself, not in a file that it "
        "includes",
        "variants/c.yaml:3:1: unknown key 'variant' in an included file, did you mean 'variants'?",
    ]


def test_what_cannot_be_parsed_is_told_of_all_files(family):
    write("variants/a.yaml", "variants:\n\ta: {}\n")
    write("variants/b.yaml", "<<<<<<< HEAD\n")
    assert complaints() == [
        "variants/a.yaml:2:1: tab in the indentation; use spaces",
        "variants/b.yaml:1:1: merge-conflict marker '<<<<<<<'; resolve the conflict",
    ]


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        ("more/*.yaml", "include 'more/*.yaml' matches no file"),
        ("gone.yaml", "include 'gone.yaml' is not there"),
        ("variants", "include 'variants' is a folder; write 'variants/*.yaml'"),
        ("../x.yaml", "include '../x.yaml' leads out of the folder of the registry"),
        ("/etc/*", "include '/etc/*' leads out of the folder of the registry"),
        ("out/*.yaml", "include 'out/*.yaml': out/x.yaml leads out of the folder of the registry"),
        ("registry.yaml", "include 'registry.yaml' is the registry itself"),
        ("''", "include '' is a folder; write '*.yaml'"),
        ('"a\\0*"', r"include 'a\x00*' matches no file"),
    ],
)
def test_a_pattern_that_leads_nowhere(pattern, complaint, family, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "x.yaml").write_text("variants: {x: {}}\n")
    Path("out").symlink_to(outside)
    write("registry.yaml", f"version: 1\nfamily: x\ninclude:\n  - {pattern}\nvariants: {{}}\n")
    assert complaints() == [f"registry.yaml:4:5: {complaint}"]


def test_included_files_include_nothing(family):
    write("variants/b.yaml", "include: [c.yaml]\nvariants: []\n")
    write("variants/c.yaml", "- x\n")
    assert complaints() == [
        "variants/b.yaml:1:1: an included file cannot include others; name them in the registry",
        "variants/b.yaml:2:11: variants should be a mapping (key: value)",
        "variants/c.yaml:1:1: an included file may hold suites, policies, variants, peers, "
        "document_sets, tables, aliases",
    ]


def test_without_variants_anywhere(family):
    for name in "ab":
        write(f"variants/{name}.yaml", "aliases: {}\n")
    assert complaints() == ["registry.yaml:1:1: missing key 'variants'"]


def test_aliases_of_all_files_together_are_bounded(family):
    texts = ", ".join(["*a"] * 600)
    for name in "ab":
        write(f"variants/{name}.yaml", f'variants: {{x: &a "{"x" * 10_000}", y: [{texts}]}}\n')
    (said,) = complaints()
    expected = "registry.yaml:3:1: aliases repeat more than 100,000 values in all files together"
    assert said == expected


def test_lint_of_an_included_file_is_lint_of_its_registry(family, capsys):
    write("variants/b.yaml", CHILD.replace("variant: base", "variant: bas"))
    assert main(["registry", "lint", "variants/b.yaml"]) == 1
    said = capsys.readouterr()
    assert "variants/b.yaml:3:25: parent 'bas'" in said.out
    assert "registry.yaml includes variants/b.yaml" in said.err
    assert main(["registry", "lint", "variants/b.yaml", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["path"] == "registry.yaml"
    assert [mistake["path"] for mistake in answer["mistakes"]] == ["variants/b.yaml"]


def test_lint_of_a_part_that_nothing_includes_says_so(family, capsys):
    write("loose.yaml", BASE)
    assert including_registry(Path("loose.yaml")) is None
    assert main(["registry", "lint", "loose.yaml"]) == 1
    assert "no registry.yaml above includes loose.yaml" in capsys.readouterr().err


def test_changed_bytes_stand_for_those_of_a_file(family):
    changed = {Path("variants/a.yaml"): b"variants: {other: {}}\n"}
    document = read_document(Path("registry.yaml"), changed)
    assert list(document.value["variants"]) == ["other", "child"]
    assert [file.path.name for file in document.files] == ["registry.yaml", "a.yaml", "b.yaml"]
