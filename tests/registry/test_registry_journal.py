"""An edit of several files is whole or not at all, for readers as well, whatever kills it."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mbrelease.errors import UserError
from mbrelease.registry import journal
from mbrelease.registry.edit import edit, rename_variant, set_value, with_alias, with_variant
from mbrelease.registry.load import load_project

REGISTRY = """\
version: 1
family: Owls
include: [variants/*.yaml]
aliases: {all: owl}
variants:
  owl: {repo: owls/owl}
"""
N_FILES = 4


def write(folder: Path) -> Path:
    (folder / "variants").mkdir(parents=True)
    (folder / "registry.yaml").write_text(REGISTRY)
    for number in range(N_FILES):
        text = "variants:\n"
        for index in range(5):
            text += f"  v{number}-{index}:\n    parents: [{{variant: owl, relation: merging}}]\n"
        (folder / f"variants/{number}.yaml").write_text(text)
    return folder / "registry.yaml"


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    return write(tmp_path)


def contents(registry: Path) -> dict[str, str]:
    files = [registry, *sorted(registry.parent.glob("variants/*"))]
    return {file.name: file.read_text() for file in files}


def killed_at(monkeypatch: pytest.MonkeyPatch, registry: Path, step: int) -> bool:
    """A renaming that ends before its ``step``-th renaming of a file, as if it was killed."""
    count = 0
    replace = Path.replace

    class Killed(BaseException):
        pass

    def counted(self: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count >= step:
            raise Killed
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", counted)
        try:
            rename_variant(registry, "owl", "eule")
        except Killed:
            return True
    return False


@pytest.mark.parametrize("may_write", [True, False])
def test_every_step_leaves_the_old_or_the_new(tmp_path, monkeypatch, may_write):
    old = contents(write(tmp_path / "old"))
    new = {name: text.replace("variant: owl", "variant: eule").replace("all: owl", "all: eule")
           .replace("  owl:", "  eule:") for name, text in old.items()}  # fmt: skip
    if not may_write:  # then a reader cannot finish what it finds
        monkeypatch.setattr(journal, "_finish_if_free", lambda registry: None)
    step, seen = 0, []
    while True:
        step += 1
        registry = write(tmp_path / str(step))
        if not killed_at(monkeypatch, registry, step):
            break
        before = contents(registry)
        variants = load_project(registry).registry.variants
        seen.append("eule" in variants)
        parents = {p.variant for variant in variants.values() for p in variant.parents}
        assert parents == {"eule" if seen[-1] else "owl"}
        assert (contents(registry) == before) is not (may_write and seen[-1])
        # The next edit finds it whole, and leaves nothing of it behind.
        root = "eule" if seen[-1] else "owl"
        set_value(registry, root, "license", "mit")
        set_value(registry, root, "license", None)
        whole = new if seen[-1] else old
        main = whole["registry.yaml"].replace("/owl}", "/owl, license: null}")
        assert contents(registry) == whole | {"registry.yaml": main}
        assert [p.name for p in registry.parent.iterdir() if "journal" in p.name] == []
        assert list(registry.parent.glob("**/.*.tmp")) == []
    # The journal is the first to be renamed; with it the edit is made.
    assert seen == [False, *[True] * (N_FILES + 1)]


def test_what_a_person_changed_since_stays(registry, monkeypatch):
    assert killed_at(monkeypatch, registry, 2)
    mine = registry.parent / "variants/1.yaml"
    mine.write_text("variants: {mine: {}}\n")
    assert "mine" in load_project(registry).registry.variants
    assert mine.read_text() == "variants: {mine: {}}\n"
    assert not (registry.parent / ".registry.yaml.journal").exists()


@pytest.mark.parametrize("name", ["../x.yaml", ".git/config.yaml", "x.py", "/x.yaml", "link.yaml"])
def test_a_journal_of_others_changes_no_file_but_a_registrys(registry, name):
    target = registry.parent.parent / "x.yaml"
    target.write_text("")
    (registry.parent / "link.yaml").symlink_to(target)
    file = {"path": name, "before": hashlib.sha256(b"").hexdigest(), "after": ""}
    file["after"] = base64.b64encode(b"spoilt").decode()
    left = registry.parent / ".registry.yaml.journal"
    left.write_text(json.dumps({"version": 1, "files": [file]}))
    for call in (lambda: load_project(registry), lambda: set_value(registry, "owl", "repo", "x")):
        with pytest.raises(UserError, match="is no journal of an edit"):
            call()
    assert target.read_text() == ""
    left.write_text("{")
    with pytest.raises(UserError, match="is no journal of an edit"):
        load_project(registry)


def test_an_edit_that_was_interrupted_is_told_when_it_is_finished(registry, monkeypatch, caplog):
    assert killed_at(monkeypatch, registry, 2)
    mine = registry.parent / "variants/1.yaml"
    mine.write_text("variants: {mine: {}}\n")
    set_value(registry, "eule", "license", "mit")
    left, finished = caplog.messages
    assert left.endswith("variants/1.yaml was changed since and stays as it is")
    assert finished == f"finished an interrupted edit of {N_FILES + 1} files"
    caplog.clear()
    set_value(registry, "eule", "license", "x")
    assert caplog.messages == []


def test_what_was_left_beside_any_file_of_the_registry_is_removed(registry):
    folder = registry.parent
    left = [
        folder / "variants/.2.yaml.ab12_z.tmp",
        folder / ".registry.yaml.ab12_z.tmp",
        folder / "..registry.yaml.journal.ab12_z.tmp",
    ]
    others = [folder / "variants/.notes.yaml.ab12_z.tmp", folder / ".registry.yaml.tmp"]
    for path in (*left, *others):
        path.write_text("half")
    set_value(registry, "v0-0", "license", "mit")
    assert [path for path in left if path.exists()] == []
    assert all(path.exists() for path in others)


def test_a_new_file_and_an_old_one_change_together(registry, monkeypatch):
    def change(draft):
        draft = with_variant(draft, "new", {}, file="variants/new.yaml")
        return with_alias(draft, "all", "new")

    replace, steps = Path.replace, []

    def watched(self, target):
        result = replace(self, target)
        # Whoever asks now waits for the lock: no pattern finds a file that is not there.
        steps.append((registry.parent / "variants/new.yaml").exists())
        return result

    monkeypatch.setattr(Path, "replace", watched)
    done = edit(registry, change)
    assert done.project.resolve_name("all") == "new"
    assert load_project(registry).resolve_name("all") == "new"
    assert len(steps) == 3


def test_a_file_that_cannot_be_written_leaves_all_as_they_were(registry, monkeypatch):
    before = contents(registry)
    shutil.move(registry.parent / "variants/3.yaml", registry.parent / "3.yaml")
    registry.write_text(before["registry.yaml"].replace("*.yaml]", "*.yaml, full/*.yaml]"))
    (registry.parent / "full").mkdir()
    shutil.move(registry.parent / "3.yaml", registry.parent / "full/3.yaml")
    before = contents(registry)
    mkstemp = journal.atomic_file.__wrapped__.__globals__["tempfile"].mkstemp

    def full(dir, **options):
        if Path(dir).name == "full":
            raise OSError(28, "No space left on device")
        return mkstemp(dir=dir, **options)

    monkeypatch.setattr("tempfile.mkstemp", full)
    with pytest.raises(UserError, match="the disk is full"):
        rename_variant(registry, "owl", "eule")
    assert contents(registry) == before
    assert not (registry.parent / ".registry.yaml.journal").exists()
    assert list(registry.parent.glob("**/.*.tmp")) == []


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
from mbrelease.registry.edit import add_variant, remove_variant, rename_variant, set_value
from mbrelease.registry.load import load_project

path = Path(sys.argv[1])

def edit_on():
    names = ["owl", "eule"] if "  owl:" in path.read_text() else ["eule", "owl"]
    for number in range(1000):
        rename_variant(path, *names)
        names.reverse()
        set_value(path, "v0-0", "license", f"l{number}")
        add_variant(path, "more", {"license": "x"}, file="variants/1.yaml")
        remove_variant(path, "more")

def check():
    registry = load_project(path).registry
    variants = dict(registry.variants)
    more = variants.pop("more", None)
    root = next(iter(variants))
    assert root in ("owl", "eule")
    assert len(variants) == int(sys.argv[2])
    assert {p.variant for variant in variants.values() for p in variant.parents} == {root}
    assert registry.aliases == {"all": root}
    if more is not None:
        assert more.license == "x"
        remove_variant(path, "more")

chance, in_the_midst = random.Random(9), 0
for _ in range(int(sys.argv[3])):
    child = os.fork()
    if child == 0:
        edit_on()
    time.sleep(chance.random() * 0.1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    in_the_midst += bool([*path.parent.glob("**/.*.tmp"), *path.parent.glob(".*.journal")])
    check()
print(in_the_midst)
"""


def test_killed_at_any_moment(registry):
    call = [sys.executable, "-c", KILLED, str(registry), str(1 + 5 * N_FILES), "60"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0  # some were killed while they wrote
    set_value(registry, "v0-0", "license", "mit")
    assert not (registry.parent / ".registry.yaml.journal").exists()
