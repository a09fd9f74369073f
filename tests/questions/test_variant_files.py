"""Whether a step changed weights and tokenizer, by what lies beside the registry."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mbrelease.cli.main import main
from mbrelease.questions.files import changed_parts
from mbrelease.registry.lineage import Step
from mbrelease.registry.load import load_project

GALLERY = Path(__file__).parents[2] / "docs/gallery/debian-science"
STEP = Step("debian-science", "debian-base", "continued-pretraining")


@pytest.fixture
def project(tmp_path):
    kept = shutil.ignore_patterns(".mbrelease", "figures", "screenshots")
    shutil.copytree(GALLERY, tmp_path / "p", ignore=kept)
    return load_project(tmp_path / "p/registry.yaml")


def test_by_the_decision_and_what_was_measured(project):
    assert changed_parts(project, STEP) == {"weights": "changed", "tokenizer": "the same"}


def test_a_tokenizer_on_disk_goes_before(project):
    project.release("debian-science").mkdir(parents=True)
    (project.release("debian-science") / "tokenizer.json").write_text("{}")
    assert changed_parts(project, STEP) == {"weights": "changed", "tokenizer": "changed"}


@pytest.mark.parametrize("text", ["{", "[]", '{"chosen": 1, "candidates": 2}', '{"policy": []}'])
def test_what_cannot_be_read_tells_nothing(project, text):
    project.decision("debian-science").write_text(text)
    assert changed_parts(project, STEP) == {}


def test_show_tells_it(project, capsys):
    call = ["registry", "show", "debian-science", "--registry", str(project.registry_path)]
    assert main(call) == 0
    assert "    weights: changed\n    tokenizer: the same\n" in capsys.readouterr().out
    assert main([*call, "--json"]) == 0
    (step,) = json.loads(capsys.readouterr().out)["lineage"]
    assert step["files"] == {"weights": "changed", "tokenizer": "the same"}
