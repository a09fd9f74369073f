"""The weights against their config: each fault in the headers or values is found and named."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.checkpoints.config import normal_form
from mbrelease.parity.checks.tensors import check_tensors
from mbrelease.parity.checks.values import check_values
from mbrelease.parity.reference import expected_tensors
from mbrelease.parity.strangers import kind_of

EMBEDDINGS = "model.embeddings.tok_embeddings.weight"
NORM = "model.layers.1.attn_norm.weight"
TINY = expected_tensors(normal_form({"num_hidden_layers": 3}))


FORMAT = {"format": "pt"}


def rewrite(folder, mutate, metadata=FORMAT):
    weights = load_file(folder / "model.safetensors")
    mutate(weights)
    save_file(weights, folder / "model.safetensors", metadata)


def renamed(rename):
    def mutate(weights):
        for name in list(weights):
            weights[rename(name)] = weights.pop(name)

    return mutate


def asked(folder):
    checkpoint = open_checkpoint(folder)
    found = check_tensors(checkpoint, normal_form(checkpoint.raw_config))
    return {result.name: result for result in found}


def faults(folder):
    return {name: result for name, result in asked(folder).items() if result.status != "pass"}


def test_what_passes_says_how_much_there_is(release):
    found = asked(release)
    assert {result.status for result in found.values()} == {"pass"}
    assert found["tensors.names"].found == "23 tensors, 127,776 parameters"
    held = load_file(release / "model.safetensors").values()
    assert (len(held), sum(value.size for value in held)) == (23, 127_776)


OPTIMIZER = ["optimizer.state.0", f"{NORM}.exp_avg", f"{NORM}.exp_avg_sq", "optim.step"]
KINDS = {
    "of an optimizer": OPTIMIZER,
    "of an adapter": [
        "model.layers.0.attn.Wqkv.lora_A.default.weight",
        "base_model.model.model.layers.0.mlp.Wi.base_layer.weight",
    ],
    "under the name of a trainer's wrapper": [
        f"module.{NORM}",
        f"_orig_mod.{NORM}",
        "model.layers.1._checkpoint_wrapped_module.mlp.Wo.weight",
        "module.decoder.weight",
    ],
    "no weights but buffers, made anew on loading": [
        "model.layers.0.attn.rotary_emb.inv_freq",
        "model.rotary_emb.full_attention_inv_freq",
        "model.embeddings.position_ids",
    ],
    "by the names of FlexBERT": ["bert.encoder.layers.1.attn.Wqkv.weight", "bert.final_norm.bias"],
    "by the names of an encoder alone": [NORM.removeprefix("model."), "final_norm.weight"],
    "of biases that the config has not": [
        "model.layers.1.attn.Wqkv.bias",
        "head.norm.bias",
        "head.dense.bias",
    ],
    "of a head that the architecture has not": ["classifier.weight", "classifier.bias"],
    "of layers beyond the 3 of the config": ["model.layers.3.mlp.Wi.weight"],
    "not ModernBERT's": ["model.pooler.dense.weight", "ema", "model.layers.1.mlp.Wg.weight"],
}


@pytest.mark.parametrize(("words", "names"), KINDS.items(), ids=KINDS)
def test_a_stranger_is_named_as_what_it_is(release, words, names):
    def add(weights):
        weights.update({name: np.ones(2, np.float32) for name in names})

    rewrite(release, add)
    found = faults(release)
    assert set(found) == {"tensors.names"}
    result = found["tensors.names"]
    assert f"; {len(names)} {words}: " in result.found
    assert result.details == {"missing": [], "others": {words: sorted(names)}}
    assert result.expected == "23 tensors, 127,776 parameters"
    assert result.mend


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("model.layers.1.attn.Wo.bias", "attention_bias"),
        ("model.layers.1.mlp.Wi.bias", "mlp_bias"),
        ("model.layers.1.mlp_norm.bias", "norm_bias"),
        ("model.final_norm.bias", "norm_bias"),
        ("head.norm.bias", "norm_bias"),
        ("head.dense.bias", "classifier_bias"),
    ],
)
def test_the_mend_of_a_bias_is_the_key_that_makes_it_expected(name, flag):
    assert f'write "{flag}": true' in kind_of(name, TINY).mend
    assert name in expected_tensors(normal_form({"num_hidden_layers": 3, flag: True}))


def test_names_under_a_wrapper_are_missed_and_explained(release):
    rewrite(release, renamed(lambda name: f"module.{name}"))
    found = faults(release)["tensors.names"]
    assert found.found.startswith("23 tensors, 127,776 parameters; 23 missing: ")
    assert "23 under the name of a trainer's wrapper" in found.found
    assert found.mend.startswith("save the model inside")


def test_an_encoder_that_says_it_has_a_head_is_told_its_class(release, edit_json):
    def without_head(weights):
        for name in list(weights):
            value = weights.pop(name)
            if name.startswith("model."):
                weights[name.removeprefix("model.")] = value

    rewrite(release, without_head)
    found = faults(release)["tensors.names"]
    assert found.mend == 'write "architectures": ["ModernBertModel"] in config.json'
    edit_json(release / "config.json", architectures=["ModernBertModel"])
    assert faults(release) == {}


def test_a_model_with_a_head_that_says_it_is_an_encoder_is_told_so(release, edit_json):
    edit_json(release / "config.json", architectures=["ModernBertModel"])
    found = faults(release)
    assert set(found) == {"tensors.names"}
    assert "20 by the names of a model with a head" in found["tensors.names"].found
    assert "3 of a head that the architecture has not" in found["tensors.names"].found


def test_a_decoder_that_an_encoder_has_not_is_a_stranger(release, edit_json):
    rewrite(release, lambda weights: weights.update({"decoder.weight": weights[EMBEDDINGS] + 1}))
    edit_json(release / "config.json", architectures=["ModernBertForSequenceClassification"])
    found = faults(release)["tensors.names"]
    assert "2 of a head that the architecture has not: decoder.bias, decoder.weight" in found.found


def test_an_empty_file_is_told(release):
    rewrite(release, dict.clear)
    found = faults(release)["tensors.names"]
    assert found.found.startswith("0 tensors, 0 parameters; 23 missing: ")
    assert found.mend.startswith("the file is empty: save the model again")


@pytest.mark.parametrize("content", [b"", b"\0" * 8, (2).to_bytes(8, "little") + b"{"])
def test_a_file_without_even_a_header_is_told(release, content):
    (release / "model.safetensors").write_bytes(content)
    found = faults(release)
    assert set(found) == {"tensors.header"}
    assert "is not a whole safetensors file" in found["tensors.header"].found


def test_a_config_of_a_terabyte_is_refused_from_the_header_alone(release, edit_json):
    edit_json(release / "config.json", vocab_size=10**9, hidden_size=2**8, intermediate_size=2**8)
    tracemalloc.start()
    found = faults(release)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10e6
    shapes = found["tensors.shapes"]
    assert "257,001,443,840 parameters, 1,028.01 GB in float32" in shapes.expected
    assert shapes.found.startswith("127,776 parameters, 0.00 GB in float32; ")


def test_a_config_of_any_number_is_refused(release, edit_json):
    edit_json(release / "config.json", vocab_size=10**400)
    assert "more than 4,000,000 GB" in faults(release)["tensors.shapes"].expected


def test_a_copy_of_the_tied_decoder_and_another_are_told_apart(release):
    rewrite(release, lambda weights: weights.update({"decoder.weight": weights[EMBEDDINGS]}))
    assert faults(release)["tensors.tied"].status == "warn"
    rewrite(release, lambda weights: weights.update({"decoder.weight": weights[EMBEDDINGS] + 1}))
    assert faults(release)["tensors.tied"].status == "fail"


def test_only_layer_0s_own_norm_is_judged_as_such(release):
    extra = {"model.layers.0.attn_norm.weight": np.ones(64, np.float32)}
    rewrite(release, lambda weights: weights.update(extra))
    assert set(faults(release)) == {"tensors.first_norm"}
    other = {"optimizer.layers.0.attn_norm.weight": np.ones(64, np.float32)}
    rewrite(release, lambda weights: (weights.clear(), weights.update(other)))
    assert "tensors.first_norm" not in faults(release)


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        ({"made_by": "hand"}, "model.safetensors: no format, but made_by"),
        ({"format": "tf"}, "model.safetensors: format tf, but format"),
    ],
)
def test_metadata_that_4x_refuses_are_told(release, metadata, found):
    rewrite(release, lambda weights: None, metadata)
    assert faults(release)["tensors.format"].found == found


def test_no_metadata_at_all_pass(release):
    rewrite(release, lambda weights: None, None)
    assert faults(release) == {}


def test_an_index_of_one_file_is_checked_too(release):
    weights = load_file(release / "model.safetensors")
    (release / "model.safetensors").rename(release / "one.safetensors")
    index = {"weight_map": dict.fromkeys([*weights, "lost.weight"], "one.safetensors")}
    (release / "model.safetensors.index.json").write_text(json.dumps(index))
    found = faults(release)
    assert set(found) == {"tensors.index"}
    assert "lost.weight" in found["tensors.index"].found


def test_neither_headers_nor_values_need_torch(release):
    script = (
        "import sys; from pathlib import Path; "
        "from mbrelease.checkpoints.checkpoint import open_checkpoint; "
        "from mbrelease.parity.checks.tensors import check_tensors; "
        "from mbrelease.parity.checks.values import check_values; "
        f"checkpoint = open_checkpoint(Path({str(release)!r})); "
        "check_tensors(checkpoint, checkpoint.config); check_values(checkpoint); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def values(folder):
    found = check_values(open_checkpoint(folder))
    return {result.name: result for result in found if result.status != "pass"}


def test_values_of_a_trained_model_pass(release):
    assert values(release) == {}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("model.layers.2.mlp.Wo.weight", 0.0, "model.layers.2.mlp.Wo.weight is 0 throughout"),
        ("model.layers.0.attn.Wqkv.weight", 0.02, "is 0.02 throughout"),
        (EMBEDDINGS, -1.0, f"{EMBEDDINGS} is -1 throughout"),
        ("model.final_norm.weight", 0.0, "model.final_norm.weight is 0 throughout"),
    ],
)
def test_a_matrix_of_one_value_is_told(release, name, value, said):
    rewrite(release, lambda weights: weights[name].fill(value))
    found = values(release)
    assert set(found) == {"tensors.constant"}
    assert said in found["tensors.constant"].found


def test_norms_of_ones_and_biases_of_zeros_are_how_training_begins(release):
    def begin(weights):
        for name, value in weights.items():
            if value.ndim == 1:
                value.fill(0.0 if name.endswith("bias") else 1.0)

    rewrite(release, begin)
    assert values(release) == {}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_one_value_is_told_in_every_dtype(release, dtype):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    weights = load_file(release / "model.safetensors")
    weights = {name: value.to(getattr(torch, dtype)) for name, value in weights.items()}
    weights[NORM].fill_(0)
    save_file(weights, release / "model.safetensors", {"format": "pt"})
    assert values(release)["tensors.constant"].found == f"{NORM} is 0 throughout"


@pytest.mark.parametrize("last", [0.5, float("nan")])
def test_one_other_value_at_the_end_of_a_large_matrix_is_seen(release, last):
    from mbrelease.parity.checks.values import PIECE_BYTES

    value = np.full((3, PIECE_BYTES // 4), 0.25, np.float32)
    value[-1, -1] = last
    rewrite(release, lambda weights: weights.update({"large.weight": value}))
    assert set(values(release)) == ({"tensors.finite"} if last != last else set())
    value[-1, -1] = 0.25
    rewrite(release, lambda weights: weights.update({"large.weight": value}))
    assert set(values(release)) == {"tensors.constant"}
