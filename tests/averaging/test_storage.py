"""How an average is stored: dtype, shards, and differences that are allowed by name."""

import json
from fractions import Fraction

import numpy as np
import pytest

from mbrelease.averaging.average import average_checkpoints
from mbrelease.averaging.write_model import Storage
from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.checkpoints.safetensors_header import read_header
from mbrelease.cli.main import main

CONFIG = {"model_type": "modernbert", "vocab_size": 64, "hidden_size": 8, "num_hidden_layers": 2}


@pytest.fixture
def models():
    rng = np.random.default_rng(0)
    return [
        {
            "a": rng.standard_normal((40, 30)).astype("f4"),
            "b": rng.standard_normal(500).astype("f4"),
            "c": rng.standard_normal(77).astype("f4"),
            "ids": np.arange(5),
        }
        for _ in range(3)
    ]


@pytest.fixture
def run_folder(models, make_checkpoint):
    folders = [make_checkpoint(step, model) for step, model in enumerate(models, 1)]
    return folders[0].parent


def read(folder, name):
    (stored,) = open_checkpoint(folder).stored[name].segments
    return stored.path.read_bytes()[stored.start : stored.start + stored.size_bytes]


@pytest.mark.parametrize(
    ("dtype", "stored", "width"),
    [("float64", "F64", 8), ("float32", "F32", 4), ("bfloat16", "BF16", 2), ("float16", "F16", 2)],
)
def test_a_dtype_is_rounded_to_once(run_folder, models, tmp_path, dtype, stored, width):
    output = tmp_path / "out"
    assert main(["average", str(run_folder), "-o", str(output), "--dtype", dtype]) == 0
    tensors = open_checkpoint(output).stored
    assert {name: t.dtype for name, t in tensors.items()} == {
        "a": stored, "b": stored, "c": stored, "ids": "I64",
    }  # fmt: skip
    assert np.array_equal(np.frombuffer(read(output, "ids"), "<i8"), np.arange(5))
    config = json.loads((output / "config.json").read_text())
    assert config["dtype"] == config["torch_dtype"] == dtype
    got = read(output, "b")
    assert len(got) == 500 * width
    if stored == "BF16":
        values = (np.frombuffer(got, "<u2").astype("u4") << 16).view("f4")
    else:
        values = np.frombuffer(got, f"<f{width}")
    for position in range(500):
        exact = sum(Fraction(float(model["b"][position])) for model in models) / 3
        value = Fraction(float(values[position]))
        # Half a unit in the last place of a number of 8, 11, 24 or 53 bits.
        bits = {"BF16": 8, "F16": 11, "F32": 24, "F64": 53}[stored]
        exponent = max(np.frexp(float(exact))[1], -13 if stored == "F16" else -1000)
        assert abs(value - exact) <= Fraction(2) ** (int(exponent) - bits) / 2 * (
            2 if stored == "F64" else 1
        )


def test_a_value_too_large_for_the_dtype_is_named(make_checkpoint, tmp_path, capsys):
    big = np.array([1.0, 70000.0], dtype="f4")
    folders = [make_checkpoint(step, {"w": big}) for step in (1, 2)]
    call = ["average", *map(str, folders), "-o", str(tmp_path / "out"), "--dtype", "float16"]
    assert main(call) == 1
    assert "tensor w has values too large for F16" in capsys.readouterr().err
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["run"]


def test_shards_hold_the_same_values(run_folder, models, tmp_path):
    one, many = tmp_path / "one", tmp_path / "many"
    assert main(["average", str(run_folder), "-o", str(one)]) == 0
    sharded = ["average", str(run_folder), "-o", str(many), "--max-shard-size", "5KB"]
    assert main(sharded) == 0
    files = sorted(entry.name for entry in many.glob("*.safetensors"))
    assert files == ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for name in models[0]:
        assert read(one, name) == read(many, name)
    index = json.loads((many / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == (1200 + 500 + 77) * 4 + 5 * 8
    held = {n: f for f in files for n in read_header(many / f).tensors}
    assert index["weight_map"] == held
    before = {entry.name: entry.stat().st_mtime_ns for entry in many.iterdir()}
    assert main(sharded) == 0
    assert {entry.name: entry.stat().st_mtime_ns for entry in many.iterdir()} == before
    assert main([*sharded[:-1], "6KB"]) == 0
    assert {entry.name: entry.stat().st_mtime_ns for entry in many.iterdir()} != before


def test_shards_load_in_transformers(saved_by_5x, tmp_path):
    import torch
    from transformers import AutoModelForMaskedLM

    output = tmp_path / "out"
    call = ["average", str(saved_by_5x), "-o", str(output), "--max-shard-size", "100KB"]
    assert main(call) == 0
    assert len(list(output.glob("*.safetensors"))) > 2
    loaded = AutoModelForMaskedLM.from_pretrained(output).state_dict()
    original = AutoModelForMaskedLM.from_pretrained(saved_by_5x).state_dict()
    assert loaded.keys() == original.keys()
    assert all(torch.equal(loaded[name], original[name]) for name in loaded)


@pytest.mark.parametrize("size", ["0", "0GB", "5 bananas", "-1GB"])
def test_a_size_that_makes_no_sense_is_a_sentence(run_folder, tmp_path, capsys, size):
    call = ["average", str(run_folder), "-o", str(tmp_path / "out"), "--max-shard-size", size]
    assert main(call) == 2
    assert capsys.readouterr().err.count("\n") <= 4
    assert not (tmp_path / "out").exists()


def test_a_difference_can_be_allowed_by_its_name(models, make_checkpoint, tmp_path, capsys):
    first = make_checkpoint(1, models[0], config=CONFIG | {"hidden_activation": "silu"})
    second = make_checkpoint(2, {n: a for n, a in models[1].items() if n != "c"})
    third = make_checkpoint(3, models[2], tokenizer='{"version": "2.0"}')
    call = ["average", *map(str, (first, second, third)), "-o", str(tmp_path / "out")]
    assert main(call) == 1
    said = capsys.readouterr().err
    assert "hidden_activation is gelu, not silu" in said
    assert "tensor c is missing" in said
    assert "tokenizer.json is another one" in said
    for allowed in (["hidden_activation"], ["hidden_activation", "c"]):
        flags = [part for name in allowed for part in ("--allow", name)]
        assert main([*call, *flags]) == 1
        said = capsys.readouterr().err
        assert not any(f"{name} is" in said for name in allowed)
    assert "--allow tokenizer" in said
    flags = [part for name in ("hidden_activation", "c", "tokenizer") for part in ("--allow", name)]
    assert main([*call, *flags]) == 0
    output = tmp_path / "out"
    assert read(output, "c") == models[2]["c"].tobytes()
    mean = sum(model["a"].astype("f8") for model in models) / 3
    assert read(output, "a") == mean.astype("f4").tobytes()
    assert json.loads((output / "config.json").read_text())["hidden_activation"] == "gelu"
    assert (output / "tokenizer.json").read_bytes() == b'{"version": "2.0"}'
    record = json.loads((output / "averaging.json").read_text())
    assert record["allowed_differences"] == ["c", "hidden_activation", "tokenizer"]


def test_an_extra_tensor_of_an_earlier_checkpoint_is_left_out(models, make_checkpoint, tmp_path):
    first = make_checkpoint(1, models[0] | {"extra": models[0]["c"]})
    second = make_checkpoint(2, models[1])
    members = [(open_checkpoint(folder), Fraction(1, 2)) for folder in (first, second)]
    result = average_checkpoints(
        members, tmp_path / "out", recipe="uniform", allow=frozenset({"extra"})
    )
    assert set(result.stored) == {"a", "b", "c", "ids"}
    assert result.weights_sha256


def test_dtypes_that_differ_are_averaged_in_the_last_ones(models, make_checkpoint, tmp_path):
    half = {"w": models[0]["b"].astype("f2")}
    single = {"w": models[1]["b"]}
    folders = [make_checkpoint(1, half), make_checkpoint(2, single)]
    members = [(open_checkpoint(folder), Fraction(1, 2)) for folder in folders]
    average_checkpoints(members, tmp_path / "out", recipe="uniform", allow=frozenset({"w"}))
    mean = (half["w"].astype("f8") + single["w"].astype("f8")) / 2
    assert read(tmp_path / "out", "w") == mean.astype("f4").tobytes()


@pytest.mark.parametrize("dtype", [None, "BF16"])
def test_whole_numbers_and_floats_have_no_mean(make_checkpoint, tmp_path, dtype):
    """Zeros of int32 and float32 are the same bytes, yet not the same tensor."""
    values = np.random.default_rng(0).standard_normal(300).astype("f4")
    first = {"a": values, "t": np.zeros(10_000, "i4"), "z": values}
    second = {"a": values, "t": np.zeros(10_000, "f4"), "z": values}
    folders = [make_checkpoint(1, first), make_checkpoint(2, second)]
    members = [(open_checkpoint(folder), Fraction(1, 2)) for folder in folders]
    result = average_checkpoints(
        members,
        tmp_path / "out",
        recipe="uniform",
        storage=Storage(dtype),
        allow=frozenset({"t"}),
    )
    assert result.stored["t"].dtype == (dtype or "F32")
    assert read(tmp_path / "out", "t") == bytes(result.stored["t"].size_bytes)
    assert read(tmp_path / "out", "z") == read(tmp_path / "out", "a")


def test_a_name_that_is_nowhere_is_no_exception(run_folder, tmp_path, capsys):
    call = ["average", str(run_folder), "-o", str(tmp_path / "out"), "--allow", "tokeniser"]
    assert main(call) == 2
    assert "did you mean 'tokenizer'?" in capsys.readouterr().err
