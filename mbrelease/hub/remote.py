"""What is on the Hub now: a branch's commit, its files by hash, its tags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mbrelease.errors import CheckFailed
from mbrelease.hub.client import sentences
from mbrelease.hub.contents import LocalFile, git_blob_sha1
from mbrelease.hub.patience import read_patiently

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# The Hub writes it into every repository; it says which files are kept as LFS objects.
GIT_ATTRIBUTES = ".gitattributes"
MAIN = "main"
_TAG = re.compile(r"[A-Za-z0-9][\w./+-]*")


@dataclass(frozen=True)
class RemoteFile:
    """A file at a commit. ``sha256`` is known for large files; git's sha1 for the others."""

    path: str
    size_bytes: int
    blob_id: str
    """git's sha1 of the file, or of the pointer that stands for a large one."""
    sha256: str | None


@dataclass(frozen=True)
class Remote:
    """A branch of a repository. ``head`` is ``None`` for a repository without a commit."""

    repo_id: str
    head: str | None
    files: Mapping[str, RemoteFile]
    branches: Mapping[str, str]
    tags: Mapping[str, str]
    private: bool


def read_remote(api: HfApi, repo_id: str, revision: str = MAIN) -> Remote | None:
    """The state of ``revision``, or ``None`` if the repository does not exist (or is hidden).

    Raises:
        CheckFailed: there is no such branch, or the Hub cannot be asked.
    """
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    with sentences(api, repo_id):
        try:
            info = read_patiently(lambda: api.model_info(repo_id))
        except RepositoryNotFoundError:
            return None
        branches, tags = read_refs(api, repo_id)
        if branches and revision not in branches and not revision.startswith("refs/"):
            raise CheckFailed(
                f"{repo_id} has no branch '{revision}'", mend=f"it has: {', '.join(branches)}"
            )
        try:
            head = read_patiently(lambda: api.model_info(repo_id, revision=revision)).sha
        except RevisionNotFoundError:
            head = None
        files = read_tree(api, repo_id, head) if head else {}
    return Remote(info.id or repo_id, head, files, branches, tags, bool(info.private))


def read_head(api: HfApi, repo_id: str, revision: str) -> str | None:
    """The commit that ``revision`` names now."""
    from huggingface_hub.errors import RevisionNotFoundError

    with sentences(api, repo_id):
        try:
            return read_patiently(lambda: api.model_info(repo_id, revision=revision)).sha
        except RevisionNotFoundError:
            return None


def read_tree(api: HfApi, repo_id: str, commit: str) -> dict[str, RemoteFile]:
    """Every file at ``commit``, by path."""
    from huggingface_hub.hf_api import RepoFile

    with sentences(api, repo_id):
        entries = read_patiently(
            lambda: list(api.list_repo_tree(repo_id, revision=commit, recursive=True))
        )
    return {
        entry.path: RemoteFile(
            entry.path, entry.size, entry.blob_id, entry.lfs.sha256 if entry.lfs else None
        )
        for entry in entries
        if isinstance(entry, RepoFile)
    }


def read_refs(api: HfApi, repo_id: str) -> tuple[dict[str, str], dict[str, str]]:
    """The commit of each branch and of each tag, by name."""
    with sentences(api, repo_id):
        refs = read_patiently(lambda: api.list_repo_refs(repo_id))
    branches = {ref.name: ref.target_commit for ref in refs.branches}
    return branches, {ref.name: ref.target_commit for ref in refs.tags}


def read_pull_requests(api: HfApi, repo_id: str) -> dict[str, str]:
    """The commit of each pull request, by its ref (``refs/pr/1``)."""
    with sentences(api, repo_id):
        refs = read_patiently(lambda: api.list_repo_refs(repo_id, include_pull_requests=True))
    return {ref.ref: ref.target_commit for ref in refs.pull_requests or []}


def is_same(folder: Path, local: LocalFile, remote: RemoteFile | None) -> bool:
    """Whether the remote file has the bytes of the local one, by the hash the Hub tells."""
    if remote is None or remote.size_bytes != local.size_bytes:
        return False
    if remote.sha256 is not None:
        return remote.sha256 == local.sha256
    return remote.blob_id == (local.git_sha1 or git_blob_sha1(folder / local.path))


def is_tag_name(tag: str) -> bool:
    """Whether git takes ``tag`` as a name, and people can type it."""
    return (
        _TAG.fullmatch(tag) is not None
        and ".." not in tag
        and "//" not in tag
        and not tag.endswith((".", "/", ".lock"))
    )
