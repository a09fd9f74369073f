"""One normal form for the configs of both transformers generations."""

from __future__ import annotations

import json

import pytest

from mbrelease.checkpoints.config import (
    FULL,
    SLIDING,
    legacy_form,
    normal_form,
    read_config,
    regular_interval,
)
from mbrelease.errors import UserError

OLD = {
    "model_type": "modernbert",
    "num_hidden_layers": 5,
    "global_rope_theta": 20000.0,
    "local_rope_theta": 5000.0,
    "global_attn_every_n_layers": 2,
}
NEW = {
    "model_type": "modernbert",
    "num_hidden_layers": 5,
    "rope_parameters": {
        FULL: {"rope_theta": 20000.0, "rope_type": "default"},
        SLIDING: {"rope_theta": 5000, "rope_type": "default"},
    },
    "layer_types": [FULL, SLIDING, FULL, SLIDING, FULL],
}


def test_both_generations_have_one_normal_form_and_one_hash():
    assert normal_form(OLD) == normal_form(NEW)
    assert normal_form(OLD).sha256 == normal_form(NEW).sha256


def test_it_is_what_transformers_itself_reads():
    transformers = pytest.importorskip("transformers")
    for raw in (OLD, NEW, {}, {"num_hidden_layers": 4, "local_attention": 64}):
        real = transformers.ModernBertConfig(**raw)
        mine = normal_form(raw)
        assert tuple(real.layer_types) == mine.layer_types
        assert real.rope_parameters[FULL]["rope_theta"] == mine.global_rope_theta
        assert real.rope_parameters[SLIDING]["rope_theta"] == mine.local_rope_theta
        for field in ("hidden_size", "norm_eps", "local_attention", "classifier_pooling"):
            assert getattr(real, field) == getattr(mine, field)


def test_what_changes_the_output_changes_the_hash():
    for change in ({"norm_eps": 1e-6}, {"local_rope_theta": 1e4}, {"hidden_activation": "silu"}):
        assert normal_form(OLD | change).sha256 != normal_form(OLD).sha256


def test_where_both_stand_the_newer_rules_as_in_5x():
    both = NEW | {"global_rope_theta": 1.0, "global_attn_every_n_layers": 5}
    assert normal_form(both) == normal_form(NEW)


def test_4x_reads_only_its_own_keys():
    assert legacy_form(OLD) == normal_form(OLD)
    misread = legacy_form(NEW)
    assert (misread.global_rope_theta, misread.local_rope_theta) == (160_000.0, 10_000.0)
    assert misread.layer_types == (FULL, SLIDING, SLIDING, FULL, SLIDING)


def test_a_nested_theta_that_is_left_out_is_the_flat_one():
    partly = OLD | {"rope_parameters": {FULL: {"rope_theta": 7.0}}}
    assert (normal_form(partly).global_rope_theta, normal_form(partly).local_rope_theta) == (7, 5e3)


def test_a_null_local_theta_is_the_global_one():
    assert normal_form(OLD | {"local_rope_theta": None}).local_rope_theta == 20000.0


def test_sliding_window_is_half_the_window_as_in_5x():
    assert normal_form({"sliding_window": 128, "local_attention": 128}).local_attention == 256


WRONG = {
    "a number in quotes": ({"hidden_size": "768"}, "hidden_size is '768'"),
    "zero for false": ({"norm_bias": 0}, "norm_bias is 0"),
    "a truth value for a number": ({"hidden_size": True}, "hidden_size is True"),
    "no layers": ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
    "a layer count that would fill the memory": ({"num_hidden_layers": 10**9}, "more than 1000"),
    "null for a size": ({"vocab_size": None}, "vocab_size is None"),
    "NaN": ({"norm_eps": float("nan")}, "norm_eps is nan"),
    "more digits than a float holds": ({"norm_eps": 10**400}, "norm_eps is too large"),
    "too few layer types": ({"num_hidden_layers": 5, "layer_types": [FULL]}, "describe 5 layers"),
    "layer_types that is no list": ({"layer_types": 3}, "layer_types does not"),
    "an unknown layer type": (
        {"num_hidden_layers": 1, "layer_types": ["chunked_attention"]},
        "unknown type 'chunked_attention'",
    ),
    "one flat theta": ({"rope_parameters": {"rope_theta": 1e4}}, "rope_parameters must hold"),
    "scaled rotary": (
        {"rope_parameters": {FULL: {"rope_type": "yarn", "factor": 4.0}}},
        "rope_type is 'yarn'",
    ),
    "the older rope_scaling": ({"rope_scaling": {"type": "linear"}}, "rope_scaling is set"),
    "a rope entry that is no object": ({"rope_parameters": {FULL: 3}}, "is 3, not an object"),
    "a number for a name": ({"hidden_activation": 1}, "hidden_activation is 1"),
}


@pytest.mark.parametrize(("fields", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_field_is_named_with_its_file(tmp_path, fields, said):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "modernbert"} | fields))
    with pytest.raises(UserError) as error:
        read_config(path)
    assert said in error.value.message
    assert str(path) in error.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"model_type": "bert"}', "model_type is 'bert'"),
        ("{}", "model_type is None"),
        ("[]", "not a JSON object"),
        ('{"model_type"\n 3}', ":2:2: not JSON"),
    ],
)
def test_what_is_no_modernbert_config_is_a_sentence(tmp_path, text, said):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=said):
        read_config(tmp_path / "config.json")


@pytest.mark.parametrize("layers", [1, 2, 3, 7, 22])
@pytest.mark.parametrize("every", [1, 2, 3, 5])
def test_the_interval_gives_back_its_own_pattern(layers, every):
    pattern = normal_form(
        {"num_hidden_layers": layers, "global_attn_every_n_layers": every}
    ).layer_types
    found = regular_interval(pattern)
    again = {"num_hidden_layers": layers, "global_attn_every_n_layers": found}
    assert normal_form(again).layer_types == pattern


def test_an_irregular_pattern_has_no_interval():
    assert regular_interval([FULL, SLIDING, SLIDING, SLIDING, FULL, FULL]) is None
    assert regular_interval([SLIDING, FULL]) is None
