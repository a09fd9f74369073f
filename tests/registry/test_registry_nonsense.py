"""Values of the right kind that mean nothing: told by lint and, where it can, by an editor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from valid_registry import VALID

from mbrelease.cli.main import main
from mbrelease.registry.document import parse_document
from mbrelease.registry.json_schema import registry_schema

SCHEMA = Draft202012Validator(registry_schema())


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("training: {tokens: -5}", "tokens should be at least 0, not -5"),
        ("training: {tokens: -5_000}", "tokens should be at least 0, not -5000"),
        ("training: {context: 0}", "context should be more than 0, not 0"),
        ("training: {steps: -1}", "steps should be at least 0, not -1"),
        ("data: [{name: x, documents: -3}]", "documents should be at least 0, not -3"),
        ("candidates: {checkpoints: [-1]}", "checkpoints[0] should be at least 0, not -1"),
        ("training: {phases: [{name: x, learning_rate: -1}]}",
            "learning_rate should be at least 0, not -1"),
        ("training: {phases: [{name: x, learning_rate: [0.1, -1]}]}",
            "learning_rate[1] should be at least 0, not -1"),
        ("training: {phases: [{name: x, learning_rate: fast}]}",
            "learning_rate should be a number or a list, not the text 'fast'"),
        ("architecture: {layers: 0}", "layers should be more than 0, not 0"),
        ('run: ""', "run should not be empty"),
        ('weights: ""', "weights should not be empty"),
    ],
)  # fmt: skip
def test_a_number_or_a_text_that_means_nothing(said, complaint, mistakes):
    text = VALID.replace("repo: owls/child", f"repo: owls/child\n    {said}")
    (line,) = mistakes(text)
    assert line.endswith(f": {complaint}")
    assert line.startswith("registry.yaml:17:")
    assert not SCHEMA.is_valid(json.loads(parse_document(text.encode(), Path("x")).as_json))


def test_an_editor_that_takes_digits_with_underscores_for_text_refuses_those_below_zero():
    value = parse_document(VALID.encode(), Path("x")).value
    value["variants"]["child"]["training"] = {"tokens": "4_000"}
    assert SCHEMA.is_valid(value)
    value["variants"]["child"]["training"] = {"tokens": "-4_000"}
    assert not SCHEMA.is_valid(value)


def test_true_is_no_version(mistakes):
    text = VALID.replace("version: 1", "version: true")
    assert mistakes(text) == ["registry.yaml:1:10: version should be 1, not true"]
    assert not SCHEMA.is_valid(parse_document(text.encode(), Path("x")).value)


def test_an_empty_suite_is_told_once(mistakes):
    (line,) = mistakes(VALID.replace("suite: science", 'suite: ""'))
    assert line == "registry.yaml:18:12: suite should not be empty"


def test_variants_that_differ_only_in_case_have_the_same_files(mistakes):
    text = VALID.replace("aliases:", "  Child: {}\naliases:")
    assert mistakes(text) == [
        "registry.yaml:20:3: variants 'child' and 'Child' differ only in case, and some systems "
        "take their files for the same"
    ]


def test_recipes_are_held_against_those_that_average_knows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    averages = 'averages: [foo, "best:3+last", "best:0", "last:-1", foo]'
    text = VALID.replace("    suite:", f"    candidates: {{{averages}}}\n    suite:")
    Path("registry.yaml").write_text(text.replace("relation: fine-tuning", "relation: tuning"))
    assert main(["registry", "lint"]) == 1
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("registry")]
    assert said[0].startswith("registry.yaml:17:41: unknown relation 'tuning'")
    assert [line.split("'")[:2] for line in said[1:]] == [
        ["registry.yaml:18:29: no recipe ", "foo"],
        ["registry.yaml:18:49: recipe ", "best:0"],
        ["registry.yaml:18:59: recipe ", "last:-1"],
        ["registry.yaml:18:70: no recipe ", "foo"],
    ]
