"""Pushing with a key: the signature is part of the commit, and holds for what others download."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import HfApi, snapshot_download
from signing_keys import write_keys

from mbrelease.cli.main import main
from mbrelease.hub.signed_files import SIGNATURE
from mbrelease.hub.signing_keys import read_public_key

REPO = "rehearsal/tiny"


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return work


@pytest.fixture
def at_hub(proxy, cut_api: HfApi, monkeypatch: pytest.MonkeyPatch) -> HfApi:
    """The environment of someone who is logged in, with a record of what is sent."""
    monkeypatch.setenv("HF_ENDPOINT", cut_api.endpoint)
    monkeypatch.setenv("HF_TOKEN", str(cut_api.token))
    return cut_api


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return write_keys(tmp_path / "keys")


def push(release: Path, *options: object) -> int:
    return main(["push", str(release), "--to", REPO, *map(str, options)])


def verify(target: object, public: Path) -> int:
    return main(["verify", str(target), "--signature", "--public-key", str(public)])


def download(api: HfApi, folder: Path) -> Path:
    """A folder as `hf download --local-dir` leaves it, with notes of its own."""
    snapshot_download(REPO, endpoint=api.endpoint, local_dir=folder)
    assert (folder / ".cache" / "huggingface").is_dir()
    return folder


def heads(api: HfApi) -> list[str]:
    return [commit.commit_id for commit in api.list_repo_commits(REPO)]


def only_receipt() -> Path:
    (receipt,) = Path("receipts/rehearsal__tiny").glob("*.json")
    return receipt


def test_what_is_downloaded_verifies(
    at_hub: HfApi,
    release: Path,
    keys: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert push(release, "--sign-key", keys[0], "--tag", "v1") == 0
    assert len(heads(at_hub)) == 2, "the signature is in the one commit"
    out, err = capsys.readouterr()
    assert "note: model.sig is made when nothing stands in the way" in err
    assert f"signed  by the key {read_public_key(keys[1]).sha256[:12]}" in out
    folder = download(at_hub, tmp_path / "downloaded")
    assert verify(folder, keys[1]) == 0
    plain = subprocess.run(
        [
            *(sys.executable, "-m", "model_signing", "verify", "key", str(folder)),
            *("--signature", str(folder / SIGNATURE), "--public_key", str(keys[1])),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert plain.returncode == 0, plain.stderr
    assert verify(only_receipt(), keys[1]) == 0
    assert SIGNATURE in json.loads(only_receipt().read_text())["files"]


def test_a_model_on_the_hub_is_verified_by_its_name(
    at_hub: HfApi,
    release: Path,
    keys: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    assert push(release, "--sign-key", keys[0], "--tag", "v1") == 0
    assert verify(f"{REPO}@v1", keys[1]) == 0
    at_hub.upload_file(path_or_fileobj=b"Other\n", path_in_repo="LICENSE", repo_id=REPO)
    at_hub.upload_file(path_or_fileobj=b"x", path_in_repo="x.py", repo_id=REPO)
    capsys.readouterr()
    assert verify(f"{REPO}@main", keys[1]) == 1
    assert "LICENSE was changed, x.py was added" in capsys.readouterr().err
    assert verify(f"{REPO}@v1", keys[1]) == 0


def test_a_second_push_sends_nothing(
    at_hub: HfApi, proxy, release: Path, keys: tuple[Path, Path]
) -> None:
    assert push(release, "--sign-key", keys[0]) == 0
    signature, receipt = (release / SIGNATURE).read_bytes(), only_receipt()
    sealed = receipt.with_name(f"{receipt.name}.sig").read_bytes()
    proxy.log.clear()
    assert push(release, "--sign-key", keys[0]) == 0
    writes = [path for method, path, _ in proxy.log if method not in {"GET", "HEAD"}]
    assert all("validate" in path for path in writes)
    assert len(heads(at_hub)) == 2
    assert (release / SIGNATURE).read_bytes() == signature
    assert receipt.with_name(f"{receipt.name}.sig").read_bytes() == sealed


def test_a_release_made_anew_keeps_the_signature_on_the_hub(
    at_hub: HfApi, release: Path, keys: tuple[Path, Path]
) -> None:
    assert push(release, "--sign-key", keys[0]) == 0
    signature = (release / SIGNATURE).read_bytes()
    (release / SIGNATURE).unlink()
    assert push(release, "--sign-key", keys[0]) == 0
    assert (release / SIGNATURE).read_bytes() == signature
    assert len(heads(at_hub)) == 2


def test_a_changed_release_is_signed_again(
    at_hub: HfApi, release: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    assert push(release, "--sign-key", keys[0]) == 0
    with (release / "README.md").open("a") as readme:
        readme.write("More.\n")
    assert push(release, "--sign-key", keys[0]) == 0
    assert len(heads(at_hub)) == 3
    newest = max(Path("receipts/rehearsal__tiny").glob("*.json"), key=lambda p: p.stat().st_mtime)
    assert json.loads(newest.read_text())["summary"]["changed"] == ["README.md", SIGNATURE]
    assert verify(download(at_hub, tmp_path / "downloaded"), keys[1]) == 0


def test_another_key_signs_again(at_hub: HfApi, release: Path, tmp_path: Path) -> None:
    first, second = write_keys(tmp_path / "first"), write_keys(tmp_path / "second")
    assert push(release, "--sign-key", first[0]) == 0
    assert push(release, "--sign-key", second[0]) == 0
    assert verify(release, second[1]) == 0
    assert verify(release, first[1]) == 1


def test_a_signature_that_no_longer_holds_is_not_sent(
    at_hub: HfApi, release: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(release, "--sign-key", keys[0]) == 0
    assert push(release) == 0, "one that holds needs no key"
    (release / "LICENSE").write_text("Other\n")
    capsys.readouterr()
    assert push(release) == 1
    assert "was made for other files: LICENSE was changed" in capsys.readouterr().err
    (release / SIGNATURE).write_text("{}")
    assert push(release) == 1
    assert "is not a signature of a model" in capsys.readouterr().err
    assert len(heads(at_hub)) == 2


def test_a_signed_model_is_not_made_untrue_by_an_unsigned_push(
    at_hub: HfApi, release: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(release, "--sign-key", keys[0]) == 0
    (release / SIGNATURE).unlink()
    (release / "LICENSE").write_text("Other\n")
    assert push(release) == 1
    assert "the model.sig on the Hub would not hold" in " ".join(capsys.readouterr().err.split())
    assert push(release, "--delete", SIGNATURE) == 0
    assert not at_hub.file_exists(REPO, SIGNATURE)


def test_unsigned_files_beside_signed_ones_are_a_problem(
    at_hub: HfApi, release: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    at_hub.create_repo(REPO)
    at_hub.upload_file(path_or_fileobj=b"x", path_in_repo="notes.txt", repo_id=REPO)
    assert push(release, "--sign-key", keys[0]) == 1
    assert "notes.txt would stay on the Hub beside signed files" in capsys.readouterr().err
    assert not (release / SIGNATURE).exists(), "only a clean plan is signed"
    assert push(release, "--sign-key", keys[0], "--delete", "notes.txt") == 0


def test_a_plan_signs_nothing_and_asks_no_job_for_its_identity(
    at_hub: HfApi, release: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    before = sorted(release.rglob("*"))
    assert push(release, "--plan", "--sign-key", keys[0]) == 0
    assert push(release, "--plan", "--sign-keyless") == 0
    assert sorted(release.rglob("*")) == before
    assert push(release, "--plan", "--sign-key", tmp_path / "nothing") == 2


def test_a_tag_of_what_was_not_signed_is_not_moved(
    at_hub: HfApi, release: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(release, "--tag", "v1") == 0
    assert push(release, "--tag", "v1", "--sign-key", keys[0]) == 1
    assert "which lacks this signature" in capsys.readouterr().err
    assert len(heads(at_hub)) == 2


def test_a_pull_request_is_signed_and_opened_once(
    at_hub: HfApi, release: Path, keys: tuple[Path, Path]
) -> None:
    at_hub.create_repo(REPO)
    for _ in range(2):
        assert push(release, "--pr", "--sign-key", keys[0]) == 0
    assert len(list(at_hub.get_repo_discussions(REPO))) == 1
    assert at_hub.file_exists(REPO, SIGNATURE, revision="refs/pr/1")


def test_neither_key_nor_password_is_ever_shown(
    at_hub: HfApi,
    release: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    private, public = write_keys(tmp_path / "k", password=b"open sesame")
    assert push(release, "--sign-key", private) == 2
    assert "--sign-password-env NAME" in capsys.readouterr().err
    monkeypatch.setenv("KEY_PASSWORD", "open sesame")
    assert push(release, "--sign-key", private, "--sign-password-env", "KEY_PASSWORD") == 0
    out, err = capsys.readouterr()
    said = out + err + only_receipt().read_text() + (release / SIGNATURE).read_text()
    assert "sesame" not in said
    assert private.read_text().splitlines()[1] not in said
    assert verify(release, public) == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--sign-keyless", "--sign-key", "k"], "are two ways"),
        (["--sign-password-env", "X"], "--sign-password-env goes with --sign-key"),
        (["--sign-key", "nothing"], "nothing does not exist"),
        (["--sign-keyless"], "this is not a job with an identity"),
    ],
)
def test_a_wrong_call_sends_nothing(
    options: list[str],
    told: str,
    at_hub: HfApi,
    proxy,
    release: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert push(release, *options) == 2
    assert told in capsys.readouterr().err
    assert proxy.log == []


def test_a_copy_without_its_signature_still_verifies_nothing(
    at_hub: HfApi, release: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    assert push(release, "--sign-key", keys[0]) == 0
    copy = Path(shutil.copytree(release, tmp_path / "copy"))
    (copy / SIGNATURE).unlink()
    assert verify(copy, keys[1]) == 1


def test_a_card_that_was_edited_on_the_hub_is_signed_as_it_is_published(
    at_hub: HfApi, release: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    assert push(release, "--sign-key", keys[0]) == 0
    readme = (release / "README.md").read_text()
    edited = readme.replace("A tiny model.", "A tiny model of owls.")
    at_hub.upload_file(path_or_fileobj=edited.encode(), path_in_repo="README.md", repo_id=REPO)
    (release / "README.md").write_text(readme.replace("language: [en]", "language: [de]"))
    assert push(release, "--sign-key", keys[0]) == 0
    folder = download(at_hub, tmp_path / "downloaded")
    assert "A tiny model of owls." in (folder / "README.md").read_text()
    assert "language: [de]" in (folder / "README.md").read_text()
    assert verify(folder, keys[1]) == 0


def test_without_the_key_no_edited_card_goes_out_under_the_old_signature(
    at_hub: HfApi, release: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    from mbrelease.hub.signing import sign_release
    from mbrelease.hub.signing_keys import read_private_key

    assert push(release, "--sign-key", keys[0]) == 0
    readme = (release / "README.md").read_text()
    edited = readme.replace("A tiny model.", "A tiny model of owls.")
    at_hub.upload_file(path_or_fileobj=edited.encode(), path_in_repo="README.md", repo_id=REPO)
    (release / "README.md").write_text(readme.replace("language: [en]", "language: [de]"))
    sign_release(release, read_private_key(keys[0]))
    before, mine = heads(at_hub), (release / "README.md").read_bytes()
    for options in ([], ["--plan"]):
        assert push(release, *options) == 1
        told = " ".join(capsys.readouterr().err.split())
        assert (
            f"takes over what was written on the Hub until {before[0][:12]}, and model.sig" in told
        )
        assert "--sign-key" in told.partition("does not hold for that")[2]
    assert (release / "README.md").read_bytes() == mine, "what is refused writes nothing"
    assert verify(release, keys[1]) == 0
    assert heads(at_hub) == before
