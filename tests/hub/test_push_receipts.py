"""A receipt of a commit learns more, and never loses what it has proven."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from outcome import REPO, write_release
from signing_keys import write_keys

from mbrelease.cli.main import main
from mbrelease.hub.receipt import read_receipt

LEFT_OUT = ("LICENSE", "averaging.json")


@pytest.fixture
def full(proxy, cut_api: HfApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A release in a folder with receipts, of someone who is logged in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", cut_api.endpoint)
    monkeypatch.setenv("HF_TOKEN", str(cut_api.token))
    write_release(tmp_path / "full")
    (tmp_path / "full" / "averaging.json").write_text("{}")
    return tmp_path / "full"


@pytest.fixture
def part(full: Path) -> Path:
    """The same with two files less."""
    folder = Path(shutil.copytree(full, full.parent / "part"))
    for name in LEFT_OUT:
        (folder / name).unlink()
    return folder


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return write_keys(tmp_path / "keys")


def push(folder: Path, *options: object) -> int:
    return main(["push", folder.name, "--to", REPO, *map(str, options)])


def receipt_file() -> Path:
    (path,) = Path("receipts").rglob("*.json")
    return path


def seal(path: Path) -> Path:
    return path.with_name(f"{path.name}.sig")


def commits(api: HfApi) -> int:
    return len(api.list_repo_commits(REPO))


def test_a_push_of_fewer_files_that_sends_nothing_leaves_the_receipt_as_it_is(
    cut_api: HfApi, full: Path, part: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(full, "--tag", "v1.0") == 0
    before = receipt_file().read_bytes()
    capsys.readouterr()
    assert push(part) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "not sent" in told and "of another release" not in told
    assert receipt_file().read_bytes() == before
    assert main(["push", "--status", REPO]) == 0
    assert capsys.readouterr().out.endswith("5 files, tag v1.0\n")
    assert main(["pull-check", f"{REPO}@v1.0"]) == 0
    assert "5 files" in capsys.readouterr().out
    cut_api.delete_tag(REPO, tag="v1.0")
    assert main(["push", "--status", REPO]) == 1, "the tag is still looked at"


def test_a_second_tag_is_added_and_both_are_looked_at(
    cut_api: HfApi, full: Path, part: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(full, "--tag", "v1.0") == 0
    first = read_receipt(receipt_file())
    assert push(part, "--tag", "v1.1") == 0
    assert push(full, "--tag", "v1.0") == 0, "one that is known changes nothing"
    receipt = read_receipt(receipt_file())
    assert (receipt.tag, receipt.tags) == ("v1.1", ["v1.0", "v1.1"])
    assert receipt.with_tag("v1.1") == receipt
    expected = first.model_copy(update={"tag": "v1.1", "earlier_tags": ["v1.0"]})
    assert receipt == expected, "and nothing else has changed"
    assert main(["push", "--status", REPO]) == 0
    assert capsys.readouterr().out.endswith("tags v1.0, v1.1\n")
    cut_api.delete_tag(REPO, tag="v1.0")
    capsys.readouterr()
    assert main(["push", "--status", REPO]) == 1
    assert "the tag 'v1.0' is gone" in capsys.readouterr().err
    assert main(["pull-check", REPO]) == 1
    assert "the tag 'v1.0' is gone" in capsys.readouterr().err


def test_files_that_were_kept_are_added_when_they_are_proven(
    proxy, cut_api: HfApi, full: Path, part: Path
) -> None:
    cut_api.create_repo(REPO)
    for name in LEFT_OUT:
        cut_api.upload_file(path_or_fileobj=full / name, path_in_repo=name, repo_id=REPO)
    assert push(part, "--tag", "v1") == 0
    first = read_receipt(receipt_file())
    assert first.summary.remote_only == list(LEFT_OUT)
    proxy.log.clear()
    assert push(full) == 0
    receipt = read_receipt(receipt_file())
    assert set(receipt.files) == {*first.files, *LEFT_OUT} and receipt.tag == "v1"
    assert receipt.summary.remote_only == [] and receipt.summary.added == first.summary.added
    verified = receipt.what_was_verified
    assert verified is not None and verified.files == 5 and verified.read_before == {}
    assert verified.bytes == sum(file.size_bytes for file in receipt.files.values())
    read = {
        path.rpartition("/")[2] for m, path, _ in proxy.log if m == "GET" and "/resolve/" in path
    }
    assert read == set(LEFT_OUT), "what the receipt proves is not read twice"


def test_a_signed_receipt_outlives_a_push_without_the_key(
    full: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(full, "--sign-key", keys[0], "--tag", "v1") == 0
    unsigned = Path(shutil.copytree(full, full.parent / "unsigned"))
    (unsigned / "model.sig").unlink()
    before = receipt_file().read_bytes(), seal(receipt_file()).read_bytes()
    capsys.readouterr()
    assert push(unsigned) == 0
    assert "model.sig" not in capsys.readouterr().err.partition("note:")[2]
    assert (receipt_file().read_bytes(), seal(receipt_file()).read_bytes()) == before
    for call in (["push", "--status", REPO], ["pull-check", f"{REPO}@v1"]):
        assert main([*call, "--public-key", str(keys[1])]) == 0


def test_a_signed_receipt_gets_a_tag_with_the_key_alone(
    cut_api: HfApi, full: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(full, "--sign-key", keys[0]) == 0
    err = " ".join(capsys.readouterr().err.split())
    assert " to send, and model.sig" in err and "6 files read back" in err
    before = receipt_file().read_bytes()
    capsys.readouterr()
    assert push(full, "--tag", "v1") == 1
    told = capsys.readouterr().err
    assert "is signed, and does not name the tag v1 yet" in told and "--sign-key FILE" in told
    assert cut_api.list_repo_refs(REPO).tags == [] and receipt_file().read_bytes() == before
    assert push(full, "--tag", "v1", "--sign-key", keys[0]) == 0
    assert read_receipt(receipt_file()).tag == "v1"
    assert main(["push", "--status", REPO, "--public-key", str(keys[1])]) == 0


def test_a_receipt_that_changes_does_not_keep_an_old_signature(
    proxy, full: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mbrelease.hub import signing

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    assert push(full, "--sign-key", keys[0]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(signing, "sign_file", stop)
        assert push(full, "--tag", "v1", "--sign-key", keys[0]) != 0
    assert read_receipt(receipt_file()).tag == "v1" and not seal(receipt_file()).exists()
    assert push(full, "--tag", "v1", "--sign-key", keys[0]) == 0
    assert seal(receipt_file()).exists()


@pytest.mark.parametrize("again", ["deleted", "moved"])
def test_main_is_judged_by_its_own_receipt_of_a_merge(
    again: str, cut_api: HfApi, full: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(full) == 0
    first = read_receipt(receipt_file())
    (full / "LICENSE").write_text("Another\n")
    assert push(full, "--pr") == 0
    cut_api.merge_pull_request(REPO, 1)
    assert push(full, "--tag", "v1.1") == 0
    capsys.readouterr()
    assert main(["push", "--status", REPO]) == 0
    merged = str(cut_api.model_info(REPO).sha)
    told = capsys.readouterr().out
    assert f": {merged[:12]}, 5 files, tag v1.1" in told and "proposed" not in told
    cut_api.delete_tag(REPO, tag="v1.1")
    if again == "moved":
        cut_api.create_tag(REPO, tag="v1.1", revision=first.commit)
    assert main(["push", "--status", REPO]) == 1
    names = "is gone" if again == "deleted" else f"names {first.commit[:12]}"
    assert f"the tag 'v1.1' {names}" in capsys.readouterr().err


def test_after_a_fault_at_the_tag_the_second_run_only_sets_it(
    proxy, full: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proxy.answers = lambda m, path: (403, [], b"{}") if "/tag/" in path else None
    assert push(full, "--tag", "v1") == 1
    assert "run the same command again: it only sets the tag" in capsys.readouterr().err
    assert read_receipt(receipt_file()).tag is None
    proxy.answers = lambda m, path: None
    proxy.log.clear()
    assert push(full, "--tag", "v1") == 0
    assert proxy.count("GET", "/resolve/") == proxy.count("HEAD", "/resolve/") == 0
    assert proxy.count("POST", "/tag/") == 1
    assert "read back" not in capsys.readouterr().err
    assert read_receipt(receipt_file()).tag == "v1"
