"""The word of a new model on the page of the one it supersedes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from mbrelease.cli.main import main
from mbrelease.errors import CheckFailed, UserError
from mbrelease.hub.new_version import plan_new_version, propose_new_version, with_new_version

OLD, NEW = "rehearsal/owl-v1", "rehearsal/owl-v2"
CARD = """---
# Written by hand.
license:   apache-2.0   # of the weights
language:
    - en
tags: [owls,
       "birds"]
---

# Owl v1

---
A rule above, and `new_version: not/metadata` in the text.
"""


def test_one_line_more_and_every_other_byte_as_it_was() -> None:
    changed = with_new_version(CARD, NEW)
    before, after = CARD.split("\n"), changed.split("\n")
    assert after[:7] == before[:7]
    assert after[7] == f"new_version: {NEW}"
    assert after[8:] == before[7:]


@pytest.mark.parametrize(
    "text",
    [
        CARD,
        CARD.replace("\n", "\r\n"),
        "\ufeff" + CARD,
        "---\n---\n# Empty\n",
        "---\nlicense: mit\n---",
        "---\nnote: |\n  a block\n  of text\n---\n",
        "---\nnote: >-\n  folded\n\n---\n# Blank line in the block\n",
        "# No metadata\n",
        "# No metadata\r\n",
        "",
    ],
)
def test_again_it_changes_nothing_and_the_line_can_be_taken_out(text: str) -> None:
    changed = with_new_version(text, NEW)
    assert with_new_version(changed, NEW) == changed
    newline = "\r\n" if "\r\n" in text else "\n"
    assert changed.count(f"new_version: {NEW}{newline}") == 1
    assert text.count("\r") == changed.count("\r") - (changed.count("\n") - text.count("\n")) * (
        newline == "\r\n"
    )
    assert text.removeprefix("\ufeff") in changed.replace(f"new_version: {NEW}{newline}", "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("---\nnew_version: other/model\n---\n", "names another new_version: 'other/model'"),
        ("---\nnew_version:\n---\n", "names another new_version: null"),
        ("---\nlicense: [mit\n---\n", "README.md:3"),
        ("---\n{license: mit}\n---\n", "metadata of this form"),
        ("---\n- a list\n---\n", "cannot be read"),
        ("---\nlicense: mit\n", "cannot be read"),
    ],
)
def test_what_cannot_be_changed_is_left_alone(text: str, told: str) -> None:
    with pytest.raises(UserError) as caught:
        with_new_version(text, NEW)
    assert told in str(caught.value)


@pytest.mark.parametrize("new_repo", ["owl-v2", "./releases/owl-v2", "a--b/c", "org/x y", ""])
def test_the_new_version_is_a_model_of_the_hub(new_repo: str) -> None:
    with pytest.raises(UserError):
        with_new_version(CARD, new_repo)


@pytest.fixture
def old(api: HfApi) -> HfApi:
    """A Hub with the old model on it."""
    api.create_repo(OLD)
    api.upload_file(path_or_fileobj=CARD.encode(), path_in_repo="README.md", repo_id=OLD)
    return api


def pull_requests(api: HfApi) -> list[Any]:
    return list(api.get_repo_discussions(OLD, discussion_type="pull_request"))


def served(api: HfApi, revision: str) -> str:
    path = api.hf_hub_download(OLD, "README.md", revision=revision)
    return Path(path).read_bytes().decode()


def test_a_pull_request_holds_the_card_with_its_new_line(old: HfApi, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    head = old.model_info(OLD).sha
    opened = propose_new_version(old, OLD, NEW)
    (found,) = pull_requests(old)
    assert opened.pull_request == found.url
    assert opened.head == head
    assert found.title == f"New version: {NEW}"
    assert served(old, "refs/pr/1") == with_new_version(CARD, NEW)
    assert served(old, "main") == CARD
    assert old.list_repo_commits(OLD, revision="refs/pr/1")[1].commit_id == head


def test_an_open_one_is_found_and_not_opened_twice(old: HfApi) -> None:
    first = propose_new_version(old, OLD, NEW)
    planned = plan_new_version(old, OLD, NEW)
    assert planned.pull_request == first.pull_request
    assert "waits already" in planned.sentence
    assert propose_new_version(old, OLD, NEW).pull_request == first.pull_request
    old.upload_file(
        path_or_fileobj=CARD.replace("owls", "all owls").encode(),
        path_in_repo="README.md",
        repo_id=OLD,
    )
    assert propose_new_version(old, OLD, NEW).pull_request == first.pull_request
    assert len(pull_requests(old)) == 1


def test_a_closed_one_or_one_for_another_model_does_not_count(old: HfApi) -> None:
    first = propose_new_version(old, OLD, "rehearsal/owl-v3")
    second = propose_new_version(old, OLD, NEW)
    assert first.pull_request != second.pull_request
    assert len(pull_requests(old)) == 2
    old.change_discussion_status(OLD, 2, new_status="closed")
    propose_new_version(old, OLD, NEW)
    assert len(pull_requests(old)) == 3


def test_a_merged_one_leaves_nothing_to_do(old: HfApi) -> None:
    propose_new_version(old, OLD, NEW)
    old.merge_pull_request(OLD, 1)
    again = propose_new_version(old, OLD, NEW)
    assert again.text is None and again.pull_request is None
    assert again.sentence == f"the card of {OLD} names {NEW} already"
    assert len(pull_requests(old)) == 1


def test_a_lost_answer_opens_no_second(old: HfApi, proxy, cut_api: HfApi) -> None:
    proxy.tamper = lambda method, path, status, body: None if "/commit/" in path else (status, body)
    opened = propose_new_version(cut_api, OLD, NEW)
    (found,) = pull_requests(old)
    assert opened.pull_request is not None and opened.pull_request.endswith(f"/{found.num}")
    assert proxy.count("POST", "/commit/") == 1


def test_a_request_that_never_arrived_is_told(old: HfApi, proxy, cut_api: HfApi) -> None:
    proxy.refuse = lambda method, path: "/commit/" in path
    with pytest.raises(CheckFailed) as caught:
        propose_new_version(cut_api, OLD, NEW)
    assert "no pull request" in str(caught.value)
    assert pull_requests(old) == []


@pytest.mark.parametrize(
    ("old_repo", "new_repo", "told"),
    [
        ("rehearsal/nobody", NEW, "nobody"),
        (OLD, OLD, "its own new version"),
        (OLD, OLD.upper(), "its own new version"),
        (OLD, "no id at all", "is no id"),
    ],
)
def test_what_cannot_be_announced(old: HfApi, old_repo: str, new_repo: str, told: str) -> None:
    with pytest.raises(UserError) as caught:
        plan_new_version(old, old_repo, new_repo)
    assert told in str(caught.value)


def test_a_card_that_names_another_is_not_touched(api: HfApi) -> None:
    api.create_repo(OLD)
    text = with_new_version(CARD, "rehearsal/owl-v9")
    api.upload_file(path_or_fileobj=text.encode(), path_in_repo="README.md", repo_id=OLD)
    with pytest.raises(UserError) as caught:
        propose_new_version(api, OLD, NEW)
    assert f"{OLD}: the card names another new_version: 'rehearsal/owl-v9'" in str(caught.value)
    assert pull_requests(api) == []


REGISTRY = f"""version: 1
family: Owl
variants:
  owl-v1: {{repo: {OLD}, released: true}}
  owl-v2: {{repo: {NEW}, supersedes: owl-v1}}
  owl-v3: {{repo: rehearsal/owl-v3}}
  owl-v4: {{repo: rehearsal/owl-v4, supersedes: planned}}
  planned: {{repo: rehearsal/planned, released: false}}
"""


@pytest.fixture
def project(old: HfApi, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HfApi:
    """A project with a release of each variant, at the Hub of the old model."""
    import shutil

    (tmp_path / "work" / "releases").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    Path("registry.yaml").write_text(REGISTRY)
    for name in ("owl-v2", "owl-v3", "owl-v4"):
        shutil.copytree(release, Path("releases", name))
    monkeypatch.setenv("HF_ENDPOINT", old.endpoint)
    monkeypatch.setenv("HF_TOKEN", str(old.token))
    return old


def test_a_plan_says_what_would_be_opened_and_opens_nothing(
    project: HfApi, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", "owl-v2", "--announce", "--plan"]) == 0
    assert f"a pull request to {OLD} would add: new_version: {NEW}" in capsys.readouterr().err
    assert main(["push", "owl-v2", "--announce", "--plan", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["announcement"]
    assert told == {
        "old_repo": OLD,
        "new_repo": NEW,
        "head": project.model_info(OLD).sha,
        "pull_request": None,
        "needed": True,
    }
    assert pull_requests(project) == [] and not project.repo_exists(NEW)


def test_a_push_announces_what_it_published(
    project: HfApi, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", "owl-v2", "--announce"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    (found,) = pull_requests(project)
    assert last == f"opened  {found.url}"
    assert project.repo_exists(NEW)
    assert main(["push", "owl-v2", "--announce", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["announcement"]["pull_request"] == found.url
    assert len(pull_requests(project)) == 1


def test_without_the_option_nothing_is_opened(project: HfApi) -> None:
    assert main(["push", "owl-v2"]) == 0
    assert pull_requests(project) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["owl-v3"], "owl-v3 supersedes no published model"),
        (["owl-v4"], "owl-v4 supersedes no published model"),
        (["releases/owl-v2", "--to", NEW], "supersedes no published model"),
        (["owl-v2", "--pr"], "with --pr they cannot see it"),
        (["owl-v2", "--private"], "with --private they cannot see it"),
    ],
)
def test_what_has_no_page_to_announce_on_is_a_wrong_call(
    project: HfApi, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", *arguments, "--announce"]) == 2
    assert told in capsys.readouterr().err
    assert not project.repo_exists(NEW)


def test_what_stands_in_the_way_of_the_announcement_stops_the_push(
    project: HfApi, capsys: pytest.CaptureFixture[str]
) -> None:
    text = with_new_version(CARD, "rehearsal/owl-v9")
    project.upload_file(path_or_fileobj=text.encode(), path_in_repo="README.md", repo_id=OLD)
    assert main(["push", "owl-v2", "--announce"]) == 2
    assert "names another new_version" in capsys.readouterr().err
    assert not project.repo_exists(NEW)
