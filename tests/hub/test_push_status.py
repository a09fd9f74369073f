"""Receipts, and what the Hub says about them later."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import HfApi

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


def test_a_pull_request_has_a_status_too(
    api: HfApi, receipt: Receipt, release: Path, tmp_path: Path
) -> None:
    (release / "LICENSE").write_text("Proposed\n")
    plan = make_plan(release, REPO, create_pr=True, api=api)
    publish(plan, api=api, receipts=tmp_path / "other")
    assert read_status(REPO, api=api, receipts=tmp_path / "other").is_same


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
