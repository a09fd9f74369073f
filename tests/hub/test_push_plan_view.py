"""How a plan is shown, on 80 columns, on 40, as Markdown; and what the Hub is asked for it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from mbrelease.cli.main import main
from mbrelease.hub.card_changes import CardChanges, KeyChange
from mbrelease.hub.plan import Plan, make_plan
from mbrelease.hub.plan_markdown import plan_markdown
from mbrelease.hub.problems import Check, Problem
from mbrelease.hub.publish import publish

REPO = "rehearsal/tiny"
# No body of these is kept; the second sends the text of README.md to be checked.
READS = re.compile(r"(GET|HEAD) .*|POST /api/(validate-yaml|models/.*/paths-info/.*)")


@pytest.fixture
def at_proxy(proxy, cut_api: HfApi, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_ENDPOINT", proxy.url)
    monkeypatch.setenv("HF_TOKEN", str(cut_api.token))
    return proxy


def spoil_everything(api: HfApi, release: Path) -> None:
    """One of every kind of fault."""
    api.upload_file(path_or_fileobj=b"old", path_in_repo="a/long/path/" + "x" * 60, repo_id=REPO)
    (release / "optimizer.pt").write_bytes(b"")
    (release / "LICENSE").write_text("hf_" + "abcdEFGH12" * 3 + "wxyz")
    (release / "README.md").write_text("---\nlicense: apache2\n---\n\n![x](figures/none.png)\n")


@pytest.mark.parametrize("columns", [80, 40])
@pytest.mark.parametrize("spoilt", [False, True])
def test_no_line_is_wider_than_the_terminal(
    columns: int,
    spoilt: bool,
    at_proxy,
    api: HfApi,
    release: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    publish(make_plan(release, REPO, tag="v1", api=api), api=api, receipts=tmp_path / "receipts")
    (release / "README.md").write_text((release / "README.md").read_text() + "word " * 50 + "\n")
    if spoilt:
        spoil_everything(api, release)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.chdir(tmp_path)
    tag = "v1" if spoilt else "v2"
    assert main(["push", "release", "--to", REPO, "--plan", "--tag", tag]) == spoilt
    out, err = capsys.readouterr()
    lines = (out + err).splitlines()
    assert [line for line in lines if len(line) > columns] == []
    assert "tags there: v1" in err
    assert any("x" * (columns - 30) in line for line in lines) == spoilt


def test_every_kind_of_problem_is_told_at_once_and_only_reads_were_made(
    at_proxy, api: HfApi, release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(make_plan(release, REPO, tag="v1", api=api), api=api, receipts=tmp_path / "receipts")
    spoil_everything(api, release)
    commits = [commit.commit_id for commit in api.list_repo_commits(REPO)]
    for options in (["--plan"], [], ["--json"], ["--plan", "--markdown"]):
        assert main(["push", str(release), "--to", REPO, "--tag", "v1", *options]) == 1
        out, err = capsys.readouterr()
        told = " ".join(err.split())
        assert "error: 5 problems; nothing was sent" in told
        for part in (
            "optimizer.pt is the trainer's own state",
            "LICENSE:1 holds a Hugging Face token",
            "README.md:2: license 'apache2' is unknown to the Hub → apache-2.0",
            "README.md:5:",
            "tag 'v1' of rehearsal/tiny names",
        ):
            assert part in told
        if "--json" in options:
            assert len(json.loads(out)["plan"]["problems"]) == 5
    asked = [f"{method} {path}" for method, path, _ in at_proxy.log]
    assert [call for call in asked if not READS.fullmatch(call)] == []
    assert [commit.commit_id for commit in api.list_repo_commits(REPO)] == commits


def test_a_clean_plan_of_every_form_makes_only_reads(
    at_proxy, api: HfApi, release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(make_plan(release, REPO, api=api), api=api, receipts=tmp_path / "receipts")
    (release / "LICENSE").write_text("Another\n")
    for options in ([], ["--json"], ["--markdown"], ["--tag", "v1", "--delete", "*.bin"]):
        assert main(["push", str(release), "--to", REPO, "--plan", *options]) == 0
    asked = [f"{method} {path}" for method, path, _ in at_proxy.log]
    assert len(asked) > 8 and [call for call in asked if not READS.fullmatch(call)] == []
    assert api.list_repo_refs(REPO).tags == []


@pytest.mark.parametrize("why", ["no token", "no server"])
def test_what_nobody_looked_at_is_not_counted(
    why: str,
    at_proxy,
    release: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = "no token for the Hub was found"
    if why == "no token":
        monkeypatch.delenv("HF_TOKEN")
    else:
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        told = "cannot reach http://127.0.0.1:9"
    assert main(["push", str(release), "--to", REPO, "--plan"]) == 1
    out, err = capsys.readouterr()
    assert f"not compared: {told}" in " ".join(err.split())
    assert "to add" not in err and "to send" not in err and "add " not in out
    assert main(["push", str(release), "--to", REPO, "--plan", "--markdown"]) == 1
    page = capsys.readouterr().out
    assert f"not compared: {told}" in page and "to add" not in page and "| add" not in page
    assert main(["push", str(release), "--to", REPO, "--plan", "--json"]) == 1
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert plan["not_compared"].startswith(told)
    unknown = {"added", "changed", "unchanged", "deleted", "remote_only", "bytes_to_send", "head"}
    assert {plan[name] for name in unknown} == {None}
    assert len(plan["files"]) == 10


def test_markdown_tells_no_path_of_this_machine(
    at_proxy,
    release: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (release / "README.md").unlink()
    (release / "config.json").unlink()
    monkeypatch.chdir(tmp_path / "..")
    for folder, shown in ((tmp_path, f"{tmp_path.name}/release"), (release, "release")):
        monkeypatch.chdir(folder.parent if folder == tmp_path else "/usr")
        assert main(["push", str(release), "--to", REPO, "--plan", "--markdown"]) == 1
        page = capsys.readouterr().out
        assert f"- from: `{shown}`" in page and "has no README.md" in page
        assert str(tmp_path) not in page.replace("\\", "")


@pytest.mark.parametrize("form", [[], ["--markdown"]], ids=["terminal", "markdown"])
def test_of_a_card_that_is_replaced_as_a_whole_both_are_seen_and_the_rest_counted(
    form: list[str],
    at_proxy,
    api: HfApi,
    release: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    card = release / "README.md"
    head = card.read_text()
    card.write_text(head + "".join(f"\nOld words {n}." for n in range(200)))
    publish(make_plan(release, REPO, api=api), api=api, receipts=tmp_path / "receipts")
    card.write_text(head + "".join(f"\nOther words {n}." for n in range(200)))
    assert main(["push", str(release), "--to", REPO, "--plan", *form]) == 0
    out = capsys.readouterr().out
    assert "-Old words 0." in out and "+Other words 0." in out
    told = re.search(r"… and (\d+) more lines: .*--json.* has all", out)
    assert told is not None
    seen = len(re.findall(r"^ *[+-](?:Old|Other) words", out, re.MULTILINE))
    assert seen + int(told[1]) == 400
    assert len(out.splitlines()) < 80


@pytest.mark.parametrize("columns", [80, 40])
def test_a_name_is_whole_where_the_terminal_has_room_for_it(
    columns: int,
    at_proxy,
    release: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = "special_tokens_map.json"
    long = "figures/of-the-scores-by-language.png"
    (release / name).write_text("{}")
    (release / long).write_bytes(b"\x89PNG\r\n\x1a\n")
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["push", str(release), "--to", REPO, "--plan"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"add     {name}") for line in lines)
    assert [line for line in lines if len(line) > columns] == []
    if columns == 40:
        assert "add     figures/" in lines and f"{'':8}{long.partition('/')[2]}" in lines


def test_the_mend_of_several_problems_is_told_once(
    at_proxy, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.docx", "b.docx", "c.docx"):
        (release / name).write_text("")
    assert main(["push", str(release), "--to", REPO, "--plan"]) == 1
    assert capsys.readouterr().err.count("take it out of the folder") == 1


def test_many_kept_files_are_counted(
    at_proxy, api: HfApi, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub import CommitOperationAdd

    files = [CommitOperationAdd(f"notes/{n}.txt", b"x") for n in range(50)]
    api.create_repo(REPO)
    api.create_commit(REPO, files, commit_message="notes")
    assert main(["push", str(release), "--to", REPO, "--plan"]) == 0
    out = capsys.readouterr().out
    assert out.count("keep ") == 20 and "… and 30 more kept: --json has all" in out


def test_a_path_that_would_disturb_a_terminal_is_escaped(
    proxy, api: HfApi, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mbrelease.cli.push_plan import show_plan

    plan = replace(make_plan(release, REPO, api=api), remote_only=("a\x1b[2Jb",))
    show_plan(plan)
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "options", [["--markdown"], ["--plan", "--markdown", "--json"]], ids=["no plan", "json"]
)
def test_markdown_is_a_form_of_the_plan(
    options: list[str], release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", str(release), "--to", REPO, *options]) == 2
    assert "--markdown is a form of --plan" in capsys.readouterr().err


def rendered(markdown: str) -> str:
    """The page that a reader sees, as HTML."""
    from markdown_it import MarkdownIt

    return str(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))


@pytest.fixture
def plan(api: HfApi, release: Path) -> Plan:
    return make_plan(release, REPO, tag="v1", api=api)


def test_markdown_tells_what_would_be_done(plan: Plan) -> None:
    page = rendered(plan_markdown(plan))
    assert "<h3>Push of <code>rehearsal/tiny</code></h3>" in page
    assert "<strong>Ready:</strong> 10 to add" in page
    assert "<td><code>model.safetensors</code></td>" in page
    assert "problem" not in page


def test_markdown_tells_problems_first_and_checks_with_their_state(plan: Plan) -> None:
    spoilt = replace(
        plan,
        problems=(Problem("a tag is taken", "choose another"),),
        checks=(Check("verify", "failed", "3 problems"), Check("card", "not run", "no lock")),
    )
    page = rendered(plan_markdown(spoilt))
    assert "<strong>1 problem: nothing would be sent.</strong>" in page
    assert page.index("a tag is taken") < page.index("model.safetensors")
    assert "<td>✗ verify</td>" in page and "<td>– card</td>" in page


def test_no_markup_of_a_card_or_a_hub_becomes_part_of_the_page(plan: Plan) -> None:
    evil = "<img src=x> [a](http://b) `c` **d** | e @team </details>"
    changes = CardChanges(
        (KeyChange("k`|", evil, evil),), (), ("@@", f"+{evil}", "+```", "+</details>", "+````"), ()
    )
    spoilt = replace(
        plan,
        problems=(Problem(evil, evil),),
        notes=(evil,),
        remote_only=("a`|<b>",),
        card=changes,
        checks=(Check("lint", "failed", evil),),
    )
    text = plan_markdown(spoilt)
    page = rendered(text)
    assert "<img" not in page and 'href="http://b"' not in page and "<strong>d" not in page
    # Each of the three parts that fold is closed once, by us.
    assert page.count("<details>") == page.count("</details>") == 3
    assert "@team" not in text.partition("diff\n")[0], "nobody is called"
    assert page.count("<td>") % 3 == (2 * len(spoilt.checks)) % 3, "no cell was split"


def test_markdown_of_much_fits_a_comment(plan: Plan) -> None:
    long = "x" * 300
    changes = CardChanges(
        tuple(KeyChange(f"{long}{n}", long, long) for n in range(500)),
        (),
        ("@@", *(f"+{long}" for _ in range(5000))),
        (),
    )
    spoilt = replace(
        plan,
        problems=tuple(Problem(f"{long}{n}", long) for n in range(500)),
        remote_only=tuple(f"{long}{n}" for n in range(500)),
        notes=(long,) * 500,
        card=changes,
    )
    text = plan_markdown(spoilt)
    assert len(text) < 65_536
    assert text.count("… and ") >= 3, "each part says what it leaves out"
    assert text.count("<details>") == text.count("</details>")
