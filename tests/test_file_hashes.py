"""Hashes are remembered between processes, and never for a file that changed."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mbrelease import file_hashes
from mbrelease.errors import UserError

ASK = "import sys; from pathlib import Path; from mbrelease import file_hashes\n"
HASHED = ASK + (
    "from mbrelease import files\nreal = file_hashes.sha256_file\n"
    "file_hashes.sha256_file = lambda path: (print('read'), real(path))[1]\n"
    "print(file_hashes.file_sha256(Path(sys.argv[1])))"
)


def ask(path: Path) -> list[str]:
    """What another process answers, after ``read`` if it had to read the file."""
    done = subprocess.run(
        [sys.executable, "-c", HASHED, str(path)], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def settled(monkeypatch):
    """Files count as old at once."""
    monkeypatch.setattr(file_hashes, "SETTLED_NS", 0)


def test_another_process_remembers(tmp_path, settled):
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    assert file_hashes.file_sha256(file) == sha256(b"one")
    assert ask(file) == [sha256(b"one")]


@pytest.mark.parametrize("keep_times", [False, True])
def test_a_changed_file_is_read_again(tmp_path, settled, keep_times):
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    stat = file.stat()
    file_hashes.file_sha256(file)
    time.sleep(0.02)
    file.write_bytes(b"two")
    if keep_times:
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert file_hashes.file_sha256(file) == sha256(b"two")
    assert ask(file)[-1] == sha256(b"two")


def test_a_replaced_file_is_read_again(tmp_path, settled):
    file, other = tmp_path / "weights", tmp_path / "other"
    file.write_bytes(b"one")
    file_hashes.file_sha256(file)
    other.write_bytes(b"two")
    os.replace(other, file)
    assert file_hashes.file_sha256(file) == sha256(b"two")


def test_a_young_file_is_remembered_in_this_process_alone(tmp_path, own_cache):
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    file_hashes.file_sha256(file)
    assert not (own_cache / "mbrelease" / "sha256.json").exists()
    assert ask(file) == ["read", sha256(b"one")]


def test_a_file_written_to_while_it_is_read_is_not_remembered(tmp_path, settled):
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    key = file_hashes.stat_key([file])
    file.write_bytes(b"longer")
    file_hashes.remember(key, sha256(b"one"), [file])
    assert file_hashes.recall(key) is None


@pytest.mark.parametrize("damage", ["{", "[]", '{"file": 3}', "\xff"])
def test_a_damaged_memory_is_an_empty_one(tmp_path, own_cache, settled, damage):
    memory = own_cache / "mbrelease" / "sha256.json"
    memory.parent.mkdir()
    memory.write_text(damage, encoding="latin-1")
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    assert file_hashes.file_sha256(file) == sha256(b"one")
    assert list(json.loads(memory.read_text()).values()) == [sha256(b"one")]


def test_no_memory_is_no_fault(tmp_path, monkeypatch, settled):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    assert file_hashes.file_sha256(file) == sha256(b"one")


def test_the_memory_does_not_grow_for_ever(tmp_path, own_cache, settled, monkeypatch):
    monkeypatch.setattr(file_hashes, "MEMORY_ENTRIES", 3)
    for number in range(5):
        file = tmp_path / str(number)
        file.write_bytes(b"x" * number)
        file_hashes.file_sha256(file)
    kept = json.loads((own_cache / "mbrelease" / "sha256.json").read_text())
    assert list(kept.values()) == [sha256(b"x" * number) for number in (2, 3, 4)]


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        file_hashes.file_sha256(tmp_path / "none")
