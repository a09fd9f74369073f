"""The output folder: whole or not at all, never over something else, loadable anywhere."""

import json
import os
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mbrelease.averaging.average import average_checkpoints, find_average
from mbrelease.averaging.recipes import RecipeInput, parse_recipe
from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.checkpoints.discover import discover
from mbrelease.cli.main import main
from mbrelease.errors import UserError

SHARED_RUN = Path(__file__).parents[2].parent / "shared" / "runs" / "dapt"


@pytest.fixture
def members(make_checkpoint):
    rng = np.random.default_rng(0)
    folders = [
        make_checkpoint(n, {"w": rng.standard_normal(50).astype("f4")}) for n in (10, 20, 30)
    ]
    return [(open_checkpoint(folder), Fraction(1, 3)) for folder in folders]


class Notes:
    """A progress that remembers."""

    def __init__(self):
        self.notes, self.total, self.done = [], 0, 0

    def start(self, description, total, unit):
        assert unit == "bytes"
        self.total = total

    def advance(self, amount=1):
        self.done += amount

    def note(self, message):
        self.notes.append(message)


def test_progress_counts_the_bytes_read(members, tmp_path):
    bar = Notes()
    average_checkpoints(members, tmp_path / "out", recipe="uniform", progress=bar)
    assert bar.done == bar.total == 3 * 50 * 4


def test_a_second_run_changes_nothing(members, tmp_path):
    output = tmp_path / "out"
    average_checkpoints(members, output, recipe="uniform")
    before = {entry.name: entry.stat().st_mtime_ns for entry in output.iterdir()}
    bar = Notes()
    average_checkpoints(members, output, recipe="uniform", progress=bar)
    assert bar.notes == [f"{output}: unchanged"]
    assert {entry.name: entry.stat().st_mtime_ns for entry in output.iterdir()} == before


def test_other_inputs_are_made_again_and_changed_weights_never(members, tmp_path):
    output = tmp_path / "out"
    first = average_checkpoints(members, output, recipe="uniform").weights_sha256
    halves = [(checkpoint, Fraction(1, 2)) for checkpoint, _ in members[1:]]
    assert find_average(halves, output, recipe="last:2") is None
    assert average_checkpoints(halves, output, recipe="last:2").weights_sha256 != first
    with (output / "model.safetensors").open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\0\0\0\0")
    assert find_average(halves, output, recipe="last:2") is None
    with pytest.raises(UserError, match="was changed since it was averaged"):
        average_checkpoints(members, output, recipe="uniform")
    shutil.rmtree(output)
    assert average_checkpoints(members, output, recipe="uniform").weights_sha256 == first


@pytest.mark.parametrize("held", ["notes.txt", "model.safetensors", "averaging.txt"])
def test_another_folder_is_never_replaced(members, tmp_path, held):
    output = tmp_path / "out"
    output.mkdir()
    (output / held).write_text("mine")
    with pytest.raises(UserError, match="is not an average"):
        average_checkpoints(members, output, recipe="uniform")
    assert (output / held).read_text() == "mine"


def test_a_file_added_to_an_average_is_never_lost(members, tmp_path):
    output = tmp_path / "out"
    average_checkpoints(members, output, recipe="uniform")
    (output / "notes.txt").write_text("mine")
    halves = [(checkpoint, Fraction(1, 2)) for checkpoint, _ in members[1:]]
    with pytest.raises(UserError, match=r"also holds notes\.txt"):
        average_checkpoints(halves, output, recipe="last:2")
    assert (output / "notes.txt").read_text() == "mine"


def test_an_empty_folder_is_taken(members, tmp_path):
    (tmp_path / "out").mkdir()
    average_checkpoints(members, tmp_path / "out", recipe="uniform")
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_the_output_may_not_be_an_input(members):
    with pytest.raises(UserError, match="is one of the inputs"):
        average_checkpoints(members, members[1][0].path, recipe="uniform")


def test_a_run_with_checkpoints_inside_is_not_replaced(members):
    with pytest.raises(UserError, match="is not an average"):
        average_checkpoints(members, members[1][0].path.parent, recipe="uniform")
    assert members[0][0].weight_files[0].exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_rights_is_a_sentence(members, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(UserError, match="cannot write"):
        average_checkpoints(members, closed / "out", recipe="uniform")


def test_the_average_loads_in_transformers(tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.ModernBertConfig(
        vocab_size=256,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        cls_token_id=1,
        sep_token_id=2,
    )
    models = []
    for step in (1, 2, 3):
        torch.manual_seed(step)
        models.append(transformers.ModernBertForMaskedLM(config))
        models[-1].save_pretrained(tmp_path / f"checkpoint-{step}")
    found = discover(tmp_path)
    thirds = [(checkpoint, Fraction(1, 3)) for checkpoint in found]
    average_checkpoints(thirds, tmp_path / "out", recipe="uniform")
    loaded, info = transformers.AutoModelForMaskedLM.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]
    states = [model.state_dict() for model in models]
    for name, value in loaded.state_dict().items():
        mean = torch.stack([state[name].double() for state in states]).mean(dim=0)
        assert torch.equal(value, mean.float()), name


@pytest.mark.skipif(not SHARED_RUN.exists(), reason="needs the shared run")
@pytest.mark.parametrize(
    "text",
    [
        "uniform", "weights:0,0,0,0,0,0,0,0,1,2,1/2,0.5", "last:3", "best:3", "best:3+last",
        "ema:0.9", "wma", "wsm:linear", "wsm:cosine", "wsm:1-sqrt",
    ],
)  # fmt: skip
def test_averages_of_the_real_run_load(tmp_path, text):
    found = discover(SHARED_RUN)
    losses = [checkpoint.trainer_state.eval_loss for checkpoint in found]
    candidates = [
        RecipeInput(checkpoint.name, checkpoint.step, -loss)
        for checkpoint, loss in zip(found, losses, strict=True)
    ]
    weights = parse_recipe(text).weights(candidates)
    output = tmp_path / "out"
    average_checkpoints(list(zip(found, weights, strict=True)), output, recipe=text)
    assert_loads(output)


@pytest.mark.skipif(not SHARED_RUN.exists(), reason="needs the shared run")
def test_a_soup_of_the_real_run_loads(tmp_path, monkeypatch, capsys):
    lines = (SHARED_RUN.parents[1] / "data" / "science-dev.jsonl").read_text().splitlines()
    (tmp_path / "dev.jsonl").write_text("\n".join(lines[:40]) + "\n")
    (tmp_path / "registry.yaml").write_text(
        "version: 1\nfamily: Test\nsuites:\n  dev:\n"
        "    - {name: titles, type: retrieval, data: {dev: dev.jsonl}, max_length: 64}\n"
        "variants: {}\n"
    )
    monkeypatch.chdir(tmp_path)
    paths = [str(SHARED_RUN / f"checkpoint-{step}") for step in (800, 1000, 1200)]
    call = ["average", *paths, "-o", "out", "--recipe", "greedy", "--score-by", "titles/mrr"]
    assert main([*call, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert sum(Fraction(member["weight"]) for member in answer["members"]) == 1
    record = json.loads((tmp_path / "out" / "averaging.json").read_text())
    assert len(record["search"]["candidates"]) == 3
    assert_loads(tmp_path / "out")


def assert_loads(folder):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model, info = transformers.AutoModelForMaskedLM.from_pretrained(
        folder, output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        logits = model(**tokenizer("a library for [MASK] data", return_tensors="pt")).logits
    assert torch.isfinite(logits).all()
