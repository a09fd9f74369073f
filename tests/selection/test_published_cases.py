"""The choices that the published models describe come out of the rule."""

from pathlib import Path

import pytest
from owl_project import Owls

from mbrelease.cli.main import main
from mbrelease.registry.load import load_project
from mbrelease.selection.decision import read_decision
from mbrelease.selection.policy import decide
from mbrelease.selection.replay import replay

SCIENCE = """\
version: 1
family: Science
suites:
  science:
    - {name: heldout-mlm, type: mlm, data: {dev: dev.jsonl}}
    - name: title-abstract
      type: retrieval
      data: {dev: dev.jsonl}
      query: title
      document: abstract
      metrics: [recall@1, recall@5, mrr]
    - {name: arxiv, type: classification, data: {train: train.jsonl, dev: dev.jsonl}}
policies:
  science:
    primary: title-abstract/recall@1
    guardrails:
      - {metric: heldout-mlm/loss, margin: 0}
      - {metric: arxiv/macro_f1, margin: 0.005}
    reference: base
variants:
  base: {repo: answerdotai/ModernBERT-base, released: true}
  science-v2: {suite: science, policy: science}
"""
CARD = "model card of ModernBERT Science DAPT v2"
# Of the steps beyond 50,000 the card gives no figures, only that the loss went on falling while
# retrieval and classification declined significantly: those of step 80,000 are made for this test.
POINTS = f"""\
model,step,task,metric,value,split,source,place
base,,title-abstract,recall@1,0.279,dev,{CARD},Retrieval
base,,heldout-mlm,loss,1.081,dev,{CARD},Held-out MLM Loss
base,,arxiv,macro_f1,0.9168,dev,{CARD},Classification
science-v2,20000,title-abstract,recall@1,0.338,dev,{CARD},Retrieval
science-v2,20000,heldout-mlm,loss,0.996,dev,{CARD},Held-out MLM Loss
science-v2,20000,arxiv,macro_f1,0.9156,dev,{CARD},Classification
science-v2,50000,title-abstract,recall@1,0.440,dev,{CARD},Retrieval
science-v2,50000,heldout-mlm,loss,0.985,dev,{CARD},Held-out MLM Loss
science-v2,50000,arxiv,macro_f1,0.9159,dev,{CARD},Classification
science-v2,80000,title-abstract,recall@1,0.390,dev,made for this test,
science-v2,80000,heldout-mlm,loss,0.980,dev,made for this test,
science-v2,80000,arxiv,macro_f1,0.9060,dev,made for this test,
"""


@pytest.fixture
def science(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "registry.yaml").write_text(SCIENCE)
    (tmp_path / "points.csv").write_text(POINTS)
    for model in ("base", "science-v2"):
        rows = [line for line in POINTS.splitlines() if line.startswith((model, "model"))]
        (tmp_path / f"{model}.csv").write_text("\n".join(rows) + "\n")
        assert main(["import", f"{model}.csv", "--as", model]) == 0
    return tmp_path


def test_science_dapt_v2_selects_step_50000_from_reported_points(science, capsys):
    assert main(["select", "science-v2"]) == 0
    said = capsys.readouterr().out
    decision = read_decision(science / "decisions" / "science-v2.json")
    assert decision.chosen == "step-50000"
    assert decision.basis == "points"
    first, second, last = decision.candidates
    assert (first.state, second.state, last.state) == ("passes", "passes", "stopped")
    assert decision.reasons[0] == (
        "step-50000 has the highest title-abstract/recall@1 (0.440) of the 2 of 3 candidates that "
        "pass every guardrail and are better than base."
    )
    assert "Stopped by the guardrail on arxiv/macro_f1: step-80000." in said
    [turned] = [one for one in decision.findings if one.kind == "turned" and
                "title-abstract/recall@1" in one.metrics]  # fmt: skip
    assert "50,000" in turned.sentence
    assert turned.numbers["peak_step"] == 50000
    assert "Only reported values are known" in said
    assert second.measurements[0].ci95 is None
    assert decision.p_keep_reference is None


def test_reported_points_replay_and_their_edits_are_named(science, capsys):
    assert main(["select", "science-v2"]) == 0
    assert main(["select", "science-v2", "--replay"]) == 0
    path = science / "evidence" / "reported" / "science-v2" / "title-abstract.json"
    path.write_text(path.read_text().replace("0.44", "0.30"))
    project = load_project(science / "registry.yaml")
    decision = read_decision(science / "decisions" / "science-v2.json")
    assert any("chosen" in difference for difference in replay(project, decision))


def test_a_step_of_which_a_metric_was_not_reported_is_named(science, capsys):
    path = science / "evidence" / "reported" / "science-v2" / "arxiv.json"
    path.unlink()
    assert main(["select", "science-v2"]) == 2
    assert "no arxiv/macro_f1 of science-v2 at step 20000 was reported on dev" in (
        capsys.readouterr().err
    )


@pytest.fixture
def paper(tmp_path):
    """A run whose policy is that of ModernBERT's paper (A.4): a task after context extension."""
    owls = Owls(tmp_path)
    owls.measure("base", loss=2.0, recall=0.25)
    owls.run((1.95, 0.40), (1.9, 0.52), (1.88, 0.50), (1.86, 0.51), (1.85, 0.45))
    owls.edit("averages: []", 'averages: ["best:3+last", "last:3", "uniform"]')
    return owls


def test_base_selects_the_average_of_the_three_best_and_the_final(paper):
    members = paper.average("best:3+last", loss=1.84, recall=0.60)
    paper.average("last:3", loss=1.85, recall=0.50)
    paper.average("uniform", loss=1.9, recall=0.45)
    decision = decide(paper.project, "owl")
    assert decision.chosen == "best:3+last"
    taken = [checkpoint.step for checkpoint, weight in members if weight]
    assert taken == [20, 30, 40, 50]
    assert decision.chosen_candidate.members == dict.fromkeys(
        [f"checkpoint-{step}" for step in taken], 0.25
    )
    [found] = [one for one in decision.findings if one.kind.startswith("average-")]
    assert found.kind == "average-beats"


def test_large_selects_the_single_best_where_no_average_beats_it(paper):
    paper.average("best:3+last", loss=1.84, recall=0.46)
    paper.average("last:3", loss=1.85, recall=0.45)
    paper.average("uniform", loss=1.9, recall=0.44)
    paper.measure("run/checkpoint-20", 1.9, 0.56)
    decision = decide(paper.project, "owl")
    assert decision.chosen == "checkpoint-20"
    [found] = [one for one in decision.findings if one.kind.startswith("average-")]
    assert found.kind == "average-loses"
    assert "no average beats" in found.sentence.lower()
