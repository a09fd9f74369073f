"""A push through a network that loses or changes answers, over real TCP."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from mbrelease.errors import CheckFailed
from mbrelease.hub import publish
from mbrelease.hub.plan import make_plan
from mbrelease.hub.receipt import Receipt, receipt_path
from mbrelease.progress import Silent

REPO = "rehearsal/tiny"


class Notes(Silent):
    """What was said."""

    text = ""

    def note(self, message: str) -> None:
        self.text += message + "\n"


def commits(api: HfApi) -> list[str]:
    return [commit.commit_id for commit in api.list_repo_commits(REPO)]


def tags(api: HfApi) -> dict[str, str]:
    return {tag.name: tag.target_commit for tag in api.list_repo_refs(REPO).tags}


@pytest.mark.parametrize("answer", [(504, b"<html>timeout</html>"), (200, b"{half"), None])
def test_a_commit_that_lands_without_an_answer_is_found_and_not_repeated(
    answer, proxy, api: HfApi, cut_api: HfApi, release: Path, tmp_path: Path
) -> None:
    proxy.tamper = lambda m, path, status, body: answer if "/commit/" in path else (status, body)
    plan = make_plan(release, REPO, tag="v1", api=cut_api)
    receipt = publish.publish(plan, api=cut_api, receipts=tmp_path / "receipts")
    assert proxy.count("POST", "/commit/") == 1
    log = commits(api)
    assert log == [receipt.commit, receipt.parent_commit]
    assert tags(api) == {"v1": receipt.commit}


def test_a_commit_that_never_arrived_is_sent_again(
    proxy, api: HfApi, cut_api: HfApi, release: Path, tmp_path: Path
) -> None:
    dropped = []

    def drop_the_first(method: str, path: str) -> bool:
        if "/commit/" in path and not dropped:
            dropped.append(path)
            return True
        return False

    proxy.refuse = drop_the_first
    plan = make_plan(release, REPO, api=cut_api)
    receipt = publish.publish(plan, api=cut_api, receipts=tmp_path / "receipts")
    assert proxy.count("POST", "/commit/") == 2
    assert commits(api) == [receipt.commit, receipt.parent_commit]


def test_a_hub_that_never_commits_is_said_to_have_published_nothing(
    proxy, api: HfApi, cut_api: HfApi, release: Path, tmp_path: Path
) -> None:
    proxy.refuse = lambda method, path: "/commit/" in path
    plan = make_plan(release, REPO, api=cut_api)
    with pytest.raises(CheckFailed, match="was not published"):
        publish.publish(plan, api=cut_api, receipts=tmp_path / "receipts")
    assert len(commits(api)) == 1
    assert not (tmp_path / "receipts").exists()


def test_a_remote_that_cannot_be_read_afterwards_leaves_it_unknown_and_a_second_run_completes(
    proxy, api: HfApi, cut_api: HfApi, release: Path, tmp_path: Path
) -> None:
    down = []

    def dies_after_the_commit(method: str, path: str, status: int, body: bytes):
        if "/commit/" in path:
            down.append(path)
            return None
        return (400, b"{}") if down else (status, body)

    proxy.tamper = dies_after_the_commit
    plan = make_plan(release, REPO, tag="v1", api=cut_api)
    with pytest.raises(CheckFailed, match="unknown whether"):
        publish.publish(plan, api=cut_api, receipts=tmp_path / "receipts")
    proxy.tamper = lambda method, path, status, body: (status, body)
    proxy.log.clear()
    again = make_plan(release, REPO, tag="v1", api=cut_api)
    receipt = publish.publish(again, api=cut_api, receipts=tmp_path / "receipts")
    assert proxy.count("POST", "/commit/") == 0
    assert tags(api) == {"v1": receipt.commit}
    assert len(commits(api)) == 2


def test_another_commit_on_top_of_the_lost_one_does_not_hide_it(
    proxy, api: HfApi, cut_api: HfApi, release: Path, tmp_path: Path
) -> None:
    def lost_and_overtaken(method: str, path: str, status: int, body: bytes):
        if "/commit/" not in path:
            return status, body
        api.upload_file(path_or_fileobj=b"x", path_in_repo="theirs.txt", repo_id=REPO)
        return 504, b""

    proxy.tamper = lost_and_overtaken
    plan = make_plan(release, REPO, api=cut_api)
    receipt = publish.publish(plan, api=cut_api, receipts=tmp_path / "receipts")
    assert commits(api)[1:] == [receipt.commit, receipt.parent_commit]


def test_a_pull_request_whose_answer_is_lost_is_opened_once(
    proxy, api: HfApi, cut_api: HfApi, release: Path, tmp_path: Path
) -> None:
    first = publish.publish(
        make_plan(release, REPO, api=api), api=api, receipts=tmp_path / "receipts"
    )
    (release / "LICENSE").write_text("Proposed\n")
    proxy.tamper = lambda m, path, status, body: None if "/commit/" in path else (status, body)
    plan = make_plan(release, REPO, create_pr=True, api=cut_api)
    receipt = publish.publish(plan, api=cut_api, receipts=tmp_path / "receipts")
    refs = api.list_repo_refs(REPO, include_pull_requests=True)
    assert [pr.ref for pr in refs.pull_requests or []] == [receipt.revision] == ["refs/pr/1"]
    assert commits(api)[0] == first.commit


def test_a_job_goes_on_with_its_own_pull_request(
    proxy, api: HfApi, cut_api: HfApi, release: Path, tmp_path: Path
) -> None:
    """No account stands behind its token, so the Hub's author of it is nobody that it knows."""
    receipts = tmp_path / "receipts"
    publish.publish(make_plan(release, REPO, api=api), api=api, receipts=receipts)
    (release / "LICENSE").write_text("Another\n")
    cut_api.token, proxy.token = "hf_jwt_" + "a.b.c" * 10, str(api.token)
    whoami = (403, [], b'{"error": "no account"}')
    proxy.answers = lambda method, path: whoami if "/whoami" in path else None
    proxy.refuse = lambda method, path: "/resolve/" in path and "LICENSE" in path

    def propose() -> Receipt:
        plan = make_plan(release, REPO, create_pr=True, api=cut_api)
        return publish.publish(plan, api=cut_api, receipts=receipts)

    with pytest.raises(CheckFailed, match="not yet read back"):
        propose()
    other = api.create_pull_request(REPO, title="Release release")
    proxy.refuse = lambda method, path: False
    receipt = propose()
    assert receipt.revision == "refs/pr/1" and other.num == 2
    refs = api.list_repo_refs(REPO, include_pull_requests=True)
    assert len(refs.pull_requests or []) == 2


def test_a_pull_request_that_never_arrived_is_not_asked_for_twice(
    proxy, api: HfApi, cut_api: HfApi, release: Path, tmp_path: Path
) -> None:
    """No guard would keep a late first one and a second one apart."""
    api.create_repo(REPO)
    proxy.refuse = lambda method, path: "/commit/" in path
    plan = make_plan(release, REPO, create_pr=True, api=cut_api)
    with pytest.raises(CheckFailed, match="unknown whether the pull request"):
        publish.publish(plan, api=cut_api, receipts=tmp_path / "receipts")
    assert proxy.count("POST", "/commit/") == 1


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_other_bytes_than_were_sent_are_not_tagged(
    name: str, proxy, api: HfApi, cut_api: HfApi, release: Path, tmp_path: Path
) -> None:
    def flip_the_last_bit(method: str, path: str, status: int, body: bytes):
        if method == "GET" and path.endswith(f"/{name}") and "1_Pooling" not in path:
            return status, body[:-1] + bytes([body[-1] ^ 1])
        return status, body

    proxy.tamper = flip_the_last_bit
    plan = make_plan(release, REPO, tag="v1", api=cut_api)
    with pytest.raises(CheckFailed, match=f"is not what was sent: {name} has sha256"):
        publish.publish(plan, api=cut_api, receipts=tmp_path / "receipts")
    assert tags(api) == {}
    assert not receipt_path(tmp_path / "receipts", REPO, commits(api)[0]).exists()


def test_a_file_that_is_missing_afterwards_is_told(
    proxy, cut_api: HfApi, release: Path, tmp_path: Path
) -> None:
    # What a server that drops a file without a word looks like from here.
    hidden = (404, b"{}")
    proxy.tamper = lambda m, path, status, body: (
        hidden if path.endswith("/LICENSE") else (status, body)
    )
    plan = make_plan(release, REPO, api=cut_api)
    with pytest.raises(CheckFailed, match="is not what was sent: LICENSE is not there"):
        publish.publish(plan, api=cut_api, receipts=tmp_path / "receipts")


def test_a_download_that_breaks_is_tried_again(
    proxy, cut_api: HfApi, release: Path, tmp_path: Path
) -> None:
    broken = []

    def break_the_first(method: str, path: str, status: int, body: bytes):
        if "/resolve/" in path and not broken:
            broken.append(path)
            return None
        return status, body

    proxy.tamper = break_the_first
    plan = make_plan(release, REPO, api=cut_api)
    assert publish.publish(plan, api=cut_api, receipts=tmp_path / "receipts").verified
    assert broken


def test_a_push_that_could_not_be_read_back_is_completed_by_the_next(
    proxy, api: HfApi, cut_api: HfApi, release: Path, tmp_path: Path
) -> None:
    proxy.tamper = lambda m, path, status, body: None if "/resolve/" in path else (status, body)
    plan = make_plan(release, REPO, tag="v1", api=cut_api)
    with pytest.raises(CheckFailed, match="not yet read back"):
        publish.publish(plan, api=cut_api, receipts=tmp_path / "receipts")
    assert tags(api) == {}
    proxy.tamper = lambda method, path, status, body: (status, body)
    again = make_plan(release, REPO, tag="v1", api=cut_api)
    receipt = publish.publish(again, api=cut_api, receipts=tmp_path / "receipts")
    assert tags(api) == {"v1": receipt.commit}
    assert len(commits(api)) == 2


def test_a_tag_whose_answer_is_lost_is_set_once(
    proxy, api: HfApi, cut_api: HfApi, release: Path, tmp_path: Path
) -> None:
    proxy.tamper = lambda m, path, status, body: None if "/tag/" in path else (status, body)
    plan = make_plan(release, REPO, tag="v1", api=cut_api)
    receipt = publish.publish(plan, api=cut_api, receipts=tmp_path / "receipts")
    assert tags(api) == {"v1": receipt.commit}


def test_a_tag_that_appears_elsewhere_in_between_is_not_moved(
    proxy, api: HfApi, cut_api: HfApi, release: Path, tmp_path: Path
) -> None:
    taken = []

    def take_the_name(method: str, path: str, status: int, body: bytes):
        if "/resolve/" in path and not taken:
            taken.append(commits(api)[1])
            api.create_tag(REPO, tag="v1", revision=taken[0])
        return status, body

    proxy.tamper = take_the_name
    plan = make_plan(release, REPO, tag="v1", api=cut_api)
    with pytest.raises(CheckFailed, match="the tag 'v1' names"):
        publish.publish(plan, api=cut_api, receipts=tmp_path / "receipts")
    assert tags(api) == {"v1": taken[0]}


@pytest.mark.parametrize(
    ("status", "said", "told"),
    [
        (403, "", "no right to write to rehearsal/tiny\n  use a token with write access"),
        (403, "Forbidden: read only", "to rehearsal/tiny: Forbidden: read only\n  use a token"),
        (403, "Storage limit reached", "to rehearsal/tiny: Storage limit reached\n  make room"),
        (401, "no", "does not accept the token"),
    ],
)
def test_a_no_is_told_once_and_not_retried(
    status: int,
    said: str,
    told: str,
    proxy,
    api: HfApi,
    cut_api: HfApi,
    release: Path,
    tmp_path: Path,
) -> None:
    plan = make_plan(release, REPO, api=cut_api)
    proxy.tamper = lambda m, path, code, body: (
        (status, json.dumps({"error": said}).encode()) if "/commit/" in path else (code, body)
    )
    with pytest.raises(CheckFailed) as failure:
        publish.publish(plan, api=cut_api, receipts=tmp_path / "receipts")
    assert told in str(failure.value)
    assert "right" not in str(failure.value) or not said
    assert proxy.count("POST", "/commit/") == 1
    assert len(str(failure.value).splitlines()) <= 2


@pytest.mark.parametrize(
    "header",
    [("Retry-After", "1"), ("RateLimit", '"api";r=0;t=1')],
)
def test_a_commit_that_comes_too_soon_waits_as_it_is_told(
    header: tuple[str, str], proxy, api: HfApi, cut_api: HfApi, release: Path, tmp_path: Path
) -> None:
    """Such a commit was not made, so asking again makes no second."""
    seen: list[float] = []

    def too_soon(method: str, path: str) -> bool:
        if "/commit/" in path:
            seen.append(time.monotonic())
        return False

    proxy.refuse = too_soon
    proxy.answers = lambda m, path: (
        (429, [header], b"{}") if "/commit/" in path and len(seen) == 1 else None
    )
    notes = Notes()
    plan = make_plan(release, REPO, api=cut_api)
    receipt = publish.publish(plan, api=cut_api, progress=notes, receipts=tmp_path / "receipts")
    assert len(seen) == 2 and seen[1] - seen[0] >= 1
    assert "waiting 1 seconds" in notes.text
    assert commits(api) == [receipt.commit, receipt.parent_commit]


def test_a_pause_of_hours_is_told_and_not_waited_for(
    proxy, api: HfApi, cut_api: HfApi, release: Path, tmp_path: Path
) -> None:
    proxy.answers = lambda m, path: (
        (429, [("Retry-After", "7200")], b"{}") if "/commit/" in path else None
    )
    plan = make_plan(release, REPO, api=cut_api)
    with pytest.raises(CheckFailed, match="fewer requests") as failure:
        publish.publish(plan, api=cut_api, receipts=tmp_path / "receipts")
    assert "in 7200 seconds" in str(failure.value)
    assert proxy.count("POST", "/commit/") == 1


def test_a_repository_whose_making_was_not_answered_is_used(
    proxy, api: HfApi, cut_api: HfApi, release: Path, tmp_path: Path
) -> None:
    proxy.tamper = lambda m, path, status, body: None if "/create" in path else (status, body)
    plan = make_plan(release, REPO, api=cut_api)
    receipt = publish.publish(plan, api=cut_api, receipts=tmp_path / "receipts")
    assert commits(api)[0] == receipt.commit


def test_a_server_without_xet_gets_plain_lfs_objects(
    proxy, api: HfApi, cut_api: HfApi, release: Path, tmp_path: Path
) -> None:
    proxy.tamper = lambda m, path, status, body: (
        (404, b"{}") if "xet-write-token" in path else (status, body)
    )
    plan = make_plan(release, REPO, api=cut_api)
    publish.publish(plan, api=cut_api, receipts=tmp_path / "receipts")
    size = (release / "model.safetensors").stat().st_size
    assert proxy.bytes_sent("PUT", "") >= size
    from huggingface_hub import constants

    assert not constants.HF_HUB_DISABLE_XET, "the client is left as it was"
