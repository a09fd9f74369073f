"""Which checkpoints a path names, whatever wrote them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from composer_states import state
from safetensors.torch import load_file, save_file

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.checkpoints.discover import discover
from mbrelease.checkpoints.sources import discover_sources, open_source
from mbrelease.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")

NEVER_READ = ("optimizer.pt", "scheduler.pt", "training_args.bin", "rng_state.pth", "x.pkl")
BESIDE = ("config.json", "tokenizer.json", "tokenizer_config.json")


@pytest.fixture(scope="module")
def weights(saved_by_5x: Path) -> dict[str, torch.Tensor]:
    return load_file(saved_by_5x / "model.safetensors")


@dataclass(frozen=True)
class Format:
    """A way of a trainer to leave a checkpoint."""

    name: str
    write: Callable[[Path, dict[str, torch.Tensor]], None]
    """Put the weights into a folder that exists."""

    def __call__(self, folder: Path, saved: Path, weights: dict[str, torch.Tensor]) -> Path:
        begin(folder, saved)
        self.write(folder, weights)
        return folder


def begin(folder: Path, saved: Path) -> Path:
    """A folder with config and tokenizer, and what a trainer leaves that nobody should open."""
    folder.mkdir(parents=True)
    for name in BESIDE:
        shutil.copy(saved / name, folder)
    for name in NEVER_READ:
        (folder / name).write_bytes(b"never read")
    return folder


def write_safetensors(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def write_bin(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    torch.save(weights, folder / "pytorch_model.bin")


def write_sharded_bin(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    shard = "pytorch_model-00001-of-00001.bin"
    torch.save(weights, folder / shard)
    index = {"metadata": {}, "weight_map": dict.fromkeys(weights, shard)}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


def write_dcp(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    dcp.save({"model": weights}, checkpoint_id=folder, no_dist=True)


def write_fsdp(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    write_dcp(folder / "pytorch_model_fsdp_0", weights)
    dcp.save({"optim": weights}, checkpoint_id=folder / "optimizer_0", no_dist=True)


SAFETENSORS = Format("safetensors", write_safetensors)
BIN = Format("bin", write_bin)
DCP = Format("dcp", write_dcp)
FSDP = Format("fsdp", write_fsdp)
FORMATS = [SAFETENSORS, BIN, Format("sharded-bin", write_sharded_bin), DCP, FSDP]
FOREIGN = FORMATS[1:]


def formats(chosen: list[Format]) -> Any:
    return pytest.mark.parametrize("format", chosen, ids=lambda format: format.name)


@pytest.fixture
def make(saved_by_5x: Path, weights: dict[str, torch.Tensor]) -> Callable[[Format, Path], Path]:
    """Write the tiny model into a new folder in a format."""
    return lambda format, folder: format(folder, saved_by_5x, weights)


@pytest.fixture
def save_composer(
    saved_by_5x: Path, weights: dict[str, torch.Tensor]
) -> Callable[[Path, str], Path]:
    """Save it as Composer does, into a file of its run's folder."""

    def save(run: Path, name: str) -> Path:
        run.mkdir(parents=True, exist_ok=True)
        config = json.loads((saved_by_5x / "config.json").read_text())
        kept = {f"model.{name}": value for name, value in weights.items()}
        torch.save(state(kept, config, saved_by_5x), run / name)
        return run / name

    return save


@formats(FORMATS)
def test_a_folder_opens_whatever_its_format(tmp_path, make, format, weights, saved_by_5x):
    found = open_source(make(format, tmp_path / "checkpoint-40"))
    assert (found.step, found.name) == (40, "checkpoint-40")
    assert found.stored.keys() == weights.keys()
    same = open_checkpoint(saved_by_5x)
    assert found.weights_sha256 == same.weights_sha256
    assert (found.config, found.tokenizer_sha256) == (same.config, same.tokenizer_sha256)


@formats(FORMATS)
def test_a_run_may_be_of_any_format(tmp_path, make, format):
    for step in (1000, 200, 90):
        make(format, tmp_path / "run" / f"checkpoint-{step}")
    (tmp_path / "run" / "runs").mkdir()
    found = discover_sources([str(tmp_path / "run")])
    assert [source.step for source in found] == [90, 200, 1000]


def test_a_run_may_mix_formats(tmp_path, make):
    for number, format in enumerate(FORMATS):
        make(format, tmp_path / f"checkpoint-{100 - number}")
    found = discover_sources([str(tmp_path)])
    assert [source.step for source in found] == list(range(101 - len(FORMATS), 101))
    assert len({source.weights_sha256 for source in found}) == 1


def test_safetensors_goes_before_bin(tmp_path, make, weights):
    folder = make(SAFETENSORS, tmp_path / "both")
    (folder / "pytorch_model.bin").write_bytes(b"not even a zip")
    assert open_source(folder).stored.keys() == weights.keys()


def test_a_run_that_also_holds_the_final_model_is_its_checkpoints(tmp_path, make):
    run = make(BIN, tmp_path / "run")
    make(BIN, run / "checkpoint-5")
    assert [source.step for source in discover_sources([str(run)])] == [5]
    assert open_source(run).step is None  # the one checkpoint that is this folder


@formats([SAFETENSORS, BIN])
def test_a_file_of_weights_stands_for_its_folder(tmp_path, make, format, monkeypatch):
    folder = make(format, tmp_path / "checkpoint-3")
    (file,) = (*folder.glob("model.safetensors"), *folder.glob("pytorch_model.bin"))
    assert open_source(file).path == folder
    monkeypatch.chdir(folder)
    assert (open_source(Path(file.name)).name, open_source(Path(file.name)).step) == (
        "checkpoint-3",
        3,
    )


def test_a_file_beside_other_weights_is_not_clear(tmp_path, make):
    folder = make(SAFETENSORS, tmp_path / "both")
    shutil.copy(make(BIN, tmp_path / "bin") / "pytorch_model.bin", folder)
    for name in ("model.safetensors", "pytorch_model.bin"):
        with pytest.raises(UserError, match=r"not the only weights(.|\n)*give the folder"):
            open_source(folder / name)


@pytest.mark.parametrize("name", [*NEVER_READ, "scaler.pt", "rng_state_0.pth"])
def test_a_trainers_own_state_is_never_opened(tmp_path, make, name):
    folder = make(BIN, tmp_path / "a")
    (folder / name).write_bytes(b"never read")
    with pytest.raises(UserError, match="is the trainer's own state, not weights"):
        open_source(folder / name)


def test_a_folder_of_trainers_state_alone_holds_no_weights(tmp_path, saved_by_5x):
    with pytest.raises(UserError) as told:
        open_source(begin(tmp_path / "a", saved_by_5x))
    assert told.value.message == f"no weights in {tmp_path / 'a'}"
    assert not any(name in str(told.value) for name in NEVER_READ)


@pytest.mark.parametrize(
    "name",
    ["model-00001-of-00002.safetensors", "model.safetensors.index.json", "__0_0.distcp"],
)
def test_a_part_of_a_checkpoint_names_its_folder(tmp_path, make, name):
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


def test_an_unfinished_checkpoint_of_a_run_is_named(tmp_path, make, saved_by_5x):
    make(BIN, tmp_path / "checkpoint-100")
    begin(tmp_path / "checkpoint-200", saved_by_5x)
    with pytest.raises(UserError, match=r"checkpoint-200 holds no weights(.|\n)*move it away"):
        discover_sources([str(tmp_path)])


def test_deepspeed_has_a_script_of_its_own(tmp_path, saved_by_5x):
    folder = begin(tmp_path / "checkpoint-9", saved_by_5x)
    (folder / "zero_to_fp32.py").write_text("")
    (folder / "global_step9").mkdir()
    with pytest.raises(UserError, match=rf"python {folder}/zero_to_fp32.py {folder} {folder}"):
        discover_sources([str(tmp_path)])


def test_one_checkpoint_is_asked_for_and_a_run_given(tmp_path, make):
    for step in (1, 2):
        make(BIN, tmp_path / f"checkpoint-{step}")
    with pytest.raises(UserError, match=r"holds 2 checkpoints\n  give one of them: .*-2$"):
        open_source(tmp_path)


def test_shards_of_fsdp_take_the_config_of_the_run(tmp_path, make, saved_by_5x):
    """The Trainer writes none beside them."""
    folder = make(FSDP, tmp_path / "checkpoint-40")
    for name in BESIDE:
        (folder / name).rename(tmp_path / name)
    for target in (tmp_path, folder, folder / "pytorch_model_fsdp_0"):
        (found,) = discover_sources([str(target)])
        assert (found.path, found.step) == (folder, 40)
        assert found.config == open_checkpoint(saved_by_5x).config
    with pytest.raises(UserError, match=r"__0_0.distcp is a part of a checkpoint"):
        open_source(folder / "pytorch_model_fsdp_0" / "__0_0.distcp")


def test_composers_folder_is_its_files_by_batch_without_the_link_to_the_latest(
    tmp_path, save_composer, saved_by_5x
):
    for batch in (1000, 200, 90):
        save_composer(tmp_path, f"ep0-ba{batch}-rank0.pt")
    (tmp_path / "latest-rank0.pt").symlink_to("ep0-ba1000-rank0.pt")
    (tmp_path / "log.txt").write_text("")
    found = discover_sources([str(tmp_path)])
    assert [source.step for source in found] == [90, 200, 1000]
    same = open_checkpoint(saved_by_5x)
    assert {source.weights_sha256 for source in found} == {same.weights_sha256}
    assert found[0].config == same.config
    (latest,) = discover_sources([str(tmp_path / "latest-rank0.pt")])
    assert (latest.name, latest.step) == ("latest-rank0.pt", 1000)
    with pytest.raises(UserError, match="is given twice"):
        discover_sources([str(tmp_path), str(tmp_path / "latest-rank0.pt")])
    with pytest.raises(UserError, match=r"holds 3 checkpoints\n.*ep0-ba1000-rank0.pt"):
        open_source(tmp_path)


def test_composers_folder_may_hold_folders_of_shards(tmp_path, make):
    for batch in (20, 3):
        make(DCP, tmp_path / f"ep0-ba{batch}")
    (tmp_path / "latest").symlink_to("ep0-ba20")
    assert [source.step for source in discover_sources([str(tmp_path)])] == [3, 20]
    (tmp_path / "ep1-ba30").mkdir()
    with pytest.raises(UserError, match="ep1-ba30 holds no weights: saving did not end"):
        discover_sources([str(tmp_path)])


def test_pieces_by_rank_are_not_put_together(tmp_path, save_composer):
    first = save_composer(tmp_path, "ep0-ba10-rank0.pt")
    second = save_composer(tmp_path, "ep0-ba10-rank1.pt")
    for target in (tmp_path, first, second):
        with pytest.raises(UserError, match=r"in pieces by rank \(ep0-ba10-rank1.pt\)"):
            discover_sources([str(target)])


def test_composers_file_names_its_conversion_to_the_others(tmp_path, save_composer):
    path = save_composer(tmp_path, "ep0-ba10-rank0.pt")
    for refuse in (open_checkpoint, discover):
        with pytest.raises(UserError, match=rf"mbrelease convert {path} -o FOLDER"):
            refuse(path)
    with pytest.raises(UserError, match=rf"mbrelease convert {path} -o FOLDER"):
        discover(tmp_path)


def test_paths_without_steps_stay_as_given(tmp_path, make):
    made = [make(BIN, tmp_path / "z"), make(SAFETENSORS, tmp_path / "a")]
    assert [source.path for source in discover_sources(list(map(str, made)))] == made


def test_the_same_checkpoint_twice_is_refused_through_a_link_too(tmp_path, make):
    run = tmp_path / "run"
    folder = make(BIN, run / "checkpoint-7")
    (tmp_path / "newest").symlink_to(folder)
    for other in (folder, run / "." / "checkpoint-7", tmp_path / "newest"):
        with pytest.raises(UserError, match="is given twice"):
            discover_sources([str(run), str(other)])
    with pytest.raises(UserError, match="is given twice"):
        discover_sources([str(folder), str(folder / "pytorch_model.bin")])


@formats(FOREIGN)
@pytest.mark.parametrize("open_it", [discover, open_checkpoint])
def test_commands_for_safetensors_say_how_to_convert(tmp_path, make, format, open_it):
    folder = make(format, tmp_path / "checkpoint-40")
    with pytest.raises(UserError, match=rf"mbrelease convert {folder} -o FOLDER"):
        open_it(folder)


@formats(FOREIGN)
def test_so_does_a_run(tmp_path, make, format):
    make(format, tmp_path / "checkpoint-40")
    with pytest.raises(UserError, match=rf"mbrelease convert {tmp_path}/checkpoint-40 -o FOLDER"):
        discover(tmp_path)
