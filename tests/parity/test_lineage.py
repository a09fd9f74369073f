"""A config against its parent's, by the declared relation."""

from __future__ import annotations

from typing import get_args

import pytest

from mbrelease.checkpoints.config import FULL, SLIDING, normal_form
from mbrelease.parity.checks.lineage import (
    MAY_CHANGE,
    check_against_parent,
    check_declared,
    check_family,
    origin_of_folder,
    origin_of_member,
)
from mbrelease.parity.family import member_named
from mbrelease.registry.schema import Relation

LARGE = {
    "num_hidden_layers": 28,
    "hidden_size": 1024,
    "intermediate_size": 2624,
    "num_attention_heads": 16,
}
CLASSIFIER = {"architectures": ["ModernBertForSequenceClassification"]}


def against(raw, relation=None, *, parent=None, declared=None):
    parent = parent or {}
    origin = origin_of_folder(normal_form(parent), parent)
    return check_against_parent(normal_form(raw), raw, origin, relation, declared)


def test_every_relation_of_the_registry_is_known():
    assert set(MAY_CHANGE) == set(get_args(Relation))


@pytest.mark.parametrize(
    ("fields", "relation", "status"),
    [
        ({}, None, "pass"),
        ({}, "continued-pretraining", "pass"),
        ({"global_rope_theta": 1e4}, "continued-pretraining", "fail"),
        ({"global_rope_theta": 1e4}, None, "fail"),
        ({"global_rope_theta": 5e5}, "context-extension", "pass"),
        ({"max_position_embeddings": 32768}, "context-extension", "pass"),
        ({"global_rope_theta": 1e4}, "context-extension", "fail"),
        ({"max_position_embeddings": 512}, "context-extension", "fail"),
        ({"hidden_size": 1024}, "context-extension", "fail"),
        ({"hidden_size": 384, "vocab_size": 256000}, "distillation", "pass"),
        (LARGE, "weight-initialization", "pass"),
        ({"norm_eps": 1e-6}, "weight-initialization", "fail"),
        ({"classifier_activation": "silu"}, "continued-pretraining", "fail"),
        ({"classifier_activation": "silu"}, "fine-tuning", "pass"),
        ({"classifier_pooling": "mean"}, "averaging", "warn"),
        ({"classifier_pooling": "mean"} | CLASSIFIER, "averaging", "fail"),
        ({"classifier_pooling": "mean"} | CLASSIFIER, "fine-tuning", "pass"),
        ({"vocab_size": 50400}, "fine-tuning", "fail"),
        ({"pad_token_id": 7}, "fine-tuning", "fail"),
        ({"tie_word_embeddings": False}, "merging", "fail"),
        # A member of another size, where nothing is declared, and a size that no member has.
        (LARGE, None, "pass"),
        (LARGE | {"local_rope_theta": 160000.0, "max_position_embeddings": 7999}, None, "pass"),
        (LARGE | {"norm_eps": 1e-12}, None, "fail"),
        (LARGE | {"num_hidden_layers": 27}, None, "fail"),
    ],
)
def test_the_relation_says_what_may_differ(fields, relation, status):
    result = against(fields, relation, parent={"pad_token_id": 50283})
    assert result.status == status
    assert (result.mend is None) == (status == "pass")


def test_the_difference_is_spelled_out():
    result = against({"local_rope_theta": 5000.0}, "averaging")
    assert result.found == "local_rope_theta 5000 (parent 10000)"
    assert result.expected == "what averaging may change: nothing"


def test_every_field_has_a_verdict():
    result = against({"local_rope_theta": 2e4, "norm_eps": 1e-6}, "context-extension")
    verdicts = {row["field"]: row["verdict"] for row in result.details["fields"]}
    assert result.details["compared_with"] == "the parent"
    assert verdicts["hidden_size"] == "identical"
    assert verdicts["local_rope_theta"] == "legitimate"
    assert verdicts["norm_eps"] == "wrong"


def test_patterns_that_do_not_repeat_are_told_apart():
    one, other = [FULL, FULL, SLIDING, FULL], [FULL, SLIDING, SLIDING, SLIDING]
    layers = {"num_hidden_layers": 4}
    result = against(layers | {"layer_types": one}, parent=layers | {"layer_types": other})
    assert result.found == "global_attn_every_n_layers FFSF (parent 4)"


def test_another_vocabulary_is_legitimate_where_the_registry_declares_it():
    raw = {"vocab_size": 50400, "pad_token_id": 50399}
    parent = {"pad_token_id": 50283}
    assert against(raw, "continued-pretraining", parent=parent).status == "fail"
    declared = {"vocabulary": 50400}
    assert against(raw, "continued-pretraining", parent=parent, declared=declared).status == "pass"
    declared = {"vocabulary": 50500}
    result = against(raw, "continued-pretraining", parent=parent, declared=declared)
    assert result.found == "vocab_size 50400 (parent 50368), pad_token_id 50399 (parent 50283)"


def test_what_the_registry_declares_must_be_so():
    architecture = {"context": 8192, "vocabulary": 50368, "layers": 22, "parameters": 149_000_000}
    assert check_declared(normal_form({}), architecture).status == "pass"
    result = check_declared(normal_form({"max_position_embeddings": 512}), architecture)
    assert result.status == "fail"
    assert result.expected == "context 8,192, as the registry says"
    assert result.found == "max_position_embeddings 512"


def test_a_member_can_be_the_parent_without_a_folder():
    base = origin_of_member(member_named("base"))
    wrong = {"classifier_pooling": "mean", "norm_eps": 1e-12}
    result = check_against_parent(normal_form(wrong), wrong, base, None)
    assert (result.status, result.found) == ("fail", "norm_eps 1e-12 (parent 1e-05)")


@pytest.mark.parametrize(
    ("fields", "status", "found"),
    [
        ({}, "pass", "modernbert-base"),
        ({"architectures": ["ModernBertModel"]}, "pass", "gte-modernbert-base"),
        (
            {"global_rope_theta": 1e4},
            "pass",
            "modernbert-base-pretraining",
        ),
        (
            {"global_rope_theta": 2e4},
            "warn",
            "modernbert-base but for global_rope_theta 20000 (160000)",
        ),
        (
            {"max_position_embeddings": 512},
            "warn",
            "modernbert-base but for max_position_embeddings 512 (8192)",
        ),
        (
            {"classifier_activation": "silu"},
            "warn",
            "modernbert-base but for classifier_activation silu (gelu)",
        ),
        (
            {"num_hidden_layers": 23},
            "pass",
            "a size of its own, nearest modernbert-base: num_hidden_layers 23 (22)",
        ),
    ],
)
def test_the_member_it_is_or_is_nearest_to_is_named(fields, status, found):
    raw = {"classifier_pooling": "mean"} | fields
    result = check_family(normal_form(raw), raw)
    assert result.status == status
    assert result.found.startswith(found)


def test_a_parent_or_a_declaration_judges_in_the_familys_place():
    raw = {"max_position_embeddings": 16384, "classifier_pooling": "mean"}
    config = normal_form(raw)
    assert check_family(config, raw).status == "warn"
    assert check_family(config, raw, judged=True).status == "pass"
    assert check_family(config, raw, {"context": 16384}).status == "pass"
