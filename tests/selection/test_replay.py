"""A decision follows from its evidence, again and elsewhere."""

import json
import shutil

import pytest
from owl_project import Owls

from mbrelease.cli.main import main
from mbrelease.errors import UserError
from mbrelease.selection.decision import read_decision, write_decision
from mbrelease.selection.replay import replay


@pytest.fixture
def owls(tmp_path, monkeypatch):
    project = Owls(tmp_path)
    monkeypatch.chdir(tmp_path)
    project.measure("base", loss=2.0, recall=0.25)
    project.run((1.9, 0.3), (1.8, 0.5), (1.7, 0.48))
    assert main(["select", "owl"]) == 0
    return project


@pytest.fixture
def path(owls):
    return owls.root / "decisions" / "owl.json"


def test_the_same_follows_without_weights_and_after_the_registry_changed(owls, path, capsys):
    shutil.rmtree(owls.root / "run")
    owls.edit("margin: 0.25", "margin: 0.01")
    before = path.read_bytes()
    assert main(["select", "owl", "--replay"]) == 0
    assert "the same decision follows from its evidence" in capsys.readouterr().err
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (["chosen"], "checkpoint-10", "chosen: the decision says 'checkpoint-10'"),
        (["optimism"], 0.5, "optimism: the decision says 0.5"),
        (["candidates", 1, "measurements", 0, "value"], 0.75,
         "candidates[checkpoint-20].measurements[find/recall@1].value"),
        (["candidates", 1, "guardrails", 0, "state"], "inconclusive",
         "candidates[checkpoint-20].guardrails[mlm/loss].state"),
        (["policy", "alpha"], 0.3, "candidates"),
    ],
)  # fmt: skip
def test_whatever_somebody_wrote_into_it_is_named(owls, path, capsys, place, value, said):
    content = json.loads(path.read_text())
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path.write_text(json.dumps(content))
    assert main(["select", "owl", "--replay"]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "its evidence gives" in error


def test_evidence_that_was_measured_again_otherwise_is_named(owls, path):
    owls.measure("run/checkpoint-20", 1.8, 0.45)
    with pytest.raises(UserError, match="are not those that were decided by"):
        replay(owls.project, read_decision(path))


def test_a_record_that_is_gone_is_named(owls, path):
    (owls.evidence("run/checkpoint-20") / "find.json").unlink()
    with pytest.raises(UserError, match=r"record of find/recall@1 that checkpoint-20 .* is gone"):
        replay(owls.project, read_decision(path))


def test_digits_that_another_processor_gives_are_no_difference(owls, path):
    decision = read_decision(path)
    assert decision.optimism
    other = decision.model_copy(update={"optimism": decision.optimism * (1 + 1e-9)})
    write_decision(path, other)
    assert replay(owls.project, other) == []
