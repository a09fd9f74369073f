"""An average of different architectures is no model, and is told before anyone computes it."""

from __future__ import annotations

import pytest

HEAD = """\
version: 1
family: x
variants:
  base: {architecture: {layers: 22, hidden_size: 768, parameters: 149_000_000, context: 1_024}}
  large: {architecture: {layers: 28, hidden_size: 1_024, parameters: 395_000_000}}
"""


def of(relation, *parents):
    pairs = ", ".join(f"{{variant: {parent}, relation: {relation}}}" for parent in parents)
    return f"parents: [{pairs}]"


@pytest.mark.parametrize(("relation", "mixed"), [("averaging", "averaged"), ("merging", "merged")])
def test_what_the_parents_state_themselves(relation, mixed, mistakes):
    (said,) = mistakes(f"{HEAD}  soup: {{{of(relation, 'base', 'large')}}}\n")
    place = f"  soup: {{{of(relation, 'base', 'large')}".index("large") + 1
    assert said == (
        f"registry.yaml:6:{place}: different architectures cannot be {mixed}: "
        "layers of 'large' is 28, of 'base' 22; hidden_size of 'large' is 1024, of 'base' 768; "
        "parameters of 'large' is 395000000, of 'base' 149000000"
    )


def test_what_they_have_from_their_ancestors(mistakes):
    text = f"""\
{HEAD}  a: {{{of("fine-tuning", "base")}}}
  b: {{{of("continued-pretraining", "a")}, architecture: {{hidden_size: 768}}}}
  c: {{{of("adapter", "large")}}}
  soup: {{{of("averaging", "b", "c")}}}
"""
    (said,) = mistakes(text)
    assert "layers of 'c' (from 'large') is 28, of 'b' (from 'base') 22; hidden_size of 'c'" in said


@pytest.mark.parametrize("relation", ["distillation", "weight-initialization"])
def test_what_is_only_taught_or_started_has_its_own(relation, mistakes):
    entries = f"  a: {{{of(relation, 'large')}}}\n  soup: {{{of('averaging', 'base', 'a')}}}\n"
    assert mistakes(HEAD + entries) == []


def test_only_what_both_state_counts_and_what_shapes_weights(mistakes):
    text = f"""\
{HEAD}  a: {{architecture: {{parameters: 149_655_232, context: 8_192, activation: GELU}}}}
  b: {{{of("fine-tuning", "base")}, architecture: {{activation: GeLU, rope_theta: 10_000}}}}
  c: {{{of("context-extension", "b")}}}
  d: {{architecture: {{rope_theta: 160_000}}}}
  soup: {{{of("averaging", "base", "a", "b", "c")}}}
  long: {{{of("averaging", "c", "d")}}}
"""
    assert mistakes(text) == []
    (said,) = mistakes(f"{text}  wrong: {{{of('averaging', 'b', 'd')}}}\n")
    assert said.endswith("rope_theta of 'd' is 160000, of 'b' 10000")


def test_one_parent_and_parents_of_another_kind_are_no_average(mistakes):
    text = f"""\
{HEAD}  one: {{{of("averaging", "large")}}}
  student: {{{of("distillation", "base", "large")}}}
  both: {{parents: [{{variant: base, relation: averaging}}, {{variant: large, relation: distillation}}]}}
"""  # noqa: E501
    assert mistakes(text) == []


def test_a_circle_of_parents_and_wrong_shapes_are_told_and_no_more(mistakes):
    text = f"""\
{HEAD}  a: {{{of("averaging", "b", "base")}}}
  b: {{{of("averaging", "a", "base")}}}
"""
    assert mistakes(text) == ["registry.yaml:6:27: cycle in parents: a → b → a"]
    wrong = f"{HEAD}  a: {{architecture: 3}}\n  soup: {{{of('averaging', 'a', 'base')}}}\n"
    (said,) = mistakes(wrong)
    assert "architecture should be a mapping" in said


def test_a_long_line_of_descent_states_what_its_root_does(mistakes):
    chain = "".join(f"  v{i}: {{{of('fine-tuning', f'v{i - 1}')}}}\n" for i in range(1, 3000))
    text = f"{HEAD}  v0: {{{of('fine-tuning', 'large')}}}\n{chain}"
    (said,) = mistakes(f"{text}  soup: {{{of('averaging', 'base', 'v2999')}}}\n")
    assert "layers of 'v2999' (from 'large') is 28" in said
