"""Tokens and data seen, summed along the path by hand from what the root registry states."""

from __future__ import annotations

from pathlib import Path

import pytest

from mbrelease.registry.facts import details
from mbrelease.registry.facts_text import amount_text, details_text, total_text
from mbrelease.registry.load import load_project
from mbrelease.registry.project import Project
from mbrelease.registry.schema import Registry
from mbrelease.registry.seen import seen, weights_line

FAMILY = load_project(Path(__file__).parents[2] / "registry.yaml")
TRILLION, BILLION, MILLION = 10**12, 10**9, 10**6


def parts(total):
    return {part.variant: part.amount for part in total.parts}


def family(**variants):
    return Registry.model_validate({"version": 1, "family": "x", "variants": variants})


def made(tokens, *parents, **more):
    entry = {"parents": [{"variant": p, "relation": r} for p, r in parents], **more}
    return entry if tokens is None else {**entry, "training": {"tokens": tokens}}


def test_science_v2_has_the_base_and_its_own():
    # arXiv:2412.13663, Table 3: two trillion, 1,719 + 250 + 50 billion by phase; the card of
    # brettgenz/modernbert-science-dapt-v2: about 450 million in 50,000 steps.
    found = seen(FAMILY.registry, "modernbert-science-dapt-v2")
    assert parts(found.tokens) == {
        "modernbert-science-dapt-v2": 450 * MILLION,
        "modernbert-base": 2 * TRILLION,
    }
    assert found.tokens.amount == 2_000_450_000_000
    assert found.tokens.unknown == ()
    assert found.tokens.parts[1].note == "its phases add up to 2,019,000,000,000"
    # 242,405 of PMC and 276,126 of arXiv, of which none fell out: 518,531.
    assert found.documents.amount == 518_531 == 242_405 + 276_126
    assert found.documents.unknown == ("modernbert-base",)


def test_bio_base_has_the_base_and_its_two_phases():
    # arXiv:2605.12438: 50 billion tokens of the causal detour and 5 billion of the decay.
    found = seen(FAMILY.registry, "modernbert-bio-base")
    assert found.tokens.amount == 2 * TRILLION + 55 * BILLION == 2_055_000_000_000
    assert [one.source.name for one in found.data][:3] == ["PubMed", "Med-Inst", "MIMIC"]


def test_large_counts_its_own_tokens_and_not_those_of_the_base():
    # Its first weights are tiled from the base; the paper counts two trillion tokens for it.
    found = seen(FAMILY.registry, "modernbert-large")
    assert parts(found.tokens) == {"modernbert-large": 2 * TRILLION}
    assert [(s.parent, s.relation) for s in found.not_counted] == [
        ("modernbert-base", "weight-initialization")
    ]


def test_bio_large_is_a_lower_bound():
    found = seen(FAMILY.registry, "modernbert-bio-large")
    assert (found.tokens.amount, found.tokens.unknown) == (2 * TRILLION, ("modernbert-bio-large",))
    text = total_text(found.tokens.as_json(), "tokens")
    assert text == "≥ 2 T (modernbert-bio-large's tokens are not stated)"


def test_a_diamond_counts_its_top_once():
    # base 100 → left 10, right 7 → mean of both → tuned 3: 100 + 10 + 7 + 0 + 3 = 120
    registry = family(
        base=made(100),
        left=made(10, ("base", "continued-pretraining")),
        right=made(7, ("base", "context-extension")),
        mean=made(None, ("left", "averaging"), ("right", "averaging")),
        tuned=made(3, ("mean", "fine-tuning"), ("base", "adapter")),
    )
    found = seen(registry, "tuned")
    assert parts(found.tokens) == {"tuned": 3, "base": 100, "left": 10, "right": 7}
    assert found.tokens.amount == 120
    assert found.tokens.unknown == ()
    # The mean itself was not trained, so nothing of it is missing: 100 + 10 + 7.
    assert seen(registry, "mean").tokens.amount == 117


def test_a_teacher_is_not_counted_unless_its_weights_come_in_too():
    registry = family(
        teacher=made(100),
        student=made(5, ("teacher", "distillation")),
        both=made(5, ("teacher", "distillation"), ("teacher", "fine-tuning")),
    )
    assert seen(registry, "student").tokens.amount == 5
    assert [step.relation for step in seen(registry, "student").not_counted] == ["distillation"]
    assert seen(registry, "both").tokens.amount == 105
    assert seen(registry, "both").not_counted == ()


@pytest.mark.parametrize(
    ("training", "amount", "at_least"),
    [
        ({"phases": [{"name": "a", "tokens": 3}, {"name": "b", "tokens": 4}]}, 7, False),
        ({"phases": [{"name": "a", "tokens": 3}, {"name": "b"}]}, 3, True),
        ({"phases": [{"name": "a"}]}, None, False),
        ({"steps": 7}, None, False),
        ({"tokens": 9, "phases": [{"name": "a", "tokens": 3}, {"name": "b"}]}, 9, False),
    ],
)
def test_phases_stand_for_a_training_that_states_no_sum(training, amount, at_least):
    (part,) = seen(family(x={"training": training}), "x").tokens.parts
    assert (part.amount, part.at_least) == (amount, at_least)


def test_a_sum_that_is_stated_in_part_says_so():
    training = {"phases": [{"name": "a", "tokens": 3_000_000}, {"name": "b"}]}
    registry = family(x={"training": training}, y=made(None, ("x", "fine-tuning")))
    text = total_text(seen(registry, "y").tokens.as_json(), "tokens")
    assert text == "≥ 3 M (y's tokens are not stated; x's tokens are stated in part)"
    assert total_text(seen(family(x={}), "x").tokens.as_json(), "tokens") == "not stated"


def test_a_data_set_of_two_variants_counts_once():
    news = {"name": "News", "hub_id": "owls/news", "documents": 100}
    law = {"name": "Law", "documents": 20}
    registry = family(
        base=made(1, data=[news], corpus={"documents": 90}),
        child=made(1, ("base", "fine-tuning"), data=[{**news, "name": "The news"}, law]),
    )
    found = seen(registry, "child")
    assert [(one.source.name, one.by) for one in found.data] == [
        ("The news", ("child", "base")), ("Law", ("child",)),
    ]  # fmt: skip
    # 100 + 20 of the child; the base's news are those of the child.
    assert parts(found.documents) == {"child": 120, "base": 0}
    # By itself the base counts what filtering left.
    assert seen(registry, "base").documents.amount == 90


def test_the_line_ends_where_no_weights_are_handed_on():
    line, ends = weights_line(FAMILY.registry, "modernbert-bio-large")
    assert line == ["modernbert-bio-large", "modernbert-large"]
    assert [step.parent for step in ends] == ["modernbert-base"]


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (2_000_450_000_000, "2.00045 T"),
        (450_000_000, "450 M"),
        (55 * BILLION, "55 B"),
        (518_531, "518,531"),
        (1_234_567_891, "1,234,567,891"),
        (2_000_450_000_001, "2,000,450,000,001"),
    ],
)
def test_amounts_are_short_where_nothing_is_lost(amount, text):
    assert amount_text(amount) == text


def test_what_each_step_changed():
    lineage = details(FAMILY, "modernbert-bio-large")["lineage"]
    changes = {
        step["child"]: {c["key"]: (c["before"], c["after"]) for c in step["changes"]}
        for step in lineage
    }
    assert changes["modernbert-large"]["architecture.layers"] == (22, 28)
    assert changes["modernbert-large"]["training.tokens"] == (None, 2 * TRILLION)
    assert "license" not in changes["modernbert-large"]
    assert changes["modernbert-bio-large"]["license"] == ("apache-2.0", None)
    assert changes["modernbert-bio-large"]["architecture.parameters"] == (395_000_000, 396_000_000)
    (step,) = details(FAMILY, "modernbert-science-dapt-v2")["lineage"]
    assert {c["key"] for c in step["changes"]} == {"training.context", "training.tokens", "data"}


def test_a_mask_rate_and_a_theta_of_a_last_phase_are_seen_to_change():
    registry = family(
        a={"training": {"mask_rate": 0.3, "phases": [{"name": "x", "rope_theta": 10_000}]}},
        b={
            "parents": [{"variant": "a", "relation": "context-extension"}],
            "training": {"phases": [{"name": "y", "mask_rate": 0.15, "rope_theta": 160_000.0}]},
        },
    )
    text = details_text(details(Project(registry, Path("/nowhere/registry.yaml")), "b"))
    assert "    mask rate: 0.3 → 0.15\n" in text
    assert "    architecture rope theta: 10,000 → 160,000\n" in text


def test_ten_thousand_steps_up():
    registry = family(
        v0=made(1), **{f"v{i}": made(1, (f"v{i - 1}", "fine-tuning")) for i in range(1, 10_000)}
    )
    assert seen(registry, "v9999").tokens.amount == 10_000
