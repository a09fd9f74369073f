"""`mbrelease pull-check`: a published model, months later."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from mbrelease.cli.main import main
from mbrelease.errors import CheckFailed
from mbrelease.hub import download
from mbrelease.hub.plan import make_plan
from mbrelease.hub.publish import publish
from mbrelease.hub.pull_check import pull_check
from mbrelease.hub.receipt import Receipt

REPO = "rehearsal/tiny"


@pytest.fixture
def work(api: HfApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with receipts, and no token: anyone may look."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_ENDPOINT", api.endpoint)
    return folder


@pytest.fixture
def receipt(api: HfApi, release: Path, work: Path) -> Receipt:
    plan = make_plan(release, REPO, tag="v1", api=api)
    return publish(plan, api=api, receipts=work / "receipts")


def leftovers(cache: Path) -> list[Path]:
    return [path for path in (cache / "mbrelease" / "downloads").rglob("*") if path.is_file()]


def test_what_was_published_is_still_there_and_loads(
    receipt: Receipt, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for revision in ("v1", "main", receipt.commit):
        assert main(["pull-check", f"{REPO}@{revision}"]) == 0
        out = capsys.readouterr().out
        assert f"the receipt of {receipt.published}, and it loads" in out
        assert f"{REPO}@{receipt.commit[:12]}: 10 files" in out
    assert main(["pull-check", REPO, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["same"] and answer["receipt"]["commit"] == receipt.commit
    assert "loading.masked_lm" in answer["loading"]["passed"]
    assert leftovers(own_cache) == []


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_other_bytes_under_the_same_name_are_found(
    name: str, proxy, receipt: Receipt, release: Path, work: Path, own_cache: Path, tmp_path: Path
) -> None:
    """The proxy is another endpoint, so the receipt is written for it."""
    api = HfApi(endpoint=proxy.url, token=False)
    for path in (work / "receipts").rglob("*.json"):
        path.write_text(path.read_text().replace(receipt.endpoint, proxy.url))

    def flip(method: str, path: str, status: int, body: bytes) -> tuple[int, bytes]:
        if method == "GET" and path.endswith(f"/{name}"):
            return status, body[:-2] + b" " + body[-1:]
        return status, body

    proxy.tamper = flip
    found = pull_check(REPO, "v1", api=api, receipts=work / "receipts")
    assert [line for line in found.findings if line.startswith(f"{name} is served as")]
    assert leftovers(own_cache) == [], "what was wrong is asked for again"
    without = pull_check(REPO, "v1", api=api, receipts=tmp_path / "none")
    assert without.receipt is None
    assert [line for line in without.findings if line.startswith(f"{name} is served as")]


def test_a_tag_that_was_moved_is_found(
    api: HfApi, receipt: Receipt, capsys: pytest.CaptureFixture[str]
) -> None:
    other = api.upload_file(path_or_fileobj=b"x", path_in_repo="LICENSE", repo_id=REPO).oid
    api.delete_tag(REPO, tag="v1")
    api.create_tag(REPO, tag="v1", revision=other)
    told = f"the tag 'v1' names {other[:12]}, and was published as {receipt.commit[:12]}"
    assert main(["pull-check", f"{REPO}@v1"]) == 1
    assert told in capsys.readouterr().err
    assert main(["pull-check", f"{REPO}@{receipt.commit}"]) == 1
    assert told in capsys.readouterr().err


def test_a_commit_of_another_is_held_against_the_hubs_own_word(
    api: HfApi, receipt: Receipt, capsys: pytest.CaptureFixture[str]
) -> None:
    api.upload_file(path_or_fileobj=b"x", path_in_repo="LICENSE", repo_id=REPO)
    assert main(["pull-check", REPO]) == 0
    out, err = capsys.readouterr()
    assert "the hashes that the Hub tells" in out
    assert f"the newest one is of {receipt.commit[:12]}" in err


def test_a_model_that_no_longer_loads_is_told(
    api: HfApi, receipt: Receipt, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = b'{"model_type": "modernbert", "hidden_size": 128}'
    api.upload_file(path_or_fileobj=data, path_in_repo="config.json", repo_id=REPO)
    assert main(["pull-check", REPO]) == 1
    assert "tensors.shapes" in capsys.readouterr().err


def test_what_is_not_there_is_two_lines(
    receipt: Receipt, capsys: pytest.CaptureFixture[str]
) -> None:
    for model, told in [
        (f"{REPO}@v9", "has no revision 'v9'"),
        ("rehearsal/none", "knows no repository rehearsal/none"),
    ]:
        assert main(["pull-check", model]) == 1
        err = capsys.readouterr().err
        assert told in err and len(err.splitlines()) == 2
    assert main(["pull-check", "no model"]) == 2


def test_an_interrupted_check_goes_on_where_it_stood(
    proxy, receipt: Receipt, work: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights come in pieces; a second run asks for the rest alone."""
    monkeypatch.setattr(download, "LARGE_BYTES", 20_000)
    api = HfApi(endpoint=proxy.url, token=False)
    half = receipt.files["model.safetensors"].size_bytes // 2
    proxy.cut = lambda m, path: half if m == "GET" and path.endswith("/model.safetensors") else None
    proxy.refuse = lambda m, path: bool(proxy.ranges)
    with pytest.raises(CheckFailed):
        pull_check(REPO, "v1", api=api, receipts=work / "none")
    parts = [path for path in leftovers(own_cache) if path.name.endswith(".part")]
    assert [path.stat().st_size for path in parts] == [half]
    proxy.cut, proxy.refuse = (lambda m, path: None), (lambda m, path: False)
    proxy.ranges.clear()
    proxy.log.clear()
    found = pull_check(REPO, "v1", api=api, receipts=work / "none")
    assert found.is_same and found.loading.not_loaded is None
    assert proxy.ranges == [f"bytes={half}-"]
    assert proxy.count("GET", "/config.json") == 0, "it was here already"
    assert leftovers(own_cache) == []


def test_a_name_that_leads_out_of_the_folder_is_refused(
    proxy, receipt: Receipt, work: Path, own_cache: Path
) -> None:
    api = HfApi(endpoint=proxy.url, token=False)

    def rename(method: str, path: str, status: int, body: bytes) -> tuple[int, bytes]:
        if "/tree/" in path:
            return status, body.replace(b'"LICENSE"', b'"../../../LICENSE"')
        return status, body

    proxy.tamper = rename
    with pytest.raises(CheckFailed, match="would lie outside of the folder"):
        pull_check(REPO, "v1", api=api, receipts=work / "none")
    assert leftovers(own_cache) == [] and not list(own_cache.rglob("LICENSE"))


def test_the_hubs_own_cache_is_no_witness(
    proxy, api: HfApi, receipt: Receipt, work: Path, tmp_path: Path, monkeypatch
) -> None:
    """A file that the user downloaded before is downloaded all the same."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    HfApi(endpoint=proxy.url, token=False).snapshot_download(REPO, cache_dir=tmp_path / "hub-cache")
    proxy.log.clear()
    found = pull_check(REPO, api=HfApi(endpoint=proxy.url, token=False), receipts=work / "none")
    assert found.is_same
    assert proxy.count("GET", "/resolve/") == 10
    shutil.rmtree(tmp_path / "hub-cache")
