"""Inputs are hashed while they are averaged: each byte is read once, and the hash is right."""

import hashlib
import json
import pwd
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mbrelease import file_hashes
from mbrelease.averaging.average import average_checkpoints
from mbrelease.averaging.reader import Reader
from mbrelease.checkpoints import source as source_module
from mbrelease.checkpoints.checkpoint import combined_sha256, open_checkpoint


def plain_sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def folders(make_checkpoint):
    rng = np.random.default_rng(0)
    return [
        make_checkpoint(
            step,
            {
                "z": rng.standard_normal(70_001),
                "a": rng.standard_normal(200_003).astype("f4"),
                "b": rng.standard_normal((300, 400)).astype("f4"),
                "h": rng.standard_normal(99).astype("f2"),
            },
        )
        for step in (1, 2, 3, 4)
    ]


@pytest.fixture
def no_other_hashing(monkeypatch):
    """Files of weights must not be hashed on their own."""
    hashed = []
    original = file_hashes.sha256_file
    monkeypatch.setattr(
        file_hashes, "sha256_file", lambda path: (hashed.append(path), original(path))[1]
    )
    return hashed


def members_of(folders):
    return [(open_checkpoint(folder), Fraction(1, len(folders))) for folder in folders]


def test_the_hashes_are_those_of_the_files(folders, tmp_path, no_other_hashing):
    average_checkpoints(members_of(folders), tmp_path / "out", recipe="uniform")
    record = json.loads((tmp_path / "out" / "averaging.json").read_text())
    expected = [plain_sha256(folder / "model.safetensors") for folder in folders]
    assert [member["sha256"] for member in record["members"]] == expected
    assert {path for path in no_other_hashing if path.parent in folders} == set()


def test_another_order_of_tensors_is_hashed_too(make_checkpoint, folders, tmp_path):
    """Other writers lay files out otherwise; ``folders`` have the usual order."""
    rng = np.random.default_rng(1)
    tensors = {"h": rng.standard_normal(99).astype("f2"), "z": rng.standard_normal(70_001)}
    tensors |= {"b": rng.standard_normal((300, 400)).astype("f4")}
    tensors |= {"a": rng.standard_normal(200_003).astype("f4")}
    other = make_checkpoint(9, tensors)
    average_checkpoints(members_of([*folders, other]), tmp_path / "out", recipe="uniform")
    record = json.loads((tmp_path / "out" / "averaging.json").read_text())
    assert record["members"][-1]["sha256"] == plain_sha256(other / "model.safetensors")


def test_shards_are_hashed_each(make_checkpoint, tmp_path, no_other_hashing):
    rng = np.random.default_rng(0)
    folders = [
        make_checkpoint(
            step,
            {name: rng.standard_normal(90_000).astype("f4") for name in "abcd"},
            shards=2,
        )
        for step in (1, 2)
    ]
    average_checkpoints(members_of(folders), tmp_path / "out", recipe="uniform")
    record = json.loads((tmp_path / "out" / "averaging.json").read_text())
    for folder, member in zip(folders, record["members"], strict=True):
        files = {file.name: plain_sha256(file) for file in folder.glob("*.safetensors")}
        assert len(files) == 2
        assert member["sha256"] == combined_sha256(files)
    assert {path for path in no_other_hashing if path.parent in folders} == set()


def test_a_byte_is_read_once(folders, tmp_path, monkeypatch):
    read = []
    original = Reader._fill
    monkeypatch.setattr(
        Reader,
        "_fill",
        lambda self, path, start, view, name: (
            read.append(len(view)),
            original(self, path, start, view, name),
        )[1],
    )
    members = members_of(folders)
    average_checkpoints(members, tmp_path / "out", recipe="uniform")
    size = sum(tensor.size_bytes for source, _ in members for tensor in source.stored.values())
    sample = sum(min(512, t.elements) * 8 for source, _ in members for t in source.stored.values())
    assert size <= sum(read) <= size + sample


def test_a_second_average_hashes_nothing(folders, tmp_path, monkeypatch):
    average_checkpoints(members_of(folders), tmp_path / "one", recipe="uniform")

    def fail(*_):
        raise AssertionError("hashed again")

    monkeypatch.setattr("mbrelease.averaging.hash_in_pass.StreamHasher.feed", fail)
    monkeypatch.setattr(source_module, "_feed", fail)
    members = [(source, Fraction(i, 10)) for i, (source, _) in enumerate(members_of(folders), 1)]
    average_checkpoints(members, tmp_path / "two", recipe="rising")


@pytest.mark.parametrize("digest", ["é" * 64, "A" * 64, "0" * 63, 7])
def test_a_memory_that_was_tampered_with_is_no_hash(folders, tmp_path, own_cache, digest):
    memory = own_cache / "mbrelease" / "sha256.json"
    memory.parent.mkdir(exist_ok=True)
    keys = [source.hash_streams[0].key for source, _ in members_of(folders)]
    memory.write_text(json.dumps(dict.fromkeys(keys, digest)))
    average_checkpoints(members_of(folders), tmp_path / "out", recipe="uniform")
    record = json.loads((tmp_path / "out" / "averaging.json").read_text())
    expected = [plain_sha256(folder / "model.safetensors") for folder in folders]
    assert [member["sha256"] for member in record["members"]] == expected


def test_a_user_without_a_home_can_average(folders, tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")

    def unknown(user):
        raise KeyError(user)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    average_checkpoints(members_of(folders), tmp_path / "out", recipe="uniform")
    assert (tmp_path / "out" / "model.safetensors").is_file()
