"""What is kept of a large registry saves time and changes no answer."""

from __future__ import annotations

import hashlib
import json
import os
import random
from pathlib import Path

import pytest
from test_registry_folding import flat
from valid_registry import VALID

from mbrelease.errors import UserError
from mbrelease.registry import document, folding, kept
from mbrelease.registry.document import parse_document
from mbrelease.registry.draft import Draft
from mbrelease.registry.edit import set_value
from mbrelease.registry.include import read_parts
from mbrelease.registry.kept import Kept, kept_path
from mbrelease.registry.load import load_project, read_project

PART = "variants:\n  other:\n    repo: owls/other\n    card: {summary: Other.}\n"


@pytest.fixture
def family(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kept, "MIN_BYTES", 0)
    Path("registry.yaml").write_text(VALID.replace("Owls\n", "Owls\ninclude: ['parts/*.yaml']\n"))
    Path("parts").mkdir()
    Path("parts/a.yaml").write_text(PART)
    return tmp_path / "registry.yaml"


@pytest.fixture
def nothing_is_read(monkeypatch):
    """From now on nothing can be parsed that is not known."""

    def stop():
        monkeypatch.setattr(document, "parse_document", None)
        monkeypatch.setattr(folding, "parse_document", None)

    return stop


def test_the_second_time_nothing_is_parsed(family, nothing_is_read):
    first = load_project()
    nothing_is_read()
    second = load_project()
    assert second == first
    assert second.places == first.places
    assert second.defined_in("other") == (family.parent / "parts/a.yaml", 2)


def test_documents_are_the_same(family, nothing_is_read):
    fresh, _ = read_parts(family)
    load_project()
    nothing_is_read()
    for one, other in zip(fresh, Draft.read(family).parts, strict=True):
        assert list(flat(one.root)) == list(flat(other.root))
        assert (one.text, one.path, one.has_bom) == (other.text, other.path, other.has_bom)


def test_what_an_edit_wrote_is_kept(family, nothing_is_read):
    load_project()
    nothing_is_read()
    set_value(family, "other", "license", "mit")
    set_value(family, "child", "license", "mit")
    assert [load_project().variant(name).license for name in ("other", "child")] == ["mit", "mit"]
    assert load_project() == read_project_anew(family)


def read_project_anew(path):
    kept_path(path).unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document, "parse_document", parse_document)
        return load_project(path)


@pytest.mark.parametrize(
    ("path", "text", "complaint"),
    [
        ("registry.yaml", VALID.replace("variant: base", "variant: bas"), "parent 'bas'"),
        ("parts/a.yaml", PART.replace("repo", "repos"), "unknown key 'repos'"),
        ("parts/b.yaml", PART, "variant 'other' is given twice"),
    ],
)
def test_what_was_changed_by_hand_is_read(family, path, text, complaint):
    load_project()
    text = text.replace("Owls\n", "Owls\ninclude: ['parts/*.yaml']\n")
    Path(path).write_text(text)
    for _ in range(2):
        with pytest.raises(UserError, match=complaint):
            load_project()
    with pytest.raises(UserError, match=complaint):
        set_value(family, "child", "license", "mit")


def test_a_file_less_is_seen(family):
    load_project()
    Path("parts/a.yaml").unlink()
    with pytest.raises(UserError, match=r"include 'parts/\*\.yaml' matches no file"):
        load_project()


def test_after_an_edit_by_hand_only_that_is_read(family, nothing_is_read):
    Path("parts/a.yaml").write_bytes(b"\xef\xbb\xbf" + PART.encode())
    load_project()
    nothing_is_read()
    text = PART.replace("repo: owls/other", "repo: owls/another # by hand")
    Path("parts/a.yaml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load_project().variant("other").repo == "owls/another"
    assert load_project().places["other"] == (family.parent / "parts/a.yaml", 2)


@pytest.mark.parametrize("data", [b"\xff", PART.encode(), b"", b"- x\n"])
def test_after_other_edits_by_hand_all_is_read(data, family):
    Path("parts/a.yaml").write_bytes(b"\xef\xbb\xbf" + PART.encode())
    load_project()
    Path("parts/a.yaml").write_bytes(data)
    for _ in range(2):
        if data == PART.encode():
            assert load_project().variant("other").repo == "owls/other"
        else:
            with pytest.raises(UserError, match=r"parts/a\.yaml:1:1: "):
                load_project()


def test_an_invalid_registry_is_never_kept(family):
    Path("parts/b.yaml").write_text(PART)
    with pytest.raises(UserError):
        load_project()
    assert not kept_path(family).exists()


def test_damage_is_seen_and_mended(family):
    expected, path = load_project(), kept_path(family)
    good = path.read_bytes()
    draw = random.Random(0)
    for _ in range(200):
        bad = bytearray(good)
        at = draw.randrange(len(bad))
        bad[at] ^= 1 << draw.randrange(8)
        path.write_bytes(bad if draw.random() < 0.7 else bad[:at])
        assert Kept.read(family) is None
    for bad in (b"", b"\n\n", b"null", good[: len(good) // 2], b"[" * 100_000):
        path.write_bytes(bad)
        assert load_project() == expected
        assert path.read_bytes() == good


def test_what_does_not_fit_the_schema_is_not_believed(family):
    expected, path = load_project(), kept_path(family)
    _, *lines, values = path.read_bytes().split(b"\n")
    rest = b"\n".join([*lines, values.replace(b'"owls/base"', b'["owls/base"]')])
    path.write_bytes(hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest)
    assert Kept.read(family) is not None
    assert load_project() == expected


def test_what_other_code_kept_is_not_believed(family, monkeypatch):
    load_project()
    monkeypatch.setattr(kept, "code_version", lambda: "other")
    assert Kept.read(family) is None
    load_project()
    assert Kept.read(family) is not None


def test_it_cannot_be_kept_and_all_goes_on(family):
    Path(".mbrelease").write_text("a file where a folder should be")
    assert load_project() == load_project()
    set_value(family, "other", "license", "mit")
    assert load_project().variant("other").license == "mit"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
def test_in_a_folder_that_cannot_be_written(family):
    family.parent.chmod(0o555)
    try:
        assert load_project() == load_project()
    finally:
        family.parent.chmod(0o755)


def test_a_small_registry_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("registry.yaml").write_text(VALID)
    load_project()
    set_value(Path("registry.yaml"), "child", "license", "mit")
    assert not Path(".mbrelease").exists()


def test_lint_believes_only_the_text(family, nothing_is_read):
    load_project()
    nothing_is_read()
    with pytest.raises(TypeError):
        read_project(family)


def test_it_is_data_in_lines(family):
    load_project()
    checksum, header, where, texts, values = kept_path(family).read_text().split("\n")
    assert len(json.loads(where)) == 2
    assert json.loads(texts)["parts/a.yaml"] == PART
    assert len(checksum) == 64
    assert json.loads(header)["include"] == ["parts/*.yaml"]
    assert list(json.loads(values)["variants"]) == ["base", "child", "other"]
