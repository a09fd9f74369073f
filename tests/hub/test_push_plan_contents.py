"""What a release folder may hold: each test adds one thing to a sound folder."""

from __future__ import annotations

import os
import struct
import time
import zlib
from pathlib import Path

import pytest

from mbrelease.hub.contents import MAX_FILE_BYTES, MAX_README_BYTES, read_contents
from mbrelease.secrets import find_secrets, without_secrets

# Nobody's, and put together here so that no scanner takes this file for a leak.
HF = "hf_" + "abcdEFGH12" * 3 + "wxyz"
JOB = "hf_jwt_" + "eyJhbGciOiJ9.eyJzdWIiOiIx.c2lnbmF0dXJlLW9m"
KEY = f"-----BEGIN RSA {'PRIVATE'} KEY-----\nMIIEvQ\n-----END RSA {'PRIVATE'} KEY-----"
AWS = "AKIA" + "ABCDEFGH12345678"


def told(folder: Path) -> list[str]:
    return [problem.message for problem in read_contents(folder).problems]


def test_a_sound_folder_has_no_problem(release: Path) -> None:
    (release / "card.lock.json").write_text("{}")
    (release / "model.sig").write_text("{}")
    (release / "figures" / "drift.svg").write_text("<svg/>")
    (release / "CITATION.cff").write_text("cff-version: 1.2.0\n")
    contents = read_contents(release)
    assert contents.problems == ()
    names = {file.path for file in contents.files}
    allowed = {"card.lock.json", "model.sig", "figures/curve.png", ".eval_results/dev.yaml"}
    assert allowed <= names


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("card.lock.json.bak", "is not a file that a release holds"),
        ("figures/curve.py", "is code that would run on other people's machines"),
        ("figures/data.npz", "can run code when it is loaded"),
        ("figures/deep/rng_state_0.pth", "is the trainer's own state"),
        (".eval_results/dev.json", "is not a file that a release holds"),
        ("a b.png", "is not a file that a release holds"),
    ],
)
def test_a_file_that_is_not_allowed_is_named(release: Path, name: str, reason: str) -> None:
    (release / name).parent.mkdir(exist_ok=True)
    (release / name).write_bytes(b"")
    (message,) = told(release)
    assert message.startswith(f"{name} {reason}")


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    written = b"\x89PNG\r\n\x1a\n"
    for kind, body in chunks:
        written += struct.pack(">I", len(body)) + kind + body
        written += struct.pack(">I", zlib.crc32(kind + body))
    return written


@pytest.mark.parametrize(
    ("name", "data", "place"),
    [
        ("card.lock.json", f'{{"a": 1,\n"b": "{HF}"}}'.encode(), "card.lock.json:2"),
        ("figures/a.svg", f"<svg>\n\n<!-- {HF} --></svg>".encode(), "figures/a.svg:3"),
        (".eval_results/a.yaml", f"- url: x?token={HF}".encode(), ".eval_results/a.yaml:1"),
        ("figures/a.png", png((b"tEXt", b"Comment\0" + HF.encode())), "figures/a.png:3"),
        (
            "figures/a.png",
            png((b"IHDR", b"\0" * 13), (b"zTXt", b"Cmd\0\0" + zlib.compress(HF.encode()))),
            "figures/a.png (text 'Cmd')",
        ),
        (
            "figures/a.png",
            png((b"iTXt", b"XML\0\1\0en\0Befehl\0" + zlib.compress(HF.encode()))),
            "figures/a.png (text 'XML')",
        ),
    ],
    ids=["lock", "svg", "yaml", "tEXt", "zTXt", "iTXt"],
)
def test_a_secret_is_found_wherever_a_release_can_hide_it(
    release: Path, name: str, data: bytes, place: str
) -> None:
    (release / name).write_bytes(data)
    (message,) = told(release)
    assert message == f"{place} holds a Hugging Face token"
    assert HF not in message


def test_a_broken_picture_stops_nothing(release: Path) -> None:
    (release / "figures" / "a.png").write_bytes(
        png((b"zTXt", b"k\0\0not deflate"), (b"zTXt", b"")) + b"\xff\xff\xff\xffzTXt"
    )
    assert told(release) == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (HF, "a Hugging Face token"),
        (JOB, "a Hugging Face token"),
        ("hf_oauth_" + "eyJhbGciOiJ9." * 3, "a Hugging Face token"),
        (AWS, "an AWS access key"),
        ('aws_secret_access_key = "' + "aB3/" * 10 + '"', "an AWS secret key"),
        ("-----BEGIN OPENSSH PRIVATE " + "KEY-----", "a private key"),
        ("-----BEGIN PGP PRIVATE " + "KEY BLOCK-----", "a private key"),
        ("-----BEGIN PRIVATE " + "KEY-----", "a private key"),
        ("ghs_" + "a1B2" * 9, "a GitHub token"),
        ("eyJhbGciOiJSUzI1NiJ9" + ".eyJpc3MiOiJodHRwcyJ9.c2lnbmF0dXJl", "a JSON Web Token"),
    ],
)
def test_each_kind_is_found_and_a_cut_one_is_not(text: str, kind: str) -> None:
    assert list(find_secrets(f"x\n{{'k': {text}}}".encode())) == [(2, kind)]
    assert list(find_secrets(f"x{text[: len(text) // 2]}".encode())) == []


def test_hashes_and_words_are_no_secrets() -> None:
    harmless = ["0" * 64, "hf_hub_download", "task-" + "a" * 40, "x" + AWS, "a_" + HF, "eyJ"]
    assert list(find_secrets("\n".join(harmless).encode())) == []


def test_a_tokenizer_of_megabytes_is_searched_in_a_moment() -> None:
    data = b'"\xc4\xa0sk-hf_ghp_AKIA": 12345,\n' * 50_000 + HF.encode()
    before = time.perf_counter()
    assert list(find_secrets(data)) == [(50_001, "a Hugging Face token")]
    assert time.perf_counter() - before < 5, "about half a second, most of it for false starts"


def test_a_file_over_the_limit_is_told_and_not_read(release: Path) -> None:
    with (release / "model-00002-of-00002.safetensors").open("wb") as file:
        os.truncate(file.fileno(), MAX_FILE_BYTES + 1)  # a hole: it takes no room
    before = time.perf_counter()
    (problem,) = read_contents(release).problems
    assert problem.message.startswith("model-00002-of-00002.safetensors is larger than the 50 GB")
    assert problem.mend is not None and "max_shard_size" in problem.mend
    assert time.perf_counter() - before < 5, "50 GB cannot be hashed in that time"


def test_a_card_over_the_limit_is_told(release: Path) -> None:
    text = (release / "README.md").read_text()
    (release / "README.md").write_text(text + "x" * MAX_README_BYTES)
    assert told(release) == ["README.md is larger than 10 MB"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"token {HF} ok", "token [a secret] ok"),
        (f"{HF} and {HF}", "[a secret] and [a secret]"),
        ("nothing", "nothing"),
        (KEY, "[a secret]\n\n"),
        (f"a {KEY} b {HF}", "a [a secret]\n\n b [a secret]"),
        (KEY.splitlines()[0], "[a secret]"),
    ],
)
def test_what_is_shown_is_without_secrets(text: str, shown: str) -> None:
    assert without_secrets(text) == shown
    assert without_secrets("my password1 here", "password1") == "my [a secret] here"
