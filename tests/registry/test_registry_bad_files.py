"""Files that are no registries at all: each gets one sentence, at once, and no traceback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from valid_registry import VALID

from mbrelease.cli.main import main
from mbrelease.registry.included_files import MAX_BYTES
from mbrelease.registry.load import load_project

NAME = "registry.yaml"
PLACED = re.compile(r"registry\.yaml:\d+:\d+: ")


@pytest.fixture
def lint(tmp_path, monkeypatch, capsys):
    """What linting the registry here says, and its exit code."""
    monkeypatch.chdir(tmp_path)

    def run() -> tuple[int, str]:
        code = main(["registry", "lint", NAME])
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return code, said.out + said.err

    return run


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (VALID.encode("utf-16"), "1:1: the file is UTF-16; save it as UTF-8"),
        (b"\xfe\xff" + VALID.encode("utf-16-be"), "1:1: the file is UTF-16; save it as UTF-8"),
        (VALID.encode("utf-32"), "1:1: the file is UTF-32; save it as UTF-8"),
        (VALID.encode("utf-16-le"), "1:2: control character U+0000 is not allowed"),
        (VALID.replace("Owls", "Hüte").encode("latin-1"), "2:10: byte 0xfc is not UTF-8"),
        (VALID.replace("Owls", "Ow\0ls").encode(), "2:11: control character U+0000"),
        (b"\x1f\x8b\x08\x00rest", "1:2: byte 0x8b is not UTF-8"),
        (b"", "1:1: the registry is empty"),
        (b"# only words\n", "1:1: the registry is empty"),
        (b"version: 1\nfamily: " + 100_000 * b"[", "nested more than 40 deep"),
        (b"version: 1\nfamily: " + 100_000 * b"{a: ", "nested more than 40 deep"),
        (100_000 * b"- ", "nested more than 40 deep"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_what_is_no_text_is_told_with_its_place(lint, data, message):
    Path(NAME).write_bytes(data)
    code, said = lint()
    assert code == 1
    assert PLACED.search(said)
    assert message in said


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + VALID.encode(),
        VALID.replace("\n", "\r\n").encode(),
        VALID.replace("\n", "\r").encode(),
        b"\xef\xbb\xbf" + VALID.replace("\n", "\r\n").encode().rstrip(),
    ],
    ids=["byte order mark", "CRLF", "lone CR", "mark and CRLF"],
)
def test_what_editors_of_other_systems_write_is_valid_and_can_be_edited(lint, data):
    Path(NAME).write_bytes(data)
    code, said = lint()
    assert (code, said) == (0, "registry.yaml: 2 variants, no mistakes\n")
    assert main(["registry", "set", "child", "license", "mit"]) == 0
    after = Path(NAME).read_bytes()
    assert after.startswith(b"\xef\xbb\xbf") == data.startswith(b"\xef\xbb\xbf")
    assert after.count(b"\r") == data.count(b"\r") + (b"\r" in data)
    assert b"\n" not in after.replace(b"\r\n", b"") or b"\r" not in data
    assert load_project(Path(NAME)).variant("child").license == "mit"


def test_what_is_no_regular_file_is_not_waited_for(lint):
    os.mkfifo(NAME)
    started = time.monotonic()
    assert lint() == (2, "error: cannot read registry.yaml: not a regular file\n")
    Path(NAME).unlink()
    Path(NAME).symlink_to("/dev/zero")
    assert lint() == (2, "error: cannot read registry.yaml: not a regular file\n")
    assert time.monotonic() - started < 5


def test_a_folder_a_loop_and_nothing_are_told(lint, capsys):
    assert lint() == (2, "error: registry.yaml does not exist\n")
    Path(NAME).symlink_to(NAME)
    code, said = lint()
    assert (code, said.startswith("error: cannot read registry.yaml: ")) == (2, True)
    for arguments in (["list"], ["set", "child", "license", "mit"]):
        assert main(["registry", *arguments, "--registry", NAME]) == 2
        assert capsys.readouterr().err.startswith("error: cannot read registry.yaml: ")
    Path(NAME).unlink()
    Path(NAME).mkdir()
    assert lint() == (2, "error: cannot read registry.yaml: Is a directory\n")


def test_a_file_of_500_mb_is_refused_before_it_is_read(lint):
    with Path(NAME).open("wb") as file:
        file.truncate(500 * 2**20)  # a hole: nothing is on the disk
    started = time.process_time()
    code, said = lint()
    assert code == 2
    assert said == (
        f"error: registry.yaml has 524,288,000 bytes; a registry has {MAX_BYTES:,} at most\n"
    )
    assert time.process_time() - started < 1


def test_an_included_file_is_held_to_the_same(lint):
    Path(NAME).write_text("version: 1\nfamily: Owls\ninclude: [a.yaml]\nvariants: {}\n")
    Path("a.yaml").write_bytes(VALID.encode("utf-16"))
    code, said = lint()
    assert code == 1
    assert "a.yaml:1:1: the file is UTF-16; save it as UTF-8" in said
    with Path("a.yaml").open("wb") as file:
        file.truncate(500 * 2**20)
    code, said = lint()
    assert (code, said.startswith("error: ")) == (2, True)
    assert "a.yaml has 524,288,000 bytes" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_file_without_permission_is_told(lint):
    Path(NAME).write_text(VALID)
    Path(NAME).chmod(0)
    assert lint() == (2, "error: cannot read registry.yaml: Permission denied\n")


def test_a_lock_left_by_a_dead_process_holds_nobody(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(NAME).write_text(VALID)
    holder = (
        "import os, sys, pathlib, mbrelease.registry.edit as edit\n"
        "edit.read_registry = lambda *_: os.kill(os.getpid(), 9)\n"
        "edit.set_value(pathlib.Path('registry.yaml'), 'child', 'license', 'mit')\n"
    )
    died = subprocess.run([sys.executable, "-c", holder], check=False)
    assert died.returncode == -9
    assert main(["registry", "set", "child", "license", "isc"]) == 0
    assert load_project(Path(NAME)).variant("child").license == "isc"


def test_every_other_command_tells_of_a_bad_registry_in_the_same_way(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path(NAME).write_bytes(VALID.encode("utf-16"))
    for arguments in (["list"], ["tree"], ["show", "child"], ["set", "child", "license", "mit"]):
        assert main(["registry", *arguments]) == 2
        said = capsys.readouterr().err
        assert said.splitlines()[0] in (
            "error: registry.yaml:1:1: the file is UTF-16; save it as UTF-8",
        )
