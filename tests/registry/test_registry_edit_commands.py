"""`mbrelease registry add|set|alias|remove|rename` as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from valid_registry import VALID

from mbrelease.cli.main import main


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "registry.yaml").write_text(VALID)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answer(capsys, *call: str) -> dict:
    capsys.readouterr()
    assert main(["registry", *call, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def said(capsys, code: int, *call: str) -> str:
    capsys.readouterr()
    assert main(["registry", *call]) == code
    told = capsys.readouterr()
    assert told.out == ""
    return told.err


def test_alias(here, capsys):
    assert said(capsys, 0, "alias", "best", "child") == "'best' means 'child' in registry.yaml\n"
    again = said(capsys, 0, "alias", "best", "production")
    assert again == "unchanged: 'best' means 'child' in registry.yaml\n"
    aliases = "aliases: {production: child, best: child}"
    assert Path("registry.yaml").read_text() == VALID.replace(
        "aliases: {production: child}", aliases
    )
    assert answer(capsys, "alias", "best", "base") == {
        "path": "registry.yaml", "alias": "best", "variant": "base", "was": "child",
        "changed": True,
    }  # fmt: skip
    assert answer(capsys, "alias", "best", "--remove") == {
        "path": "registry.yaml", "alias": "best", "variant": None, "was": "base",
        "changed": True,
    }  # fmt: skip
    assert Path("registry.yaml").read_text() == VALID
    assert "no alias 'best' in registry.yaml" in said(capsys, 2, "alias", "best", "--remove")
    assert "no variant 'chidl'" in said(capsys, 2, "alias", "best", "chidl")
    assert "'base' is a variant" in said(capsys, 2, "alias", "base", "child")
    assert "give a VARIANT, or --remove" in said(capsys, 2, "alias", "best")
    assert "--remove takes no VARIANT" in said(capsys, 2, "alias", "best", "base", "--remove")


def test_an_alias_that_is_moved_tells_what_it_meant(here, capsys):
    said(capsys, 0, "alias", "best", "base")
    moved = said(capsys, 0, "alias", "best", "child")
    assert moved == "'best' means 'child' in registry.yaml (was 'base')\n"
    removed = said(capsys, 0, "alias", "best", "--remove")
    assert removed == "removed alias 'best' from registry.yaml (was 'child')\n"


def test_add_says_what_an_alias_was_taken_for(here, capsys):
    call = ("add", "new", "--parent", "production:adapter", "--supersedes", "production")
    assert said(capsys, 0, *call) == (
        "'production' is an alias: 'child' was written\nadded 'new' to registry.yaml\n"
    )
    entry = answer(capsys, "add", "newer", "--parent", "production:adapter")["entry"]
    assert entry["parents"] == [{"variant": "child", "relation": "adapter"}]
    told = said(capsys, 2, "set", "newer", "supersedes", "production")
    assert "'production' is an alias, which may mean another one tomorrow; write 'child'" in told


def test_numbers_below_zero_are_values(here, capsys):
    assert answer(capsys, "set", "child", "card.title", "-5", "--text")["value"] == "-5"
    assert 'title: "-5"' in Path("registry.yaml").read_text()
    assert "title should be text" in said(capsys, 2, "set", "child", "card.title", "-1e-4")
    assert "-inf cannot be written" in said(capsys, 2, "set", "child", "training.tokens", "-.inf")
    assert "No such option" in said(capsys, 2, "set", "child", "license", "--txt")
    assert "No such option" in said(capsys, 2, "set", "child", "license", "-x")


def test_a_text_of_no_letters_is_no_null(here, capsys):
    assert main(["registry", "set", "child", "run", "", "--json"]) in (0, 2)
    told = json.loads(capsys.readouterr().out)
    assert told.get("value", "") == ""  # where the schema does not refuse it
    assert "null" not in Path("registry.yaml").read_text()


REFUSED = [
    ("set", "child", "suite", "sciense"),
    ("set", "child", "repo", ".nan"),
    ("set", "chidl", "repo", "x/y"),
    ("add", "child"),
    ("add", "new", "--suite", "sciense"),
    ("alias", "best", "chidl"),
    ("alias", "best", "--remove"),
    ("rename", "child", "base"),
    ("remove", "base"),
    ("remove", "bas"),
    ("set", "child", "suite", "x", "--registry", "nowhere.yaml"),
]


@pytest.mark.parametrize("call", REFUSED, ids=" ".join)
def test_a_refused_edit_answers_in_json_too(here, capsys, call):
    assert main(["registry", *call, "--json"]) == 2
    told = capsys.readouterr()
    refused = json.loads(told.out)
    assert refused["changed"] is False
    assert refused["error"] in told.err
    places = {(one["line"], one["message"]) for one in refused["mistakes"]}
    assert bool(places) is ("sciense" in call)
    assert bool(refused.get("named_in")) is (call == ("remove", "base"))
    assert Path("registry.yaml").read_text() == VALID


def test_set_removes_and_appends(here, capsys):
    assert said(capsys, 0, "set", "child", "card.tags.+", "a") == (
        "set card.tags.+ of 'child' in registry.yaml\n"
    )
    assert said(capsys, 0, "set", "production", "card", "--remove") == (
        "removed card of 'child' from registry.yaml\n"
    )
    assert Path("registry.yaml").read_text() == VALID
    assert answer(capsys, "set", "child", "suite", "--remove") == {
        "path": "registry.yaml", "variant": "child", "key": "suite", "value": None,
        "removed": True, "changed": True,
    }  # fmt: skip
    assert "'child' has no suite" in said(capsys, 2, "set", "child", "suite", "--remove")
    assert "give a VALUE, or --remove" in said(capsys, 2, "set", "child", "suite")
    assert "--remove takes no VALUE" in said(capsys, 2, "set", "child", "suite", "x", "--remove")


def test_remove(here, capsys):
    assert said(capsys, 2, "remove", "base") == (
        "error: nothing removed: 2 places name 'base'\n"
        "registry.yaml:12:16: the reference of policy 'science'\n"
        "registry.yaml:17:25: a parent of 'child'\n"
        "  change these first\n"
    )
    assert main(["registry", "remove", "base", "--json"]) == 2
    places = json.loads(capsys.readouterr().out)["named_in"]
    assert places[1] == {
        "path": "registry.yaml", "line": 17, "column": 25, "what": "a parent of 'child'",
    }  # fmt: skip
    said(capsys, 0, "alias", "production", "--remove")
    (here / "decisions").mkdir()
    (here / "decisions/child.json").write_text("{}")
    assert said(capsys, 0, "remove", "child") == (
        "removed 'child' from registry.yaml\n"
        "files of it stay; delete them if nobody needs them:\n  decisions/child.json\n"
    )
    assert "child" not in Path("registry.yaml").read_text()


def test_rename(here, capsys):
    for file in ("evidence/reported/child/x.json", "decisions/child.json", "decisions/x.json"):
        (here / file).parent.mkdir(parents=True, exist_ok=True)
        (here / file).write_text("{}")
    assert said(capsys, 0, "rename", "child", "kid") == (
        "renamed 'child' to 'kid', and 1 place that names it, in registry.yaml\n"
        "files carry the old name still; bring them along:\n"
        "  mv evidence/reported/child evidence/reported/kid\n"
        "the old name stands in these; 'mbrelease release kid' makes new ones, then delete:\n"
        "  decisions/child.json\n"
    )
    whole = VALID.replace("  child:", "  kid:").replace("production: child", "production: kid")
    assert Path("registry.yaml").read_text() == whole
    assert answer(capsys, "rename", "kid", "child") == {
        "variant": "child",
        "was": "kid",
        "changed": True,
        "files": ["registry.yaml"],
        "places": [
            {"path": "registry.yaml", "line": 20, "column": 23,
             "what": "what alias 'production' means"},
        ],
        "left": [],
    }  # fmt: skip
    assert Path("registry.yaml").read_text() == VALID
    assert said(capsys, 0, "rename", "child", "child") == "unchanged: 'child' is its name\n"
    assert "'production' is an alias" in said(capsys, 2, "rename", "production", "kid")


def test_add_to_a_file_of_the_registry(here, capsys):
    mend = "add a line to it, such as: include: [variants/*.yaml]"
    assert mend in said(capsys, 2, "add", "new", "--file", "variants/new.yaml")
    text = VALID.replace("family: Owls\n", "family: Owls\ninclude: ['variants/**/*.yaml']\n")
    Path("registry.yaml").write_text(text)
    # The pattern found nothing so far.
    told = said(
        capsys, 0, "add", "new", "--file", "variants/a/new.yaml", "--parent", "base:adapter"
    )
    assert told == "added 'new' to variants/a/new.yaml\n"
    assert Path("variants/a/new.yaml").read_text() == (
        "variants:\n  new:\n    parents: [{variant: base, relation: adapter}]\n"
    )
    assert said(capsys, 0, "add", "newer", "--file", "variants/a/new.yaml", "--license", "mit") == (
        "added 'newer' to variants/a/new.yaml\n"
    )
    assert said(capsys, 0, "set", "new", "license", "mit") == (
        "set license of 'new' in variants/a/new.yaml\n"
    )
    assert Path("registry.yaml").read_text() == text
    assert answer(capsys, "add", "last")["path"] == "registry.yaml"
    for file in ("other/new.yaml", "../new.yaml", "variants/.new.yaml", "/new.yaml"):
        assert "is no file of this registry" in said(capsys, 2, "add", "x", "--file", file)
    assert main(["registry", "lint"]) == 0


def test_where_variants_are_in_several_files_one_is_to_be_said(here, capsys):
    Path("registry.yaml").write_text("version: 1\nfamily: x\ninclude: [v/*.yaml]\n")
    Path("v").mkdir()
    Path("v/a.yaml").write_text("variants: {a: {}}\n")
    assert said(capsys, 0, "add", "new") == "added 'new' to v/a.yaml\n"
    Path("v/b.yaml").write_text("variants: {b: {}}\n")
    assert said(capsys, 2, "add", "newer") == (
        "error: variants are in 2 files: v/a.yaml, v/b.yaml\n"
        "  say which is to hold the new one: --file PATH\n"
    )
