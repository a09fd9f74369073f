"""Ways of computing held to eager attention in float32, and a fault for each."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mbrelease.errors import UserError
from mbrelease.evaluation.attention import PACKED
from mbrelease.evaluation.backend import Backend
from mbrelease.parity.checks import numerics as checks
from mbrelease.parity.checks.loading import check_loading
from mbrelease.parity.checks.numerics import check_numerics
from mbrelease.parity.numerics import (
    Difference,
    NoDocuments,
    choose_lengths,
    combine,
    make_documents,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "evaluation"))
from attention_models import put_slow_kernel

WAYS = ["output", "sdpa", "packed", "bfloat16", "float16", "flash"]


@pytest.fixture(scope="module")
def loaded(released):
    return check_loading(released, "mlm")[1]


@pytest.fixture
def spoiled(released, tmp_path):
    """The model of the release after ``change(weights)``, stored in a dtype, and its answers."""
    import shutil

    from safetensors.torch import load_file, save_file

    def answers(change, dtype="float32"):
        import torch

        folder = shutil.copytree(released, tmp_path / f"spoiled-{dtype}", dirs_exist_ok=True)
        weights = load_file(released / "model.safetensors")
        change(weights)
        weights = {name: value.to(getattr(torch, dtype)) for name, value in weights.items()}
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        return check_numerics(check_loading(folder, "mlm")[1])

    return answers


def statuses(results):
    return {result.name.removeprefix("numerics."): result.status for result in results}


def said(results, name):
    return next(result for result in results if result.name == f"numerics.{name}")


def scale(name, by):
    return lambda weights: weights[name].mul_(by)


def each(change):
    return lambda weights: [change(value) for value in weights.values()]


def test_a_release_computes_the_same_in_every_way(loaded):
    results = check_numerics(loaded)
    assert statuses(results) == dict.fromkeys(WAYS, "pass") | {"flash": "skip"}
    assert "cosine 1.000000" in said(results, "packed").found
    texts = said(results, "sdpa").details["texts"]
    assert [text["tokens"] for text in texts] == [8, 64]
    assert all(text["relative"] < 1e-5 and text["asked"] == text["agreed"] for text in texts)
    assert said(results, "float16").details["texts"][0]["largest"] > 1e-5
    assert "largest activation" in said(results, "float16").found


def test_an_encoder_is_compared_by_its_hidden_states(released, loaded, tmp_path):
    from mbrelease.parity.loaded import load

    encoder = replace(loaded, head="encoder", model=load(released, "AutoModel")[0])
    results = check_numerics(encoder)
    assert said(results, "sdpa").expected.startswith("sdpa on padded texts: hidden states")
    assert said(results, "sdpa").details["texts"][1]["asked"] == 64
    assert "top-1" not in said(results, "sdpa").found
    assert statuses(results) == dict.fromkeys(WAYS, "pass") | {"flash": "skip"}


def test_the_attention_that_was_set_stays(loaded):
    before = loaded.model.config._attn_implementation
    check_numerics(loaded)
    assert loaded.model.config._attn_implementation == before
    assert not any(module._forward_hooks for module in loaded.model.modules())


def one_row(weights):
    embeddings = weights["model.embeddings.tok_embeddings.weight"]
    embeddings[:] = embeddings[7]


@pytest.mark.parametrize(
    "change",
    [
        each(lambda value: value.zero_()),
        each(lambda value: value.fill_(0.02)),
        scale("model.final_norm.weight", 0),
        one_row,
    ],
    ids=["all zero", "all constant", "a lost norm", "tokens that are all alike"],
)
def test_a_model_that_computes_nothing_is_told(spoiled, change):
    (result,) = spoiled(change)
    assert (result.name, result.status) == ("numerics.output", "fail")
    assert result.found == "every token gets the same output"
    assert result.mend


OVERFLOWING = "model.layers.1.mlp.Wi.weight"


def test_activations_beyond_float16_are_named_and_warn(spoiled):
    results = spoiled(scale(OVERFLOWING, 3e3))
    assert said(results, "output").status == "pass"
    overflow = said(results, "float16")
    assert overflow.status == "warn"
    assert "not finite" in overflow.found
    assert "in model.layers.1" in overflow.found
    assert overflow.mend == "say on the card that it needs float32 or bfloat16"
    assert overflow.details["texts"][0]["cosine"] is None, "JSON knows no NaN"
    json.dumps(overflow.as_json(), allow_nan=False)


def test_a_float16_file_must_bear_float16(spoiled):
    results = spoiled(scale(OVERFLOWING, 3e3), "float16")
    overflow = said(results, "float16")
    assert overflow.status == "fail"
    assert overflow.mend == "store it as float32 or bfloat16"
    # Upcast, the same weights compute.
    assert said(results, "output").status == said(results, "packed").status == "pass"


def test_a_model_that_bfloat16_is_too_coarse_for(spoiled):
    """Attention so sharp that rounding decides which token it looks at."""

    def sharpen(weights):
        for name, weight in weights.items():
            if "Wqkv" in name:
                weight[:128] *= 12  # queries and keys

    results = spoiled(sharpen)
    assert said(results, "bfloat16").status == "warn"
    assert "needs float32" in said(results, "bfloat16").mend
    assert said(spoiled(sharpen, "bfloat16"), "bfloat16").status == "fail"


def blind(module, query, key, value, attention_mask, *, scaling, **_):
    """Attention without a mask: a sliding layer sees everything, pads and other texts too."""
    from torch.nn.functional import scaled_dot_product_attention

    return scaled_dot_product_attention(query, key, value, scale=scaling).transpose(1, 2), None


def test_an_sdpa_without_masks_is_found(loaded, monkeypatch):
    from transformers import AttentionInterface

    monkeypatch.setitem(AttentionInterface._global_mapping, "sdpa", blind)
    results = check_numerics(loaded)
    assert said(results, "sdpa").status == "fail"
    assert said(results, "packed").status == "pass"


def test_a_packing_that_mixes_texts_is_found(loaded, monkeypatch):
    monkeypatch.setitem(PACKED, "sdpa", ("mbrelease_blind", blind))
    results = check_numerics(loaded)
    assert said(results, "packed").status == "fail"
    assert said(results, "packed").details["texts"][0]["relative"] > 1e-3
    assert said(results, "sdpa").status == "pass"


def test_a_way_that_breaks_is_its_own_answer(loaded, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no kernel image")

    monkeypatch.setitem(PACKED, "sdpa", ("mbrelease_broken", broken))
    result = said(check_numerics(loaded), "packed")
    assert (result.status, result.found) == ("fail", "RuntimeError: no kernel image")


def test_what_only_a_longer_text_brings_out_is_found(loaded, monkeypatch):
    def nan(*arguments):
        outcomes = one_by_one(*arguments)
        return [outcomes[0], replace(outcomes[1], scores=outcomes[1].scores * math.nan)]

    one_by_one = checks.one_by_one
    monkeypatch.setattr(checks, "one_by_one", nan)
    (result,) = check_numerics(loaded)
    assert (result.name, result.status) == ("numerics.output", "fail")
    assert "not finite" in result.found


def test_what_only_a_longer_text_stops_is_the_answer(loaded, monkeypatch):
    def stop(*_):
        raise RuntimeError("not enough memory")

    monkeypatch.setattr(checks, "one_by_one", stop)
    (result,) = check_numerics(loaded)
    assert (result.status, result.found) == ("fail", "RuntimeError: not enough memory")


def test_a_gpu_that_is_full_says_nothing_of_the_model(loaded, monkeypatch):
    def full(*_, **__):
        import torch

        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setitem(PACKED, "sdpa", ("mbrelease_full", full))
    result = said(check_numerics(loaded), "packed")
    assert (result.status, result.found) == ("skip", "out of memory")


def test_flash_attention_is_skipped_without_a_gpu(loaded, monkeypatch):
    def none(*_):
        raise UserError("no CUDA device is available")

    monkeypatch.setattr(checks, "choose_backend", none)
    result = said(check_numerics(loaded), "flash")
    assert (result.status, result.found) == ("skip", "no CUDA device is available")


@pytest.mark.parametrize("attn", ["fa2-varlen", "flash_attention_2"])
def test_flash_attention_is_held_to_the_reference(loaded, monkeypatch, attn):
    monkeypatch.setattr(checks, "choose_backend", lambda *_: Backend(attn, "bfloat16", "cpu"))
    # The tiny model's heads are of size 16.
    put_slow_kernel(monkeypatch, attn)
    result = said(check_numerics(loaded), "flash")
    assert result.status == "pass", result
    monkeypatch.setitem(PACKED, attn, ("mbrelease_blind", blind))
    assert said(check_numerics(loaded), "flash").status == "fail"


def test_flash_attention_takes_no_odd_heads(loaded, monkeypatch):
    gpu = Backend("fa2-varlen", "bfloat16", "cuda")
    monkeypatch.setattr(checks, "choose_backend", lambda *_: gpu)
    monkeypatch.setattr(loaded.model.config, "num_attention_heads", 16)
    result = checks.check_flash(loaded, [], [])
    assert (result.status, "size 4" in result.found) == ("skip", True)


def test_threads_are_for_large_models_alone(loaded, monkeypatch):
    import torch

    from mbrelease.parity import loaded as room

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with room.one_thread(loaded.model):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        monkeypatch.setattr(room, "ONE_THREAD_UP_TO", 10)
        with room.one_thread(loaded.model):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("context", "parameters", "lengths"),
    [
        (8192, 149_655_232, [8, 64, 192]),
        (8192, 1_380_000, [8, 64, 192, 512, 1024, 2048]),
        (8192, 17_000_000, [8, 64, 192, 512, 1024]),
        (8192, 1_000_000_000, [8, 64, 192]),
        (512, 1_380_000, [8, 64, 192, 512]),
        (4, 1_380_000, [4]),
    ],
)
def test_lengths_fit_the_context_and_the_time(context, parameters, lengths):
    assert choose_lengths(context, parameters) == lengths


def test_half_precision_is_asked_of_fewer():
    work = {"always": 2, "work": checks.HALF_WORK}
    assert choose_lengths(8192, 149_655_232, **work) == [8, 64]
    assert choose_lengths(8192, 1_380_000, **work)[-1] == 2048


def test_documents_have_the_very_lengths_and_masks(loaded):
    lengths = [8, 3, 600, 1]
    documents = make_documents(loaded.tokenizer, ["the owl"], lengths, mask=True)
    assert [len(document) for document in documents] == lengths
    for document in documents[:3]:
        assert document.ids[0] == loaded.tokenizer.cls_token_id
        assert document.ids[-1] == loaded.tokenizer.sep_token_id
        assert (document.ids[document.masked] == loaded.tokenizer.mask_token_id).all()
    assert [len(document.masked) for document in documents] == [1, 1, math.ceil(596 / 7), 1]


def test_texts_without_a_token_are_no_documents(loaded):
    with pytest.raises(NoDocuments, match="no token"):
        make_documents(loaded.tokenizer, ["", ""], [8], mask=True)


def test_a_token_without_an_embedding_skips_and_says_why(loaded, monkeypatch):
    monkeypatch.setattr(loaded.model.config, "vocab_size", 100)
    (result,) = check_numerics(loaded)
    assert (result.status, "has no embedding" in result.found) == ("skip", True)


def test_what_is_not_a_number_is_the_worst():
    good = Difference(1e-6, 1e-7, 8.0, 1.0, 3, 3, 0)
    bad = replace(good, largest=math.nan, cosine=math.nan, not_finite=2, agreed=0)
    total = combine([good, bad, good])
    assert math.isnan(total.largest) and math.isnan(total.cosine)
    assert (total.asked, total.agreed, total.not_finite) == (9, 6, 2)
    assert combine([good, replace(good, mean=3e-7, asked=1)]).mean == pytest.approx(1.5e-7)
    assert np.isclose(good.relative, 1.25e-7)
