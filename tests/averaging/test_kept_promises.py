"""What a careful stranger tried: tied decoders, labels, odd indexes, hostile names."""

import json
import shutil
import time
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMaskedLM

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.checkpoints.pytorch_bin import open_bin
from mbrelease.cli.main import main

DECODER, EMBEDDINGS = "decoder.weight", "model.embeddings.tok_embeddings.weight"


@pytest.fixture
def folder(saved_by_5x, tmp_path):
    return shutil.copytree(saved_by_5x, tmp_path / "checkpoint-1")


@pytest.fixture
def untidy(folder, tmp_path):
    """The same with the tied decoder written out, as some savers do."""
    other = shutil.copytree(folder, tmp_path / "checkpoint-2")
    tensors = load_file(other / "model.safetensors")
    save_file(tensors | {DECODER: tensors[EMBEDDINGS].clone()}, other / "model.safetensors")
    return other


def test_a_tied_decoder_is_written_once(folder, untidy, tmp_path):
    assert main(["average", str(folder), str(untidy), "-o", str(tmp_path / "out")]) == 0
    got = load_file(tmp_path / "out" / "model.safetensors")
    expected = load_file(folder / "model.safetensors")
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[name], expected[name]) for name in got)
    for _ in range(2):
        assert main(["convert", str(untidy), "-o", str(tmp_path / "converted")]) == 0
    assert DECODER not in load_file(tmp_path / "converted" / "model.safetensors")


def test_a_tied_decoder_that_differs_stops_it(folder, untidy, tmp_path, capsys):
    tensors = load_file(untidy / "model.safetensors")
    save_file(tensors | {DECODER: tensors[DECODER] + 1}, untidy / "model.safetensors")
    assert main(["average", str(folder), str(untidy), "-o", str(tmp_path / "out")]) == 1
    assert "though the config ties them" in capsys.readouterr().err


def test_the_hash_of_a_bin_follows_its_config(saved_by_5x, tmp_path, edit_json):
    folder = shutil.copytree(saved_by_5x, tmp_path / "bin")
    state = AutoModelForMaskedLM.from_pretrained(folder).state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    tied = open_bin(folder, None).weights_sha256
    edit_json(folder / "config.json", tie_word_embeddings=False)
    untied = open_bin(folder, None)
    assert main(["convert", str(folder), "-o", str(tmp_path / "out")]) == 0
    converted = open_checkpoint(tmp_path / "out").weights_sha256
    assert untied.weights_sha256 == converted != tied


def test_labels_in_another_order_are_another_classifier(folder, tmp_path, edit_json, capsys):
    other = shutil.copytree(folder, tmp_path / "checkpoint-2")
    edit_json(folder / "config.json", id2label={"0": "yes", "1": "no"})
    edit_json(other / "config.json", id2label={"0": "no", "1": "yes"})
    call = ["average", str(folder), str(other), "-o", str(tmp_path / "out")]
    assert main(call) == 1
    assert "id2label" in capsys.readouterr().err
    assert main([*call, "--allow", "id2label"]) == 0
    labels = json.loads((tmp_path / "out" / "config.json").read_text())["id2label"]
    assert labels == {"0": "no", "1": "yes"}


def test_an_index_that_promises_more_than_there_is(make_checkpoint, tmp_path, capsys):
    arrays = {name: np.ones(5, dtype="f4") for name in "abc"}
    folder = make_checkpoint(1, arrays, shards=2)
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    file = content["weight_map"]["a"]
    index.write_text(json.dumps({"weight_map": content["weight_map"] | {"lost": file}}))
    assert main(["convert", str(folder), "-o", str(tmp_path / "out")]) == 2
    assert "lists tensor lost, which no file holds" in capsys.readouterr().err
    index.write_text(json.dumps({"weight_map": content["weight_map"] | {"a\nb": file}}))
    assert main(["convert", str(folder), "-o", str(tmp_path / "out")]) == 2
    assert "is no name of a tensor or file" in capsys.readouterr().err


def test_a_name_with_control_characters_reaches_no_terminal(make_checkpoint, tmp_path, capsys):
    folder = make_checkpoint(1, {"a\x1b[31m\nred": np.ones(5, dtype="f4")})
    assert main(["convert", str(folder), "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "\x1b" not in said and said.count("\n") <= 2


def test_doubled_tuples_do_not_hang(tmp_path, capsys):
    """Each holds the one before twice: 300 bytes that Python would hash for ever."""
    twice = b"".join(b"h%c\x86q%c" % (n, n + 1) for n in range(50))
    doubled = b"\x80\x02})q\x00" + twice + b"K\x01s."
    path = tmp_path / "checkpoint.pt"
    torch.save({}, path)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, doubled if name.endswith("data.pkl") else data)
    started = time.monotonic()
    assert main(["convert", str(path), "-o", str(tmp_path / "out")]) == 2
    assert time.monotonic() - started < 20
    assert "nested too deep" in capsys.readouterr().err


def test_many_tensors_with_one_fault_are_one_line(make_checkpoint, tmp_path, capsys):
    names = [f"layers.{number}.weight" for number in range(30)]
    first = make_checkpoint(1, {name: np.ones(3, dtype="f4") for name in names})
    second = make_checkpoint(2, {name: np.ones(3, dtype="f2") for name in names})
    assert main(["average", str(first), str(second), "-o", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "30 tensors, such as layers.0.weight: each is F16, not F32" in said
    assert said.count("\n") == 3


def test_a_git_lfs_pointer_is_named(folder, tmp_path, capsys):
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert main(["convert", str(folder), "-o", str(tmp_path / "out")]) == 2
    assert "git lfs pull" in capsys.readouterr().err


def test_weights_by_position_want_the_order_of_training(make_checkpoint, tmp_path, capsys):
    folders = [make_checkpoint(step, {"w": np.ones(3, dtype="f4")}) for step in (1200, 100)]
    call = ["average", *map(str, folders), "--recipe", "weights:3,1", "--show-weights"]
    assert main(call) == 2
    assert "in the order of training" in capsys.readouterr().err
    call = ["average", *map(str, folders[::-1]), "--recipe", "weights:3,1", "--show-weights"]
    assert main(call) == 0


def test_a_result_that_is_no_whole_model_is_said(folder, tmp_path, capsys):
    tensors = load_file(folder / "model.safetensors")
    save_file({f"_orig_mod.{n}": t for n, t in tensors.items()}, folder / "model.safetensors")
    assert main(["convert", str(folder), "-o", str(tmp_path / "out")]) == 0
    assert "warning" in capsys.readouterr().err
