"""The pages, as a browser gets them."""

from __future__ import annotations

import urllib.error
import urllib.request
from html.parser import HTMLParser

import pytest
from huggingface_hub import CommitOperationAdd, HfApi

VOID = {"meta", "link", "br", "img", "wbr", "hr"}


class Page(HTMLParser):
    """The elements and the text of a page; tags must be balanced."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, tag: str, attribute: str) -> list[str]:
        return [str(attrs[attribute]) for name, attrs in self.elements
                if name == tag and attribute in attrs]  # fmt: skip


def get(url: str) -> Page:
    with urllib.request.urlopen(url) as answer:
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        return Page(answer.read().decode())


README = """---
license: apache-2.0
language: [en, fr]
pipeline_tag: fill-mask
model-index:
- name: m
  results:
  - task: {type: retrieval}
    dataset: {type: titles, name: Title search, split: test}
    metrics: [{type: recall_at_1, value: 0.4215}]
base_model: lab/base
base_model_relation: finetune
tags: [science]
---
# Card of the model

| a | b |
|---|--:|
| 1 | 2 |

![badge](https://img.shields.io/x.svg) ![curve](figures/loss curve.png)
![curve](figures/loss.png) [license](LICENSE#terms)
[elsewhere](https://example.org) [below](#card-of-the-model)

# Card of the model
"""


@pytest.fixture
def model(api: HfApi, repo: str) -> str:
    api.create_repo("lab/base", exist_ok=True)
    api.create_commit(
        repo,
        [
            CommitOperationAdd("README.md", README.encode()),
            CommitOperationAdd("figures/loss.png", b"\x89PNG\0"),
            CommitOperationAdd("model.safetensors", b"\0weights"),
        ],
        commit_message="Release <v1>",
    )
    api.create_tag(repo, tag="v1.0")
    return repo


def test_the_list_of_models(model: str, hub_url: str) -> None:
    page = get(hub_url)
    assert f"/{model}" in page.values("a", "href")
    assert "fill-mask" in page.text


def test_a_models_card(model: str, hub_url: str) -> None:
    page = get(f"{hub_url}/{model}")
    headings = [attrs.get("id") for tag, attrs in page.elements if tag == "h1"]
    assert headings[1:] == ["card-of-the-model", "card-of-the-model-1"]
    for shown in ("license:apache-2.0", "en", "fr", "science", "finetune", "v1.0",
                  "Title search (test)", "0.4215"):  # fmt: skip
        assert shown in page.text
    links = page.values("a", "href")
    assert "/lab/base" in links
    assert f"/{model}/resolve/main/LICENSE#terms" in links
    assert "https://example.org" in links
    assert page.values("img", "src") == [f"/{model}/resolve/main/figures/loss.png"]
    assert ("td", {"class": "right"}) in page.elements
    assert "https://img.shields.io/x.svg" in links  # named, not fetched
    assert "license: apache-2.0" not in page.text  # the block itself is not shown


def test_the_base_model_knows_its_children(model: str, hub_url: str) -> None:
    assert f"/{model}" in get(f"{hub_url}/lab/base").values("a", "href")


def test_a_base_model_of_the_public_hub_is_linked_there(
    api: HfApi, repo: str, hub_url: str
) -> None:
    readme = b"---\nbase_model: answerdotai/ModernBERT-base\n---\n"
    api.create_commit(repo, [CommitOperationAdd("README.md", readme)], commit_message="card")
    links = get(f"{hub_url}/{repo}").values("a", "href")
    assert "https://huggingface.co/answerdotai/ModernBERT-base" in links


def test_files_commits_and_pull_requests(api: HfApi, model: str, hub_url: str) -> None:
    files = get(f"{hub_url}/{model}/tree/v1.0")
    assert f"/{model}/resolve/v1.0/model.safetensors" in files.values("a", "href")
    assert "LFS" in files.text and "Release <v1>" in files.text
    inside = get(f"{hub_url}/{model}/tree/main/figures")
    assert f"/{model}/resolve/main/figures/loss.png" in inside.values("a", "href")
    assert "Release <v1>" in get(f"{hub_url}/{model}/commits/main").text
    proposal = api.create_commit(
        model, [CommitOperationAdd("a.txt", b"a")], commit_message="Add <a>", create_pr=True
    )
    assert "added" in get(proposal.commit_url).text
    assert "Add <a>" in get(str(proposal.pr_url)).text
    assert "Add <a>" in get(f"{hub_url}/{model}/discussions").text
    assert "a.txt" in get(f"{hub_url}/{model}/tree/refs%2Fpr%2F1").text
    api.merge_pull_request(model, 1)
    assert "merged by" in get(f"{hub_url}/{model}/discussions/1").text


def test_a_model_without_a_card(repo: str, hub_url: str) -> None:
    assert "This model has no README.md" in get(f"{hub_url}/{repo}").text


@pytest.mark.parametrize("path", ["lab/none", "lab/none/tree/main", "%s/tree/v9", "%s/tree/main/x"])
def test_what_is_not_there_is_a_page_too(repo: str, hub_url: str, path: str) -> None:
    url = f"{hub_url}/{path % repo if '%s' in path else path}"
    with pytest.raises(urllib.error.HTTPError) as refusal:
        get(url)
    assert refusal.value.code == 404
    assert "All models on this Hub" in Page(refusal.value.read().decode()).text
    refusal.value.close()


def test_a_malicious_name_is_only_text(api: HfApi, repo: str, hub_url: str) -> None:
    evil = "<script>alert(1)</script>"
    readme = f"---\ntags: ['{evil}']\nlibrary_name: '{evil}'\n---\n{evil}\n".encode()
    api.create_commit(
        repo,
        [
            CommitOperationAdd("README.md", readme),
            CommitOperationAdd("figures/<script>.txt", b"x"),
        ],
        commit_message=evil,
        commit_description=evil,
    )
    api.create_discussion(repo, evil, description=evil)
    for path in ("", "/tree/main", "/tree/main/figures", "/commits/main", "/commit/main",
                 "/discussions", "/discussions/1"):  # fmt: skip
        assert "script" not in {tag for tag, _ in get(f"{hub_url}/{repo}{path}").elements}


def test_an_uploaded_page_is_not_run(api: HfApi, repo: str, hub_url: str) -> None:
    for name in ("evil.html", "evil.svg"):
        api.upload_file(repo_id=repo, path_or_fileobj=b"<script>1</script>", path_in_repo=name)
        with urllib.request.urlopen(f"{hub_url}/{repo}/resolve/main/{name}") as answer:
            assert "sandbox" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Type"].startswith(("text/plain", "image/svg+xml"))


def test_the_style_knows_dark_and_narrow(hub_url: str) -> None:
    with urllib.request.urlopen(f"{hub_url}/-/style.css") as answer:
        style = answer.read().decode()
    assert "prefers-color-scheme: dark" in style and "max-width" in style
