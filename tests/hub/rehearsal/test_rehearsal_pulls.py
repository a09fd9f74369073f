"""Pull requests with the real client."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import BadRequestError, HfHubHTTPError


def add(path: str, text: str) -> list[CommitOperationAdd]:
    return [CommitOperationAdd(path, text.encode())]


def text(api: HfApi, repo: str, path: str, cache: Path, revision: str = "main") -> str:
    return Path(api.hf_hub_download(repo, path, revision=revision, cache_dir=cache)).read_text()


def test_a_proposal_leaves_main_alone_until_it_is_merged(
    api: HfApi, repo: str, tmp_path: Path
) -> None:
    api.create_commit(repo, add("a.txt", "one"), commit_message="one")
    head = api.model_info(repo).sha
    proposal = api.create_commit(
        repo, add("a.txt", "two"), commit_message="Change a", create_pr=True, parent_commit=head
    )
    assert (proposal.pr_num, proposal.pr_revision) == (1, "refs/pr/1")
    assert api.model_info(repo).sha == head
    assert text(api, repo, "a.txt", tmp_path, "refs/pr/1") == "two"
    assert api.list_repo_refs(repo).pull_requests is None
    refs = api.list_repo_refs(repo, include_pull_requests=True)
    assert [(each.name, each.target_commit) for each in refs.pull_requests or []] == [
        ("1", proposal.oid)
    ]

    api.create_commit(repo, add("b.txt", "b"), commit_message="Add b", revision="refs/pr/1")
    api.create_commit(repo, add("c.txt", "c"), commit_message="Meanwhile")
    api.merge_pull_request(repo, 1, comment="Thanks")

    assert text(api, repo, "a.txt", tmp_path) == "two"
    assert {"a.txt", "b.txt", "c.txt"} <= set(api.list_repo_files(repo))
    details = api.get_discussion_details(repo, 1)
    assert details.status == "merged"
    assert details.merge_commit_oid == api.model_info(repo).sha
    kinds = [event.type for event in details.events]
    assert kinds == ["comment", "commit", "commit", "comment", "status-change"]
    titles = [commit.title for commit in api.list_repo_commits(repo)]
    assert titles[0] == "Change a (#1)"
    assert {"Change a", "Add b", "Meanwhile", "one"} <= set(titles)


def test_a_draft_is_opened_before_it_is_merged(api: HfApi, repo: str) -> None:
    draft = api.create_pull_request(repo, "Better card", description="With tables")
    assert (draft.status, draft.git_reference, draft.target_branch) == (
        "draft", "refs/pr/1", "refs/heads/main",
    )  # fmt: skip
    api.create_commit(repo, add("a.txt", "a"), commit_message="a", revision="refs/pr/1")
    with pytest.raises(BadRequestError, match="open it first"):
        api.merge_pull_request(repo, 1)
    assert api.change_discussion_status(repo, 1, "open").new_status == "open"
    api.merge_pull_request(repo, 1)
    assert api.file_exists(repo, "a.txt")
    with pytest.raises(BadRequestError, match="merged"):
        api.merge_pull_request(repo, 1)


def test_a_conflict_is_not_merged(api: HfApi, repo: str, tmp_path: Path) -> None:
    api.create_commit(repo, add("a.txt", "one"), commit_message="one")
    api.create_commit(repo, add("a.txt", "theirs"), commit_message="theirs", create_pr=True)
    api.create_commit(repo, add("a.txt", "ours"), commit_message="ours")
    assert api.get_discussion_details(repo, 1).conflicting_files == ["a.txt"]
    with pytest.raises(HfHubHTTPError, match=r"conflicts with main in a\.txt"):
        api.merge_pull_request(repo, 1)
    assert text(api, repo, "a.txt", tmp_path) == "ours"


def test_a_merge_deletes_what_the_proposal_deleted(api: HfApi, repo: str) -> None:
    both = [*add("a.txt", "a"), *add("b.txt", "b")]
    api.create_commit(repo, both, commit_message="add")
    api.create_commit(
        repo, [CommitOperationDelete("a.txt")], commit_message="Without a", create_pr=True
    )
    api.create_commit(repo, add("b.txt", "b2"), commit_message="Meanwhile")
    api.merge_pull_request(repo, 1)
    assert set(api.list_repo_files(repo)) == {".gitattributes", "b.txt"}


def test_a_proposal_from_an_older_commit(api: HfApi, repo: str) -> None:
    old = api.model_info(repo).sha
    api.create_commit(repo, add("a.txt", "a"), commit_message="a")
    proposal = api.create_commit(
        repo, add("b.txt", "b"), commit_message="b", create_pr=True, parent_commit=old
    )
    assert not api.file_exists(repo, "a.txt", revision=proposal.pr_revision)
    api.merge_pull_request(repo, 1)
    assert {"a.txt", "b.txt"} <= set(api.list_repo_files(repo))


def test_discussions_are_talked_in_renamed_and_listed(api: HfApi, repo: str) -> None:
    api.create_discussion(repo, "A question", description="Why?")
    api.create_pull_request(repo, "An answer")
    assert api.comment_discussion(repo, 1, "Because <b>").content == "Because <b>"
    assert api.rename_discussion(repo, 1, "The question").new_title == "The question"
    api.change_discussion_status(repo, 1, "closed", comment="Done")
    listed = [(each.num, each.title, each.status) for each in api.get_repo_discussions(repo)]
    assert listed == [(2, "An answer", "draft"), (1, "The question", "closed")]
    pulls = api.get_repo_discussions(repo, discussion_type="pull_request")
    assert [each.num for each in pulls] == [2]
    closed = api.get_repo_discussions(repo, discussion_status="closed")
    assert [each.num for each in closed] == [1]
    with pytest.raises(HfHubHTTPError, match="404"):
        api.get_discussion_details(repo, 3)
