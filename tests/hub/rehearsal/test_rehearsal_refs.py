"""Branches and tags with the real client."""

from __future__ import annotations

import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import BadRequestError, HfHubHTTPError, RevisionNotFoundError


def commit(api: HfApi, repo: str, text: str, revision: str = "main") -> str:
    add = [CommitOperationAdd("a.txt", text.encode())]
    return api.create_commit(repo, add, commit_message=text, revision=revision).oid


def test_tags_stay_where_they_were_put(api: HfApi, repo: str) -> None:
    first = commit(api, repo, "one")
    api.create_tag(repo, tag="v1", tag_message="The first")
    second = commit(api, repo, "two")
    api.create_tag(repo, tag="v2", revision=second)
    api.create_tag(repo, tag="v1-again", revision="v1")
    refs = api.list_repo_refs(repo)
    assert {tag.name: tag.target_commit for tag in refs.tags} == {
        "v1": first, "v1-again": first, "v2": second,
    }  # fmt: skip
    assert [(branch.name, branch.target_commit) for branch in refs.branches] == [("main", second)]
    assert refs.tags[0].ref == "refs/tags/v1"


def test_a_tag_is_not_moved(api: HfApi, repo: str) -> None:
    """With exist_ok the client takes any tag of that name: a trap, kept for rehearsal."""
    first = commit(api, repo, "one")
    api.create_tag(repo, tag="v1")
    commit(api, repo, "two")
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_tag(repo, tag="v1")
    api.create_tag(repo, tag="v1", exist_ok=True)
    assert api.list_repo_refs(repo).tags[0].target_commit == first


def test_a_tag_of_nothing_is_refused(api: HfApi, repo: str) -> None:
    with pytest.raises(RevisionNotFoundError):
        api.create_tag(repo, tag="v1", revision="no-such-branch")


def test_tags_and_branches_are_deleted(api: HfApi, repo: str) -> None:
    api.create_tag(repo, tag="v1")
    api.create_branch(repo, branch="dev")
    api.delete_tag(repo, tag="v1")
    api.delete_branch(repo, branch="dev")
    refs = api.list_repo_refs(repo)
    assert (refs.tags, [branch.name for branch in refs.branches]) == ([], ["main"])
    with pytest.raises(RevisionNotFoundError):
        api.delete_tag(repo, tag="v1")
    with pytest.raises(HfHubHTTPError, match="403"):
        api.delete_branch(repo, branch="main")


def test_branches_go_their_own_way(api: HfApi, repo: str) -> None:
    base = commit(api, repo, "base")
    commit(api, repo, "main goes on")
    api.create_branch(repo, branch="old", revision=base)
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_branch(repo, branch="old")
    api.create_branch(repo, branch="old", exist_ok=True)
    commit(api, repo, "old goes on", revision="old")
    titles = [each.title for each in api.list_repo_commits(repo, revision="old")]
    assert titles == ["old goes on", "base", "initial commit"]


def test_the_same_change_on_two_branches_may_be_the_same_commit(api: HfApi, repo: str) -> None:
    """As in git, where an id is made of content, parent, author and second."""
    api.create_branch(repo, branch="other")
    ids = [commit(api, repo, "same", revision=branch) for branch in ("main", "other")]
    for branch, commit_id in zip(("main", "other"), ids, strict=True):
        assert api.model_info(repo, revision=branch).sha == commit_id
        assert len(api.list_repo_commits(repo, revision=branch)) == 2


def test_a_tag_or_a_commit_cannot_be_committed_to(api: HfApi, repo: str) -> None:
    sha = commit(api, repo, "one")
    api.create_tag(repo, tag="v1")
    for revision in ("v1", sha, "no-such-branch"):
        with pytest.raises(RevisionNotFoundError):
            commit(api, repo, "two", revision=revision)


@pytest.mark.parametrize("name", ["a..b", "-x", "x.lock", "a b", "refs/pr/1", "f" * 40, "x/"])
def test_names_that_git_would_refuse(api: HfApi, repo: str, name: str) -> None:
    with pytest.raises(BadRequestError, match="Invalid name"):
        api.create_tag(repo, tag=name)
