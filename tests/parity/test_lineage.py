"""A config against its parent's, by the declared relation."""

from __future__ import annotations

from typing import get_args

import pytest

from mbrelease.checkpoints.config import normal_form
from mbrelease.parity.checks.lineage import MAY_CHANGE, check_against_parent
from mbrelease.registry.schema import Relation

PARENT = normal_form({})


def test_every_relation_of_the_registry_is_known():
    assert set(MAY_CHANGE) == set(get_args(Relation))


@pytest.mark.parametrize(
    ("fields", "relation", "status"),
    [
        ({}, None, "pass"),
        ({}, "continued-pretraining", "pass"),
        ({"global_rope_theta": 1e4}, "continued-pretraining", "fail"),
        ({"global_rope_theta": 1e4}, None, "fail"),
        ({"global_rope_theta": 1e4}, "context-extension", "pass"),
        ({"max_position_embeddings": 32768}, "context-extension", "pass"),
        ({"hidden_size": 1024}, "context-extension", "fail"),
        ({"hidden_size": 384, "vocab_size": 256000}, "distillation", "pass"),
        ({"hidden_size": 1024, "num_hidden_layers": 28}, "weight-initialization", "pass"),
        ({"norm_eps": 1e-6}, "weight-initialization", "fail"),
        ({"classifier_activation": "silu"}, "continued-pretraining", "fail"),
        ({"classifier_activation": "silu"}, "fine-tuning", "pass"),
        ({"classifier_pooling": "mean"}, "averaging", "warn"),
        ({"vocab_size": 50400}, "fine-tuning", "fail"),
        ({"tie_word_embeddings": False}, "merging", "fail"),
    ],
)
def test_the_relation_says_what_may_differ(fields, relation, status):
    result = check_against_parent(normal_form(fields), PARENT, relation)
    assert result.status == status
    assert (result.mend is None) == (status == "pass")


def test_the_difference_is_spelled_out():
    result = check_against_parent(normal_form({"local_rope_theta": 5000.0}), PARENT, "averaging")
    assert result.found == "local_rope_theta 5000 (parent 10000)"
    assert result.expected == "what averaging may change: nothing"
