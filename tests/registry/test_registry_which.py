"""`mbrelease registry which`: names for xargs, by all conditions together."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import get_args

import pytest

from mbrelease.cli.main import main
from mbrelease.cli.registry.which import RELATIONS
from mbrelease.registry.schema import Relation

REGISTRY = """\
version: 1
family: Owls
defaults: {license: apache-2.0, languages: [en]}
variants:
  base: {repo: owls/base, released: true, data: [{name: "Web [2024]", hub_id: owls/web}]}
  french:
    parents: [{variant: base, relation: continued-pretraining}]
    languages: [fr, en]
    data: [{name: Journaux}, {name: PMC Open Access}]
  tuned: {parents: [{variant: french, relation: fine-tuning}], license: MIT, run: runs/tuned}
  mix:
    parents: [{variant: french, relation: merging}, {variant: tuned, relation: merging}]
  first: {parents: [{variant: base, relation: weight-initialization}], languages: []}
  alone: {repo: owls/alone}
aliases: {production: mix}
"""


@pytest.fixture
def names(tmp_path, monkeypatch, capsys):
    (tmp_path / "registry.yaml").write_text(REGISTRY)
    monkeypatch.chdir(tmp_path)

    def ask(*options):
        code = main(["registry", "which", *options])
        said = capsys.readouterr()
        found = said.out.splitlines()
        assert code == (0 if found else 1)
        assert said.err == ("" if found else "no variant fits\n")
        return found

    return ask


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", "base french tuned mix first alone"),
        ("--ancestor base", "french tuned mix first"),
        ("--ancestor french", "tuned mix"),
        ("--ancestor french --ancestor tuned", "mix"),
        ("--descendant mix", "base french tuned"),
        ("--descendant production --ancestor base", "french tuned"),
        ("--relation merging", "mix"),
        ("--ancestor tuned --relation merging", "mix"),
        ("--ancestor base --relation fine-tuning", "tuned"),
        ("--ancestor tuned --relation fine-tuning", ""),
        ("--alias production", "mix"),
        ("--alias production --relation fine-tuning", ""),
        ("--released", "base"),
        ("--planned", "tuned"),
        ("--language fr", "french"),
        ("--language fr --language en", "french"),
        ("--language en --ancestor base", "french tuned mix"),
        ("--license mit", "tuned"),
        ("--license apache-2.0 --ancestor french", "mix"),
        ("--data Journaux", "french"),
        ("--data pmc* --data journaux", "french"),
        ("--data owls/web", "base"),
        ("--data nothing", ""),
    ],
)
def test_all_conditions_hold_together(names, options, expected):
    assert names(*options.split()) == expected.split()


def test_a_name_with_brackets_is_itself(names):
    assert names("--data", "Web [2024]") == ["base"]


def test_json(tmp_path, names, capsys):
    assert main(["registry", "which", "--ancestor", "french", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ["tuned", "mix"]
    assert main(["registry", "which", "--data", "nothing", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == []


def test_released_by_a_receipt(tmp_path, names):
    (tmp_path / "receipts").mkdir()
    (tmp_path / "receipts/1.json").write_text('{"repo_id": "owls/alone"}')
    assert names("--released") == ["base", "alone"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--ancestor", "frensh"), "did you mean 'french'?"),
        (("--descendant", "frensh"), "did you mean 'french'?"),
        (("--alias", "prodution"), "did you mean 'production'?"),
        (("--alias", "mix"), "no alias 'mix'"),
        (("--relation", "finetuning"), "finetuning"),
        (("--released", "--planned"), "no variant is both released and planned"),
        (("--planned", "--released"), "no variant is both released and planned"),
    ],
)
def test_what_can_never_fit_is_a_mistake_and_not_an_empty_answer(names, capsys, options, sentence):
    assert main(["registry", "which", *options]) == 2
    assert sentence in capsys.readouterr().err


def test_the_relations_of_the_option_are_those_of_the_registry():
    assert get_args(Relation) == RELATIONS


def test_a_reader_that_leaves_early_is_no_error(tmp_path):
    more = "".join(
        f"  v{i}: {{parents: [{{variant: base, relation: adapter}}]}}\n" for i in range(9999)
    )
    text = REGISTRY.replace("aliases:", more + "aliases:")
    (tmp_path / "registry.yaml").write_text(text)
    call = f"{sys.executable} -m mbrelease.cli.main registry which --ancestor base | head -1"
    done = subprocess.run(
        call, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("french\n", "")
