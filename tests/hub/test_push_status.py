"""Receipts, and what the Hub says about them later."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from mbrelease.cli.main import main
from mbrelease.errors import UserError
from mbrelease.hub.plan import make_plan
from mbrelease.hub.publish import publish
from mbrelease.hub.receipt import Receipt, read_receipt, receipt_path
from mbrelease.hub.status import read_status

REPO = "rehearsal/tiny"


@pytest.fixture
def receipts(tmp_path: Path) -> Path:
    return tmp_path / "receipts"


@pytest.fixture
def receipt(api: HfApi, release: Path, receipts: Path) -> Receipt:
    return publish(make_plan(release, REPO, tag="v1", api=api), api=api, receipts=receipts)


def test_nothing_differs_after_a_push(api: HfApi, receipt: Receipt, receipts: Path) -> None:
    status = read_status(REPO, api=api, receipts=receipts)
    assert status.is_same
    assert status.findings() == []
    assert json.dumps(status.as_json())


def test_what_another_changed_is_named(api: HfApi, receipt: Receipt, receipts: Path) -> None:
    api.upload_file(path_or_fileobj=b"other", path_in_repo="LICENSE", repo_id=REPO)
    api.delete_file("averaging.json", REPO)
    head = api.upload_file(
        path_or_fileobj=b"\0" * 99, path_in_repo="model.safetensors", repo_id=REPO
    ).oid
    status = read_status(REPO, api=api, receipts=receipts)
    assert not status.is_same
    assert status.changed == ("LICENSE", "model.safetensors")
    assert status.missing == ("averaging.json",)
    assert status.findings()[0] == (
        f"'main' is {head[:12]}, the receipt is of {receipt.commit[:12]}"
    )


def test_a_lost_tag_is_named(api: HfApi, receipt: Receipt, receipts: Path) -> None:
    api.delete_tag(REPO, tag="v1")
    assert read_status(REPO, api=api, receipts=receipts).findings() == ["the tag 'v1' is gone"]


def test_the_newest_receipt_counts(
    api: HfApi, receipt: Receipt, release: Path, receipts: Path
) -> None:
    (release / "LICENSE").write_text("Second\n")
    second = publish(make_plan(release, REPO, api=api), api=api, receipts=receipts)
    assert second.commit != receipt.commit
    assert read_status(REPO, api=api, receipts=receipts).receipt == second


def propose(api: HfApi, release: Path, receipts: Path) -> Receipt:
    (release / "LICENSE").write_text("Proposed\n")
    return publish(make_plan(release, REPO, create_pr=True, api=api), api=api, receipts=receipts)


def test_a_pull_request_has_a_status_too(
    api: HfApi, receipt: Receipt, release: Path, tmp_path: Path
) -> None:
    propose(api, release, tmp_path / "other")
    status = read_status(REPO, api=api, receipts=tmp_path / "other")
    assert status.is_same and status.revision == "refs/pr/1"


def test_main_is_judged_by_its_own_receipt_while_a_pull_request_waits(
    api: HfApi, receipt: Receipt, release: Path, receipts: Path
) -> None:
    propose(api, release, receipts)
    status = read_status(REPO, api=api, receipts=receipts)
    assert status.is_same and status.receipt == receipt
    (proposal,) = status.proposals
    assert str(proposal) == f"pull request refs/pr/1 (open): {api.endpoint}/{REPO}/discussions/1"
    head = api.upload_file(path_or_fileobj=b"x", path_in_repo="LICENSE", repo_id=REPO).oid
    assert read_status(REPO, api=api, receipts=receipts).findings() == [
        f"'main' is {head[:12]}, the receipt is of {receipt.commit[:12]}",
        "LICENSE is not the published file",
    ]


def test_a_pull_request_that_was_merged_is_what_main_should_be(
    api: HfApi, receipt: Receipt, release: Path, receipts: Path
) -> None:
    proposed = propose(api, release, receipts)
    api.merge_pull_request(REPO, 1)
    merged = api.model_info(REPO).sha
    status = read_status(REPO, api=api, receipts=receipts)
    assert status.is_same and status.receipt == proposed and status.head == merged
    assert status.expected == merged and json.dumps(status.as_json())
    head = api.upload_file(path_or_fileobj=b"x", path_in_repo="LICENSE", repo_id=REPO).oid
    assert read_status(REPO, api=api, receipts=receipts).findings()[0] == (
        f"'main' is {head[:12]}, refs/pr/1 was merged as {merged[:12]}"
    )
    (release / "LICENSE").write_text("Third\n")
    third = publish(make_plan(release, REPO, api=api), api=api, receipts=receipts, base=head)
    status = read_status(REPO, api=api, receipts=receipts)
    assert status.is_same and status.receipt == third
    assert status.proposals == (), "what was merged before is of no interest now"


def test_a_pull_request_that_was_closed_judges_nothing(
    api: HfApi, receipt: Receipt, release: Path, receipts: Path
) -> None:
    propose(api, release, receipts)
    api.change_discussion_status(REPO, 1, "closed")
    status = read_status(REPO, api=api, receipts=receipts)
    assert status.is_same and status.receipt == receipt
    assert [proposal.state for proposal in status.proposals] == ["closed"]


def test_where_the_hub_does_not_tell_of_a_pull_request_main_is_judged_all_the_same(
    proxy, api: HfApi, receipt: Receipt, release: Path, receipts: Path
) -> None:
    propose(api, release, receipts)
    for path in receipts.rglob("*.json"):
        path.write_text(path.read_text().replace(api.endpoint, proxy.url))
    proxy.answers = lambda m, path: (403, [], b"{}") if "/discussions/" in path else None
    status = read_status(REPO, api=HfApi(endpoint=proxy.url, token=False), receipts=receipts)
    assert status.is_same
    assert "(the Hub does not tell its state)" in str(status.proposals[0])


@pytest.fixture
def here(api: HfApi, receipts: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the receipts, without a token."""
    monkeypatch.chdir(receipts.parent)
    monkeypatch.setenv("HF_ENDPOINT", api.endpoint)
    return receipts.parent


def test_the_command_tells_of_main_first_and_then_of_what_waits(
    api: HfApi, receipt: Receipt, release: Path, receipts: Path, here: Path, capsys
) -> None:
    propose(api, release, receipts)
    capsys.readouterr()
    assert main(["push", "--status", REPO]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{REPO} is as published ") and first.endswith("10 files, tag v1")
    assert second.startswith("pull request refs/pr/1 (open): ")
    api.merge_pull_request(REPO, 1)
    assert main(["push", "--status", REPO]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert " in refs/pr/1, and merged as " in first
    assert second.startswith("pull request refs/pr/1 (merged as ")


def test_a_private_model_without_a_token_asks_for_one(
    api: HfApi, release: Path, receipts: Path, here: Path, monkeypatch, capsys
) -> None:
    publish(make_plan(release, REPO, private=True, api=api), api=api, receipts=receipts)
    for call in (["push", "--status", REPO], ["pull-check", REPO], ["pull-check", f"{REPO}@v1"]):
        capsys.readouterr()
        assert main(call) == 1
        err = capsys.readouterr().err
        assert "it is private" in err and "set HF_TOKEN, or run 'hf auth login'" in err, err
        assert "rights" not in err
    monkeypatch.setenv("HF_TOKEN", str(api.token))
    assert main(["push", "--status", REPO]) == 0
    assert main(["pull-check", REPO]) == 0


def test_receipts_of_another_hub_do_not_count(receipt: Receipt, receipts: Path) -> None:
    other = HfApi(endpoint="http://127.0.0.1:9", token=False)
    with pytest.raises(UserError, match="no receipt for rehearsal/tiny at http"):
        read_status(REPO, api=other, receipts=receipts)


def test_a_broken_receipt_is_one_line(receipt: Receipt, receipts: Path) -> None:
    path = receipt_path(receipts, REPO, receipt.commit)
    path.write_text(json.dumps({**json.loads(path.read_text()), "verified": False}))
    with pytest.raises(UserError, match=r"is not a receipt: verified"):
        read_receipt(path)


def test_a_receipt_of_another_repository_in_the_same_folder_does_not_count(
    api: HfApi, release: Path, receipts: Path
) -> None:
    plan = make_plan(release, "rehearsal__tiny/b", api=api)
    publish(plan, api=api, receipts=receipts)
    with pytest.raises(UserError, match="no receipt for rehearsal/tiny__b"):
        read_status("rehearsal/tiny__b", api=api, receipts=receipts)
