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


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (["policy", "primary"], "find/mrr", "base: what was measured is not what the policy names"),
        (["policy", "reference"], "owl", "policy.reference: the decision says 'owl'"),
        (["policy_sha256"], "0" * 64, "policy_sha256: the ledger has no policy 0000"),
        (["tasks"], [], "tasks: the decision has no settings of the task of find/recall@1"),
        (["tasks", 1, "max_length"], 16, "tasks[mlm]: base was measured with other settings"),
        (["candidates"], [], "candidates: the decision has none"),
        (["candidates", 1, "name"], "checkpoint-10", "or two of one name"),
        (["candidates", 1, "measurements"], [], "checkpoint-20: what was measured is not"),
        (["reasons_for_second_looks"], ["Why not"], "the decision says ['Why not'], the ledger []"),
        (["variant"], "base", "owl.json: it is the decision on 'base'"),
    ],
)  # fmt: skip
def test_what_no_evidence_tells_is_held_against_the_rest(owls, path, capsys, place, value, said):
    content = json.loads(path.read_text())
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path.write_text(json.dumps(content))
    assert main(["select", "owl", "--replay"]) == 1
    assert said in capsys.readouterr().err


def test_a_policy_that_was_not_frozen_is_named_though_all_follows_from_it(owls, path):
    owls.edit("margin: 0.25", "margin: 0.5")
    other = owls.decide().model_copy(update={"policy_sha256": read_decision(path).policy_sha256})
    assert "policy: it is not the one that was frozen" in replay(owls.project, other)


def test_candidates_that_were_not_frozen_are_named(owls, path):
    owls.edit("averages: []", "checkpoints: [10, 20]")
    other = owls.decide()
    assert main(["select", "owl"]) == 0
    assert replay(owls.project, other) == []
    owls.edit("[10, 20]", "[10, 30]")
    forged = owls.decide().model_copy(update={"policy_sha256": other.policy_sha256})
    assert "candidates: they are not those that were frozen" in replay(owls.project, forged)


def test_a_record_that_was_measured_otherwise_than_the_reference_is_named(owls, path):
    decision = read_decision(path)
    owls.measure("run/checkpoint-10", 1.9, 0.3, dtype="bfloat16")
    content = json.loads((owls.evidence("run/checkpoint-10") / "find.json").read_text())
    [entry] = [one for one in content["scores"]["dev"]
               if one["provenance"]["dtype"] == "bfloat16"]  # fmt: skip
    changed = decision.model_dump(mode="json")
    measured = changed["candidates"][0]["measurements"][0]
    measured["key"] = entry["provenance"]["key"]
    measured["per_example_sha256"] = entry["per_example"]["sha256"]
    said = replay(owls.project, type(decision).model_validate(changed))
    assert said == [
        "find/recall@1: checkpoint-10 was measured under other conditions than the reference"
    ]


def test_a_reason_is_not_kept_by_a_replay(owls, capsys):
    assert main(["select", "owl", "--replay", "--reason", "because"]) == 2
    assert "no --reason to be kept" in capsys.readouterr().err
