"""The files of a folder: one deliberate fault for each check, found and named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.checkpoints.safetensors_header import read_header
from mbrelease.files import sha256_bytes, sha256_file
from mbrelease.parity.checks.files import MAX_FILE_BYTES, check_files
from mbrelease.parity.checks.hashes import Recorded, check_hashes
from mbrelease.parity.report import CheckResult
from mbrelease.parity.verify import verify

WEIGHTS = "model.safetensors"


def asked(folder: Path, *, publishable: bool = True) -> dict[str, CheckResult]:
    results = check_files(open_checkpoint(folder), publishable=publishable)
    by_name = {result.name: result for result in results}
    assert len(by_name) == len(results)
    assert all(result.mend for result in results if result.status != "pass")
    return by_name


def not_passed(results: dict[str, CheckResult]) -> dict[str, str]:
    return {name: result.status for name, result in results.items() if result.status != "pass"}


def write(name: str, text: str = "x") -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)

    return apply


def sparse(folder: Path) -> None:
    with (folder / "more.safetensors").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)


FAULTS = {
    "what a desktop leaves": (write(".DS_Store"), "files.leftovers", ".DS_Store"),
    "a notebook's copies": (
        write(".ipynb_checkpoints/config-checkpoint.json", "{}"),
        "files.leftovers",
        ".ipynb_checkpoints/config-checkpoint.json",
    ),
    "a file that was never finished": (
        write(".model.safetensors.k3.tmp"),
        "files.leftovers",
        ".model.safetensors.k3.tmp",
    ),
    "a download that was cut short": (
        write(".cache/huggingface/download/x.incomplete"),
        "files.leftovers",
        ".cache/huggingface/download/x.incomplete",
    ),
    "a trainer's log below": (
        write("checkpoint-5/trainer_state.json", "{}"),
        "files.leftovers",
        "checkpoint-5/trainer_state.json",
    ),
    "an event log": (
        write("runs/events.out.tfevents.1.host"),
        "files.leftovers",
        "runs/events.out.tfevents.1.host",
    ),
    "an optimizer in safetensors": (
        write("optimizer.safetensors"),
        "files.leftovers",
        "optimizer.safetensors",
    ),
    "the optimizer": (write("optimizer.pt"), "files.pickles", "optimizer.pt"),
    "a state of random numbers": (write("rng_state.pth"), "files.pickles", "rng_state.pth"),
    "a line break in a name": (write("a\nb.json", "{}"), "files.names", r"a\nb.json"),
    "a name that Windows refuses": (write("a:b.txt"), "files.names", "a:b.txt"),
    "bytes that are no text in a name": (
        lambda folder: (folder / os.fsdecode(b"\xff.txt")).write_text("x"),
        "files.names",
        r"\udcff.txt",
    ),
    "names that differ in case alone": (
        write("Config.json", "{}"),
        "files.names",
        "Config.json and config.json",
    ),
    "a file larger than the Hub takes": (
        sparse,
        "files.sizes",
        "more.safetensors has 50,000,000,001 bytes",
    ),
}


@pytest.mark.parametrize(("fault", "name", "found"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_found_and_named(release, fault, name, found):
    fault(release)
    results = asked(release)
    assert not_passed(results) == {name: "fail"}
    assert found in results[name].found


@pytest.mark.parametrize("name", ["my figure.png", "modèle.md"])
def test_a_name_that_some_systems_write_otherwise_is_a_remark(release, name):
    write(name)(release)
    results = asked(release)
    assert not_passed(results) == {"files.names": "warn"}
    assert name in results["files.names"].found


def test_what_belongs_in_a_release_is_no_fault(release):
    for name in (
        "README.md",
        "LICENSE",
        ".gitattributes",
        "figures/a.png",
        "1_Pooling/config.json",
    ):
        write(name, "{}")(release)
    results = asked(release)
    assert not_passed(results) == {}
    count = sum(1 for path in release.rglob("*") if path.is_file())
    assert results["files.sizes"].found.startswith(f"{count} files, ")


def test_a_trainers_own_state_is_at_home_in_its_folder(release):
    for name in ("trainer_state.json", "optimizer.safetensors", "latest"):
        write(name, "{}")(release)
    assert not_passed(asked(release, publishable=False)) == {}
    write(".DS_Store")(release)
    results = asked(release, publishable=False)
    assert not_passed(results) == {"files.leftovers": "warn"}
    assert results["files.leftovers"].found == ".DS_Store"


def test_a_folder_that_is_known_as_a_release_is_judged_as_one(release):
    write("trainer_state.json", "{}")(release)
    assert verify(release, load=False).passed
    report = verify(release, release=True, load=False)
    assert [result.name for result in report.failures] == ["files.leftovers"]
    assert report.failures[0].found == "trainer_state.json"


def hashes(folder: Path, receipt: Recorded | None = None, *, read: bool = True) -> CheckResult:
    return check_hashes(open_checkpoint(folder), read=read, receipt=receipt)


def record(folder: Path, **files: str) -> None:
    known = {
        "config.json": sha256_file(folder / "config.json"),
        WEIGHTS: sha256_file(folder / WEIGHTS),
    }
    content = {"recipe": "last:3", "files": known | files}
    (folder / "averaging.json").write_text(json.dumps(content))


def test_sizes_and_hashes_are_in_the_json(release):
    result = hashes(release)
    digest, size = sha256_file(release / WEIGHTS), (release / WEIGHTS).stat().st_size
    assert result.as_json()["details"] == {
        "files": {WEIGHTS: {"size_bytes": size, "sha256": digest}}
    }
    assert result.found == f"{WEIGHTS} {digest[:12]}; recorded nowhere else"
    unread = hashes(release, read=False)
    assert (unread.status, unread.found) == ("skip", "headers only")
    assert asdict(unread)["details"]["files"][WEIGHTS] == {"size_bytes": size, "sha256": None}


def test_weights_are_those_that_the_average_recorded(release):
    record(release)
    assert hashes(release).status == "pass"
    assert hashes(release).found.endswith("; as in averaging.json")
    data = bytearray((release / WEIGHTS).read_bytes())
    data[read_header(release / WEIGHTS).data_start] ^= 1
    (release / WEIGHTS).write_bytes(data)
    result = hashes(release)
    assert result.status == "fail"
    assert f"{WEIGHTS} is {sha256_bytes(bytes(data))[:12]}, " in result.found
    assert result.found.endswith(" in averaging.json")
    assert [r.name for r in verify(release).failures] == ["files.hashes"]


def test_a_config_that_was_edited_after_averaging_is_a_remark(release):
    record(release, **{"config.json": "0" * 64, "../elsewhere": "1" * 64})
    result = hashes(release)
    assert result.status == "warn"
    assert "config.json is " in result.found
    assert ", 000000000000 in averaging.json" in result.found


@pytest.mark.parametrize("content", ["[]", '{"files": {"a": 5}}', "{"])
def test_a_record_that_is_none_is_a_sentence(release, content):
    (release / "averaging.json").write_text(content)
    result = hashes(release)
    assert result.status == "fail"
    assert "averaging.json" in result.found


def test_a_receipt_tells_what_was_published(release):
    digest = sha256_file(release / WEIGHTS)
    assert hashes(release, Recorded("the receipt", {WEIGHTS: digest})).found.endswith(
        "; as in the receipt"
    )
    result = hashes(release, Recorded("the receipt", {WEIGHTS: "a" * 64}))
    assert (result.status, "aaaaaaaaaaaa in the receipt" in result.found) == ("fail", True)


def test_the_cache_of_the_hub_names_a_file_by_its_hash(release, tmp_path):
    repo = tmp_path / "models--org--name"
    snapshot = Path(shutil.copytree(release, repo / "snapshots" / "abc"))
    (repo / "blobs").mkdir()
    digest = sha256_file(snapshot / WEIGHTS)
    (snapshot / WEIGHTS).rename(repo / "blobs" / digest)
    (snapshot / WEIGHTS).symlink_to(f"../../blobs/{digest}")
    assert hashes(snapshot).found.endswith("; as in the Hub's list")
    with (repo / "blobs" / digest).open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x7f")
    result = hashes(snapshot)
    assert result.status == "fail"
    assert f"{digest[:12]} in the Hub's list" in result.found
