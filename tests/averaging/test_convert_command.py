"""``mbrelease convert`` as a person types it."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, AutoTokenizer

from mbrelease.checkpoints.safetensors_header import read_header
from mbrelease.cli.main import main


@pytest.fixture
def bin_folder(saved_by_5x, tmp_path):
    """The tiny model as old trainers left it, with what else lies in such a folder."""
    folder = tmp_path / "old" / "checkpoint-10"
    shutil.copytree(saved_by_5x, folder)
    (folder / "model.safetensors").unlink()
    state = AutoModelForMaskedLM.from_pretrained(saved_by_5x).state_dict()
    torch.save(state, folder / "pytorch_model.bin")
    for name in ("optimizer.pt", "training_args.bin", "rng_state.pth"):
        (folder / name).write_bytes(b"never opened")
    return folder


def test_a_bin_becomes_a_release(bin_folder, saved_by_5x, tmp_path, capsys):
    output = tmp_path / "out"
    assert main(["convert", str(bin_folder), "-o", str(output)]) == 0
    said = capsys.readouterr()
    assert said.out == f"{output}\n"
    assert "converted: checkpoint-10" in said.err
    assert sorted(entry.name for entry in output.iterdir()) == [
        "config.json",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    original = load_file(saved_by_5x / "model.safetensors")
    converted = load_file(output / "model.safetensors")
    assert original.keys() == converted.keys()
    assert all(torch.equal(original[name], converted[name]) for name in original)
    assert read_header(output / "model.safetensors").metadata == {"format": "pt"}
    batch = AutoTokenizer.from_pretrained(output)("the theory", return_tensors="pt")
    with torch.no_grad():
        ours = AutoModelForMaskedLM.from_pretrained(output)(**batch).logits
        theirs = AutoModelForMaskedLM.from_pretrained(saved_by_5x)(**batch).logits
    assert torch.equal(ours, theirs)


def test_the_hash_is_that_of_the_conversion(bin_folder, tmp_path, capsys):
    """A .bin is known in records by the file it converts to."""
    assert main(["average", str(bin_folder), "-o", str(tmp_path / "mean")]) == 0
    assert main(["convert", str(bin_folder), "-o", str(tmp_path / "out"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.partition("\n")[2])
    (member,) = json.loads((tmp_path / "mean" / "averaging.json").read_text())["members"]
    assert member["sha256"] == answer["weights_sha256"]


def test_again_changes_nothing(bin_folder, tmp_path, capsys):
    output = tmp_path / "out"
    call = ["convert", str(bin_folder), "-o", str(output)]
    assert main(call) == 0
    before = {entry.name: entry.stat().st_mtime_ns for entry in output.iterdir()}
    capsys.readouterr()
    assert main(call) == 0
    assert "unchanged" in capsys.readouterr().err
    assert {entry.name: entry.stat().st_mtime_ns for entry in output.iterdir()} == before


@pytest.mark.parametrize("held", ["notes.txt", "model.safetensors"])
def test_something_else_is_never_replaced(bin_folder, tmp_path, capsys, held):
    output = tmp_path / "out"
    output.mkdir()
    (output / held).write_text("mine")
    assert main(["convert", str(bin_folder), "-o", str(output)]) == 2
    assert "holds something else" in capsys.readouterr().err
    assert [entry.read_text() for entry in output.iterdir()] == ["mine"]


def test_onto_itself_is_refused(saved_by_5x, capsys):
    assert main(["convert", str(saved_by_5x), "-o", str(saved_by_5x)]) == 2
    assert "is the input" in capsys.readouterr().err


def test_a_run_is_not_one_checkpoint(bin_folder, tmp_path, capsys):
    shutil.copytree(bin_folder, bin_folder.parent / "checkpoint-20")
    assert main(["convert", str(bin_folder.parent), "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "holds 2 checkpoints" in said
    assert "checkpoint-20" in said


def test_another_dtype(bin_folder, saved_by_5x, tmp_path):
    output = tmp_path / "out"
    assert main(["convert", str(bin_folder), "-o", str(output), "--dtype", "bfloat16"]) == 0
    original = load_file(saved_by_5x / "model.safetensors")
    converted = load_file(output / "model.safetensors")
    assert all(torch.equal(original[n].to(torch.bfloat16), converted[n]) for n in original)
    assert json.loads((output / "config.json").read_text())["dtype"] == "bfloat16"


def test_a_nan_is_named(bin_folder, tmp_path, capsys):
    state = torch.load(bin_folder / "pytorch_model.bin", weights_only=True)
    state["head.dense.weight"][3, 5] = float("nan")
    torch.save(state, bin_folder / "pytorch_model.bin")
    assert main(["convert", str(bin_folder), "-o", str(tmp_path / "out")]) == 1
    assert "tensor head.dense.weight" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
