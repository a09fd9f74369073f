"""Pushing a release: whole or not at all, once, and proven."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import HfApi, snapshot_download

from mbrelease.errors import CheckFailed
from mbrelease.files import sha256_bytes
from mbrelease.hub.plan import Plan, make_plan
from mbrelease.hub.publish import publish
from mbrelease.hub.receipt import Receipt, read_receipt, receipt_path

REPO = "rehearsal/tiny"


def push(api: HfApi, release: Path, receipts: Path, **options: object) -> tuple[Plan, Receipt]:
    plan = make_plan(release, REPO, api=api, **options)  # type: ignore[arg-type]
    assert plan.problems == ()
    return plan, publish(plan, api=api, receipts=receipts)


def commits(api: HfApi) -> list[str]:
    return [commit.commit_id for commit in api.list_repo_commits(REPO)]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_first_push_makes_the_repository_and_one_commit(
    api: HfApi, release: Path, tmp_path: Path
) -> None:
    plan, receipt = push(api, release, tmp_path / "receipts", tag="v1")
    assert not plan.repo_exists
    assert set(plan.added) == set(contents(release))
    log = commits(api)
    assert log[0] == receipt.commit
    assert log[1:] == [receipt.parent_commit], "one commit on the one that made the repository"
    tags = {tag.name: tag.target_commit for tag in api.list_repo_refs(REPO).tags}
    assert tags == {"v1": receipt.commit}
    assert receipt.files["config.json"].size_bytes == (release / "config.json").stat().st_size
    assert read_receipt(receipt_path(tmp_path / "receipts", REPO, receipt.commit)) == receipt


def test_what_the_ordinary_client_downloads_is_the_folder(
    api: HfApi, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(api, release, tmp_path / "receipts")
    downloaded = snapshot_download(
        REPO,
        endpoint=api.endpoint,
        token=False,
        cache_dir=tmp_path / "cache",
        local_dir=tmp_path / "downloaded",
    )
    found = contents(Path(downloaded))
    found = {p: data for p, data in found.items() if not p.startswith(".cache/")}
    assert found.pop(".gitattributes")
    assert found == contents(release)


def test_a_second_push_sends_nothing(proxy, cut_api: HfApi, release: Path, tmp_path: Path) -> None:
    _, first = push(cut_api, release, tmp_path / "receipts", tag="v1")
    proxy.log.clear()
    plan, second = push(cut_api, release, tmp_path / "receipts", tag="v1")
    assert not plan.has_changes
    assert second == first
    assert commits(cut_api) == [first.commit, first.parent_commit]
    writes = [path for method, path, _ in proxy.log if method != "GET" and "validate" not in path]
    assert writes == []
    assert proxy.count("GET", "/resolve/") == 0, "the receipt says that they were compared"


def test_a_changed_readme_sends_one_file_and_no_large_one(
    proxy, cut_api: HfApi, release: Path, tmp_path: Path
) -> None:
    push(cut_api, release, tmp_path / "receipts")
    readme = release / "README.md"
    readme.write_text(readme.read_text() + "More.\n")
    proxy.log.clear()
    plan, receipt = push(cut_api, release, tmp_path / "receipts")
    assert plan.changed == ("README.md",)
    assert plan.added == ()
    assert proxy.count("POST", "/commit/") == 1
    assert proxy.count("PUT", "") == 0
    assert proxy.count("POST", "info/lfs") == 0
    assert receipt.summary.changed == ["README.md"]
    assert len(receipt.files) == len(contents(release)), "a receipt tells of the whole release"


def test_files_that_are_only_on_the_remote_are_kept(
    api: HfApi, release: Path, tmp_path: Path
) -> None:
    push(api, release, tmp_path / "receipts")
    api.upload_file(path_or_fileobj=b"x", path_in_repo="notes.txt", repo_id=REPO)
    (release / "LICENSE").write_text("Other\n")
    plan, receipt = push(api, release, tmp_path / "receipts")
    assert plan.remote_only == ("notes.txt",)
    assert api.file_exists(REPO, "notes.txt", revision=receipt.commit)


def test_a_file_that_changed_since_the_plan_is_not_sent(
    api: HfApi, release: Path, tmp_path: Path
) -> None:
    plan = make_plan(release, REPO, api=api)
    (release / "config.json").write_text("{}")
    with pytest.raises(CheckFailed, match="changed since the plan"):
        publish(plan, api=api, receipts=tmp_path / "receipts")
    assert len(commits(api)) == 1, "only the commit that made the repository"


def test_a_pull_request_leaves_the_branch_alone(api: HfApi, release: Path, tmp_path: Path) -> None:
    _, first = push(api, release, tmp_path / "receipts")
    (release / "LICENSE").write_text("Proposed\n")
    _, receipt = push(api, release, tmp_path / "receipts", create_pr=True)
    assert receipt.revision == "refs/pr/1"
    assert receipt.pull_request is not None
    assert commits(api)[0] == first.commit
    assert receipt.commit != first.commit


def test_more_files_than_one_call_takes(api: HfApi, release: Path, tmp_path: Path) -> None:
    for number in range(260):
        (release / "figures" / f"f{number}.svg").write_text(f"<svg>{number}</svg>")
    _, receipt = push(api, release, tmp_path / "receipts")
    assert len(receipt.files) == len(contents(release)) > 256
    assert len(commits(api)) == 2


def test_an_ignored_file_stops_the_push(api: HfApi, release: Path, tmp_path: Path) -> None:
    push(api, release, tmp_path / "receipts")
    head = api.upload_file(path_or_fileobj=b"*.svg\n", path_in_repo=".gitignore", repo_id=REPO).oid
    (release / "figures" / "new.svg").write_text("<svg/>")
    plan = make_plan(release, REPO, api=api)
    with pytest.raises(CheckFailed, match=r"would drop figures/new\.svg"):
        publish(plan, api=api, receipts=tmp_path / "receipts")
    assert commits(api)[0] == head


def test_the_token_is_in_no_receipt(api: HfApi, release: Path, tmp_path: Path) -> None:
    plan, receipt = push(api, release, tmp_path / "receipts")
    assert isinstance(api.token, str)
    text = receipt_path(tmp_path / "receipts", REPO, receipt.commit).read_text()
    assert api.token not in text
    assert api.token not in json.dumps(plan.as_json())


def test_the_same_proposal_again_opens_no_second_pull_request(
    api: HfApi, release: Path, tmp_path: Path
) -> None:
    publish(make_plan(release, REPO, api=api), api=api, receipts=tmp_path / "receipts")
    (release / "LICENSE").write_text("Another\n")
    made = [
        publish(make_plan(release, REPO, create_pr=True, api=api), api=api, receipts=tmp_path / at)
        for at in ("first", "second")
    ]
    assert made[0].commit == made[1].commit
    assert made[1].revision == "refs/pr/1"
    assert made[1].pull_request == made[0].pull_request
    assert len(list(api.get_repo_discussions(REPO))) == 1

    api.change_discussion_status(REPO, 1, "closed")
    anew = make_plan(release, REPO, create_pr=True, api=api)
    assert publish(anew, api=api, receipts=tmp_path / "third").revision == "refs/pr/2"


def test_a_repository_that_another_made_public_gets_nothing_private(
    api: HfApi, release: Path, tmp_path: Path
) -> None:
    plan = make_plan(release, REPO, private=True, api=api)
    api.create_repo(REPO)
    with pytest.raises(CheckFailed, match="is public: another made it"):
        publish(plan, api=api, receipts=tmp_path / "receipts")
    assert not api.file_exists(REPO, "README.md")


def test_a_card_that_is_edited_while_files_go_up_is_sent_as_planned(
    proxy, cut_api: HfApi, release: Path, tmp_path: Path
) -> None:
    planned = (release / "README.md").read_bytes()
    plan = make_plan(release, REPO, api=cut_api)

    def edit(method: str, path: str, status: int, body: bytes) -> tuple[int, bytes]:
        if "preupload" in path:
            (release / "README.md").write_bytes(planned + b"edited")
        return status, body

    proxy.tamper = edit
    receipt = publish(plan, api=cut_api, receipts=tmp_path / "receipts")
    assert (release / "README.md").read_bytes() != planned
    assert receipt.files["README.md"].sha256 == sha256_bytes(planned)


def test_a_file_that_is_not_what_the_plan_showed_is_not_sent(
    api: HfApi, release: Path, tmp_path: Path
) -> None:
    plan = make_plan(release, REPO, api=api)
    (release / "LICENSE").write_text("Another\n")
    with pytest.raises(CheckFailed, match="LICENSE has changed since the plan"):
        publish(plan, api=api, receipts=tmp_path / "receipts")
    assert not api.file_exists(REPO, "README.md")
