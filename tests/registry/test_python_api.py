"""The Python API: what it answers, that it stays as it is, and that it is cheap to import."""

from __future__ import annotations

import dataclasses
import inspect
import re
import subprocess
import sys
import typing
from pathlib import Path

import pydantic
import pytest
from valid_registry import VALID

import mbrelease.registry as api
from mbrelease.registry import Family, InvalidRegistry, UserError

RECORDED = Path(__file__).with_name("python_api.txt")
PAGE = Path(__file__).parents[2] / "docs" / "python-api.md"


def signatures() -> str:
    """Every public name with its methods, properties and fields, a line each."""
    lines = []
    for name in api.__all__:
        thing = getattr(api, name)
        if not inspect.isclass(thing):
            lines.append(f"{name} = {' | '.join(map(repr, typing.get_args(thing)))}")
            continue
        lines.append(f"class {name}({', '.join(base.__name__ for base in thing.__bases__)})")
        lines += sorted(f"    {line}" for line in members(thing))
    return "\n".join(lines) + "\n"


def members(thing: type) -> typing.Iterator[str]:
    if issubclass(thing, pydantic.BaseModel):
        yield from thing.model_fields
        return
    if dataclasses.is_dataclass(thing):
        for field in dataclasses.fields(thing):
            yield f"{field.name}: {field.type}"
    for name, member in vars(thing).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            yield f"{name} -> {inspect.signature(member.fget).return_annotation}"
        elif isinstance(member, classmethod):
            yield f"{name}{inspect.signature(member.__func__)}"
        elif inspect.isfunction(member):
            yield f"{name}{inspect.signature(member)}"


def test_the_public_signatures_are_the_recorded_ones():
    assert signatures() == RECORDED.read_text(encoding="utf-8"), (
        "the API has changed: tell so in CHANGELOG.md, then "
        "'python tests/registry/test_python_api.py' records it anew"
    )


def test_the_page_names_all_that_is_public():
    page = PAGE.read_text(encoding="utf-8")
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", page))))
    assert set(api.__all__) <= words
    for thing in (api.Family, api.Editing):
        public = {name for name in vars(thing) if not name.startswith("_")}
        assert public - {"load", "editing"} <= words
    assert "Family.load(" in page
    assert "family.editing(" in page


def test_importing_it_imports_nothing_else_until_a_name_is_used():
    code = (
        "import sys, mbrelease.registry as api\n"
        "heavy = {'pydantic', 'yaml', 'mbrelease.registry.schema'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert 'Family' in dir(api)\n"
        "api.Family\n"
        "assert not {'torch', 'huggingface_hub', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_is_none_is_told_as_python_tells_it():
    with pytest.raises(AttributeError, match=r"module 'mbrelease.registry' has no attribute 'Owl'"):
        _ = api.Owl
    assert {name: getattr(api, name) for name in api.__all__}.keys() == set(api.__all__)


@pytest.fixture
def family(tmp_path: Path) -> Family:
    (tmp_path / "registry.yaml").write_text(VALID + "# the end\n")
    return Family.load(tmp_path)


def test_a_folder_a_file_and_the_folder_above_are_the_same_registry(family, monkeypatch):
    below = family.path.parent / "deep" / "er"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert Family.load() == family == Family.load(str(family.path))
    with pytest.raises(UserError, match="does not exist"):
        Family.load("nowhere.yaml")


def test_a_text_is_one_name_and_not_its_letters(family):
    assert family.which(ancestors="base") == family.which(ancestors=["base"]) == ("child",)
    assert family.which(descendants=iter(["child"])) == ("base",)
    with pytest.raises(UserError, match="did you mean 'base'"):
        family.which(ancestors="bas")


def test_a_word_that_is_none_is_told_and_does_not_fit_nothing(family):
    with pytest.raises(UserError, match=r"no relation 'finetuning'\n  did you mean 'fine-tuning'"):
        family.which(relation="finetuning")
    with pytest.raises(UserError, match=r"no state 'new'\n  there are released, planned, unknown"):
        family.which(state="new")


def test_what_is_answered_cannot_be_written_to(family):
    with pytest.raises(TypeError):
        family.variants["new"] = family.variant("base")
    with pytest.raises(dataclasses.FrozenInstanceError):
        family.project = None


def test_edits_of_one_block_are_one_edit(family):
    with family.editing() as edit:
        edit.rename("child", "grown")
        edit.set("grown", "license", "mit")
        edit.unset("grown", "policy")
        edit.unalias("production")
        edit.add("last", {"repo": "owls/last"})
        edit.remove("last")
        assert family.path.read_text() == VALID + "# the end\n", "nothing is written as yet"
    assert edit.changed
    assert edit.family.variant("grown").license == "mit"
    assert edit.family.aliases == {}
    assert list(edit.family.variants) == ["base", "grown"]
    assert family.path.read_text().endswith("# the end\n")


def test_one_that_cannot_be_made_keeps_all_from_being_made(family):
    before = family.path.read_bytes()
    with pytest.raises(InvalidRegistry) as caught, family.editing() as edit:
        edit.set("child", "license", "mit")
        edit.set("child", "suite", "sciense")
    assert [mistake.message for mistake in caught.value.mistakes] == [
        "suite 'sciense' is not in the registry, did you mean 'science'?"
    ]
    with pytest.raises(UserError, match="no variant 'chidl'"), family.editing() as edit:
        edit.set("child", "license", "mit")
        edit.set("chidl", "license", "mit")
    assert family.path.read_bytes() == before
    assert not edit.changed


def test_a_block_that_raises_or_says_nothing_writes_nothing(family):
    before = family.path.stat()
    with pytest.raises(ZeroDivisionError), family.editing() as edit:
        edit.set("child", "license", "mit")
        _ = 1 / 0
    with family.editing() as edit:
        pass
    with family.editing() as edit:
        edit.set("child", "suite", "science")
    assert not edit.changed
    assert family.path.stat() == before


def test_an_edit_outside_of_a_block_is_no_silent_loss(family):
    before = family.path.read_bytes()
    edit = family.editing()
    changes = [
        lambda: edit.set("child", "repo", "x"),
        lambda: edit.add("new", {}),
        lambda: edit.unset("child", "repo"),
        lambda: edit.alias("new", "child"),
        lambda: edit.unalias("production"),
        lambda: edit.remove("child"),
        lambda: edit.rename("child", "kid"),
    ]
    for change in changes:
        with pytest.raises(UserError, match="gathered in a with block"):
            change()
    with edit:
        edit.set("child", "license", "mit")
        with pytest.raises(UserError, match="open already"), edit:
            pass
    assert edit.changed
    written = family.path.read_bytes()
    assert written != before
    for change in changes:
        with pytest.raises(UserError, match="gathered in a with block"):
            change()
    assert family.path.read_bytes() == written


def test_what_others_wrote_meanwhile_stays(family):
    with Family.load(family.path).editing() as other:
        other.set("base", "license", "mit")
    with family.editing() as edit:
        edit.set("child", "license", "isc")
    assert edit.family.variant("base").license == "mit"


def test_the_history_is_that_of_git_also_by_an_alias(family):
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=Owl", "-c", "user.email=owl@example.org"]
        subprocess.run(["git", *who, *arguments], cwd=family.path.parent, check=True)

    git("init", "-q")
    git("add", "registry.yaml")
    git("commit", "-q", "-m", "The family")
    (event,) = family.history("production").events
    assert (event.kind, event.name) == ("added", "child")


if __name__ == "__main__":
    RECORDED.write_text(signatures(), encoding="utf-8")
