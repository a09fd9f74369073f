"""What is proven of a push before it is tagged: the bytes that are served, and that they load."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from mbrelease.errors import CheckFailed
from mbrelease.hub import download, sending, verifying
from mbrelease.hub.plan import make_plan
from mbrelease.hub.publish import Origin, publish
from mbrelease.hub.receipt import Receipt, read_receipt, receipt_path
from mbrelease.progress import Silent

REPO = "rehearsal/tiny"


class Notes(Silent):
    """What was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


def push(api: HfApi, release: Path, **options: object) -> Receipt:
    plan = make_plan(release, REPO, tag="v1", api=api)
    return publish(plan, api=api, receipts=release.parent / "receipts", **options)  # type: ignore[arg-type]


def tags(api: HfApi) -> list[str]:
    return [tag.name for tag in api.list_repo_refs(REPO).tags]


def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tiny weights be a large file."""
    for module in (download, sending):
        monkeypatch.setattr(module, "LARGE_BYTES", 100_000)


def test_the_receipt_says_what_was_verified_and_by_what(api: HfApi, release: Path) -> None:
    import transformers

    notes = Notes()
    receipt = push(api, release, progress=notes, origin=Origin("tiny", "0" * 64))
    verified = receipt.what_was_verified
    assert verified is not None and verified.not_loaded is None
    assert verified.files == len(receipt.files) == 10
    assert verified.bytes == sum(file.size_bytes for file in receipt.files.values())
    assert {"tensors.names", "loading.masked_lm", "loading.forward"} <= set(verified.loading)
    assert receipt.versions["transformers"] == transformers.__version__
    assert receipt.versions["python"].count(".") == 2 and "huggingface_hub" in receipt.versions
    assert (receipt.variant, receipt.decision_sha256) == ("tiny", "0" * 64)
    assert receipt.summary.bytes_to_send == verified.bytes
    assert notes.lines[-2:] == [
        "10 files read back; every byte is what was sent",
        "it loads, as it was downloaded",
    ]
    root = release.parent / "receipts"
    assert read_receipt(receipt_path(root, REPO, receipt.commit)) == receipt


def test_after_a_change_to_the_card_only_the_card_is_read_back(
    proxy, cut_api: HfApi, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other objects of the Hub are those whose bytes were read and loaded before."""
    plan = make_plan(release, REPO, api=cut_api)
    first = publish(plan, api=cut_api, receipts=release.parent / "receipts")
    proxy.log.clear()
    monkeypatch.setattr(verifying, "check_downloaded", None)
    for words in ("More.", "Even more."):
        (release / "README.md").write_text((release / "README.md").read_text() + f"{words}\n")
        notes = Notes()
        plan = make_plan(release, REPO, api=cut_api)
        receipt = publish(plan, api=cut_api, receipts=release.parent / "receipts", progress=notes)
        verified, before = receipt.what_was_verified, first.what_was_verified
        assert verified is not None and before is not None
        others = set(receipt.files) - {"README.md"}
        assert verified.files == 1
        assert verified.bytes == (release / "README.md").stat().st_size
        assert verified.read_before == dict.fromkeys(others, first.commit), "also the second time"
        assert (verified.loading, verified.loaded_before) == (before.loading, first.commit)
        assert notes.lines[-1].startswith(f"not loaded again: it was at {first.commit[:12]}")
    got = {path.partition("/resolve/")[2] for m, path, _ in proxy.log if m == "GET"}
    assert {path.partition("/")[2] for path in got if path} == {"README.md"}
    assert proxy.count("HEAD", f"/resolve/{receipt.commit}/model.safetensors") == 1


@pytest.mark.parametrize("change", ["config", "versions", "receipt"])
def test_what_is_loaded_is_loaded_again_after_any_change_to_it(
    change: str, proxy, cut_api: HfApi, release: Path
) -> None:
    receipts = release.parent / "receipts"
    first = publish(make_plan(release, REPO, api=cut_api), api=cut_api, receipts=receipts)
    card, config = release / "README.md", release / "config.json"
    card.write_text(card.read_text() + "More.\n")
    path = receipt_path(receipts, REPO, first.commit)
    if change == "config":
        config.write_text(config.read_text() + "\n")
    elif change == "versions":
        path.write_text(path.read_text().replace('"torch": "', '"torch": "0.'))
    else:
        path.unlink()
    proxy.log.clear()
    notes = Notes()
    plan = make_plan(release, REPO, api=cut_api)
    receipt = publish(plan, api=cut_api, receipts=receipts, progress=notes)
    assert notes.lines[-1] == "it loads, as it was downloaded"
    verified = receipt.what_was_verified
    assert verified is not None and verified.loaded_before is None
    assert verified.files == {"config": 2, "versions": 1, "receipt": len(receipt.files)}[change]
    is_read = proxy.count("GET", f"/resolve/{receipt.commit}/model.safetensors") == 1
    assert is_read == (change == "receipt")


def test_an_object_that_is_no_longer_served_as_itself_stops_the_push(
    proxy, cut_api: HfApi, release: Path
) -> None:
    receipts = release.parent / "receipts"
    publish(make_plan(release, REPO, api=cut_api), api=cut_api, receipts=receipts)
    (release / "README.md").write_text((release / "README.md").read_text() + "More.\n")
    other = {"etag": f'"{"0" * 40}"', "x-linked-etag": f'"{"0" * 64}"'}
    proxy.headers = lambda m, path: other if "/model.safetensors" in path else {}
    plan = make_plan(release, REPO, tag="v2", api=cut_api)
    with pytest.raises(CheckFailed, match=r"model\.safetensors is served as another object \(0000"):
        publish(plan, api=cut_api, receipts=receipts)
    assert tags(cut_api) == [] and len(list(receipts.rglob("*.json"))) == 1


def test_where_no_file_is_read_back_that_is_said(api: HfApi, release: Path) -> None:
    push(api, release)
    api.upload_file(path_or_fileobj=b"x", path_in_repo="theirs.txt", repo_id=REPO)
    notes = Notes()
    plan = make_plan(release, REPO, api=api)
    publish(plan, api=api, receipts=release.parent / "receipts", progress=notes)
    assert "no file read back: all 10 are objects that were read back before" in notes.lines


def test_without_torch_the_receipt_says_that_nothing_was_loaded(
    api: HfApi, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    verified = push(api, release).what_was_verified
    assert verified is not None
    assert verified.not_loaded == "not installed where it was checked: torch"
    assert "tensors.shapes" in verified.loading
    assert not [name for name in verified.loading if name.startswith("loading.")]


def test_a_model_that_does_not_load_is_not_tagged(
    api: HfApi, release: Path, edit_json, own_cache: Path
) -> None:
    edit_json(release / "config.json", hidden_size=32)
    with pytest.raises(CheckFailed, match=r"does not load: tensors\.shapes") as failure:
        push(api, release)
    assert "not tagged, no receipt" in failure.value.message
    assert tags(api) == [] and not (release.parent / "receipts").exists()
    assert not list((own_cache / "mbrelease" / "downloads").iterdir())


def test_a_tokenizer_that_does_not_load_is_found_by_loading_alone(
    api: HfApi, release: Path
) -> None:
    (release / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(CheckFailed, match=r"does not load: loading\.forward"):
        push(api, release)
    assert tags(api) == []


def test_large_weights_are_read_once_to_be_hashed_and_once_to_be_sent(
    proxy, cut_api: HfApi, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client is told the hash that the plan knows, and would compute it otherwise."""
    from huggingface_hub import constants, lfs

    large(monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    plan = make_plan(release, REPO, api=cut_api)

    def hashes(file: object) -> bytes:
        raise AssertionError("the client reads a file to hash it")

    monkeypatch.setattr(lfs, "sha_fileobj", hashes)
    receipt = publish(plan, api=cut_api, receipts=release.parent / "receipts")
    assert receipt.what_was_verified is not None
    size = (release / "model.safetensors").stat().st_size
    assert size <= proxy.bytes_sent("PUT", "/-/lfs/") < size + 20_000


def test_large_weights_are_streamed_and_not_kept_twice(
    proxy, cut_api: HfApi, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large(monkeypatch)
    kept: list[Path] = []

    def look(folder: Path) -> object:
        files = [path for path in folder.rglob("*") if path.is_file()]
        kept.extend(path.resolve() for path in files if path.stat().st_size > 100_000)
        return check(folder)

    from mbrelease.hub import verifying

    check = verifying.check_downloaded
    monkeypatch.setattr(verifying, "check_downloaded", look)
    receipt = push(cut_api, release)
    assert receipt.what_was_verified is not None
    assert "loading.masked_lm" in receipt.what_was_verified.loading
    assert kept == [(release / "model.safetensors").resolve()]
    assert proxy.count("GET", "/model.safetensors") == 1


def test_weights_whose_connection_breaks_go_on_from_there(
    proxy, cut_api: HfApi, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large(monkeypatch)
    size = (release / "model.safetensors").stat().st_size
    third = size // 3
    proxy.cut = lambda m, path: (
        third if m == "GET" and path.endswith("/model.safetensors") else None
    )
    assert push(cut_api, release).what_was_verified is not None
    assert proxy.ranges == [f"bytes={third}-", f"bytes={2 * third}-"] + (
        [f"bytes={3 * third}-"] if 3 * third < size else []
    )


@pytest.mark.parametrize("is_large", [True, False])
def test_weights_that_are_served_otherwise_are_not_tagged(
    is_large: bool, proxy, api: HfApi, cut_api: HfApi, release: Path, monkeypatch
) -> None:
    if is_large:
        large(monkeypatch)
    proxy.tamper = lambda m, path, status, body: (
        (status, body[:-1] + bytes([body[-1] ^ 1]))
        if m == "GET" and path.endswith("/model.safetensors")
        else (status, body)
    )
    with pytest.raises(CheckFailed, match=r"is not what was sent: model\.safetensors has sha256"):
        push(cut_api, release)
    assert tags(api) == []
    proxy.tamper = lambda m, path, status, body: (status, body)
    assert push(cut_api, release).tag == "v1", "what was wrong is asked for again"


def test_weights_that_are_served_as_of_another_commit_are_not_believed(
    proxy, cut_api: HfApi, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large(monkeypatch)
    proxy.headers = lambda m, path: (
        {"x-repo-commit": "0" * 40} if path.endswith("/model.safetensors") else {}
    )
    with pytest.raises(CheckFailed, match="is served as of commit 000000000000"):
        push(cut_api, release)


def test_an_interrupted_reading_back_asks_for_what_is_missing(
    proxy, api: HfApi, cut_api: HfApi, release: Path
) -> None:
    proxy.refuse = lambda m, path: path.endswith("/tokenizer.json")
    with pytest.raises(CheckFailed, match="not yet read back"):
        push(cut_api, release)
    assert tags(api) == []
    proxy.refuse = lambda m, path: False
    proxy.log.clear()
    push(cut_api, release)
    fetched = [
        path.rpartition("/")[2] for m, path, _ in proxy.log if m == "GET" and "/resolve/" in path
    ]
    assert fetched == ["tokenizer.json"]
    assert tags(api) == ["v1"]


def test_the_token_is_in_nothing_that_is_said_or_kept(
    proxy, cut_api: HfApi, release: Path, own_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = str(cut_api.token)
    notes = Notes()
    proxy.answers = lambda m, path: (
        (500, [], json.dumps({"error": f"bad token {token}"}).encode())
        if "/commit/" in path
        else None
    )
    with pytest.raises(CheckFailed) as failure:
        push(cut_api, release, progress=notes)
    proxy.answers = lambda m, path: None
    receipt = push(cut_api, release, progress=notes)
    kept = [path for root in (release.parent / "receipts", own_cache) for path in root.rglob("*")]
    said = [str(failure.value), *notes.lines, receipt.model_dump_json(), caplog.text]
    said += [path.read_text() for path in kept if path.is_file()]
    assert not [text for text in said if token in text]
