"""Finding the checkpoints of a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.checkpoints.discover import discover
from mbrelease.errors import UserError
from mbrelease.files import sha256_bytes, sha256_file


def test_checkpoints_come_in_the_order_of_their_steps_not_of_their_names(tmp_path, make_checkpoint):
    for step in (1000, 200, 90):
        make_checkpoint(tmp_path / f"checkpoint-{step}")
    (tmp_path / "runs").mkdir()
    (tmp_path / "checkpoint-x").mkdir()
    (tmp_path / "checkpoint-7").write_text("a file, not a checkpoint")
    assert [checkpoint.step for checkpoint in discover(tmp_path)] == [90, 200, 1000]


def test_a_run_that_also_holds_the_final_model_is_its_checkpoints(tmp_path, make_checkpoint):
    run = make_checkpoint(tmp_path / "run")
    make_checkpoint(run / "checkpoint-5")
    assert [checkpoint.name for checkpoint in discover(run)] == ["checkpoint-5"]


def test_a_single_folder_is_a_checkpoint_without_a_step(tmp_path, make_checkpoint):
    (found,) = discover(make_checkpoint(tmp_path / "final"))
    assert (found.name, found.step) == ("final", None)


def test_links_keep_their_own_names_and_steps(tmp_path, make_checkpoint):
    (tmp_path / "run").mkdir()
    for step in (900, 200):
        target = make_checkpoint(tmp_path / "store" / str(step) / "hf")
        (tmp_path / "run" / f"checkpoint-{step}").symlink_to(target)
    found = discover(tmp_path / "run")
    assert [(one.name, one.step) for one in found] == [
        ("checkpoint-200", 200),
        ("checkpoint-900", 900),
    ]
    make_checkpoint(tmp_path / "checkpoint-7")
    (tmp_path / "newest").symlink_to(tmp_path / "checkpoint-7")
    assert [one.step for one in discover(tmp_path / "newest")] == [7]


def test_a_folder_is_named_wherever_one_stands(tmp_path, make_checkpoint, monkeypatch):
    monkeypatch.chdir(make_checkpoint(tmp_path / "checkpoint-7"))
    assert (open_checkpoint(Path()).name, open_checkpoint(Path()).step) == ("checkpoint-7", 7)


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda folder: None, "does not exist"),
        (lambda folder: folder.mkdir(), "no checkpoints in"),
        (lambda folder: folder.write_text("x"), "no checkpoints in"),
        (lambda folder: (folder / "checkpoint-3").mkdir(parents=True), "no config.json in"),
    ],
)
def test_no_checkpoints_is_a_sentence(tmp_path, prepare, said):
    prepare(tmp_path / "run")
    with pytest.raises(UserError, match=said):
        discover(tmp_path / "run")


def test_a_folder_without_weights_names_the_mend(tmp_path, make_checkpoint):
    folder = make_checkpoint(tmp_path / "a")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no model.safetensors(.|\n)*save_pretrained"):
        open_checkpoint(folder)


@pytest.fixture
def sharded(tmp_path, make_checkpoint):
    folder = make_checkpoint(tmp_path / "sharded")
    other = make_checkpoint(tmp_path / "other", tensor="b")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shutil.move(other / "model.safetensors", folder / "model-00002-of-00002.safetensors")
    weight_map = {
        "b": "model-00002-of-00002.safetensors",
        "a": "model-00001-of-00002.safetensors",
    }
    index = {"metadata": {"total_size": 16}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_shards_are_one_checkpoint(sharded):
    checkpoint = open_checkpoint(sharded)
    assert set(checkpoint.tensors) == {"a", "b"}
    lines = "".join(f"{sha256_file(file)}  {file.name}\n" for file in checkpoint.weight_files)
    assert checkpoint.weights_sha256 == sha256_bytes(lines.encode())


def test_a_missing_shard_is_named(sharded):
    (sharded / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match=r"lists model-00002-of-00002.safetensors, which is miss"):
        open_checkpoint(sharded)


def test_an_index_may_not_lead_out_of_its_folder(sharded, tmp_path):
    (sharded / "model-00001-of-00002.safetensors").rename(tmp_path / "elsewhere.safetensors")
    index = sharded / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../elsewhere.safetensors"}}))
    with pytest.raises(UserError, match="is missing from"):
        open_checkpoint(sharded)


@pytest.mark.parametrize("content", ["[]", "{}", '{"weight_map": {}}', '{"weight_map": []}'])
def test_an_index_without_a_map_is_refused(sharded, content):
    (sharded / "model.safetensors.index.json").write_text(content)
    with pytest.raises(UserError, match="no weight_map"):
        open_checkpoint(sharded)


def test_content_names_a_checkpoint_and_its_path_does_not(tmp_path, make_checkpoint):
    first, second = (open_checkpoint(make_checkpoint(tmp_path / name)) for name in "ab")
    third = open_checkpoint(make_checkpoint(tmp_path / "c", tensor="other"))
    assert first.weights_sha256 == second.weights_sha256 != third.weights_sha256
