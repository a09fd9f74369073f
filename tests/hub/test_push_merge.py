"""Others write on the Hub too: what they wrote is never overwritten."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from mbrelease.cli.main import main
from mbrelease.errors import CheckFailed
from mbrelease.hub.plan import make_plan
from mbrelease.hub.publish import publish
from mbrelease.hub.receipt import Receipt
from mbrelease.progress import Silent

REPO = "rehearsal/tiny"
CARD = """---
license: apache-2.0
language: [en]
---
<!-- mbrelease:title -->

# Tiny

<!-- /mbrelease:title -->

My own words.

<!-- mbrelease:usage -->

Use it so.

<!-- /mbrelease:usage -->

The end.
"""


class Notes(Silent):
    """What was said."""

    text = ""

    def note(self, message: str) -> None:
        self.text += message + "\n"


@pytest.fixture
def card(release: Path) -> Path:
    path = release / "README.md"
    path.write_text(CARD)
    return path


def push(api: HfApi, release: Path, **options: object) -> Receipt:
    plan = make_plan(release, REPO, api=api)
    return publish(plan, api=api, receipts=release.parent / "receipts", **options)  # type: ignore[arg-type]


def edit(api: HfApi, path: str, text: str) -> str:
    data = text.encode()
    return str(api.upload_file(path_or_fileobj=data, path_in_repo=path, repo_id=REPO).oid)


def text_at(api: HfApi, revision: str, folder: Path) -> str:
    place = api.hf_hub_download(REPO, "README.md", revision=revision, local_dir=folder / revision)
    return Path(place).read_text()


def head(api: HfApi) -> str:
    return str(api.model_info(REPO).sha)


def test_files_that_another_added_since_the_plan_stay(
    api: HfApi, release: Path, tmp_path: Path
) -> None:
    first = push(api, release)
    (release / "LICENSE").write_text("Mine\n")
    plan = make_plan(release, REPO, api=api)
    theirs = edit(api, "theirs.txt", "x")
    notes = Notes()
    receipt = publish(plan, api=api, progress=notes, receipts=tmp_path / "receipts")
    assert f"{first.commit[:12]} → {theirs[:12]}: theirs.txt added" in notes.text
    assert receipt.parent_commit == theirs
    assert api.file_exists(REPO, "theirs.txt", revision=receipt.commit)
    assert receipt.summary.remote_only == ["theirs.txt"]


def test_a_remote_that_moves_at_the_last_moment_is_followed(
    proxy, cut_api: HfApi, api: HfApi, release: Path, tmp_path: Path
) -> None:
    """The branch is looked at first, but only the guard of the commit itself closes the gap."""
    push(cut_api, release)
    (release / "LICENSE").write_text("Mine\n")
    plan = make_plan(release, REPO, api=cut_api)
    theirs: list[str] = []

    def another_is_faster(method: str, path: str) -> bool:
        if method == "POST" and "/commit/" in path and not theirs:
            theirs.append(edit(api, "theirs.txt", "x"))
        return False

    proxy.refuse = another_is_faster
    receipt = publish(plan, api=cut_api, receipts=tmp_path / "receipts")
    assert receipt.parent_commit == theirs[0]
    assert api.file_exists(REPO, "theirs.txt", revision=receipt.commit)


def test_one_who_is_always_faster_is_not_overwritten(
    proxy, cut_api: HfApi, api: HfApi, release: Path, tmp_path: Path
) -> None:
    push(cut_api, release)
    (release / "LICENSE").write_text("Mine\n")
    plan = make_plan(release, REPO, api=cut_api)
    theirs: list[str] = []

    def always_faster(method: str, path: str) -> bool:
        if method == "POST" and "/commit/" in path:
            theirs.append(edit(api, f"theirs-{len(theirs)}.txt", "x"))
        return False

    proxy.refuse = always_faster
    with pytest.raises(CheckFailed, match="nothing was overwritten") as failure:
        publish(plan, api=cut_api, receipts=tmp_path / "receipts")
    assert head(api) == theirs[-1]
    assert theirs[-1][:12] in failure.value.message


def test_another_version_of_a_file_of_the_release_stops_the_push(
    api: HfApi, release: Path, tmp_path: Path
) -> None:
    push(api, release)
    (release / "LICENSE").write_text("Mine\n")
    plan = make_plan(release, REPO, api=api)
    theirs = edit(api, "averaging.json", "{}")
    with pytest.raises(CheckFailed, match=r"averaging\.json is not as planned there"):
        publish(plan, api=api, receipts=tmp_path / "receipts")
    assert head(api) == theirs


def test_what_was_written_on_the_hub_goes_into_the_card_and_into_the_folder(
    api: HfApi, release: Path, card: Path, tmp_path: Path
) -> None:
    push(api, release)
    card.write_text(CARD.replace("Use it so.", "Use it like this."))
    plan = make_plan(release, REPO, api=api)
    theirs = edit(api, "README.md", CARD.replace("The end.", "The end.\n\nThanks to all."))
    notes = Notes()
    receipt = publish(plan, api=api, progress=notes, receipts=tmp_path / "receipts")
    wanted = CARD.replace("Use it so.", "Use it like this.").replace(
        "The end.", "The end.\n\nThanks to all."
    )
    assert text_at(api, receipt.commit, tmp_path) == card.read_text() == wanted
    assert receipt.card_taken_over_from == theirs
    assert "README.md takes over what was written on the Hub" in notes.text
    assert not make_plan(release, REPO, api=api).has_changes


def test_an_edit_of_months_ago_is_found_by_the_last_receipt(
    api: HfApi, release: Path, card: Path, tmp_path: Path
) -> None:
    """The plan sees the edited card as what is there; only the receipt knows what was published."""
    push(api, release)
    edit(api, "README.md", CARD.replace("My own words.", "Better words."))
    card.write_text(CARD.replace("Use it so.", "Use it like this."))
    receipt = push(api, release)
    text = text_at(api, receipt.commit, tmp_path)
    assert "Better words." in text and "Use it like this." in text


def test_a_card_that_only_the_hub_changed_is_not_undone(
    api: HfApi, release: Path, card: Path
) -> None:
    push(api, release)
    theirs = edit(api, "README.md", CARD.replace("My own words.", "Better words."))
    receipt = push(api, release)
    assert receipt.commit == theirs, "nothing was left to send"
    assert "Better words." in card.read_text()


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        (
            CARD.replace("My own words.", "Mine."),
            CARD.replace("My own words.", "Theirs."),
            "line 11 here: “Mine.”; line 11 at the Hub: “Theirs.”",
        ),
        (
            CARD.replace("Use it so.", "Use it like this."),
            CARD.replace("Use it so.", "Do not use it."),
            "the generated region 'usage' was changed at the Hub",
        ),
        (
            CARD.replace("Use it so.", "Use it like this."),
            CARD.replace("# Tiny", "# Tinier"),
            "the generated region 'title' was changed at the Hub",
        ),
        (
            CARD.replace("license: apache-2.0", "license: mit"),
            CARD.replace("license: apache-2.0", "license: cc0-1.0"),
            "line 2 here: “license: mit”",
        ),
    ],
)
def test_a_clash_is_told_by_its_lines_and_ends_with_nothing_sent(
    ours: str, theirs: str, told: str, api: HfApi, release: Path, card: Path
) -> None:
    push(api, release)
    commit = edit(api, "README.md", theirs)
    card.write_text(ours)
    with pytest.raises(CheckFailed) as failure:
        push(api, release)
    assert told in failure.value.message
    assert failure.value.exit_code == 1
    assert head(api) == commit
    assert card.read_text() == ours
    assert f"--base {commit}" in str(failure.value)


def test_base_says_that_the_folder_takes_account_of_it(
    api: HfApi, release: Path, card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(api, release)
    theirs = edit(api, "README.md", CARD.replace("My own words.", "Theirs."))
    card.write_text(CARD.replace("My own words.", "Mine and theirs."))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", api.endpoint)
    monkeypatch.setenv("HF_TOKEN", str(api.token))
    call = ["push", str(release), "--to", REPO]
    assert main([*call, "--plan"]) == 1
    assert main(call) == 1
    assert main([*call, "--base", theirs]) == 0
    assert "Mine and theirs." in text_at(api, "main", tmp_path)


@pytest.fixture
def call(
    api: HfApi, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """The command, called by someone who is logged in and has pushed before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", api.endpoint)
    monkeypatch.setenv("HF_TOKEN", str(api.token))
    return lambda *options: main(["push", str(release), "--to", REPO, *options])


@pytest.mark.parametrize("has_repo", [True, False])
@pytest.mark.parametrize("options", [[], ["--plan"]], ids=["push", "plan"])
@pytest.mark.parametrize("base", ["0" * 40, "0" * 7])
def test_a_base_that_does_not_exist_is_a_wrong_call(
    base: str,
    options: list[str],
    has_repo: bool,
    call: Callable[..., int],
    api: HfApi,
    release: Path,
    card: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if has_repo:
        push(api, release)
        card.write_text(CARD.replace("My own words.", "Mine."))
    capsys.readouterr()
    assert call("--base", base, *options) == 2
    assert f"error: no commit {base} in {REPO}\n" in capsys.readouterr().err
    assert card.read_text() == (CARD.replace("My own words.", "Mine.") if has_repo else CARD)


@pytest.mark.parametrize("base", ["main", "v1.0", "refs/pr/1", "", "abc", "a" * 41])
def test_a_base_that_moves_is_a_wrong_call(
    base: str,
    call: Callable[..., int],
    proxy,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In a script, main would be whatever others wrote there since."""
    monkeypatch.setenv("HF_ENDPOINT", proxy.url)
    for options in ([], ["--plan"]):
        assert call("--base", base, *options) == 2
        out, err = capsys.readouterr()
        assert err.startswith(f"error: --base '{base}' is no commit\n  give 7 to 40 digits")
        assert out == "" and proxy.log == []


def test_a_base_may_be_shortened_and_a_branch_that_is_called_like_one_is_none(
    call: Callable[..., int],
    proxy,
    api: HfApi,
    card: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", proxy.url)
    assert call() == 0
    theirs = edit(api, "README.md", CARD.replace("My own words.", "Theirs."))
    card.write_text(CARD.replace("My own words.", "Mine and theirs."))
    api.create_branch(REPO, branch="abcdef012")
    assert call("--base", "abcdef012") == 2
    assert call() == 1
    # The Hub does not know a commit by its first digits.
    short = f"/revision/{theirs[:9]}"
    proxy.answers = lambda method, path: (404, [], b"{}") if path.endswith(short) else None
    assert call("--base", theirs[:9].upper()) == 0
    assert "Mine and theirs." in text_at(api, "main", tmp_path)


@pytest.mark.parametrize("options", [["--tag", "../x"], ["--tag", "v1 0"], ["--tag", "v1", "--pr"]])
def test_a_tag_that_cannot_be_is_a_wrong_call(
    options: list[str], call: Callable[..., int], proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", proxy.url)
    assert call(*options) == call(*options, "--plan") == 2
    assert proxy.log == []


OPEN = CARD.replace("My own words.", "For everyone.")


def merged_pull_request(call: Callable[..., int], api: HfApi, card: Path) -> None:
    """Published, changed here, proposed and merged."""
    assert call() == 0
    card.write_text(OPEN)
    assert call("--pr") == 0
    api.merge_pull_request(REPO, 1)


def test_what_is_set_back_after_a_merge_is_not_undone(
    call: Callable[..., int],
    api: HfApi,
    card: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What was merged is what was published last, and main's own receipt is older."""
    merged_pull_request(call, api, card)
    theirs = edit(api, "README.md", CARD)
    card.write_text(OPEN.replace("The end.", "The end of it."))
    capsys.readouterr()
    assert call("--plan") == 0
    out, err = capsys.readouterr()
    assert f"takes over what was written on the Hub until {theirs[:12]}" in " ".join(err.split())
    assert "+The end of it." in out and "everyone" not in out
    assert call() == 0
    wanted = CARD.replace("The end.", "The end of it.")
    assert text_at(api, "main", tmp_path) == card.read_text() == wanted


def test_what_was_added_before_and_after_a_merge_is_no_clash(
    call: Callable[..., int], api: HfApi, card: Path, tmp_path: Path
) -> None:
    assert call() == 0
    card.write_text(OPEN)
    assert call("--pr") == 0
    api.upload_file(path_or_fileobj=b"x", path_in_repo="theirs.txt", repo_id=REPO)
    api.merge_pull_request(REPO, 1)
    edit(api, "README.md", OPEN.replace("For everyone.", "For everyone.\nThanks to all."))
    card.write_text(OPEN.replace("The end.", "The end of it."))
    assert call() == 0
    text = text_at(api, "main", tmp_path)
    assert "For everyone.\nThanks to all.\n" in text and "The end of it." in text


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_pull_request_that_was_not_merged_was_not_published(
    is_closed: bool, call: Callable[..., int], api: HfApi, card: Path, tmp_path: Path
) -> None:
    assert call() == 0
    card.write_text(OPEN)
    assert call("--pr") == 0
    if is_closed:
        api.change_discussion_status(REPO, 1, "closed")
    edit(api, "README.md", CARD.replace("The end.", "Their end."))
    assert call() == 0
    assert text_at(api, "main", tmp_path) == OPEN.replace("The end.", "Their end.")


def test_a_clash_shows_both_sides_and_no_line_that_goes(
    call: Callable[..., int], api: HfApi, card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call() == 0
    edit(api, "README.md", CARD.replace("My own words.", "Theirs.").replace("end.", "end of it."))
    card.write_text(CARD.replace("My own words.", "Mine.").replace("[en]", "[de]"))
    both = "line 11 here: “Mine.”; line 11 at the Hub: “Theirs.”"
    capsys.readouterr()
    assert call("--plan") == 1
    out, err = capsys.readouterr()
    assert f"\n  - {both}\n" in err and "@@" not in out and "metadata" not in out
    assert call("--plan", "--markdown", "--delete", "none") == 1
    page = capsys.readouterr().out
    assert f"\n  - {both}\n" in page and "```" not in page
    assert call("--plan", "--json") == 1
    assert json.loads(capsys.readouterr().out)["plan"]["card"] is None


def test_of_several_problems_a_clash_is_a_list_too(
    call: Callable[..., int],
    api: HfApi,
    release: Path,
    card: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call() == 0
    edit(api, "README.md", CARD.replace("My own words.", "Theirs.").replace("end.", "end of it."))
    card.write_text(CARD.replace("My own words.", "Mine.").replace("end.", "end, mine."))
    (release / "optimizer.pt").write_bytes(b"x")
    monkeypatch.setenv("COLUMNS", "40")
    capsys.readouterr()
    assert call("--plan") == 1
    err = capsys.readouterr().err
    assert "\n    - line 11 here: “Mine.”; line 11 at\n" in err
    assert "\n    - line 19 here: “" in err


def test_a_card_that_was_saved_with_other_line_ends_is_no_clash(
    call: Callable[..., int],
    api: HfApi,
    card: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call() == 0
    edit(api, "README.md", CARD.replace("\n", "\r\n"))
    capsys.readouterr()
    assert call("--plan") == 0
    out, err = capsys.readouterr()
    assert "note: README.md changes in nothing but its line ends" in err and "@@" not in out
    card.write_text(OPEN)
    assert call("--plan") == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith(("  -", "  +"))] == [
        "  -My own words.",
        "  +For everyone.",
    ]
    assert call() == 0
    assert text_at(api, "main", tmp_path) == OPEN


def test_what_was_deleted_on_the_hub_is_told_before_it_is_added_again(
    call: Callable[..., int], api: HfApi, card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call() == 0
    commit = head(api)
    api.delete_file("README.md", REPO)
    capsys.readouterr()
    assert call("--plan") == 0
    told = " ".join(capsys.readouterr().err.split())
    assert f"note: README.md was deleted on the Hub since {commit[:12]} was pushed" in told
    assert call() == 0
    assert " ".join(capsys.readouterr().err.split()).count("was deleted on the Hub") == 1


def test_a_plan_of_a_new_repository_says_that_it_will_be_private(
    call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--plan", "--private") == 0
    assert "of a new private repository" in " ".join(capsys.readouterr().err.split())
    assert call("--plan", "--private", "--markdown") == 0
    assert "of a new private repository" in capsys.readouterr().out
    assert call("--plan", "--private", "--json") == 0
    assert json.loads(capsys.readouterr().out)["plan"]["private"] is True
    assert call("--plan") == 0
    assert "of a new repository" in " ".join(capsys.readouterr().err.split())


def test_a_plan_shows_the_card_as_it_would_be_published(
    call: Callable[..., int],
    api: HfApi,
    release: Path,
    card: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    push(api, release)
    theirs = edit(api, "README.md", CARD.replace("The end.", "The end.\n\nThanks to all."))
    mine = CARD.replace("My own words.", "Mine.")
    card.write_text(mine)
    told = f"README.md takes over what was written on the Hub until {theirs[:12]}"

    assert call("--plan") == 0
    out, err = capsys.readouterr()
    assert f"note: {told}" in " ".join(err.split())
    assert "-My own words." in out and "+Mine." in out and "Thanks" not in out
    assert call("--plan", "--markdown") == 0
    page = capsys.readouterr().out
    assert told in page and "+Mine." in page and "Thanks" not in page
    assert call("--plan", "--json") == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert plan["card_taken_over_from"] == theirs
    assert [line for line in plan["card"]["whole"] if line[0] in "+-"] == [
        "-My own words.",
        "+Mine.",
    ]
    assert card.read_text() == mine, "a plan writes nothing"


def test_a_plan_of_a_card_that_only_the_hub_changed_has_nothing_to_send(
    call: Callable[..., int],
    api: HfApi,
    release: Path,
    card: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    push(api, release)
    edit(api, "README.md", CARD.replace("My own words.", "Better words."))
    assert call("--plan") == 0
    out, err = capsys.readouterr()
    assert "0 to change" in err and "-Better" not in out
    assert card.read_text() == CARD


def test_a_push_that_ends_after_it_took_over_the_card_does_not_clash_with_itself(
    proxy, cut_api: HfApi, api: HfApi, release: Path, card: Path, tmp_path: Path
) -> None:
    push(cut_api, release)
    edit(api, "README.md", CARD.replace("My own words.", "Better words."))
    (release / "LICENSE").write_text("Another\n")
    proxy.answers = lambda method, path: (403, [], b"{}") if "/commit/" in path else None
    with pytest.raises(CheckFailed):
        push(cut_api, release)
    assert "Better words." in card.read_text(), "the push went on, so it is in the folder"
    proxy.answers = lambda method, path: None
    # With the last receipt as the base, both sides would have changed these words.
    card.write_text(CARD.replace("My own words.", "The best words."))
    receipt = push(cut_api, release)
    assert "The best words." in text_at(api, receipt.commit, tmp_path)


def test_a_card_put_back_after_it_took_over_undoes_nothing_on_the_hub(
    proxy, cut_api: HfApi, api: HfApi, release: Path, card: Path, tmp_path: Path
) -> None:
    push(cut_api, release)
    mine = CARD.replace("The end.", "My end.")
    card.write_text(mine)
    edit(api, "README.md", CARD.replace("My own words.", "Better words."))
    proxy.answers = lambda method, path: (403, [], b"{}") if "/commit/" in path else None
    with pytest.raises(CheckFailed):
        push(cut_api, release)
    proxy.answers = lambda method, path: None
    card.write_text(mine)
    text = text_at(api, push(cut_api, release).commit, tmp_path)
    assert "Better words." in text and "My end." in text


def test_a_history_that_was_squashed_is_no_reason_to_overwrite_a_card(
    call: Callable[..., int],
    api: HfApi,
    release: Path,
    card: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call() == 0
    api.delete_repo(REPO)
    api.create_repo(REPO)
    theirs = edit(api, "README.md", CARD.replace("My own words.", "Theirs."))
    capsys.readouterr()
    assert call() == 1
    told = capsys.readouterr().err
    assert "which was pushed last" in told and f"--base {theirs}" in told
    assert head(api) == theirs
    assert call("--base", theirs) == 0


def test_a_tag_that_another_took_meanwhile_is_not_moved(
    api: HfApi, release: Path, tmp_path: Path
) -> None:
    first = push(api, release)
    (release / "LICENSE").write_text("Mine\n")
    plan = make_plan(release, REPO, tag="v2", api=api)
    theirs = edit(api, "theirs.txt", "x")
    api.create_tag(REPO, tag="v2", revision=first.commit)
    with pytest.raises(CheckFailed, match="tag 'v2' of rehearsal/tiny names"):
        publish(plan, api=api, receipts=tmp_path / "receipts")
    assert head(api) == theirs
