"""Which checkpoints a path names, whatever wrote them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.checkpoints.discover import discover
from mbrelease.checkpoints.sources import discover_sources, open_source
from mbrelease.errors import UserError

Make = Callable[[Path], Path]
CONFIG = {
    "model_type": "modernbert",
    "vocab_size": 8,
    "hidden_size": 4,
    "intermediate_size": 6,
    "num_hidden_layers": 2,
    "num_attention_heads": 1,
}
WEIGHTS = {"a": torch.tensor([1.0, -2.0])}
NEVER_READ = ("optimizer.pt", "scheduler.pt", "training_args.bin", "rng_state.pth", "x.pkl")


def begin(folder: Path) -> Path:
    """A folder with a config, and what a trainer leaves that nobody should open."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    for name in NEVER_READ:
        (folder / name).write_bytes(b"never read")
    return folder


def make_safetensors(folder: Path) -> Path:
    save_file(WEIGHTS, begin(folder) / "model.safetensors", metadata={"format": "pt"})
    return folder


def make_bin(folder: Path) -> Path:
    torch.save(WEIGHTS, begin(folder) / "pytorch_model.bin")
    return folder


def make_sharded_bin(folder: Path) -> Path:
    shard = "pytorch_model-00001-of-00001.bin"
    torch.save(WEIGHTS, begin(folder) / shard)
    index = {"metadata": {}, "weight_map": dict.fromkeys(WEIGHTS, shard)}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return folder


FOLDERS = [make_safetensors, make_bin, make_sharded_bin]
FOREIGN = FOLDERS[1:]


@pytest.mark.parametrize("make", FOLDERS)
def test_a_folder_opens_whatever_its_format(tmp_path, make):
    same = open_checkpoint(make_safetensors(tmp_path / "same")).weights_sha256
    found = open_source(make(tmp_path / "checkpoint-40"))
    assert (found.step, found.name, set(found.stored)) == (40, "checkpoint-40", {"a"})
    assert found.weights_sha256 == same


@pytest.mark.parametrize("make", FOLDERS)
def test_a_run_may_be_of_any_format(tmp_path, make):
    for step in (1000, 200, 90):
        make(tmp_path / "run" / f"checkpoint-{step}")
    (tmp_path / "run" / "runs").mkdir()
    found = discover_sources([str(tmp_path / "run")])
    assert [source.step for source in found] == [90, 200, 1000]


def test_a_run_may_mix_formats(tmp_path):
    for number, make in enumerate(FOLDERS):
        make(tmp_path / f"checkpoint-{100 - number}")
    found = discover_sources([str(tmp_path)])
    assert [source.step for source in found] == list(range(101 - len(FOLDERS), 101))
    assert len({source.weights_sha256 for source in found}) == 1


def test_safetensors_goes_before_bin(tmp_path):
    folder = make_safetensors(tmp_path / "both")
    (folder / "pytorch_model.bin").write_bytes(b"not even a zip")
    assert set(open_source(folder).stored) == {"a"}


def test_a_run_that_also_holds_the_final_model_is_its_checkpoints(tmp_path):
    run = make_bin(tmp_path / "run")
    make_bin(run / "checkpoint-5")
    assert [source.step for source in discover_sources([str(run)])] == [5]
    assert open_source(run).step is None  # the one checkpoint that is this folder


@pytest.mark.parametrize("make", [make_safetensors, make_bin])
def test_a_file_of_weights_stands_for_its_folder(tmp_path, make, monkeypatch):
    folder = make(tmp_path / "checkpoint-3")
    (file,) = (*folder.glob("model.safetensors"), *folder.glob("pytorch_model.bin"))
    assert open_source(file).path == folder
    monkeypatch.chdir(folder)
    assert (open_source(Path(file.name)).name, open_source(Path(file.name)).step) == (
        "checkpoint-3",
        3,
    )


def test_a_file_beside_other_weights_is_not_clear(tmp_path):
    folder = make_safetensors(tmp_path / "both")
    shutil.copy(make_bin(tmp_path / "bin") / "pytorch_model.bin", folder)
    for name in ("model.safetensors", "pytorch_model.bin"):
        with pytest.raises(UserError, match=r"not the only weights(.|\n)*give the folder"):
            open_source(folder / name)


@pytest.mark.parametrize("name", [*NEVER_READ, "scaler.pt", "rng_state_0.pth"])
def test_a_trainers_own_state_is_never_opened(tmp_path, name):
    folder = make_bin(tmp_path / "a")
    (folder / name).write_bytes(b"never read")
    with pytest.raises(UserError, match="is the trainer's own state, not weights"):
        open_source(folder / name)


def test_a_folder_of_trainers_state_alone_holds_no_weights(tmp_path):
    with pytest.raises(UserError) as told:
        open_source(begin(tmp_path / "a"))
    assert told.value.message == f"no weights in {tmp_path / 'a'}"
    assert not any(name in str(told.value) for name in NEVER_READ)


@pytest.mark.parametrize(
    "name",
    ["model-00001-of-00002.safetensors", "model.safetensors.index.json", "__0_0.distcp"],
)
def test_a_part_of_a_checkpoint_names_its_folder(tmp_path, name):
    (tmp_path / name).write_bytes(b"part")
    with pytest.raises(UserError, match=rf"is a part of a checkpoint\n.*{tmp_path}$"):
        open_source(tmp_path / name)


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda path: None, r"run does not exist\n  give a folder with model.safetensors"),
        (lambda path: path.mkdir(), "no weights in"),
        (lambda path: path.write_text("x"), "is no checkpoint"),
    ],
)
def test_no_checkpoint_is_a_sentence(tmp_path, prepare, said):
    prepare(tmp_path / "run")
    for find in (lambda path: discover_sources([str(path)]), open_source):
        with pytest.raises(UserError, match=said):
            find(tmp_path / "run")


def test_an_unfinished_checkpoint_of_a_run_is_named(tmp_path):
    make_bin(tmp_path / "checkpoint-100")
    begin(tmp_path / "checkpoint-200")
    with pytest.raises(UserError, match=r"checkpoint-200 holds no weights(.|\n)*move it away"):
        discover_sources([str(tmp_path)])


def test_deepspeed_has_a_script_of_its_own(tmp_path):
    folder = begin(tmp_path / "checkpoint-9")
    (folder / "zero_to_fp32.py").write_text("")
    (folder / "global_step9").mkdir()
    with pytest.raises(UserError, match=rf"python {folder}/zero_to_fp32.py {folder} {folder}"):
        discover_sources([str(tmp_path)])


def test_one_checkpoint_is_asked_for_and_a_run_given(tmp_path):
    for step in (1, 2):
        make_bin(tmp_path / f"checkpoint-{step}")
    with pytest.raises(UserError, match=r"holds 2 checkpoints\n  give one of them: .*-2$"):
        open_source(tmp_path)


def test_paths_without_steps_stay_as_given(tmp_path):
    made = [make_bin(tmp_path / "z"), make_safetensors(tmp_path / "a")]
    assert [source.path for source in discover_sources(list(map(str, made)))] == made


def test_the_same_checkpoint_twice_is_refused_through_a_link_too(tmp_path):
    run = tmp_path / "run"
    folder = make_bin(run / "checkpoint-7")
    (tmp_path / "newest").symlink_to(folder)
    for other in (folder, run / "." / "checkpoint-7", tmp_path / "newest"):
        with pytest.raises(UserError, match="is given twice"):
            discover_sources([str(run), str(other)])
    with pytest.raises(UserError, match="is given twice"):
        discover_sources([str(folder), str(folder / "pytorch_model.bin")])


@pytest.mark.parametrize("make", FOREIGN)
@pytest.mark.parametrize("open_it", [discover, open_checkpoint])
def test_commands_for_safetensors_say_how_to_convert(tmp_path, make, open_it):
    folder = make(tmp_path / "checkpoint-40")
    with pytest.raises(UserError, match=rf"mbrelease convert {folder} -o FOLDER"):
        open_it(folder)


@pytest.mark.parametrize("make", FOREIGN)
def test_so_does_a_run(tmp_path, make):
    make(tmp_path / "checkpoint-40")
    with pytest.raises(UserError, match=rf"mbrelease convert {tmp_path}/checkpoint-40 -o FOLDER"):
        discover(tmp_path)
