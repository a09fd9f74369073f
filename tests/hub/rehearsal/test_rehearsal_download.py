"""Reading back with the real client."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

FILES = {
    "README.md": b"---\nlicense: apache-2.0\n---\n# Card\n",
    "config.json": b'{"model_type": "modernbert"}',
    "model.safetensors": os.urandom(300_000),
    "figures/loss curve #1.png": b"\x89PNG\0" + os.urandom(1000),
    "empty.txt": b"",
}


@pytest.fixture
def filled(api: HfApi, repo: str) -> str:
    operations = [CommitOperationAdd(path, data) for path, data in FILES.items()]
    api.create_commit(repo, operations, commit_message="Release")
    return repo


def test_a_snapshot_has_the_bytes_that_were_pushed(
    filled: str, hub_url: str, tmp_path: Path
) -> None:
    folder = Path(snapshot_download(filled, endpoint=hub_url, cache_dir=tmp_path / "cache"))
    for path, data in FILES.items():
        assert (folder / path).read_bytes() == data


def test_one_file_by_branch_tag_commit_and_short_id(
    api: HfApi, filled: str, hub_url: str, tmp_path: Path
) -> None:
    old = api.model_info(filled).sha
    api.create_tag(filled, tag="v1.0")
    api.create_branch(filled, branch="dev/next")
    api.create_commit(
        filled,
        [CommitOperationAdd("config.json", b"{}")],
        commit_message="Change",
        revision="dev/next",
    )
    for revision, expected in {
        "main": FILES["config.json"],
        "v1.0": FILES["config.json"],
        old: FILES["config.json"],
        "dev/next": b"{}",
        "refs/heads/dev/next": b"{}",
    }.items():
        found = hf_hub_download(
            filled, "config.json", revision=revision, endpoint=hub_url, cache_dir=tmp_path
        )
        assert Path(found).read_bytes() == expected, revision
    assert api.model_info(filled, revision=old[:7]).sha == old


def test_what_is_missing_raises_its_own_exception(
    api: HfApi, filled: str, hub_url: str, tmp_path: Path
) -> None:
    assert api.repo_exists(filled)
    assert not api.repo_exists("lab/nothing")
    assert api.file_exists(filled, "config.json")
    assert not api.file_exists(filled, "pytorch_model.bin")
    assert api.revision_exists(filled, "main")
    assert not api.revision_exists(filled, "v9")
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("lab/nothing")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(filled, revision="v9")
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download(filled, "a", revision="v9", endpoint=hub_url, cache_dir=tmp_path)
    with pytest.raises(EntryNotFoundError):
        hf_hub_download(filled, "pytorch_model.bin", endpoint=hub_url, cache_dir=tmp_path)
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("lab/nothing", "config.json", endpoint=hub_url, cache_dir=tmp_path)
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree(filled, path_in_repo="no/such/folder"))
    with pytest.raises(RepositoryNotFoundError):
        list(api.list_repo_commits("lab/nothing"))


def test_an_interrupted_download_goes_on_where_it_was(filled: str, hub_url: str) -> None:
    weights = FILES["model.safetensors"]
    url = f"{hub_url}/{filled}/resolve/main/model.safetensors"
    request = urllib.request.Request(url, headers={"Range": "bytes=1000-"})
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes 1000-{len(weights) - 1}/{len(weights)}"
        assert answer.read() == weights[1000:]
    request = urllib.request.Request(url, headers={"Range": f"bytes={len(weights)}-"})
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request)
    assert refusal.value.code == 416
    refusal.value.close()


def test_the_headers_of_a_file(api: HfApi, filled: str, hub_url: str) -> None:
    url = f"{hub_url}/{filled}/resolve/main/model.safetensors"
    head = urllib.request.Request(url, method="HEAD")
    weights = FILES["model.safetensors"]
    with urllib.request.urlopen(head) as answer:
        assert answer.headers["X-Repo-Commit"] == api.model_info(filled).sha
        assert answer.headers["X-Linked-Etag"] == f'"{hashlib.sha256(weights).hexdigest()}"'
        assert answer.headers["X-Linked-Size"] == str(len(weights))
        assert answer.headers["Content-Length"] == str(len(weights))
        assert not [name for name in answer.headers if name.lower().startswith("x-xet")]
        assert answer.read() == b""


def test_a_tree_of_more_than_a_page(api: HfApi, repo: str) -> None:
    names = [f"shards/{number:04}.txt" for number in range(1105)]
    for start in range(0, len(names), 600):
        api.create_commit(
            repo,
            [CommitOperationAdd(name, b"same content") for name in names[start : start + 600]],
            commit_message="shards",
        )
    found = [entry.path for entry in api.list_repo_tree(repo, recursive=True)]
    assert found == [".gitattributes", "shards", *names]
    assert [entry.path for entry in api.list_repo_tree(repo)] == [".gitattributes", "shards"]
    assert [entry.path for entry in api.list_repo_tree(repo, "shards")] == names
    assert len(api.model_info(repo).siblings or []) == 1106


def test_paths_and_the_commits_that_changed_them(api: HfApi, filled: str) -> None:
    api.create_commit(
        filled, [CommitOperationAdd("config.json", b"{}")], commit_message="Smaller config"
    )
    infos = {
        info.path: info
        for info in api.get_paths_info(
            filled, ["config.json", "figures", "README.md", "missing"], expand=True
        )
    }
    assert set(infos) == {"config.json", "figures", "README.md"}
    assert infos["config.json"].last_commit.title == "Smaller config"
    assert infos["figures"].last_commit.title == "Release"
    expanded = {entry.path: entry for entry in api.list_repo_tree(filled, expand=True)}
    assert expanded["config.json"].last_commit.title == "Smaller config"
    assert expanded[".gitattributes"].last_commit.title == "Release"  # a PNG was added to it


def test_the_commits_are_listed_last_first(
    api: HfApi, repo: str, hub_url: str, commit_text: Callable[[str, str, str], str]
) -> None:
    ids = [commit_text(hub_url, repo, f"Commit <{number}>") for number in range(105)]
    commits = api.list_repo_commits(repo, formatted=True)
    assert [commit.commit_id for commit in commits[:-1]] == ids[::-1]
    assert commits[0].formatted_title == "Commit &lt;104&gt;"
    assert commits[-1].title == "initial commit"


def test_a_models_description(api: HfApi, repo: str) -> None:
    import json

    header = json.dumps({"w": {"dtype": "F32", "shape": [10, 3], "data_offsets": [0, 120]}})
    weights = len(header).to_bytes(8, "little") + header.encode() + bytes(120)
    readme = (
        "---\nlicense: mit\nlanguage: [en, fr]\nbase_model: lab/base\n"
        "base_model_relation: finetune\ndate: 2025-01-31\n---\n"
    )
    api.create_commit(
        repo,
        [
            CommitOperationAdd("model.safetensors", weights),
            CommitOperationAdd("config.json", b'{"architectures": ["ModernBertForMaskedLM"]}'),
            CommitOperationAdd("README.md", readme.encode()),
        ],
        commit_message="Release",
    )
    info = api.model_info(repo, files_metadata=True)
    assert info.safetensors is not None and info.safetensors.parameters == {"F32": 30}
    assert info.pipeline_tag == "fill-mask"
    assert info.library_name == "transformers"
    assert info.card_data is not None and info.card_data.base_model == "lab/base"
    assert {"license:mit", "en", "fr", "base_model:finetune:lab/base"} <= set(info.tags or [])
    sizes = {sibling.rfilename: sibling.size for sibling in info.siblings or []}
    assert sizes["model.safetensors"] == len(weights)
    assert api.model_info(repo, expand=["sha"]).sha == info.sha


def test_every_token_is_the_same_user(hub_url: str, filled: str) -> None:
    who = HfApi(endpoint=hub_url, token="whatever").whoami()
    assert who["name"] == "rehearsal"
    assert "lab" in [organization["name"] for organization in who["orgs"]]
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(f"{hub_url}/api/whoami-v2")
    assert refusal.value.code == 401
    refusal.value.close()
