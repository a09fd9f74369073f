"""Committing with the real client."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi
from huggingface_hub.errors import BadRequestError, EntryNotFoundError, HfHubHTTPError

WEIGHTS = bytes(range(256)) * 40


def paths(api: HfApi, repo: str, revision: str = "main") -> dict[str, str]:
    """Path → blob id of every file."""
    tree = api.list_repo_tree(repo, recursive=True, revision=revision)
    return {entry.path: entry.blob_id for entry in tree if hasattr(entry, "blob_id")}


def test_a_new_repository_has_the_hubs_first_commit(api: HfApi, repo: str) -> None:
    assert list(paths(api, repo)) == [".gitattributes"]
    assert [commit.title for commit in api.list_repo_commits(repo)] == ["initial commit"]


def test_creating_it_again_is_refused_unless_that_is_fine(api: HfApi, repo: str) -> None:
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo(repo)
    assert api.create_repo(repo, exist_ok=True).repo_id == repo


def test_a_name_that_differs_in_case_only_is_taken(api: HfApi, repo: str) -> None:
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo(repo.upper())


def test_a_repository_can_be_deleted(api: HfApi, repo: str) -> None:
    api.delete_repo(repo)
    assert not api.repo_exists(repo)
    with pytest.raises(HfHubHTTPError, match="404"):
        api.delete_repo(repo)
    api.create_repo(repo)
    assert list(paths(api, repo)) == [".gitattributes"]


def test_models_are_listed_by_author(api: HfApi, repo: str) -> None:
    api.create_repo("elsewhere/model", exist_ok=True)
    assert repo in [model.id for model in api.list_models(author="lab")]
    assert [model.id for model in api.list_models(author="elsewhere")] == ["elsewhere/model"]
    assert list(api.list_models(author="nobody")) == []


def test_every_kind_of_file_gets_its_git_id(api: HfApi, repo: str) -> None:
    commit = api.create_commit(
        repo,
        [
            CommitOperationAdd("config.json", b"{}"),
            CommitOperationAdd("model.safetensors", WEIGHTS),
            CommitOperationAdd("figures/loss.png", b"\x89PNG\r\n\x1a\n\0\0"),
            CommitOperationAdd("empty.safetensors", b""),
        ],
        commit_message="Release",
        commit_description="With a figure",
    )
    files = {
        entry.path: entry for entry in api.list_repo_tree(repo, recursive=True) if "." in entry.path
    }
    assert files["config.json"].blob_id == hashlib.sha1(b"blob 2\0{}").hexdigest()
    assert files["config.json"].lfs is None
    assert files["model.safetensors"].lfs.sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert files["model.safetensors"].size == len(WEIGHTS)
    assert files["figures/loss.png"].lfs is not None  # not text, so not for git
    assert files["empty.safetensors"].lfs is None  # the client sends empty files as regular
    last = api.list_repo_commits(repo)[0]
    assert (last.commit_id, last.title, last.message) == (commit.oid, "Release", "With a figure")


def test_the_hub_names_lfs_files_in_gitattributes(api: HfApi, repo: str) -> None:
    api.create_commit(repo, [CommitOperationAdd("a figure.png", b"\0png")], commit_message="figure")
    attributes = Path(
        api.hf_hub_download(repo, ".gitattributes", local_dir=None, force_download=True)
    ).read_text()
    assert attributes.endswith("a[[:space:]]figure.png filter=lfs diff=lfs merge=lfs -text\n")


def test_a_large_tokenizer_is_lfs_and_a_small_one_is_not(api: HfApi, repo: str) -> None:
    from huggingface_hub._commit_api import _fetch_upload_modes

    small = CommitOperationAdd("tokenizer.json", b"{}")
    large = CommitOperationAdd("large/tokenizer.json", b" " * (10 * 1024 * 1024 + 1))
    _fetch_upload_modes(
        [small, large],
        repo_type="model",
        repo_id=repo,
        headers=api._build_hf_headers(),
        revision="main",
        endpoint=api.endpoint,
    )
    assert (small._upload_mode, large._upload_mode) == ("regular", "lfs")


def test_a_folder_is_uploaded_whole(api: HfApi, repo: str, tmp_path: Path) -> None:
    for name, data in {"a.txt": b"a", "deep/er/b.bin": b"\0b", "ümlaut #1 ?.md": b"# c"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    api.upload_folder(repo_id=repo, folder_path=tmp_path)
    assert set(paths(api, repo)) == {
        ".gitattributes", "a.txt", "deep/er/b.bin", "ümlaut #1 ?.md",
    }  # fmt: skip


def test_ignored_files_are_dropped_silently(api: HfApi, repo: str) -> None:
    """A trap of the real Hub, kept for rehearsal."""
    api.create_commit(
        repo,
        [
            CommitOperationAdd(".gitignore", b"*.log\n!keep.log\n/runs/\n"),
            CommitOperationAdd("train.log", b"x"),
            CommitOperationAdd("keep.log", b"x"),
            CommitOperationAdd("runs/events.txt", b"x"),
        ],
        commit_message="files",
    )
    assert set(paths(api, repo)) == {".gitattributes", ".gitignore", "keep.log"}


def test_a_stale_parent_is_refused_and_nothing_changes(api: HfApi, repo: str) -> None:
    first = api.model_info(repo).sha
    add = [CommitOperationAdd("a.txt", b"1")]
    second = api.create_commit(repo, add, commit_message="one", parent_commit=first).oid
    with pytest.raises(HfHubHTTPError, match="412") as refusal:
        api.create_commit(
            repo,
            [CommitOperationAdd("a.txt", b"2")],
            commit_message="two",
            parent_commit=first,
        )
    assert refusal.value.response.status_code == 412
    assert api.model_info(repo).sha == second
    third = api.create_commit(
        repo, [CommitOperationAdd("a.txt", b"3")], commit_message="3", parent_commit=second[:8]
    )
    assert api.model_info(repo).sha == third.oid


def test_of_many_at_once_one_wins(api: HfApi, repo: str) -> None:
    parent = api.model_info(repo).sha

    def push(number: int) -> str | int:
        add = [CommitOperationAdd("a.txt", str(number).encode())]
        try:
            return api.create_commit(repo, add, commit_message="race", parent_commit=parent).oid
        except HfHubHTTPError as error:
            return error.response.status_code

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(push, range(6)))
    assert answers.count(412) == 5
    assert api.model_info(repo).sha in answers
    assert len(api.list_repo_commits(repo)) == 2


def test_an_unchanged_file_is_left_out_by_the_client(
    api: HfApi, repo: str, blob_writes: Callable[[], list[str]]
) -> None:
    files = {"config.json": b"{}", "model.safetensors": WEIGHTS}
    for expected in (True, False):
        before = api.model_info(repo).sha
        operations = [CommitOperationAdd(path, data) for path, data in files.items()]
        api.create_commit(repo, operations, commit_message="same")
        assert (api.model_info(repo).sha != before) is expected
    assert blob_writes().count(hashlib.sha256(WEIGHTS).hexdigest()) <= 1


def test_files_and_folders_are_deleted(api: HfApi, repo: str) -> None:
    names = ["a.txt", "docs/b.txt", "docs/more/c.txt", "docs.txt"]
    api.create_commit(
        repo, [CommitOperationAdd(name, name.encode()) for name in names], commit_message="add"
    )
    api.delete_file("a.txt", repo)
    api.delete_folder("docs", repo)
    assert set(paths(api, repo)) == {".gitattributes", "docs.txt"}


def test_deleting_what_is_not_there_is_refused(api: HfApi, repo: str) -> None:
    for operation in (
        CommitOperationDelete("nothing.txt"),
        CommitOperationDelete("nothing/"),
        CommitOperationDelete(".gitattributes/"),
    ):
        with pytest.raises(EntryNotFoundError, match="doesn't exist"):
            api.create_commit(repo, [operation], commit_message="delete")


def test_a_file_is_copied(api: HfApi, repo: str) -> None:
    add = [CommitOperationAdd("a.bin", b"\0a"), CommitOperationAdd("a.txt", b"a")]
    api.create_commit(repo, add, commit_message="add")
    copies = [CommitOperationCopy("a.bin", "b.bin"), CommitOperationCopy("a.txt", "b.txt")]
    api.create_commit(repo, copies, commit_message="copy")
    found = paths(api, repo)
    assert (found["a.bin"], found["a.txt"]) == (found["b.bin"], found["b.txt"])


def test_a_path_is_a_file_or_a_folder_and_not_both(api: HfApi, repo: str) -> None:
    api.create_commit(repo, [CommitOperationAdd("docs", b"file")], commit_message="file")
    with pytest.raises(BadRequestError, match="docs is a file"):
        api.create_commit(repo, [CommitOperationAdd("docs/a.md", b"x")], commit_message="folder")


def test_a_commit_of_a_file_that_was_never_uploaded_is_refused(api: HfApi, repo: str) -> None:
    head = api.model_info(repo).sha
    add = CommitOperationAdd("model.safetensors", b"never sent")
    add._upload_mode, add._should_ignore, add._is_uploaded = "lfs", False, True
    with pytest.raises(BadRequestError, match="was not uploaded"):
        api.create_commit(repo, [add], commit_message="hollow")
    assert api.model_info(repo).sha == head


@pytest.mark.parametrize(
    ("metadata", "fault"),
    [
        ("base_model: a/b\nbase_model_relation: cousin", "must be one of adapter"),
        ("base_model: not a repo id", "must be model ids"),
        ("model-index: {name: x}", "must be a list"),
        ("license: [", "not YAML"),
        ("- a list", "not a mapping"),
    ],
)
def test_a_card_with_wrong_metadata_is_refused(
    api: HfApi, repo: str, metadata: str, fault: str
) -> None:
    readme = f"---\n{metadata}\n---\n# Card\n".encode()
    with pytest.raises(ValueError, match=fault):
        api.create_commit(repo, [CommitOperationAdd("README.md", readme)], commit_message="card")


def test_a_card_without_metadata_is_warned_of(api: HfApi, repo: str) -> None:
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        api.create_commit(
            repo, [CommitOperationAdd("README.md", b"# Card\n")], commit_message="card"
        )


def test_a_private_repository_is_hidden_from_callers_without_a_token(
    api: HfApi, hub_url: str
) -> None:
    api.create_repo("lab/secret", private=True)
    assert api.model_info("lab/secret").private
    stranger = HfApi(endpoint=hub_url, token=False)
    assert not stranger.repo_exists("lab/secret")
    assert "lab/secret" not in [model.id for model in stranger.list_models()]


def test_writing_needs_a_token(repo: str, hub_url: str) -> None:
    stranger = HfApi(endpoint=hub_url, token=False)
    assert stranger.model_info(repo).id == repo
    with pytest.raises(HfHubHTTPError) as refusal:
        stranger.create_commit(repo, [CommitOperationAdd("a.txt", b"a")], commit_message="no")
    assert refusal.value.response.status_code == 401
    with pytest.raises(HfHubHTTPError) as refusal:
        stranger.create_repo("lab/mine")
    assert refusal.value.response.status_code == 401
