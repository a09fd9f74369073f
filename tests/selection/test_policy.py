"""Decisions on evidence made for the purpose; no model runs."""

import io
import json
import shutil
import sys
from fractions import Fraction

import pytest
from owl_project import Owls

from mbrelease.cli.main import main
from mbrelease.cli.select import print_decision
from mbrelease.errors import UserError
from mbrelease.selection.decision import read_decision, write_decision
from mbrelease.selection.policy import decide


@pytest.fixture
def owls(tmp_path):
    project = Owls(tmp_path)
    project.measure("base", loss=2.0, recall=0.25)
    return project


def test_the_best_primary_metric_wins(owls):
    owls.run((1.9, 0.3), (1.8, 0.5), (1.7, 0.4))
    decision = owls.decide()
    assert decision.chosen == "checkpoint-20"
    assert "checkpoint-20 has the highest find/recall@1 (0.500)" in decision.reasons[0]
    [found] = [one for one in decision.findings if one.kind == "last-not-best"]
    assert found.sentence.startswith("The last checkpoint, checkpoint-30, is not the best")
    assert decision.chosen_candidate.value("mlm/loss") == 1.8


def test_a_guardrail_stops_a_better_candidate(owls):
    owls.run((1.9, 0.3), (2.5, 0.9))
    decision = owls.decide()
    assert decision.chosen == "checkpoint-10"
    [stopped] = decision.candidates[1].guardrails
    assert (stopped.change, stopped.state) == (pytest.approx(-0.5), "fail")
    assert "Stopped by the guardrail on mlm/loss: checkpoint-20." in decision.reasons


@pytest.mark.parametrize(("margin", "loss"), [("0.25", 2.25), ("0.02", 2.02), ("0.1", 2.1)])
def test_exactly_on_the_margin_is_not_shown_to_be_within_it(owls, margin, loss):
    owls.edit("margin: 0.25", f"margin: {margin}")
    owls.run((loss - 1e-6, 0.9), (loss, 0.95))
    decision = owls.decide()
    assert decision.chosen == "checkpoint-10"
    assert not decision.candidates[1].eligible


def test_a_loss_as_primary_is_better_when_lower(owls):
    owls.edit("primary: find/recall@1", "primary: mlm/loss")
    owls.edit("guardrails: [{metric: mlm/loss, margin: 0.25}]", "guardrails: []")
    owls.run((1.9, 0.3), (1.7, 0.1), (1.8, 0.4))
    assert owls.decide().chosen == "checkpoint-20"


@pytest.mark.parametrize(
    ("rule", "chosen"),
    [("earliest", "checkpoint-10"), ("latest", "last:2"), ("fewest-parents", "checkpoint-10")],
)
def test_ties_are_broken_by_the_policy(owls, rule, chosen):
    owls.run((1.9, 0.5), (1.9, 0.5))
    owls.edit("averages: []", 'averages: ["last:2"]')
    owls.edit("tie_break: earliest", f"tie_break: {rule}")
    owls.average("last:2", loss=1.9, recall=0.5)
    decision = owls.decide()
    assert decision.chosen == chosen
    others = [c.name for c in decision.candidates if c.name != chosen]
    assert decision.reasons[1] == (
        f"{' and '.join(others)} cannot be told from {chosen} on find/recall@1: "
        "the differences are within what 400 examples show by chance. "
        f"The policy's tie-break, {rule}, decided."
    )


def test_without_a_tie_there_is_no_word_of_one(owls):
    owls.run((1.9, 0.4), (1.9, 0.5))
    assert not any("tie-break" in reason for reason in owls.decide().reasons)


def test_an_average_is_a_candidate_like_any_other(owls):
    owls.run((1.9, 0.4), (1.8, 0.2), (1.8, 0.5), (1.8, 0.3))
    owls.edit("averages: []", 'averages: ["best:2+last"]')
    members = owls.average("best:2+last", loss=1.8, recall=0.6)
    third = Fraction(1, 3)
    assert [weight for _, weight in members] == [third, 0, third, third]
    decision = owls.decide()
    chosen = decision.chosen_candidate
    assert (chosen.kind, chosen.recipe) == ("average", "best:2+last")
    assert list(chosen.members) == ["checkpoint-10", "checkpoint-30", "checkpoint-40"]
    assert "'best' is by find/recall@1, on the very split that chose" in decision.reasons[-1]
    [found] = [one for one in decision.findings if one.kind == "average-beats"]
    assert found.candidates == ["best:2+last", "checkpoint-30"]


def test_an_average_of_other_members_than_the_evidence_says_now_is_refused(owls):
    owls.run((1.9, 0.4), (1.8, 0.2), (1.8, 0.1))
    owls.edit("averages: []", 'averages: ["best:1+last"]')
    owls.average("best:1+last", loss=1.8, recall=0.6)
    owls.measure("run/checkpoint-20", 1.8, 0.9)
    with pytest.raises(UserError, match=r"not from these checkpoints\n.*--score-by find/recall@1"):
        owls.decide()


def test_nothing_passes_and_the_reference_stays(owls):
    owls.run((2.5, 0.9), (2.6, 0.8))
    decision = owls.decide()
    assert decision.chosen is None
    assert decision.reasons == [
        "None of the 2 candidates passes every guardrail: keep base.",
        "Stopped by the guardrail on mlm/loss: checkpoint-10 and checkpoint-20.",
    ]


def test_no_better_than_the_reference_is_not_chosen(owls):
    owls.run((1.9, 0.25), (1.9, 0.1))
    decision = owls.decide()
    assert decision.chosen is None
    assert decision.reasons[0] == (
        "None of the 2 candidates that pass the guardrails is better than base "
        "(find/recall@1 0.250): keep base."
    )


def test_missing_evidence_is_named_with_the_command_that_makes_it(owls):
    owls.run((1.9, 0.3))
    owls.checkpoint("run/checkpoint-20", 2)
    with pytest.raises(UserError) as caught:
        owls.decide()
    assert "no evidence of find/recall@1, mlm/loss for checkpoint-20" in caught.value.message
    assert caught.value.mend.startswith("mbrelease eval ")


@pytest.mark.parametrize("other", [{"dtype": "bfloat16"}, {"attn": "eager"}, {"device": "cuda"}])
def test_records_of_another_backend_are_not_mixed_in(owls, other):
    owls.run((1.9, 0.3))
    owls.checkpoint("run/checkpoint-20", 2)
    owls.measure("run/checkpoint-20", 1.8, 0.9, **other)
    with pytest.raises(UserError, match="no evidence of .* for checkpoint-20") as told:
        owls.decide()
    assert told.value.mend.endswith("--suite owls --attn sdpa --dtype float32 --device cpu")


def test_records_of_other_settings_do_not_count(owls):
    owls.run((1.9, 0.3))
    owls.edit("metrics: [recall@1]", "metrics: [recall@1], pooling: cls")
    with pytest.raises(UserError, match="no evidence of find/recall@1 for base"):
        owls.decide()


def test_records_of_other_data_do_not_count_where_the_data_are_at_hand(owls):
    owls.run((1.9, 0.3))
    assert owls.decide().chosen == "checkpoint-10"
    (owls.root / "dev.jsonl").write_text('{"text": "x"}\n')
    with pytest.raises(UserError, match="no evidence"):
        owls.decide()


def test_two_copies_of_one_checkpoint_are_equal_whatever_their_names(owls):
    owls.run((1.9, 0.4))
    shutil.copytree(owls.root / "run/checkpoint-10", owls.root / "run/checkpoint-20")
    decision = owls.decide()
    one, two = decision.candidates
    assert one.measurements == two.measurements
    assert decision.chosen == "checkpoint-10"


def test_a_decision_is_read_as_written_and_made_again_alike(owls, tmp_path):
    owls.run((1.9, 0.3), (1.8, 0.5))
    decision = owls.decide()
    write_decision(tmp_path / "one.json", decision)
    assert read_decision(tmp_path / "one.json") == decision == owls.decide()


def test_a_malformed_decision_is_named(tmp_path):
    (tmp_path / "owl.json").write_text('{"version": 2, "variant": 1}')
    with pytest.raises(UserError, match=r"owl\.json: malformed decision"):
        read_decision(tmp_path / "owl.json")


def test_the_command_prints_a_table_and_writes_the_decision(owls, capsys, monkeypatch):
    monkeypatch.chdir(owls.root)
    owls.run((1.9, 0.3), (2.5, 0.9))
    assert main(["select", "owl"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[:8])) <= 80
    row = next(line for line in lines if "checkpoint-10" in line)
    assert row.split() == ["→", "checkpoint-10", "0.300", "1.9000", "✓", "1.00"]
    assert read_decision(owls.root / "decisions" / "owl.json").chosen == "checkpoint-10"
    assert main(["select", "owl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["chosen"] == "checkpoint-10"


def test_nothing_chosen_exits_1(owls, monkeypatch):
    monkeypatch.chdir(owls.root)
    owls.run((2.5, 0.9))
    assert main(["select", "owl"]) == 1


def test_a_variant_without_a_policy_is_told_how_to_get_one(owls):
    with pytest.raises(UserError, match=r"names no policy.*\n.*registry set base policy NAME"):
        decide(owls.project, "base")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("columns", "intervals"), [(63, True), (59, False)])
def test_a_terminal_too_narrow_for_intervals_shows_names_and_values(
    owls, capsys, monkeypatch, columns, intervals
):
    owls.run((1.9, 0.3), (1.8, 0.5))
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    print_decision(owls.decide())
    said, told = terminal.getvalue(), capsys.readouterr().err
    assert "→ checkpoint-20" in said
    assert "0.500" in said
    assert ("0.451–0.549" in said) == intervals
    assert ("too narrow for the 95% intervals" in told) != intervals
