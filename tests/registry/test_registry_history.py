"""`mbrelease registry history`, against real git repositories."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from mbrelease.cli.main import main
from mbrelease.errors import UserError
from mbrelease.registry.history.history import history

FIRST = """\
version: 1
family: Owls
variants:
  base: {repo: owls/base, released: true}
  # the one that is watched
  child:
    repo: owls/child
    parents: [{variant: base, relation: fine-tuning}]
    training: {tokens: 450_000_000, objective: mlm}
    data: [{name: PMC, documents: 10}]
  other: {repo: owls/other}
"""


class Project:
    """A git repository with a registry, and a clock of its own."""

    def __init__(self, root: Path) -> None:
        self.root, self.hour = root, 0
        self.path = root / "registry.yaml"
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str, author: str = "Ada Lovelace") -> str:
        date = f"2025-01-01T{self.hour:02}:00:00+00:00"
        who = {"NAME": author, "EMAIL": "a@b.c", "DATE": date}
        names = {f"GIT_{role}_{k}": who[k] for role in ("AUTHOR", "COMMITTER") for k in who}
        environment = os.environ | names | {"GIT_CONFIG_GLOBAL": os.devnull}
        done = subprocess.run(
            ["git", "-C", str(self.root), *arguments],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    def commit(self, subject: str, author: str = "Ada Lovelace", **files: str) -> str:
        """Write files (``a__b`` is ``a/b.yaml``) and commit all there is."""
        for name, text in files.items():
            path = self.root / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        self.hour += 1
        self.git("add", "-A", author=author)
        self.git("commit", "-q", "--allow-empty", "-m", subject, author=author)
        return self.git("rev-parse", "HEAD")

    def told(self, name: str = "child") -> list[tuple[str, str]]:
        """Subject and kind of each event, the oldest first."""
        events = reversed(history(self.path, name).events)
        return [(e.commit.subject if e.commit else "not committed", e.kind) for e in events]

    def changes(self, name: str = "child") -> list[tuple[str, object, object]]:
        """Of the newest event."""
        return [(c.key, c.before, c.after) for c in history(self.path, name).events[0].changes]


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


def test_values_count_and_not_how_they_are_written(project):
    project.commit("first", registry=FIRST)
    project.commit("spelling", registry=FIRST.replace("450_000_000", "450000000"))
    project.commit("a comment", registry=FIRST.replace("the one", "this one"))
    block = FIRST.replace(
        "training: {tokens: 450_000_000, objective: mlm}",
        "training:\n      objective: mlm\n      tokens: 450_000_000",
    )
    project.commit("block style", registry=block)
    project.commit("another variant", registry=block.replace("owls/other", "owls/more"))
    project.commit("more tokens", "Grace Hopper", registry=block.replace("450_", "900_"))
    assert project.told() == [("first", "added"), ("more tokens", "changed")]
    assert project.changes() == [("training.tokens", 450_000_000, 900_000_000)]
    (newest, _) = history(project.path, "child").events
    assert newest.commit.author == "Grace Hopper"
    assert newest.commit.date.startswith("2025-01-01T06:00:00")


def test_lists_of_named_things_change_by_name(project):
    project.commit("first", registry=FIRST)
    data = "data: [{name: PMC, documents: 12}, {name: arXiv}]"
    project.commit("more", registry=FIRST.replace("data: [{name: PMC, documents: 10}]", data))
    assert project.changes() == [
        ("data[PMC].documents", 10, 12), ("data", None, {"name": "arXiv"}),
    ]  # fmt: skip


def test_not_committed(project, capsys):
    project.commit("first", registry=FIRST)
    project.path.write_text(FIRST.replace("mlm", "clm"))
    assert project.told() == [("first", "added"), ("not committed", "changed")]
    assert main(["registry", "history", "child"]) == 0
    assert capsys.readouterr().out.startswith(
        "not committed\n    training.objective: mlm → clm\n\n2025-01-01  "
    )


def test_nothing_is_committed(project):
    project.path.write_text(FIRST)
    assert project.told() == [("not committed", "added")]


def test_moved_to_an_included_file_and_changed_there(project, capsys):
    project.commit("first", registry=FIRST)
    start, end = FIRST.index("  child:"), FIRST.index("  other:")
    split = FIRST.replace("variants:", "include: [variants/*.yaml]\nvariants:", 1).replace(
        FIRST[start:end], ""
    )
    part = f"variants:\n{FIRST[start:end]}"
    project.commit("split", registry=split, variants__child=part)
    project.commit("clm", variants__child=part.replace("mlm", "clm"))
    project.commit("no change", variants__another="variants:\n  another: {}\n")
    assert project.told() == [("first", "added"), ("split", "moved"), ("clm", "changed")]
    assert main(["registry", "history", "child"]) == 0
    out = capsys.readouterr().out
    assert "    moved: registry.yaml → variants/child.yaml\n" in out
    assert project.told("another") == [("no change", "added")]


def test_include_patterns_that_are_no_more(project):
    part = "variants:\n  child: {released: true}\n"
    head = "version: 1\nfamily: x\n"
    project.commit("deep", registry=f"{head}include:\n- '**/*.yaml'\n", a__child=part)
    project.commit("seen", a__child=part.replace("true", "false"))
    (project.root / "a/child.yaml").unlink()
    project.commit("one file", registry=head + part.replace("true", "false"))
    assert project.told() == [("deep", "added"), ("seen", "changed"), ("one file", "moved")]


def test_what_an_alias_stands_for_is_followed(project):
    text = FIRST.replace("{repo: owls/base, released: true}", "{training: &t {context: 512}}")
    text = text.replace("{tokens: 450_000_000, objective: mlm}", "*t")
    project.commit("first", registry=text)
    project.commit("nothing", registry=text.replace("owls/other", "owls/another"))
    project.commit("the anchor", registry=text.replace("512", "8192"))
    assert project.told() == [("first", "added"), ("the anchor", "changed")]
    assert project.changes() == [("training.context", 512, 8192)]


def test_a_rename_is_followed(project, capsys):
    project.commit("first", registry=FIRST)
    project.commit("tokens", registry=FIRST.replace("450_", "900_"))
    renamed = FIRST.replace("450_", "900_").replace("  child:", "  grandchild:")
    project.commit("rename", registry=renamed)
    project.commit("objective", registry=renamed.replace("mlm", "clm"))
    assert project.told("grandchild") == [
        ("first", "added"), ("tokens", "changed"), ("rename", "renamed"), ("objective", "changed"),
    ]  # fmt: skip
    assert main(["registry", "history", "grandchild"]) == 0
    assert "    renamed: child → grandchild\n" in capsys.readouterr().out
    # By its old name it is found, and the new one is told.
    assert project.told("child") == project.told("grandchild")
    assert main(["registry", "history", "child"]) == 0
    said = capsys.readouterr()
    assert "    renamed: child → grandchild\n" in said.out
    assert said.err == "'child' was renamed: 'grandchild'\n"
    assert main(["registry", "history", "child", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "grandchild"


def test_a_rename_with_a_change_and_one_that_is_not_committed(project):
    project.commit("first", registry=FIRST)
    renamed = FIRST.replace("  child:", "  grandchild:").replace("mlm", "clm")
    project.path.write_text(renamed)
    assert project.told("grandchild") == [("first", "added"), ("not committed", "renamed")]
    assert project.changes("grandchild") == [("training.objective", "mlm", "clm")]
    project.commit("rename")
    assert project.told("grandchild") == [("first", "added"), ("rename", "renamed")]


def test_an_old_name_leads_through_all_renames_to_the_end(project):
    project.commit("first", registry=FIRST)
    second = FIRST.replace("  child:", "  second:")
    project.commit("one", registry=second)
    project.path.write_text(second.replace("  second:", "  third:"))
    whole = [("first", "added"), ("one", "renamed"), ("not committed", "renamed")]
    assert project.told("child") == project.told("second") == project.told("third") == whole
    start, end = second.index("  second:"), second.index("  other:")
    project.commit("gone", registry=second.replace(second[start:end], ""))
    gone = [("first", "added"), ("one", "renamed"), ("gone", "removed")]
    assert project.told("child") == project.told("second") == gone
    # A name that is in use again is what it means now.
    project.commit("again", registry=FIRST.replace("owls/child", "owls/new"))
    assert project.told("child")[-1] == ("again", "added")
    assert project.told("second") == gone


def test_a_mistake_outside_of_the_entry_hides_nothing_of_it(project, capsys):
    project.commit("first", registry=FIRST)
    project.commit("broken below", registry=FIRST.replace("mlm", "clm") + "broken: [\n")
    assert project.told() == [("first", "added"), ("broken below", "changed")]
    assert history(project.path, "child").passed_over == ()


def test_a_new_variant_in_the_place_of_another_is_no_rename(project):
    project.commit("first", registry=FIRST)
    project.commit("swap", registry=FIRST.replace("other: {repo: owls/other}", "new: {repo: o/n}"))
    assert project.told("new") == [("swap", "added")]


def test_removed_and_added_again(project):
    project.commit("first", registry=FIRST)
    start, end = FIRST.index("  child:"), FIRST.index("  other:")
    project.commit("gone", registry=FIRST.replace(FIRST[start:end], ""))
    assert project.told() == [("first", "added"), ("gone", "removed")]
    project.commit("back", registry=FIRST)
    assert project.told() == [("first", "added"), ("gone", "removed"), ("back", "added")]


def test_a_broken_registry_is_passed_over(project, capsys):
    project.commit("first", registry=FIRST)
    torn = FIRST.replace("    repo: owls/child\n", "<<<<<<< ours\n    repo: owls/child\n")
    broken = project.commit("torn", registry=torn.replace("mlm", "clm"))
    project.commit("mended", registry=FIRST.replace("mlm", "clm"))
    assert project.told() == [("first", "added"), ("mended", "changed")]
    assert main(["registry", "history", "child"]) == 0
    said = capsys.readouterr().err
    assert said.startswith(f"passed over {broken[:9]} of 2025-01-01: registry.yaml:")
    assert "merge-conflict marker" in said
    assert main(["registry", "history", "child", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [one["commit"] for one in answer["passed_over"]] == [broken]
    assert [event["kind"] for event in answer["events"]] == ["changed", "added"]
    assert answer["events"][0]["changes"] == [
        {"key": "training.objective", "before": "mlm", "after": "clm"}
    ]


def test_an_entry_torn_in_the_middle_is_no_change(project):
    project.commit("first", registry=FIRST)
    torn = FIRST.replace("    data:", "<<<<<<< ours\n    data:")
    project.commit("torn", registry=torn)
    assert project.told() == [("first", "added")]


def test_the_name_as_part_of_others_is_no_entry(project):
    before = FIRST.replace("  child:", "  childish:").replace("owls/child", "owls/it")
    before = before.replace(
        "other: {", "other: {parents: [{variant: childish, relation: adapter}], "
    )
    project.commit("first", registry=before)
    project.commit("second", registry=before + "  child: {released: true}\n")
    assert project.told() == [("second", "added")]


def test_a_registry_that_is_broken_now_has_a_history(project, capsys):
    project.commit("first", registry=FIRST)
    project.path.write_text(FIRST + "  child: {}\n")
    assert main(["registry", "history", "child"]) == 0
    said = capsys.readouterr()
    assert "first" in said.out
    assert "the history is told all the same" in said.err


def test_a_merge_is_told_only_where_it_is_like_neither_side(project):
    project.commit("first", registry=FIRST)
    project.git("checkout", "-q", "-b", "side")
    project.commit("side", registry=FIRST.replace("mlm", "clm"))
    project.git("checkout", "-q", "main")
    project.commit("main", registry=FIRST.replace("owls/other", "owls/another"))
    project.hour += 1
    project.git("merge", "-q", "--no-edit", "side")
    assert project.told() == [("first", "added"), ("side", "changed")]
    # Both sides change one value, and the merge takes a third.
    project.git("checkout", "-q", "-b", "two")
    now = project.path.read_text()
    project.commit("two", registry=now.replace("450_", "2_"))
    project.git("checkout", "-q", "main")
    project.commit("one", registry=now.replace("450_", "1_"))
    with pytest.raises(subprocess.CalledProcessError):
        project.git("merge", "-q", "two")
    project.commit("both", registry=now.replace("450_", "3_"))
    assert {subject for subject, _ in project.told()} == {"first", "side", "one", "two", "both"}
    assert project.changes() == [("training.tokens", 1_000_000, 3_000_000)]


def test_a_registry_in_a_folder_of_its_repository(project, monkeypatch):
    project.path = project.root / "models/registry.yaml"
    project.commit("first", models__registry=FIRST)
    project.commit("elsewhere", registry=FIRST.replace("mlm", "clm"))
    project.commit("here", models__registry=FIRST.replace("mlm", "clm"))
    assert project.told() == [("first", "added"), ("here", "changed")]


def test_a_subject_and_an_author_of_any_letters(project, capsys):
    project.commit("Größe — 模型\u2028 \x1c end", "Zoë Ångström", registry=FIRST)
    assert main(["registry", "history", "child"]) == 0
    out = capsys.readouterr().out
    assert "Zoë Ångström" in out
    assert "Größe — 模型" in out


def test_an_alias_and_a_name_that_never_was(project, capsys):
    project.commit("first", registry=FIRST + "aliases: {production: child}\n")
    assert main(["registry", "history", "production"]) == 0
    assert main(["registry", "history", "chidl"]) == 2
    said = capsys.readouterr().err
    assert "no variant 'chidl'" in said
    assert "did you mean 'child'?" in said


def test_no_repository(tmp_path, monkeypatch, capsys):
    (tmp_path / "registry.yaml").write_text(FIRST)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert main(["registry", "history", "child"]) == 2
    assert "is in no git repository" in capsys.readouterr().err


def test_no_git(project, monkeypatch):
    project.commit("first", registry=FIRST)
    monkeypatch.setenv("PATH", str(project.root))
    with pytest.raises(UserError, match="git is not installed"):
        history(project.path, "child")


def test_a_shallow_clone_says_so(project, tmp_path_factory, monkeypatch, capsys):
    project.commit("first", registry=FIRST)
    project.commit("second", registry=FIRST.replace("mlm", "clm"))
    clone = tmp_path_factory.mktemp("clone") / "it"
    project.git("clone", "-q", "--depth", "1", f"file://{project.root}", str(clone))
    monkeypatch.chdir(clone)
    assert main(["registry", "history", "child"]) == 0
    assert "this clone is shallow" in capsys.readouterr().err


def test_hundreds_of_commits_of_a_large_registry(project):
    variants = "".join(
        f"  v{i}: {{repo: owls/v{i}, training: {{tokens: {i}, context: 512}}}}\n"
        for i in range(3000)
    )
    text = f"version: 1\nfamily: x\nvariants:\n{variants}  last: {{training: {{tokens: 0}}}}\n"
    stream = []
    for i in range(200):
        data = text.replace("tokens: 0}}", f"tokens: {i // 50}}}}}").replace(
            "owls/v7,", f"owls/w{i},"
        )
        head = f"commit refs/heads/main\ncommitter A <a@b> {1_700_000_000 + i} +0000\ndata 1\nx"
        stream.append(f"{head}\nM 100644 inline registry.yaml\ndata {len(data)}\n{data}\n")
    subprocess.run(
        ["git", "fast-import", "--quiet"],
        input="".join(stream).encode(),
        cwd=project.root,
        check=True,
    )
    project.git("reset", "-q", "--hard", "main")
    start = time.process_time()
    assert len(history(project.path, "last").events) == 4
    # Under half a second of CPU on an idle machine.
    assert time.process_time() - start < 4
