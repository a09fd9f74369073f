"""Every sentence of a decision is true, also of one candidate and of equal values."""

import pytest
from owl_project import Owls

from mbrelease.cli.main import main
from mbrelease.errors import UserError
from mbrelease.selection.reasons import reasons_for


@pytest.fixture
def owls(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    project = Owls(tmp_path)
    project.measure("base", loss=2.0, recall=0.25)
    return project


def test_the_only_candidate_is_the_highest_of_nothing(owls):
    owls.run((1.9, 0.5))
    first, compared, *_ = owls.decide().reasons
    assert first == (
        "checkpoint-10, the only candidate, passes every guardrail and is better than base, with a "
        "find/recall@1 of 0.500."
    )
    assert "; p < 0.001." in compared


def test_the_only_one_that_is_better(owls):
    owls.run((1.9, 0.2), (1.8, 0.5), (2.5, 0.9))
    assert owls.decide().reasons[0] == (
        "checkpoint-20 is the only one of 3 candidates that passes every guardrail and is better "
        "than base, with a find/recall@1 of 0.500."
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([(2.5, 0.5)], "checkpoint-10, the only candidate, does not pass every guardrail"),
        ([(1.9, 0.25)], "checkpoint-10, the only candidate, is not better than base"),
        ([(1.9, 0.255)], "checkpoint-10, the only candidate, is not shown to be better than base"),
        ([(2.5, 0.5), (1.9, 0.255)],
         "checkpoint-20, the only candidate that passes the guardrails, is not shown to be better"),
    ],
)  # fmt: skip
def test_nothing_is_chosen_of_one(owls, values, said):
    owls.run(*values)
    assert owls.decide().reasons[0].startswith(said)


def test_the_nearest_of_one_is_itself(owls):
    owls.run((1.9, 0.255))
    said = owls.decide().reasons[1]
    assert said.startswith("checkpoint-10: find/recall@1 0.255 against 0.250 (95% interval")
    assert "corrected" not in said


def test_the_best_is_not_said_to_be_untold_from_itself(owls):
    owls.run((1.9, 0.5), (1.9, 0.51), (1.9, 0.505))
    first, second, *_ = owls.decide().reasons
    assert first.endswith("and 2 of those cannot be told from the best.")
    assert second == (
        "checkpoint-10 and checkpoint-30 cannot be told from checkpoint-20 on find/recall@1, which "
        "has the best value (0.510): the differences are within what 400 examples show by chance. "
        "The policy's tie-break, earliest, decided."
    )


def test_of_two_the_other_one_is_meant(owls):
    owls.run((1.9, 0.5), (1.9, 0.505))
    assert owls.decide().reasons[0].endswith("and of those it alone cannot be told from the best.")


def test_the_best_value_that_two_have_goes_to_the_first(owls):
    owls.edit("tie_break: earliest", "tie_break: best")
    owls.run((1.9, 0.4), (1.9, 0.5), (1.9, 0.5))
    assert (
        owls.decide()
        .reasons[1]
        .endswith(
            "The policy then takes the best value, which may be luck; checkpoint-30 has the same "
            "value, and of equals the first is taken."
        )
    )


def test_nearly_always_is_not_always(owls):
    owls.run((1.9, 0.4), (1.8, 0.5))
    decision = owls.decide()
    first, second = decision.candidates
    shares = (first.model_copy(update={"p_selected": 0.003}),
              second.model_copy(update={"p_selected": 0.997}))  # fmt: skip
    said = reasons_for(decision.model_copy(update={"candidates": list(shares)}))
    assert (
        "With the examples drawn again, the rule chooses it in more than 99%, and checkpoint-10 in "
        "less than 1%."
    ) in said


def test_what_would_settle_a_candidate_is_what_settles_all_its_guardrails(owls):
    owls.edit("margin: 0.25}", "margin: 0.25}, {metric: find/recall@1, margin: 0.1}")
    owls.run((1.9, 0.2))
    decision = owls.decide()
    [one] = decision.candidates
    some = [
        result.model_copy(update={"state": "inconclusive", "examples_to_settle": needed})
        for result, needed in zip(one.guardrails, (500, 1900), strict=True)
    ]
    open_ = one.model_copy(update={"guardrails": some, "eligible": False})
    said = reasons_for(decision.model_copy(update={"candidates": [open_], "chosen": None}))
    assert said[1] == (
        "Not shown to be within the margin of mlm/loss and find/recall@1, nor beyond it: "
        "checkpoint-10 (about 1,900 examples would settle the nearest)."
    )


def test_no_candidates_are_refused(owls, capsys):
    owls.run((1.9, 0.5))
    owls.edit("averages: []", "checkpoints: []")
    assert main(["select", "owl"]) == 2
    assert "'owl' has no candidates" in capsys.readouterr().err


def test_an_average_that_is_listed_twice_is_refused(owls):
    owls.run((1.9, 0.5), (1.8, 0.5))
    owls.edit("averages: []", 'averages: ["last:2", "last:2"]')
    with pytest.raises(UserError, match="names last:2 twice"):
        owls.decide()
