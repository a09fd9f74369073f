"""Folders of torch.distributed.checkpoint open as the model that was saved, whatever its shards."""

from __future__ import annotations

import copy
import json
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from composer_states import (
    FLEXBERT,
    bytes_of,
    content_of,
    converted_logits,
    logits,
    state,
    weights,
)

from mbrelease.checkpoints.dcp import open_dcp
from mbrelease.errors import CheckFailed, UserError

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")

BESIDE = ("config.json", "tokenizer.json", "tokenizer_config.json")
SPECIAL_TOKENS = ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")
MOMENTS = ("exp_avg", "exp_avg_sq")
Load = Callable[[Any], Any]

# Two processes on one machine, as torchrun starts them, without its launcher.
SHARDED = """
import os
import sys
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

rank, store, weights, folder = int(sys.argv[1]), *sys.argv[2:]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
mesh = init_device_mesh("cpu", (2,))
model = torch.load(weights, weights_only=True)

def placed(number, tensor):
    kinds = [Shard(0), Replicate(), Shard(1)]
    return distribute_tensor(tensor, mesh, [kinds[number % (3 if tensor.ndim > 1 else 2)]])

shards = {name: placed(i, tensor) for i, (name, tensor) in enumerate(model.items())}
# Rows of a number that is odd, and a chunk of nothing on the second process.
shards["decoder.bias"] = distribute_tensor(model["decoder.bias"], mesh, [Shard(0)])
step = torch.tensor(1.0)
optim = {"state": {name: {"exp_avg": t * 0, "step": step} for name, t in shards.items()}}
dcp.save({"model": shards, "optim": optim, "step": 5}, checkpoint_id=folder)
dist.barrier()
os._exit(0)  # gloo's threads now and then abort a process that ends by itself
"""


@pytest.fixture(scope="module")
def model(saved_by_5x: Path) -> Any:
    """Do not change."""
    from transformers import ModernBertForMaskedLM

    return ModernBertForMaskedLM.from_pretrained(saved_by_5x)


@pytest.fixture(scope="module")
def expected(model: Any) -> dict[str, bytes]:
    """The bytes of each weight."""
    found = {name: bytes_of(value) for name, value in model.state_dict().items()}
    del found["decoder.weight"]
    return found


def write(folder: Path, content: dict[str, Any], beside: Path | None = None) -> Path:
    import torch.distributed.checkpoint as dcp

    dcp.save(content, checkpoint_id=folder, no_dist=True)
    for name in BESIDE if beside else ():
        (folder / name).write_bytes((beside / name).read_bytes())
    return folder


@pytest.fixture
def saved(model: Any, saved_by_5x: Path, tmp_path: Path) -> Path:
    """A model and its optimizer, as a trainer of one process saves them."""
    content = {"model": model.state_dict(), "optim": moments(model), "step": 5}
    return write(tmp_path / "checkpoint-5", content, saved_by_5x)


def moments(model: Any) -> dict[str, Any]:
    """The state of an optimizer after a step of a copy of ``model``."""
    import torch

    trained = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(trained.parameters())
    sum(parameter.sum() for parameter in trained.parameters()).backward()
    optimizer.step()
    return optimizer.state_dict()


@pytest.fixture
def metadata() -> Callable[[Path, Callable[[Any], None]], None]:
    """Change a folder's .metadata with torch's own classes."""

    def change(folder: Path, edit: Callable[[Any], None]) -> None:
        path = folder / ".metadata"
        content = pickle.loads(path.read_bytes())
        edit(content)
        path.write_bytes(pickle.dumps(content))

    return change


# The model


def test_the_weights_are_those_that_were_saved_bit_for_bit(
    saved: Path, model: Any, expected: dict[str, bytes], tmp_path: Path
) -> None:
    import torch

    checkpoint = open_dcp(saved)
    assert content_of(checkpoint) == expected
    assert (checkpoint.name, checkpoint.step) == ("checkpoint-5", 5)
    assert torch.equal(converted_logits(checkpoint, tmp_path / "converted"), logits(model))


def test_shards_of_two_processes_make_the_same_model(
    model: Any, saved_by_5x: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    import torch

    folder, given = tmp_path / "sharded", tmp_path / "weights.pt"
    torch.save(dict(model.state_dict()), given)
    command = [sys.executable, "-c", SHARDED]
    paths = [str(tmp_path / "store"), str(given), str(folder)]
    processes = [subprocess.Popen([*command, str(rank), *paths]) for rank in (0, 1)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert len(list(folder.glob("*.distcp"))) == 2

    for name in BESIDE:  # in the folder around it
        (tmp_path / name).write_bytes((saved_by_5x / name).read_bytes())
    checkpoint = open_dcp(folder)
    assert content_of(checkpoint) == expected
    pieces = {name: len(tensor.segments) for name, tensor in checkpoint.stored.items()}
    by_row = {name: 2 * tensor.shape[0] for name, tensor in checkpoint.stored.items()}
    # Whole, halves of all rows, and two halves of each row.
    assert {1, 2} < set(pieces.values())
    assert all(count in (1, 2, by_row[name]) for name, count in pieces.items())
    assert torch.equal(converted_logits(checkpoint, tmp_path / "converted"), logits(model))


def test_the_optimizers_items_are_never_read(saved: Path, model: Any) -> None:
    before = open_dcp(saved).weights_sha256
    (file,) = saved.glob("*.distcp")
    data = bytearray(file.read_bytes())
    content = pickle.loads((saved / ".metadata").read_bytes())
    items = [(i.fqn, info) for i, info in content.storage_data.items() if i.fqn.startswith("optim")]
    assert sum(name.endswith(MOMENTS) for name, _ in items) == 2 * len(list(model.parameters()))
    for _name, info in items:
        data[info.offset : info.offset + info.length] = b"\xff" * info.length
    file.write_bytes(data)
    assert open_dcp(saved).weights_sha256 == before


def test_the_shards_of_a_trainer_are_known_by_the_folder_around_them(
    model: Any, saved_by_5x: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    trainers = tmp_path / "checkpoint-40"
    write(trainers / "pytorch_model_fsdp_0", {"model": model.state_dict()})
    with pytest.raises(UserError, match="no config in .*checkpoint-40, and no config.json in "):
        open_dcp(trainers / "pytorch_model_fsdp_0")
    for name in BESIDE:  # where the Trainer puts the model when it is done
        (tmp_path / name).write_bytes((saved_by_5x / name).read_bytes())
    checkpoint = open_dcp(trainers / "pytorch_model_fsdp_0")
    assert (checkpoint.path, checkpoint.step) == (trainers, 40)
    assert content_of(checkpoint) == expected
    assert checkpoint.tokenizer_sha256


@pytest.mark.parametrize("flatten", ["after 2.4", "before 2.4"])
def test_composers_shards_have_config_and_tokenizer_inside(
    model: Any,
    saved_by_5x: Path,
    expected: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flatten: str,
) -> None:
    import torch
    import torch.distributed.checkpoint._version as version

    if flatten == "before 2.4":
        monkeypatch.setattr(version, "_derived_version", "2_3")
    content = state(weights(model), FLEXBERT, saved_by_5x)
    folder = write(tmp_path / "ep0-ba100", content)
    names = pickle.loads((folder / ".metadata").read_bytes()).state_dict_metadata
    assert ("state.integrations" in names) is (flatten == "before 2.4")
    checkpoint = open_dcp(folder)
    assert (checkpoint.name, checkpoint.step) == ("ep0-ba100", 100)
    assert content_of(checkpoint) == expected
    for name in ("tokenizer.json", "tokenizer_config.json"):
        found, wanted = checkpoint.companion(name), (saved_by_5x / name).read_bytes()
        assert found is not None
        assert json.loads(found) == _without_empty(json.loads(wanted), flatten)
    assert checkpoint.config.classifier_activation == "gelu"
    assert checkpoint.raw_config["pad_token_id"] == 3
    assert torch.equal(converted_logits(checkpoint, tmp_path / "converted"), logits(model))


def _without_empty(value: Any, flatten: str) -> Any:
    """torch keeps no empty dict since 2.4."""
    if flatten == "before 2.4" or not isinstance(value, dict):
        return value
    kept = {key: _without_empty(item, flatten) for key, item in value.items()}
    return {key: item for key, item in kept.items() if item != {}}


def test_a_tokenizer_is_read_when_it_is_asked_for(
    model: Any, saved_by_5x: Path, tmp_path: Path
) -> None:
    content = state(weights(model), FLEXBERT, saved_by_5x)
    tokenizer = content["state"]["integrations"]["huggingface"]["tokenizer"]
    tokenizer["tokenizer_config"]["content"]["added_tokens_decoder"] = {  # as 4.x writes it
        str(number): {"content": token} for number, token in enumerate(SPECIAL_TOKENS)
    }
    folder = write(tmp_path / "ep0-ba100", content)
    (file,) = folder.glob("*.distcp")
    data = bytearray(file.read_bytes())
    found = pickle.loads((folder / ".metadata").read_bytes()).storage_data
    prefix = "state.integrations.huggingface.tokenizer.tokenizer.content.model.vocab"
    items = [info for index, info in found.items() if index.fqn.startswith(prefix)]
    assert len(items) > 256
    for info in items:
        data[info.offset : info.offset + info.length] = b"\xff" * info.length
    file.write_bytes(data)
    checkpoint = open_dcp(folder)
    assert checkpoint.raw_config["pad_token_id"] == 3
    with pytest.raises(UserError, match="__0_0.distcp"):
        checkpoint.companion("tokenizer.json")


def test_empty_and_tiny_tensors(tmp_path: Path) -> None:
    import torch

    from mbrelease.checkpoints.dcp import stored_tensor
    from mbrelease.checkpoints.dcp_metadata import read_metadata

    tensors = {"none": torch.zeros(0, 3), "one": torch.tensor(7), "half": torch.ones(2).half()}
    found = read_metadata(write(tmp_path / "dcp", tensors))
    shapes = {name: stored_tensor(found, name).shape for name in tensors}
    assert shapes == {"none": (0, 3), "one": (), "half": (2,)}
    one = stored_tensor(found, "one")
    assert (one.dtype, one.size_bytes) == ("I64", 8)
    assert stored_tensor(found, "none").size_bytes == 0


# The pieces


def test_boxes_within_a_tensor_are_put_in_the_order_of_its_elements(
    tmp_path: Path, metadata: Callable[..., None]
) -> None:
    import torch
    from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, MetadataIndex

    from mbrelease.checkpoints.dcp import stored_tensor
    from mbrelease.checkpoints.dcp_metadata import read_metadata

    whole = torch.arange(4 * 5 * 6, dtype=torch.int32).reshape(4, 5, 6)
    boxes = [
        ((0, 0, 0), (4, 2, 6)),
        ((0, 2, 0), (3, 3, 2)),
        ((0, 2, 2), (3, 3, 4)),
        ((3, 2, 0), (1, 3, 6)),
    ]
    parts = {
        f"part{i}": whole[
            tuple(slice(a, a + n) for a, n in zip(at, size, strict=True))
        ].contiguous()
        for i, (at, size) in enumerate(boxes)
    }
    folder = write(tmp_path / "dcp", parts)

    def join(content: Any) -> None:
        entry = content.state_dict_metadata["part0"]
        entry.size = whole.shape
        entry.chunks = [
            ChunkStorageMetadata(torch.Size(at), torch.Size(size)) for at, size in boxes
        ]
        entry.chunks.append(entry.chunks[0])  # on another process, too
        infos = {i.fqn: info for i, info in content.storage_data.items()}
        content.storage_data = {
            MetadataIndex("part0", at): infos[f"part{i}"] for i, (at, _) in enumerate(boxes)
        }

    metadata(folder, join)
    tensor = stored_tensor(read_metadata(folder), "part0")
    data = b"".join(
        segment.path.read_bytes()[segment.start : segment.start + segment.size_bytes]
        for segment in tensor.segments
    )
    assert data == bytes_of(whole)
    assert len(tensor.segments) == 4 + 9 + 9 + 1


NAME = "model.model.embeddings.norm.weight"


def _chunks(content: Any) -> list[Any]:
    return content.state_dict_metadata[NAME].chunks


def _info(content: Any) -> Any:
    return next(info for i, info in content.storage_data.items() if i.fqn == NAME)


def _grow(content: Any) -> None:
    import torch

    content.state_dict_metadata[NAME].size = torch.Size([65])


def _shift(content: Any) -> None:
    import torch
    from torch.distributed.checkpoint.metadata import MetadataIndex

    _chunks(content)[0].offsets = torch.Size([1])
    index = next(i for i in content.storage_data if i.fqn == NAME)
    content.storage_data[MetadataIndex(NAME, (1,))] = content.storage_data.pop(index)


def _overlap(content: Any) -> None:
    import torch
    from torch.distributed.checkpoint.metadata import MetadataIndex

    chunk = copy.copy(_chunks(content)[0])
    chunk.offsets = torch.Size([32])
    _chunks(content).append(chunk)
    content.storage_data[MetadataIndex(NAME, (32,))] = _info(content)


def _same_place(content: Any) -> None:
    import torch

    chunk = copy.copy(_chunks(content)[0])
    chunk.sizes = torch.Size([32])
    _chunks(content).append(chunk)


def _forget(content: Any) -> None:
    index = next(i for i in content.storage_data if i.fqn == NAME)
    del content.storage_data[index]


def _compress(content: Any) -> None:
    _info(content).transform_descriptors = ["zstd"]


def _swap(content: Any) -> None:
    other = next(info for i, info in content.storage_data.items() if i.fqn.endswith("decoder.bias"))
    _info(content).offset, _info(content).length = other.offset, other.length


def _outside(content: Any) -> None:
    _info(content).relative_path = "../weights.distcp"


def _elsewhere(content: Any) -> None:
    _info(content).relative_path = "__7_0.distcp"


def _beyond(content: Any) -> None:
    _info(content).offset = 10**9


def _negative(content: Any) -> None:
    _info(content).offset = -5


def _complex(content: Any) -> None:
    import torch

    content.state_dict_metadata[NAME].properties.dtype = torch.complex64


def _untyped(content: Any) -> None:
    content.state_dict_metadata[NAME].properties = None


def _unboxed(content: Any) -> None:
    _chunks(content)[0].sizes = None


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_grow, "the chunks of '.*embeddings.norm.weight' leave a gap"),
        (_shift, "the chunks of '.*embeddings.norm.weight' leave a gap"),
        (_overlap, "the chunks of '.*embeddings.norm.weight' overlap"),
        (_same_place, "two chunks of '.*embeddings.norm.weight' begin at the same place"),
        (_forget, "it does not say where '.*embeddings.norm.weight' lies"),
        (_compress, "embeddings.norm.weight' went through an extension when it was saved"),
        (_swap, "another tensor lies where a part of '.*embeddings.norm.weight' is"),
        (_outside, "embeddings.norm.weight' lies in no file of the folder"),
        (_negative, "embeddings.norm.weight' lies in no file of the folder"),
        (_elsewhere, r"\.metadata lists __7_0\.distcp, which is missing"),
        (_beyond, r"__0_0\.distcp is truncated"),
        (_complex, "embeddings.norm.weight' is of dtype complex64, for which safetensors has no n"),
        (_untyped, "embeddings.norm.weight' is of dtype None"),
        (_unboxed, "'.*embeddings.norm.weight' has no sizes"),
    ],
)
def test_what_does_not_make_the_whole_of_a_tensor_is_refused(
    saved: Path, metadata: Callable[..., None], edit: Callable[[Any], None], message: str
) -> None:
    metadata(saved, edit)
    with pytest.raises(UserError, match=message):
        open_dcp(saved)


def test_a_file_that_is_too_short_is_refused(saved: Path) -> None:
    (file,) = saved.glob("*.distcp")
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"__0_0\.distcp"):
        open_dcp(saved)


def test_a_tensor_that_is_transposed_in_its_item_is_refused(tmp_path: Path) -> None:
    import torch

    tensors = {"model": {"embeddings.tok_embeddings.weight": torch.ones(3, 4).t()}}
    with pytest.raises(UserError, match="tok_embeddings.weight' is unreadable: .* not contiguous"):
        open_dcp(write(tmp_path / "dcp", tensors))


def test_a_tied_decoder_that_differs_is_refused(
    model: Any, saved_by_5x: Path, tmp_path: Path
) -> None:
    tensors = dict(model.state_dict())
    tensors["decoder.weight"] = tensors["decoder.weight"] + 1
    folder = write(tmp_path / "dcp", {"model": tensors}, saved_by_5x)
    with pytest.raises(CheckFailed, match=r"decoder\.weight differs from"):
        open_dcp(folder)


# The metadata


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cannot be read: it ends too early"),
        (pickle.dumps({"state_dict_metadata": {}}), "is not the metadata of torch.distributed"),
        (pickle.dumps(print), "is not the metadata of torch.distributed"),
    ],
)
def test_a_metadata_that_is_none_is_refused(saved: Path, data: bytes, message: str) -> None:
    (saved / ".metadata").write_bytes(data)
    with pytest.raises(UserError, match=message):
        open_dcp(saved)


def test_a_metadata_that_would_run_a_program_runs_none(
    saved: Path, metadata: Callable[..., None], tmp_path: Path
) -> None:
    import os

    victim = tmp_path / "victim"

    class Malicious:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(victim),)

    content = pickle.loads((saved / ".metadata").read_bytes())
    content.storage_meta = Malicious()
    (saved / ".metadata").write_bytes(pickle.dumps(content))
    assert open_dcp(saved).config.vocab_size == 288
    content.state_dict_metadata = Malicious()
    (saved / ".metadata").write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match="holds no ModernBERT"):
        open_dcp(saved)
    assert not victim.exists()


def test_tables_of_other_things_are_sentences(saved: Path, metadata: Callable[..., None]) -> None:
    def spoil(content: Any) -> None:
        content.storage_data[5] = 6
        content.state_dict_metadata[5] = 6
        content.planner_data = {"a": 5, 6: ("b",), "c": (), "d": (None,), "e": ("x",) * 1000}

    metadata(saved, spoil)
    assert open_dcp(saved).config.vocab_size == 288


def test_a_damaged_metadata_is_a_sentence_or_says_the_same(
    saved: Path, expected: dict[str, bytes]
) -> None:
    path = saved / ".metadata"
    whole, chance, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 3))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
        try:
            found = open_dcp(saved)
        except UserError:
            refused += 1
        else:
            assert found.stored.keys() == expected.keys()
    assert refused > 30


def test_no_metadata_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.metadata does not exist"):
        open_dcp(tmp_path)
