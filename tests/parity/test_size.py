"""The files' size, byte for byte, from the config alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.checkpoints.config import normal_form
from mbrelease.parity.checks.size import check_size, file_bytes
from mbrelease.parity.family import member_named
from mbrelease.parity.reference import expected_tensors, parameter_count


@pytest.mark.parametrize(
    ("size", "tensors", "parameters", "published"),
    [
        ("base", 137, 149_655_232, 598_635_032),
        ("large", 173, 395_881_664, 1_583_544_840),
    ],
)
def test_the_published_figures_follow_from_the_config(size, tensors, parameters, published):
    shapes = expected_tensors(member_named(size).config())
    assert (len(shapes), parameter_count(shapes)) == (tensors, parameters)
    assert file_bytes(shapes) == published


@pytest.mark.parametrize("dtype", ["F32", "F16"])
@pytest.mark.parametrize("heads", ["mlm", "encoder", "classifier"])
def test_it_is_what_safetensors_writes(tmp_path, dtype, heads):
    sizes = {"vocab_size": 40, "hidden_size": 8, "num_hidden_layers": 12, "intermediate_size": 12}
    shapes = expected_tensors(normal_form(sizes | {"num_attention_heads": 2}), heads)
    kind = {"F32": np.float32, "F16": np.float16}[dtype]
    weights = {name: np.zeros(shape, kind) for name, shape in shapes.items()}
    save_file(weights, tmp_path / "one.safetensors", {"format": "pt"})
    assert (tmp_path / "one.safetensors").stat().st_size == file_bytes(shapes, dtype)


def found(folder):
    checkpoint = open_checkpoint(folder)
    return check_size(checkpoint, checkpoint.config)


def test_a_release_is_as_large_as_its_config_says(release):
    (result,) = found(release)
    size = (release / "model.safetensors").stat().st_size
    assert result.status == "pass"
    assert result.found == f"23 tensors, {_parameters(release):,} parameters, {size:,} bytes"


def _parameters(folder):
    return sum(values.size for values in load_file(folder / "model.safetensors").values())


def test_two_dtypes_are_no_fault_of_the_size(release):
    weights = load_file(release / "model.safetensors")
    weights["head.norm.weight"] = weights["head.norm.weight"].astype("f2")
    save_file(weights, release / "model.safetensors", {"format": "pt"})
    (result,) = found(release)
    assert (result.status, result.expected) == ("pass", result.found)


def test_a_little_metadata_is_said_and_much_of_it_warns(release):
    path = release / "model.safetensors"
    weights = load_file(path)
    save_file(weights, path, {"format": "pt", "recipe": "mean"})
    (result,) = found(release)
    assert result.status == "pass"
    assert "in the header; metadata: format, recipe" in result.found
    save_file(weights, path, {"format": "pt", "optimizer": "x" * 200_000})
    (result,) = found(release)
    assert result.status == "warn"
    assert "+200," in result.found
    assert "metadata: format, optimizer" in result.found


def test_shards_are_added_up(release):
    path = release / "model.safetensors"
    weights = load_file(path)
    path.unlink()
    names = sorted(weights)
    weight_map = {}
    for index, part in enumerate((names[:9], names[9:]), start=1):
        file = f"model-0000{index}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, release / file, {"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (release / "model.safetensors.index.json").write_text(json.dumps(index))
    (result,) = found(release)
    size = sum(file.stat().st_size for file in release.glob("*.safetensors"))
    assert result.status == "pass"
    assert f"{size:,} bytes" in result.found


def test_other_tensors_than_the_configs_are_another_checks(release, edit_json):
    edit_json(release / "config.json", intermediate_size=48)
    (result,) = found(release)
    assert result.status == "skip"
    (release / "model.safetensors").write_bytes(b"broken")
    assert found(release) == []
