"""Models of one family on a rehearsal Hub: the model tree, the same again, a new name."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from mbrelease.hub.rehearsal.server import running


def publish(api: HfApi, repo_id: str, metadata: str, *more: str) -> None:
    api.create_repo(repo_id)
    for path, text in {"README.md": f"---\n{metadata}\n---\n", **dict.fromkeys(more, "{}")}.items():
        api.upload_file(path_or_fileobj=text.encode(), path_in_repo=path, repo_id=repo_id)


@pytest.fixture(scope="module")
def family(hub_url: str) -> HfApi:
    api = HfApi(endpoint=hub_url, token="hf_rehearsal")
    publish(api, "tree/base", "license: mit")
    publish(api, "tree/tuned", "base_model: tree/base")
    publish(api, "tree/lora", "base_model: tree/base", "adapter_config.json")
    publish(api, "tree/gguf", "base_model: tree/base", "model.gguf")
    publish(api, "tree/merge", "base_model: [tree/base, tree/tuned]")
    publish(api, "tree/said", "base_model: tree/base\nbase_model_relation: quantized")
    return api


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("base_model:tree/base", {"tuned", "lora", "gguf", "merge", "said"}),
        ("base_model:adapter:tree/base", {"lora"}),
        ("base_model:quantized:tree/base", {"gguf", "said"}),
        ("base_model:merge:tree/tuned", {"merge"}),
        ("base_model:finetune:tree/base", {"tuned"}),
        ("base_model:tree/bas", set()),
        (["base_model:tree/base", "base_model:tree/tuned"], {"merge"}),
    ],
)
def test_what_descends_from_a_model_is_found_by_its_tag(
    family: HfApi, wanted: str | list[str], found: set[str]
) -> None:
    assert {model.id for model in family.list_models(filter=wanted)} == {
        f"tree/{name}" for name in found
    }


def test_a_list_comes_in_pages(family: HfApi, hub_url: str) -> None:
    with urllib.request.urlopen(f"{hub_url}/api/models?author=tree&limit=2") as answer:
        assert 'rel="next"' in answer.headers["Link"]
    assert len(list(family.list_models(author="tree", limit=5))) == 5


def test_what_has_not_changed_is_not_sent_again(family: HfApi, hub_url: str) -> None:
    address = f"{hub_url}/api/models/tree/tuned"
    with urllib.request.urlopen(address) as answer:
        etag = answer.headers["ETag"]
    again = urllib.request.Request(address, headers={"If-None-Match": etag})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(again)
    assert (refused.value.code, refused.value.read()) == (304, b"")
    family.upload_file(path_or_fileobj=b"1", path_in_repo="new", repo_id="tree/tuned")
    with urllib.request.urlopen(again) as answer:
        assert answer.status == 200 and answer.headers["ETag"] != etag


def test_who_asks_for_the_old_name_is_sent_on(tmp_path: Path) -> None:
    with running(tmp_path) as url:
        api = HfApi(endpoint=url, token="hf_rehearsal")
        publish(api, "old/name", "license: mit")
        publish(api, "new/taken", "license: mit")
        before = api.model_info("old/name")
        api.move_repo(from_id="old/name", to_id="new/name")
        after = api.model_info("old/name")
        assert (after.id, after.sha) == ("new/name", before.sha)
        with urllib.request.urlopen(f"{url}/old/name/resolve/main/README.md") as answer:
            assert answer.url == f"{url}/new/name/resolve/main/README.md"
            assert answer.read() == b"---\nlicense: mit\n---\n"
        assert not api.repo_exists("old/never")
        with pytest.raises(Exception, match="409"):
            api.move_repo(from_id="new/name", to_id="new/taken")
        publish(api, "old/name", "license: apache-2.0")
        assert api.model_info("old/name").id == "old/name"
