"""`push --status` and `pull-check` with a key: signatures of the model and of its receipt."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from signing_keys import write_keys

from mbrelease.cli.main import main
from mbrelease.hub.signed_files import SIGNATURE
from mbrelease.hub.signing_keys import read_public_key

REPO = "rehearsal/tiny"
LOOKS = (["push", "--status", REPO], ["pull-check", REPO])


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return write_keys(tmp_path / "keys")


@pytest.fixture
def at_hub(api: HfApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HfApi:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HF_ENDPOINT", api.endpoint)
    monkeypatch.setenv("HF_TOKEN", str(api.token))
    return api


@pytest.fixture
def receipt(at_hub: HfApi, release: Path, keys: tuple[Path, Path]) -> Path:
    """That of a signed push."""
    assert push(release, "--sign-key", keys[0], "--tag", "v1") == 0
    (found,) = Path("receipts/rehearsal__tiny").glob("*.json")
    return found


def push(release: Path, *options: object) -> int:
    return main(["push", str(release), "--to", REPO, *map(str, options)])


def look(call: list[str], public: Path | None, *options: object) -> int:
    key = ["--public-key", str(public)] if public else []
    return main([*call, *key, *map(str, options)])


@pytest.mark.parametrize("call", LOOKS, ids=lambda call: call[0])
def test_both_signatures_are_asked_with_a_key_and_named_without(
    call: list[str], receipt: Path, keys: tuple[Path, Path], capsys
) -> None:
    name = read_public_key(keys[1]).sha256[:12]
    capsys.readouterr()
    assert look(call, keys[1]) == 0
    out, err = capsys.readouterr()
    assert f"the key {name}" in out and "not checked" not in err
    assert look(call, None) == 0
    out, err = capsys.readouterr()
    assert name not in out
    assert "note: model.sig is there, and was not checked: give --public-key FILE" in err
    assert f"note: {receipt}.sig is there, and was not checked" in err
    assert look(call, keys[1], "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert f"the key {name}" in (told.get("signed_by"), told.get("signature", {}).get("signed_by"))


@pytest.mark.parametrize("call", LOOKS, ids=lambda call: call[0])
def test_another_key_is_a_no(call: list[str], receipt: Path, tmp_path: Path, capsys) -> None:
    other = write_keys(tmp_path / "other")[1]
    assert look(call, other) == 1
    err = capsys.readouterr().err
    assert f"the model.sig of {REPO}@" in err and f"{receipt}.sig was signed with the key" in err


@pytest.mark.parametrize("call", LOOKS, ids=lambda call: call[0])
def test_what_is_not_signed_is_a_no_where_a_key_is_given(
    call: list[str], at_hub: HfApi, release: Path, keys: tuple[Path, Path], capsys
) -> None:
    assert push(release) == 0
    assert look(call, keys[1]) == 1
    err = capsys.readouterr().err
    assert "is not signed: it has no model.sig" in err
    assert ".json is not signed: it has no " in err
    assert look(call, None) == 0
    assert "not checked" not in capsys.readouterr().err, "there is nothing to check"


@pytest.mark.parametrize("call", LOOKS, ids=lambda call: call[0])
def test_a_receipt_that_was_rewritten_is_found(
    call: list[str], receipt: Path, keys: tuple[Path, Path], capsys
) -> None:
    receipt.write_text(receipt.read_text().replace('"published_by": "', '"published_by": "x'))
    assert look(call, None) == 0
    assert look(call, keys[1]) == 1
    assert f"{receipt} is not as it was signed" in capsys.readouterr().err


@pytest.mark.parametrize("call", LOOKS, ids=lambda call: call[0])
def test_files_and_receipt_that_were_both_changed_do_not_pass(
    call: list[str], receipt: Path, at_hub: HfApi, release: Path, keys: tuple[Path, Path], capsys
) -> None:
    """Somebody with the right to write pushes again, and leaves a receipt; but has no key."""
    (release / SIGNATURE).unlink()
    (release / "LICENSE").write_text("Other\n")
    at_hub.upload_file(path_or_fileobj=b"Other\n", path_in_repo="LICENSE", repo_id=REPO)
    at_hub.upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", repo_id=REPO)
    shutil.rmtree("receipts")
    assert push(release, "--delete", SIGNATURE) == 0
    assert look(call, None) == 0
    assert look(call, keys[1]) == 1
    at_hub.upload_file(
        path_or_fileobj=b"{}", path_in_repo=SIGNATURE, repo_id=REPO, commit_message="sign"
    )
    capsys.readouterr()
    assert look(call, keys[1]) == 1
    assert f"the model.sig of {REPO}@" in capsys.readouterr().err


def test_status_sees_what_lies_beside_signed_files(
    receipt: Path, at_hub: HfApi, keys: tuple[Path, Path], capsys
) -> None:
    at_hub.upload_file(path_or_fileobj=b"x", path_in_repo="x.py", repo_id=REPO)
    assert look(LOOKS[0], keys[1]) == 1
    assert "is not as it was signed: x.py was added" in capsys.readouterr().err


def test_a_signature_stands_for_a_receipt_that_is_not_here(
    receipt: Path, keys: tuple[Path, Path], capsys
) -> None:
    shutil.rmtree("receipts")
    capsys.readouterr()
    assert look(LOOKS[1], None) == 0
    err = capsys.readouterr().err
    assert "there is no receipt of it in receipts: only the Hub's own word was checked" in err
    assert look(LOOKS[1], keys[1]) == 0
    out, err = capsys.readouterr()
    assert "every byte is that of what the key " in out
    assert "only the Hub's own word" not in err


def test_a_receipt_that_was_kept_elsewhere_is_given(
    receipt: Path, at_hub: HfApi, release: Path, tmp_path: Path, keys: tuple[Path, Path], capsys
) -> None:
    kept = tmp_path / "artifact" / "receipt.json"
    kept.parent.mkdir()
    receipt.rename(kept)
    receipt.with_name(f"{receipt.name}.sig").rename(kept.with_name("receipt.json.sig"))
    assert look(LOOKS[1], keys[1], "--receipt", kept) == 0
    assert "every byte is that of the receipt of " in capsys.readouterr().out
    (release / "LICENSE").write_text("Other\n")
    assert push(release, "--sign-key", keys[0]) == 0
    capsys.readouterr()
    assert look(LOOKS[1], None, "--receipt", kept) == 1
    assert ", the receipt is of " in capsys.readouterr().err
    assert main(["pull-check", f"{REPO}@v1", "--receipt", str(kept)]) == 0
    assert main(["pull-check", "rehearsal/other", "--receipt", str(kept)]) == 1, "there is none"
    at_hub.create_repo("rehearsal/other")
    assert main(["pull-check", "rehearsal/other", "--receipt", str(kept)]) == 2
    assert f"{kept} is a receipt of {REPO}" in capsys.readouterr().err


def test_the_receipt_of_a_merged_pull_request_is_known_by_its_bytes(
    receipt: Path, at_hub: HfApi, release: Path, keys: tuple[Path, Path], capsys
) -> None:
    (release / "LICENSE").write_text("Other\n")
    assert push(release, "--pr", "--sign-key", keys[0]) == 0
    at_hub.merge_pull_request(REPO, 1)
    capsys.readouterr()
    for call in LOOKS:
        assert look(call, keys[1]) == 0
    out, err = capsys.readouterr()
    assert "is as proposed " in out and ", commit " in out.splitlines()[-1]
    assert "no receipt is of" not in err


def test_a_key_goes_with_status_and_not_with_a_push(
    at_hub: HfApi, release: Path, keys: tuple[Path, Path], capsys
) -> None:
    assert push(release, "--public-key", keys[1]) == 2
    assert "go with --status" in capsys.readouterr().err
    assert look(LOOKS[0], keys[1].with_name("none")) == 2
    assert look(LOOKS[1], keys[1], "--issuer", "https://nobody") == 2


def test_verify_tells_of_a_model_on_the_hub_by_its_name(
    at_hub: HfApi,
    receipt: Path,
    release: Path,
    keys: tuple[Path, Path],
    tmp_path: Path,
    capsys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    commit = str(at_hub.model_info(REPO).sha)
    capsys.readouterr()
    assert main(["verify", REPO, "--signature", "--public-key", str(keys[1])]) == 0
    assert capsys.readouterr().out.startswith(f"{REPO}@main ({commit[:12]}) is as the key ")
    other = write_keys(tmp_path / "other")[1]
    call = ["verify", REPO, "--signature", "--public-key", str(other)]
    assert main(call) == 1
    assert f"error: the model.sig of {REPO}@main ({commit[:12]})" in capsys.readouterr().err
    assert main([*call, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] is False and told["signed_by"] is None and told["path"] == REPO
    assert "was signed with the key" in told["error"]
    at_hub.delete_file(SIGNATURE, REPO)
    assert main(call) == 1, "a check that says no"
    out, err = capsys.readouterr()
    assert f"{REPO}@main (" in err and "is not signed: it has no model.sig" in err
    assert str(tmp_path) not in out + err, "no path of a cache"
    for missing in ("rehearsal/none", f"{REPO}@v9"):
        assert main(["verify", missing, "--signature", "--public-key", str(other)]) == 1
    assert main(["verify", "no/such/folder", "--signature", "--public-key", str(other)]) == 2
    assert main(["verify", REPO, "--signature"]) == 2, "nobody is named"
