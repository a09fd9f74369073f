"""Each way to load a folder, and a fault that only this way finds."""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import replace

import pytest

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.checkpoints.normalize import write_release
from mbrelease.parity.checks.embedder import check_sentence_transformers
from mbrelease.parity.checks.loading import check_fill_mask, check_loading
from mbrelease.parity.loaded import load

MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]


@pytest.fixture(scope="module")
def loaded(released):
    return check_loading(released, "mlm")[1]


@pytest.fixture
def by_modules(loaded, release):
    """The release with modules that pool by mean, and a function that writes others."""

    def write(modules, **pooling):
        (release / "modules.json").write_text(json.dumps(modules))
        (release / "1_Pooling").mkdir(exist_ok=True)
        config = {"word_embedding_dimension": 64, "pooling_mode_mean_tokens": True} | pooling
        (release / "1_Pooling" / "config.json").write_text(json.dumps(config))
        return replace(loaded, path=release)

    return write


def drop(folder, name):
    from safetensors.numpy import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights[name]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def statuses(results):
    return {result.name.removeprefix("loading."): result.status for result in results}


def said(results, name):
    return next(result for result in results if result.name == f"loading.{name}")


def saved_as(kind, released, folder):
    import torch
    from transformers import AutoConfig

    torch.manual_seed(0)
    saved, out = folder / "saved", folder / "out"
    shutil.copytree(released, saved)
    kind(AutoConfig.from_pretrained(released, num_labels=3)).save_pretrained(saved)
    out.mkdir()
    write_release(open_checkpoint(saved), out)
    return out


def test_a_release_loads_in_every_way_from_disk_alone(released):
    results, loaded = check_loading(released, "mlm")
    assert statuses(results) == dict.fromkeys(
        ("auto_model", "masked_lm", "forward", "fill_mask", "sentence_transformers"), "pass"
    )
    assert said(results, "fill_mask").found.count("“") == 3
    assert "cls pooling as config.json says, 64 dim" in said(results, "sentence_transformers").found
    assert str(loaded.model.dtype) == "torch.float32"


def test_an_encoder_has_no_head_for_masked_tokens(released, tmp_path):
    from transformers import ModernBertModel

    results, loaded = check_loading(saved_as(ModernBertModel, released, tmp_path), "encoder")
    assert statuses(results) == {
        "auto_model": "pass", "masked_lm": "skip", "fill_mask": "skip", "forward": "pass",
        "sentence_transformers": "pass",
    }  # fmt: skip
    assert said(results, "fill_mask").found == "an encoder has no head for masked tokens"
    assert loaded.head == "encoder"


def test_a_classifier_loads_by_its_own_class(released, tmp_path):
    from transformers import ModernBertForSequenceClassification

    folder = saved_as(ModernBertForSequenceClassification, released, tmp_path)
    results, _ = check_loading(folder, "classifier")
    assert statuses(results) == {
        "auto_model": "pass", "classifier": "pass", "masked_lm": "skip", "fill_mask": "skip",
        "forward": "pass", "sentence_transformers": "skip",
    }  # fmt: skip
    assert "shape [1, 3]" in said(results, "forward").found
    drop(folder, "classifier.bias")
    results, _ = check_loading(folder, "classifier")
    assert said(results, "classifier").found == "1 missing: classifier.bias"


def test_a_tensor_of_the_encoder_that_is_missing_is_missed_by_both(release):
    drop(release, "model.layers.1.mlp.Wo.weight")
    results, _ = check_loading(release, "mlm")
    assert said(results, "auto_model").found == "1 missing: layers.1.mlp.Wo.weight"
    assert said(results, "masked_lm").found == "1 missing: model.layers.1.mlp.Wo.weight"
    assert all(said(results, name).mend for name in ("auto_model", "masked_lm"))


def test_a_tensor_of_the_head_that_is_missing_is_missed_by_the_masked_lm_alone(release):
    drop(release, "head.dense.weight")
    results, _ = check_loading(release, "mlm")
    assert statuses(results) | {"auto_model": "pass", "masked_lm": "fail"} == statuses(results)
    assert said(results, "masked_lm").found == "1 missing: head.dense.weight"


def test_a_config_that_cannot_be_built_is_said_once(release, edit_json):
    edit_json(release / "config.json", local_rope_theta=None, rope_parameters=...)
    results, loaded = check_loading(release, "mlm")
    assert statuses(results) == {"auto_model": "fail"}
    assert loaded is None


def test_without_a_tokenizer_nothing_runs(release):
    (release / "tokenizer.json").unlink()
    (release / "tokenizer_config.json").unlink()
    results, loaded = check_loading(release, "mlm")
    assert statuses(results)["forward"] == "fail"
    assert "tokenizer.*" in said(results, "forward").mend
    assert loaded is None


def test_the_pipeline_says_what_stops_it(loaded, released):
    encoder, _ = load(released, "AutoModel")
    result = check_fill_mask(replace(loaded, model=encoder))
    assert result.status == "fail"
    assert result.mend


def test_without_a_mask_token_there_is_nothing_to_fill(release, edit_json):
    edit_json(release / "tokenizer_config.json", mask_token=...)
    (release / "special_tokens_map.json").unlink(missing_ok=True)
    results, _ = check_loading(release, "mlm")
    assert said(results, "fill_mask").found == "the tokenizer has no mask_token"
    assert said(results, "forward").status == "pass"


def test_modules_say_how_to_pool(by_modules):
    result = check_sentence_transformers(by_modules(MODULES))
    assert result.status == "pass", result
    assert "mean pooling as modules.json says" in result.found


def test_modules_of_another_model_are_told_by_their_embeddings(by_modules, loaded):
    import torch

    other = by_modules([MODULES[0] | {"path": "other"}, MODULES[1]])
    model, _ = load(loaded.path, "AutoModel")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.data = parameter.data.flip(0)
    model.save_pretrained(other.path / "other")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(loaded.path / name, other.path / "other")
    result = check_sentence_transformers(other)
    assert result.status == "fail"
    assert "cosine" in result.found
    assert "modules.json" in result.mend


@pytest.mark.parametrize(
    ("modules", "status", "found"),
    [
        ([{"type": "somebody.else.Module", "path": ""}], "skip", "somebody.else.Module"),
        ([MODULES[0], MODULES[1] | {"path": "nowhere"}], "fail", "Pooling"),
        ({"no": "list"}, "fail", "TypeError"),
        ([MODULES[0], MODULES[1] | {"type": "sentence_transformers.models.X"}], "fail", "X"),
    ],
    ids=["foreign code", "a lost module", "no list", "no such class"],
)
def test_modules_that_do_not_load(by_modules, modules, status, found):
    result = check_sentence_transformers(by_modules(modules))
    assert result.status == status
    assert found in result.found


def test_pooling_of_another_kind_is_not_compared(by_modules):
    flags = {"pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": True}
    result = check_sentence_transformers(by_modules(MODULES, **flags))
    assert result.status == "pass"
    assert "not compared" in result.found


def test_without_sentence_transformers_it_is_skipped(loaded, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name[:9] == "sentence_" else find(name)
    )
    result = check_sentence_transformers(loaded)
    assert (result.status, "[eval]" in result.found) == ("skip", True)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_model_of_half_precision_is_upcast(release, dtype):
    import torch

    model, _ = load(release, "AutoModelForMaskedLM", dtype)
    model.save_pretrained(release)
    stored = {info.dtype for info in open_checkpoint(release).tensors.values()}
    assert stored == {{"float16": "F16", "bfloat16": "BF16"}[dtype]}
    _, loaded = check_loading(release, "mlm")
    weight = loaded.model.head.dense.weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, model.head.dense.weight.float())
