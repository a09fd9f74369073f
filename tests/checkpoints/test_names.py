"""Weights are found by their names, whatever wrapped the model and wherever it was filed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mbrelease.checkpoints.config import normal_form
from mbrelease.checkpoints.names import huggingface_names
from mbrelease.errors import UserError
from mbrelease.parity.reference import expected_tensors

PLACE = Path("run/ep0-ba5-rank0.pt")
CONFIG = normal_form({"num_hidden_layers": 2, "norm_bias": True, "mlp_bias": True})
MLM = [*expected_tensors(CONFIG), "decoder.weight"]
ENCODER = list(expected_tensors(CONFIG, "encoder"))
CLASSIFIER = list(expected_tensors(CONFIG, "classifier"))


def flexbert(name: str) -> str:
    if not name.startswith("model."):
        return name
    return name.replace("model.layers.", "bert.encoder.layers.").replace("model.", "bert.", 1)


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "model.",
        "state.model.",
        "_orig_mod.",
        "module.",
        "module._orig_mod.",
        "model._fsdp_wrapped_module.",
        "app.trainee.",
    ],
)
@pytest.mark.parametrize("wanted", [MLM, CLASSIFIER])
@pytest.mark.parametrize("rename", [str, flexbert])
def test_the_prefix_of_a_model_with_a_head_does_not_matter(
    prefix: str, wanted: list[str], rename: type
) -> None:
    stored = {f"{prefix}{rename(name)}": name for name in wanted}
    assert huggingface_names(stored, PLACE) == stored


@pytest.mark.parametrize("prefix", ["", "model.", "bert.", "model.bert.", "state.model.model."])
def test_an_encoder_alone_has_no_prefix(prefix: str) -> None:
    stored = {f"{prefix}{name}": name for name in ENCODER}
    assert huggingface_names(stored, PLACE) == stored


def test_wrappers_within_the_model_are_left_out() -> None:
    stored = {
        name.replace("layers.1.", "layers.1._checkpoint_wrapped_module."): name for name in MLM
    }
    assert huggingface_names(stored, PLACE) == stored


def test_what_the_optimizer_keeps_of_each_weight_is_no_weight() -> None:
    optimizer = [f"optim.state.{name}.exp_avg" for name in MLM]
    unflattened = [f"optimizers.AdamW.exp_avg_sq.model.{name}" for name in MLM]
    beside = [f"model.{name}.exp_avg" for name in MLM]
    found = huggingface_names([*optimizer, *unflattened, *beside, *MLM, "step"], PLACE)
    assert found == {name: name for name in MLM}


def test_moments_alone_are_no_model() -> None:
    with pytest.raises(UserError, match="rank0.pt holds no ModernBERT: .* and no other weight"):
        huggingface_names([f"optim.state.{name}.exp_avg" for name in MLM], PLACE)


def test_another_model_is_told_by_what_it_has() -> None:
    with pytest.raises(UserError, match="no ModernBERT: .* but bert.embeddings.word_embeddings.w"):
        huggingface_names(["bert.embeddings.word_embeddings.weight"], PLACE)


def test_two_models_are_told_apart() -> None:
    both = [f"{model}.{name}" for model in ("model", "ema") for name in MLM]
    with pytest.raises(UserError) as error:
        huggingface_names(both, PLACE)
    assert error.value.message == (
        f"{PLACE} holds 2 models: model.model.embeddings.tok_embeddings.weight, "
        "ema.model.embeddings.tok_embeddings.weight"
    )


def test_buffers_are_left_out() -> None:
    buffers = [
        "model.layers.0.attn.rotary_emb.inv_freq",
        "model.rotary_emb.full_attention_inv_freq",
        "model.embeddings.position_ids",
    ]
    assert huggingface_names([*MLM, *buffers], PLACE) == {name: name for name in MLM}


@pytest.mark.parametrize(
    "extra",
    [
        "model.embeddings.position_embeddings.weight",
        "model.layers.0.attn.Wqkv.lora_A.weight",
        "qa_outputs.weight",
        "head.mean",
    ],
)
def test_a_weight_that_no_modernbert_has_is_not_dropped(extra: str) -> None:
    stored = [f"model.{name}" for name in (*MLM, extra)]
    with pytest.raises(UserError, match=f"holds what no ModernBERT has: model.{extra}"):
        huggingface_names(stored, PLACE)


def test_a_head_of_ones_own_at_the_top_is_not_dropped() -> None:
    encoder = [f"model.{name}" for name in ENCODER]
    with pytest.raises(
        UserError, match=r"no ModernBERT has: qa_outputs\.weight, qa_outputs\.bias\n"
    ):
        huggingface_names([*encoder, "qa_outputs.weight", "qa_outputs.bias", "epoch"], PLACE)


def test_many_unknown_weights_are_five_and_a_number() -> None:
    adapters = [f"model.layers.{n}.adapter.weight" for n in range(8)]
    with pytest.raises(UserError, match=r"layers\.4\.adapter\.weight and 3 more"):
        huggingface_names([*MLM, *adapters], PLACE)


def test_a_weight_that_is_there_twice_is_refused() -> None:
    twins = ["module.decoder.bias", *MLM]
    with pytest.raises(
        UserError, match="holds decoder.bias twice: as module.decoder.bias, decoder"
    ):
        huggingface_names(twins, PLACE)


@pytest.mark.parametrize("name", ["", ".", "module", "embeddings.tok_embeddings"])
def test_odd_names_are_no_weights(name: str) -> None:
    with pytest.raises(UserError, match="holds no ModernBERT"):
        huggingface_names([name], PLACE)
    assert huggingface_names([*MLM, name], PLACE) == {name: name for name in MLM}
