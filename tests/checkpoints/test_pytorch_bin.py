"""pytorch_model.bin opens as what transformers would load from it."""

from __future__ import annotations

import json
import os
import shutil

import pytest
import torch

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.checkpoints.pytorch_bin import open_bin
from mbrelease.checkpoints.safe_pickle import printable
from mbrelease.checkpoints.tied import DECODER, EMBEDDINGS, drop_tied
from mbrelease.errors import CheckFailed, UserError
from mbrelease.files import sha256_file


@pytest.fixture(scope="module")
def state_dict(saved_by_5x):
    """Of the tiny model, as torch.save gets it: the decoder is the embeddings."""
    from transformers import ModernBertForMaskedLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    state = ModernBertForMaskedLM.from_pretrained(saved_by_5x).state_dict()
    logging.enable_progress_bar()
    assert state[DECODER].data_ptr() == state[EMBEDDINGS].data_ptr()
    return state


@pytest.fixture
def folder(saved_by_5x, tmp_path):
    """config.json and tokenizer; no weights."""
    folder = tmp_path / "checkpoint-7"
    shutil.copytree(saved_by_5x, folder)
    (folder / "model.safetensors").unlink()
    return folder


def save(folder, content, name="pytorch_model.bin"):
    torch.save(content, folder / name)
    return folder


def refused(folder, error_class=UserError):
    with pytest.raises(error_class) as error:
        open_bin(folder, None)
    assert type(error.value) is error_class
    assert error.value.message.startswith(str(folder)) or str(folder) in error.value.message
    return str(error.value)


def values(source):
    return {
        name: (tensor.dtype, tensor.shape, piece(tensor.segments[0]))
        for name, tensor in source.stored.items()
    }


def piece(segment):
    return segment.path.read_bytes()[segment.start : segment.start + segment.size_bytes]


def test_it_is_the_checkpoint_that_safetensors_hold(folder, state_dict, saved_by_5x):
    found = open_bin(save(folder, state_dict), 7)
    expected = open_checkpoint(saved_by_5x)
    assert values(found) == values(expected)
    assert found.config == expected.config
    assert found.tokenizer_sha256 == expected.tokenizer_sha256
    assert (found.step, found.name) == (7, "checkpoint-7")
    assert found.weights_sha256 == sha256_file(saved_by_5x / "model.safetensors")


def test_what_else_is_in_the_folder_is_never_opened(folder, state_dict):
    save(folder, state_dict)
    for name in ("training_args.bin", "optimizer.pt", "scheduler.pt"):
        os.mkfifo(folder / name)  # to open it is to wait for ever
    open_bin(folder, 7)


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_weights_that_are_wrapped(folder, state_dict, key):
    plain = values(open_bin(save(folder, state_dict), 7))
    wrapped = {key: state_dict, "epoch": 3, "optimizer": {"state": {}}}
    assert values(open_bin(save(folder, wrapped), 7)) == plain


class Trainer:
    def __reduce__(self):
        return os.system, ("touch executed",)


NO_STATE_DICT = {
    "nothing": ({}, "holds something else, not a state dict"),
    "two of them": ({"model": {}, "state_dict": {}}, "holds something else, not a state dict"),
    "a tensor alone": (torch.ones(1), "holds something else, not a state dict"),
    "a program": (Trainer(), "holds a posix.system, not a state dict"),
    "a program among the weights": (
        {"a": torch.ones(1), "b": Trainer()},
        "'b' is posix.system, not a tensor",
    ),
    "a number among the weights": (
        {"a": torch.ones(1), "n": 1},
        "'n' is of type int, not a tensor",
    ),
    "a transposed weight": (
        {"a": torch.ones(2, 3).t()},
        "'a' cannot be read: it is not contiguous\n  save it as a plain tensor: .contiguous()",
    ),
}


@pytest.mark.parametrize(("content", "said"), NO_STATE_DICT.values(), ids=NO_STATE_DICT)
def test_what_is_no_state_dict_is_named(folder, content, said, monkeypatch):
    monkeypatch.chdir(folder)
    assert said in refused(save(folder, content))
    assert not (folder / "executed").exists()


def test_a_folder_that_lacks_something(folder, tmp_path, state_dict):
    assert "no pytorch_model.bin in" in refused(folder)
    (save(folder, state_dict) / "config.json").unlink()
    assert "no config.json in" in refused(folder)
    assert "no config.json in" in refused(tmp_path / "nowhere")


# Shards


@pytest.fixture
def sharded(folder, state_dict):
    """Three shards; the decoder and the embeddings are in different ones, as two copies."""
    names = sorted(state_dict)
    weight_map = {}
    for shard in range(3):
        file = f"pytorch_model-{shard + 1:05}-of-00003.bin"
        part = {name: state_dict[name] for name in names[shard::3]}
        save(folder, part, file)
        weight_map |= dict.fromkeys(part, file)
    assert weight_map[DECODER] != weight_map[EMBEDDINGS]
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return folder


def edit_map(folder, **changes):
    index = folder / "pytorch_model.bin.index.json"
    content = json.loads(index.read_text())
    content["weight_map"] |= changes
    index.write_text(json.dumps(content))


def test_shards_are_one_checkpoint(sharded, saved_by_5x):
    expected = open_checkpoint(saved_by_5x)
    found = open_bin(sharded, None)
    assert values(found) == values(expected)
    assert found.weights_sha256 == expected.weights_sha256


def test_a_listed_shard_that_is_missing(sharded):
    (sharded / "pytorch_model-00002-of-00003.bin").unlink()
    assert "lists pytorch_model-00002-of-00003.bin, which is missing from" in refused(sharded)


@pytest.mark.parametrize("name", ["../model.bin", "{}/model.bin", "sub/model.bin", "..", "", "\0"])
def test_a_shard_is_a_name_and_never_a_path(sharded, name, tmp_path):
    name = name.format(tmp_path)
    (sharded / "sub").mkdir()
    for place in (tmp_path, sharded / "sub"):
        save(place, {"a": torch.ones(1)}, "model.bin")
    edit_map(sharded, a=name)
    assert f"lists {printable(name)}, which is missing from" in refused(sharded)


def test_a_shard_without_its_tensor(sharded):
    edit_map(sharded, **{"model.of.nobody": "pytorch_model-00001-of-00003.bin"})
    assert "lists 'model.of.nobody', which is in none of the shards" in refused(sharded)


def test_a_tensor_in_two_shards(sharded, state_dict):
    name = "pytorch_model-00009.bin"
    save(sharded, {DECODER: state_dict[DECODER]}, name)
    edit_map(sharded, **{DECODER: name})
    assert f"'{DECODER}' is in another shard, too" in refused(sharded)


@pytest.mark.parametrize("content", ["[]", "{}", '{"weight_map": {}}', '{"weight_map": [1]}'])
def test_an_index_without_a_map(folder, content):
    (folder / "pytorch_model.bin.index.json").write_text(content)
    assert "index.json: no weight_map" in refused(folder)


# The tied decoder


def test_a_copy_of_the_embeddings_is_dropped_too(folder, state_dict):
    plain = values(open_bin(save(folder, state_dict), 7))
    copied = state_dict | {DECODER: state_dict[EMBEDDINGS].clone()}
    found = open_bin(save(folder, copied), 7)
    assert DECODER not in found.stored
    assert values(found) == plain


def test_a_tied_decoder_that_differs_would_be_lost(folder, state_dict):
    decoder = state_dict[EMBEDDINGS].clone()
    decoder[-1, -1] += 1
    said = refused(save(folder, state_dict | {DECODER: decoder}), CheckFailed)
    assert f"{DECODER} differs from {EMBEDDINGS}, though the config ties them" in said
    assert '"tie_word_embeddings": false' in said
    bfloat = state_dict[EMBEDDINGS].bfloat16()
    refused(save(folder, state_dict | {DECODER: bfloat}), CheckFailed)


def test_an_untied_decoder_is_kept(folder, state_dict, edit_json):
    edit_json(folder / "config.json", tie_word_embeddings=False)
    decoder = state_dict[EMBEDDINGS] + 1
    found = open_bin(save(folder, state_dict | {DECODER: decoder}), 7)
    assert set(found.stored) == set(state_dict)
    assert piece(found.stored[DECODER].segments[0]) == decoder.numpy().tobytes()


def test_an_encoder_has_no_decoder_to_drop(folder, state_dict):
    encoder = {name: value for name, value in state_dict.items() if name != DECODER}
    found = open_bin(save(folder, encoder), 7)
    assert drop_tied(found.stored, True, folder) == found.stored
    only_decoder = {DECODER: found.stored[EMBEDDINGS]}
    assert drop_tied(only_decoder, True, folder) == only_decoder
