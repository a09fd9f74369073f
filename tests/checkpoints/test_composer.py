"""Composer's files open as what they are in transformers: weights, config and tokenizer."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from composer_states import (
    FLEXBERT,
    bytes_of,
    content_of,
    converted_logits,
    logits,
    state,
    tokenizer_files,
    weights,
)

from mbrelease.checkpoints.composer import open_composer
from mbrelease.checkpoints.composer_config import STRUCTURE
from mbrelease.checkpoints.config import FULL, SLIDING
from mbrelease.checkpoints.foreign import ForeignCheckpoint
from mbrelease.checkpoints.normalize import release_config
from mbrelease.checkpoints.torch_file import read_torch_file
from mbrelease.errors import CheckFailed, UserError

NAME = "ep0-ba100-rank0.pt"
Save = Callable[..., Path]


@pytest.fixture(scope="module")
def model(saved_by_5x: Path) -> Any:
    """Do not change."""
    from transformers import ModernBertForMaskedLM

    return ModernBertForMaskedLM.from_pretrained(saved_by_5x)


@pytest.fixture(scope="module")
def saved(model: Any, saved_by_5x: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of what Composer saves. Do not write."""
    import torch

    path = tmp_path_factory.mktemp("composer") / NAME
    torch.save(state(weights(model), FLEXBERT, saved_by_5x), path)
    return path


@pytest.fixture
def save(model: Any, saved_by_5x: Path, tmp_path: Path) -> Save:
    """Save it with what is given differently (or, with ``...``, not at all) in its config."""
    import torch

    def save(
        *,
        tensors: dict[str, Any] | None = None,
        tokenizer: Path | None = saved_by_5x,
        content: Any = FLEXBERT,
        **fields: Any,
    ) -> Path:
        kept = weights(model) if tensors is None else tensors
        if isinstance(content, dict):
            content = {k: v for k, v in (content | fields).items() if v is not ...}
        path = tmp_path / NAME
        torch.save(state(kept, content, tokenizer), path)
        return path

    return save


def raw_config(path: Path) -> dict[str, Any]:
    return dict(open_composer(path).raw_config)


# The model itself


def test_the_weights_are_those_of_transformers_bit_for_bit(saved: Path, model: Any) -> None:
    checkpoint = open_composer(saved)
    expected = {name: bytes_of(value) for name, value in model.state_dict().items()}
    del expected["decoder.weight"]
    assert content_of(checkpoint) == expected
    assert (checkpoint.name, checkpoint.step) == (NAME, 100)


def test_transformers_computes_the_same(saved: Path, model: Any, tmp_path: Path) -> None:
    import torch

    converted = converted_logits(open_composer(saved), tmp_path / "converted")
    assert torch.equal(converted, logits(model))


def test_its_hash_is_that_of_the_file_that_transformers_writes(
    saved: Path, saved_by_5x: Path
) -> None:
    written = (saved_by_5x / "model.safetensors").read_bytes()
    assert open_composer(saved).weights_sha256 == hashlib.sha256(written).hexdigest()


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_the_tokenizers_files_are_as_they_were(saved: Path, saved_by_5x: Path, name: str) -> None:
    assert open_composer(saved).companion(name) == (saved_by_5x / name).read_bytes()


def test_a_config_for_every_generation_can_be_made_of_it(saved: Path) -> None:
    config = release_config(raw_config(saved))
    assert (config["global_rope_theta"], config["local_rope_theta"]) == (20000.0, 5000.0)
    assert config["layer_types"] == [FULL, SLIDING, FULL]


def test_the_link_to_the_latest_has_the_step_of_its_file(saved: Path, tmp_path: Path) -> None:
    link = tmp_path / "latest-rank0.pt"
    link.symlink_to(saved)
    checkpoint = open_composer(link)
    assert (checkpoint.name, checkpoint.step) == ("latest-rank0.pt", 100)


def test_the_optimizers_bytes_are_never_read(saved: Path, tmp_path: Path) -> None:
    spoiled = tmp_path / NAME
    data = bytearray(saved.read_bytes())
    moments = read_torch_file(saved)["state"]["optimizers"]["AdamW"]["state"]
    for kept in moments.values():
        for tensor in kept.values():
            (segment,) = tensor.segments
            data[segment.start : segment.start + segment.size_bytes] = b"\xff" * segment.size_bytes
    spoiled.write_bytes(data)
    assert data != saved.read_bytes()
    assert open_composer(spoiled).weights_sha256 == open_composer(saved).weights_sha256


def test_classes_that_are_not_installed_do_no_harm(
    model: Any, saved_by_5x: Path, tmp_path: Path
) -> None:
    import torch

    module = types.ModuleType("composer.core.time")
    timestamp = type("Timestamp", (), {"__module__": module.__name__})
    module.Timestamp = timestamp
    content = state(weights(model), FLEXBERT, saved_by_5x)
    content["state"]["timestamp"] = timestamp()
    content["state"]["timestamp"].batch = 100
    with pytest.MonkeyPatch.context() as patch:
        for name in ("composer", "composer.core", module.__name__):
            patch.setitem(sys.modules, name, module)
        torch.save(content, tmp_path / NAME)
    assert open_composer(tmp_path / NAME).config.num_hidden_layers == 3
    assert "composer" not in sys.modules


def test_a_pickle_that_would_run_a_program_runs_none(
    model: Any, saved_by_5x: Path, tmp_path: Path
) -> None:
    import torch

    victim = tmp_path / "victim"

    class Malicious:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(victim),)

    content = state(weights(model), FLEXBERT, saved_by_5x)
    content["state"]["callbacks"] = Malicious()
    torch.save(content, tmp_path / NAME)
    assert open_composer(tmp_path / NAME).config.vocab_size == 288
    assert not victim.exists()
    content["state"]["integrations"]["huggingface"]["model"]["config"]["content"] = Malicious()
    torch.save(content, tmp_path / NAME)
    with pytest.raises(UserError, match="its config holds what JSON does not know"):
        open_composer(tmp_path / NAME)
    assert not victim.exists()


# The traps of its config


@pytest.mark.parametrize("local", [-1, -1.0, None, ...])
def test_no_theta_of_local_layers_means_that_of_the_others(save: Save, local: Any) -> None:
    config = raw_config(save(local_attn_rotary_emb_base=local))
    assert (config["global_rope_theta"], config["local_rope_theta"]) == (20000.0, 20000.0)


def test_the_default_theta_is_flexberts(save: Save) -> None:
    config = raw_config(save(rotary_emb_base=..., local_attn_rotary_emb_base=-1))
    assert (config["global_rope_theta"], config["local_rope_theta"]) == (10000.0, 10000.0)


@pytest.mark.parametrize("key", ["rotary_emb_base", "local_attn_rotary_emb_base"])
@pytest.mark.parametrize("theta", [0, -2.0, float("nan"), 10**400, "1e4", True])
def test_a_theta_that_is_none_is_refused(save: Save, key: str, theta: Any) -> None:
    with pytest.raises(UserError, match=f"its config has (too large a )?{key}"):
        open_composer(save(**{key: theta}))


def test_the_head_of_words_has_the_activation_that_it_was_trained_with(save: Save) -> None:
    assert raw_config(save())["classifier_activation"] == "gelu"
    assert raw_config(save(head_pred_act=...))["classifier_activation"] == "silu"
    changed = raw_config(save(hidden_act="gelu_tanh", head_pred_act="relu"))
    assert changed["hidden_activation"] == "gelu_pytorch_tanh"
    assert changed["classifier_activation"] == "relu"


@pytest.mark.parametrize("key", ["hidden_act", "head_pred_act"])
@pytest.mark.parametrize("name", ["rrelu", None, ["gelu"]])
def test_an_activation_that_transformers_has_not_is_refused(
    save: Save, key: str, name: Any
) -> None:
    with pytest.raises(UserError, match=f"its config has {key} .*; transformers' ModernBERT has o"):
        open_composer(save(**{key: name}))


def test_the_window_is_the_whole_one(save: Save) -> None:
    checkpoint = open_composer(save(sliding_window=64))
    assert "sliding_window" not in checkpoint.raw_config
    assert checkpoint.config.local_attention == 64
    assert checkpoint.config.layer_types == (FULL, SLIDING, FULL)


def test_without_a_window_all_layers_are_global(save: Save) -> None:
    path = save(sliding_window=-1, global_attn_every_n_layers=-1, local_attn_rotary_emb_base=-1)
    config = open_composer(path).config
    assert config.layer_types == (FULL, FULL, FULL)
    assert config.local_rope_theta == config.global_rope_theta == 20000.0


def test_with_a_window_alone_all_layers_are_local(save: Save) -> None:
    checkpoint = open_composer(save(global_attn_every_n_layers=-1))
    assert checkpoint.config.layer_types == (SLIDING, SLIDING, SLIDING)
    with pytest.raises(UserError, match="transformers 4.x has no other words"):
        release_config(checkpoint.raw_config)


@pytest.mark.parametrize("window", [0, -2, 8.5, "8"])
def test_a_window_that_is_none_is_refused(save: Save, window: Any) -> None:
    with pytest.raises(UserError, match="its config has sliding_window .*, not a whole number"):
        open_composer(save(sliding_window=window))


@pytest.mark.parametrize(("given", "eps"), [({"eps": 1e-6}, 1e-6), ({}, 1e-5), (None, 1e-5)])
def test_the_norms_epsilon_is_in_norm_kwargs(save: Save, given: Any, eps: float) -> None:
    # layer_norm_eps, which stands in the config as well, is BERT's.
    assert open_composer(save(norm_kwargs=given)).config.norm_eps == eps


def test_dropout_is_where_it_means_the_same(save: Save) -> None:
    config = raw_config(
        save(
            attention_probs_dropout_prob=0.01,
            attn_out_dropout_prob=0.1,
            embed_dropout_prob=0.02,
            mlp_dropout_prob=0.03,
            head_class_dropout=0.04,
        )
    )
    assert config["attention_dropout"] == 0.01
    assert config["embedding_dropout"] == 0.02
    assert config["mlp_dropout"] == 0.03
    assert config["classifier_dropout"] == 0.04
    assert 0.1 not in config.values()


def test_special_tokens_and_length_are_the_tokenizers_not_berts(save: Save) -> None:
    config = raw_config(save())
    ids = {key: value for key, value in config.items() if key.endswith("_token_id")}
    assert ids == {
        "bos_token_id": 1,
        "cls_token_id": 1,
        "eos_token_id": 2,
        "sep_token_id": 2,
        "pad_token_id": 3,
    }
    assert config["max_position_embeddings"] == 128


def test_the_ids_of_a_tokenizer_of_4x_stand_in_its_config(
    save: Save, saved_by_5x: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_text("{}")
    config = json.loads((saved_by_5x / "tokenizer_config.json").read_text())
    config["pad_token"] = {"content": "[PAD]", "lstrip": False}
    config["added_tokens_decoder"] = {
        "7": {"content": "[PAD]"},
        "8": {"content": "[CLS]"},
        "x": {"content": "[SEP]"},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    found = raw_config(save(tokenizer=folder))
    assert (found["pad_token_id"], found["cls_token_id"], found["bos_token_id"]) == (7, 8, 8)
    assert found["sep_token_id"] is None


def test_a_special_token_beyond_the_embeddings_is_refused(
    save: Save, saved_by_5x: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    config = json.loads((saved_by_5x / "tokenizer_config.json").read_text())
    config["added_tokens_decoder"] = {"288": {"content": "[PAD]"}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"tokenizer's \[PAD\] is number 288, the embeddings have"):
        open_composer(save(tokenizer=folder))


def test_without_a_tokenizer_it_is_looked_for_beside(
    save: Save, saved_by_5x: Path, tmp_path: Path
) -> None:
    alone = open_composer(save(tokenizer=None))
    assert alone.companion("tokenizer.json") is None
    assert (alone.raw_config["pad_token_id"], alone.raw_config["cls_token_id"]) == (0, None)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((saved_by_5x / name).read_bytes())
    assert open_composer(tmp_path / NAME).raw_config["pad_token_id"] == 3


def test_the_vocabulary_is_as_large_as_the_embeddings(save: Save) -> None:
    assert FLEXBERT["vocab_size"] == 286
    assert raw_config(save())["vocab_size"] == 288


@pytest.mark.parametrize(
    ("key", "size"), [("hidden_size", 64), ("intermediate_size", 96), ("num_hidden_layers", 3)]
)
def test_another_size_than_the_weights_is_refused(save: Save, key: str, size: int) -> None:
    with pytest.raises(UserError, match=f"its config has {key} 32, its weights {size}"):
        open_composer(save(rotary_emb_dim=..., **{key: 32}))


def test_biases_are_where_the_weights_have_them(save: Save, model: Any) -> None:
    tensors = weights(model)
    flags = ("attention_bias", "mlp_bias", "norm_bias", "classifier_bias", "decoder_bias")
    config = raw_config(save(tensors=tensors, attn_qkv_bias=True, norm_kwargs={}))
    assert [config[flag] for flag in flags] == [False, False, False, False, True]
    for name in list(tensors):
        if name.endswith("weight") and "tok_embeddings" not in name:
            tensors[name.replace("weight", "bias")] = (
                tensors[name][:, :1].sum(1) if tensors[name].ndim > 1 else tensors[name]
            )
    config = raw_config(save(tensors=tensors))
    assert [config[flag] for flag in flags] == [True] * 5
    bare = {name: value for name, value in tensors.items() if not name.endswith("decoder.bias")}
    assert raw_config(save(tensors=bare))["decoder_bias"] is False


@pytest.mark.parametrize(
    ("lost", "keys"),
    [
        ("bert.encoder.layers.0.attn.Wo", "attn_qkv_bias and attn_out_bias"),
        ("bert.encoder.layers.1.mlp.Wi", "mlp_in_bias and mlp_out_bias"),
        ("bert.final_norm", "norm_kwargs.bias"),
    ],
)
def test_biases_in_some_places_alone_are_refused(
    save: Save, model: Any, lost: str, keys: str
) -> None:
    tensors = weights(model)
    for name in list(tensors):
        tensors[name.replace("weight", "bias")] = tensors[name]
    del tensors[f"model.{lost}.bias"], tensors["model.bert.embeddings.tok_embeddings.bias"]
    with pytest.raises(UserError, match=f"only some of the biases of {keys} are there"):
        open_composer(save(tensors=tensors))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attention_layer", "base"),
        ("attention_layer", "unpadded_rope_parallel"),
        ("bert_layer", "parallel_prenorm"),
        ("bert_layer", "postnorm"),
        ("mlp_layer", "mlp"),
        ("mlp_layer", "glu_moe"),
        ("embedding_layer", "absolute_pos"),
        ("normalization", "rmsnorm"),
        ("embed_norm", False),
        ("final_norm", False),
        ("skip_first_prenorm", False),
        ("rotary_emb_interleaved", True),
        ("rotary_emb_scale_base", 512),
        ("rotary_emb_dim", 8),
        ("local_attn_rotary_emb_dim", 8),
        ("initial_attention_layer", "base"),
        ("initial_bert_layer", "postnorm"),
        ("initial_mlp_layer", "mlp"),
        ("head_pred_norm", False),
        *[(key, ...) for key in STRUCTURE if key != "attention_layer"],
    ],
)
def test_another_member_of_the_family_is_refused_by_its_key(
    save: Save, key: str, value: Any
) -> None:
    if value is ... and STRUCTURE[key][0] in STRUCTURE[key][1]:
        assert raw_config(save(**{key: value}))["num_hidden_layers"] == 3
        return
    with pytest.raises(UserError, match=f"its config has {key} .*; transformers' ModernBERT has o"):
        open_composer(save(**{key: value}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attention_layer", "unpadded_rope"),
        ("bert_layer", "compile_prenorm"),
        ("bert_layer", "padded_prenorm"),
        ("encoder_layer", "unpadded_base"),
        ("normalization", "triton_layernorm"),
        ("initial_mlp_layer", "glu"),
        ("rotary_emb_dim", None),
        ("pooling_type", "max"),
    ],
)
def test_other_names_of_the_same_are_accepted(save: Save, key: str, value: Any) -> None:
    plain = raw_config(save())
    assert raw_config(save(**{key: value})) == plain


# The decoder


def test_a_decoder_that_is_a_copy_is_dropped(save: Save, model: Any) -> None:
    tensors = weights(model)
    tensors["model.decoder.weight"] = tensors["model.decoder.weight"].clone()
    assert "decoder.weight" not in open_composer(save(tensors=tensors)).stored


def test_a_decoder_that_differs_is_not_dropped(save: Save, model: Any) -> None:
    tensors = weights(model)
    tensors["model.decoder.weight"] = tensors["model.decoder.weight"] + 1
    with pytest.raises(CheckFailed, match=r"decoder\.weight differs from model\.embeddings"):
        open_composer(save(tensors=tensors))
    untied = open_composer(save(tensors=tensors, tie_word_embeddings=False))
    assert content_of(untied)["decoder.weight"] == bytes_of(tensors["model.decoder.weight"])
    assert untied.raw_config["tie_word_embeddings"] is False


# Other models in it


def test_a_model_of_transformers_keeps_its_config(
    model: Any, saved_by_5x: Path, save: Save, tmp_path: Path
) -> None:
    import torch

    config = json.loads((saved_by_5x / "config.json").read_text())
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    checkpoint = open_composer(save(tensors=tensors, content=config))
    assert checkpoint.companion("config.json") == (saved_by_5x / "config.json").read_bytes()
    assert torch.equal(converted_logits(checkpoint, tmp_path / "converted"), logits(model))


def test_an_encoder_alone(save: Save, model: Any) -> None:
    tensors = {k: v for k, v in weights(model).items() if k.startswith("model.bert.")}
    checkpoint = open_composer(save(tensors=tensors, head_pred_norm=False))
    assert checkpoint.raw_config["architectures"] == ["ModernBertModel"]
    assert "embeddings.tok_embeddings.weight" in checkpoint.stored
    assert not any(name.startswith("model.") for name in checkpoint.stored)


def test_a_classifier_has_the_activation_of_the_other_head(save: Save, model: Any) -> None:
    tensors = {k: v for k, v in weights(model).items() if "decoder" not in k}
    tensors["model.classifier.weight"] = tensors["model.head.dense.weight"][:3]
    tensors["model.classifier.bias"] = tensors["model.head.norm.weight"][:3]
    fields = {"head_class_norm": True, "id2label": {"0": "a", "1": "b", "2": "c"}}
    config = raw_config(save(tensors=tensors, **fields))
    assert config["architectures"] == ["ModernBertForSequenceClassification"]
    assert config["classifier_activation"] == "silu"
    assert config["id2label"] == fields["id2label"]
    for key, value in {"head_class_norm": False, "pooling_type": "max"}.items():
        with pytest.raises(UserError, match=f"its config has {key} "):
            open_composer(save(tensors=tensors, **(fields | {key: value})))


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"model": s, "epoch": 1}])
def test_a_bare_state_dict_has_its_config_beside(
    model: Any, saved_by_5x: Path, tmp_path: Path, wrap: Callable[[Any], Any]
) -> None:
    import torch

    path = tmp_path / "weights.pt"
    torch.save(wrap(model.state_dict()), path)
    with pytest.raises(UserError, match=f"no config in {path}, and no config.json in {tmp_path}\n"):
        open_composer(path)
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((saved_by_5x / name).read_bytes())
    checkpoint = open_composer(path)
    assert checkpoint.step is None
    assert checkpoint.companion("tokenizer.json") == (tmp_path / "tokenizer.json").read_bytes()
    assert torch.equal(converted_logits(checkpoint, tmp_path / "converted"), logits(model))


# What is no such file


@pytest.mark.parametrize("content", [[1, 2], 5, {"epoch": 1}, {"state": {"model": None}}])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: Any) -> None:
    import torch

    torch.save(content, tmp_path / NAME)
    with pytest.raises(
        UserError, match="something else, neither Composer's state nor a state dict"
    ):
        open_composer(tmp_path / NAME)


def test_a_mosaicbert_is_refused(save: Save) -> None:
    with pytest.raises(UserError, match="its config is of a model of type bert\n"):
        open_composer(save(content={"model_type": "bert", "alibi_starting_size": 512}))


@pytest.mark.parametrize("content", [[], "config", 5])
def test_a_config_that_is_none_is_refused(save: Save, content: Any) -> None:
    with pytest.raises(UserError, match="its config is no JSON object"):
        open_composer(save(content=content))


@pytest.mark.parametrize(
    ("tokenizer", "name", "expected"),
    [
        ({"vocab": (".txt", ["[PAD]", "a", ""])}, "vocab.txt", b"[PAD]\na\n"),
        ({"chat_template": (".jinja", "{{ x }}\n")}, "chat_template.jinja", b"{{ x }}\n"),
        ({"vocab": (".json", {"é": 1})}, "vocab.json", '{\n  "é": 1\n}\n'.encode()),
        ({"../evil": (".json", {})}, "../evil.json", None),
        ({"tokenizer": (None, {})}, "tokenizerNone", None),
    ],
)
def test_files_inside_are_as_they_were(
    model: Any,
    tmp_path: Path,
    tokenizer: dict[str, tuple[Any, Any]],
    name: str,
    expected: bytes | None,
) -> None:
    import torch

    content = state(weights(model), FLEXBERT)
    content["state"]["integrations"]["huggingface"]["tokenizer"] = {
        stem: {"file_extension": extension, "content": value}
        for stem, (extension, value) in tokenizer.items()
    }
    torch.save(content, tmp_path / NAME)
    found: ForeignCheckpoint = open_composer(tmp_path / NAME)
    assert found.companion(name) == expected


def test_a_tokenizer_file_of_other_things_is_told_when_it_is_asked_for(
    model: Any, saved_by_5x: Path, tmp_path: Path
) -> None:
    import torch

    content = state(weights(model), FLEXBERT)
    files = tokenizer_files(saved_by_5x) | {"merges": {"file_extension": ".txt", "content": 5}}
    content["state"]["integrations"]["huggingface"]["tokenizer"] = files
    torch.save(content, tmp_path / NAME)
    checkpoint = open_composer(tmp_path / NAME)
    with pytest.raises(UserError, match=r"rank0\.pt: the tokenizer's merges\.txt is no text"):
        checkpoint.companion("merges.txt")
