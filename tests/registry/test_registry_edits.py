"""Edits change what they say and not a byte else, together with others, or not at all."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbrelease.errors import UserError
from mbrelease.registry.document import parse_document
from mbrelease.registry.edit import (
    add_to_list,
    add_variant,
    parse_value,
    remove_value,
    remove_variant,
    set_value,
)
from mbrelease.registry.load import load_project

TEXT = """\
# The owls
version: 1   # the only one
family: 'Owls'

defaults: { license: apache-2.0 ,languages: [en] }

variants:

  # the first of them
  base:   # all others descend from it
    repo: "owls/base"
    training: {tokens: 450_000_000, objective: mlm}   # as reported

  child:
    parents:   # just one
      - variant: base
        relation: fine-tuning   # or is it?
    # data to follow
    card:
      summary: |
        Two lines,
        no more.

    languages: [en, fr,]
    # the end of child

# aliases come last
aliases: {old: base}
"""


@pytest.fixture
def registry(tmp_path):
    path = tmp_path / "registry.yaml"
    path.write_text(TEXT)
    return path


# variant, key, value, old text, new text: the one place that may differ
SET = [
    ("base", "repo", "owls/b", '"owls/base"', "owls/b"),
    ("old", "repo", "owls/b", '"owls/base"', "owls/b"),
    ("base", "training.tokens", 7, "450_000_000", "7"),
    ("base", "training.steps", 7, "objective: mlm}", "objective: mlm, steps: 7}"),
    ("base", "released", True, "# as reported\n", "# as reported\n    released: true\n"),
    ("base", "card.title", "no", "# as reported\n",
        '# as reported\n    card:\n      title: "no"\n'),
    ("child", "parents.0.relation", "merging", "fine-tuning   #", "merging   #"),
    ("child", "languages", ["no"], "[en, fr,]", '["no"]'),
    ("child", "languages.1", "de", "fr,", "de,"),
    ("child", "card.summary", "A: b", "|\n        Two lines,\n        no more.", '"A: b"'),
    ("child", "card.title", "Owl", "        no more.\n", "        no more.\n      title: Owl\n"),
    ("child", "license", "mit", "[en, fr,]\n", "[en, fr,]\n    license: mit\n"),
    ("child", "parents", [{"variant": "base", "relation": "adapter"}],
        "   # just one\n      - variant: base\n        relation: fine-tuning   # or is it?\n",
        " [{variant: base, relation: adapter}]   # just one   # or is it?\n"),
]  # fmt: skip


@pytest.mark.parametrize(("variant", "key", "value", "old", "new"), SET)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_set_changes_one_place(registry, variant, key, value, old, new, newline, bom):
    assert TEXT.count(old) == 1
    registry.write_bytes((bom + TEXT.replace("\n", newline)).encode())
    edit = set_value(registry, variant, key, value)
    assert edit.changed
    after = registry.read_bytes().decode()
    assert after == (bom + TEXT.replace(old, new)).replace("\n", newline)
    assert load_project(registry).registry == edit.project.registry


def test_set_what_is_there_touches_nothing(registry):
    before = registry.stat()
    assert not set_value(registry, "base", "training.tokens", 450_000_000).changed
    assert registry.stat().st_mtime_ns == before.st_mtime_ns
    assert registry.stat().st_ino == before.st_ino


def test_add_goes_behind_the_last_variant(registry):
    entry = {
        "repo": "owls/new",
        "parents": [{"variant": "child", "relation": "merging"}],
        "card": {"summary": "Yes: it is 'new' # really"},
    }
    add_variant(registry, "new", entry)
    lines = (
        "\n  new:\n    repo: owls/new\n    parents: [{variant: child, relation: merging}]\n"
        "    card: {summary: \"Yes: it is 'new' # really\"}\n"
    )
    end = "    # the end of child\n"
    assert registry.read_text() == TEXT.replace(end, end + lines)
    summary = load_project(registry).variant("new").card.summary
    assert summary == "Yes: it is 'new' # really"


SHAPES = {
    "version: 1\nfamily: x\nvariants: {}": "version: 1\nfamily: x\nvariants:\n  new:\n    repo: r",
    "version: 1\nfamily: x\nvariants: {} # none\n":
        "version: 1\nfamily: x\nvariants: # none\n  new:\n    repo: r\n",
    "version: 1\nfamily: x\nvariants:\n    a: {}":
        "version: 1\nfamily: x\nvariants:\n    a: {}\n    new:\n        repo: r",
    "version: 1\nvariants:\n - &x\nfamily: x\n": None,
    "{version: 1, family: x, variants: {}}\n":
        "{version: 1, family: x, variants: {new: {repo: r}}}\n",
    "{version: 1, family: x, variants: {a: {},}}\n":
        "{version: 1, family: x, variants: {a: {}, new: {repo: r},}}\n",
    '{"version": 1, "family": "x", "variants": {"a": {}}}':
        '{"version": 1, "family": "x", "variants": {"a": {}, new: {repo: r}}}',
}  # fmt: skip


@pytest.mark.parametrize("before", SHAPES)
def test_add_to_registries_of_every_shape(tmp_path, before):
    path = tmp_path / "registry.yaml"
    path.write_text(before)
    if SHAPES[before] is None:
        with pytest.raises(UserError):
            add_variant(path, "new", {"repo": "r"})
        assert path.read_text() == before
    else:
        add_variant(path, "new", {"repo": "r"})
        assert path.read_text() == SHAPES[before]


def test_add_twice_is_refused(registry):
    with pytest.raises(UserError, match=r"variant 'child' is in .* already"):
        add_variant(registry, "child", {})
    assert registry.read_text() == TEXT


INVALID = [
    ("child", "parents.0.relation", "finetuning", "did you mean 'fine-tuning'"),
    ("child", "parents.0.variant", "child", "cycle in parents"),
    ("child", "repo", "owls/base", "already that of variant 'base'"),
    ("child", "tokens", 5, "unknown key 'tokens'"),
    ("child", "suite", "none", "suite 'none' is not in the registry"),
    ("child", "card", "text", "card should be a mapping"),
]


@pytest.mark.parametrize(("variant", "key", "value", "message"), INVALID)
def test_an_edit_that_makes_the_registry_invalid_is_refused(registry, variant, key, value, message):
    with pytest.raises(UserError, match=message) as caught:
        set_value(registry, variant, key, value)
    assert str(caught.value).startswith("nothing written: the change would make ")
    assert registry.read_text() == TEXT
    assert [p.name for p in registry.parent.iterdir() if p.suffix == ".tmp"] == []


def test_an_invalid_registry_can_be_mended_by_set(registry):
    registry.write_text(TEXT.replace("fine-tuning", "finetuning"))
    set_value(registry, "child", "parents.0.relation", "fine-tuning")
    assert registry.read_text() == TEXT


def test_an_edit_elsewhere_in_an_invalid_registry_tells_its_mistakes(registry):
    spoilt = TEXT.replace("fine-tuning", "finetuning")
    registry.write_text(spoilt)
    with pytest.raises(UserError, match="unknown relation") as caught:
        set_value(registry, "base", "repo", "owls/b")
    assert "nothing written" not in str(caught.value)
    assert registry.read_text() == spoilt


def test_unknown_variant(registry):
    with pytest.raises(UserError, match="no variant 'chid'") as caught:
        set_value(registry, "chid", "repo", "x")
    assert caught.value.mend == "did you mean 'child'?"


@pytest.mark.parametrize("key", ["", ".", "card.", "repo.name", "parents.7.relation", "parents.x"])
def test_keys_that_lead_nowhere(registry, key):
    with pytest.raises(UserError):
        set_value(registry, "child", key, "x")
    assert registry.read_text() == TEXT


def test_an_alias_on_the_way_is_refused(tmp_path):
    path = tmp_path / "registry.yaml"
    text = "version: 1\nfamily: x\nvariants:\n  a: {card: &c {title: t}}\n  b: {card: *c}\n"
    path.write_text(text)
    with pytest.raises(
        UserError, match=r":5:13: cannot set card\.title safely: the alias \*c stands"
    ):
        set_value(path, "b", "card.title", "u")
    assert path.read_text() == text
    set_value(path, "b", "card", {"title": "u"})
    assert path.read_text() == text.replace("*c", "{title: u}")
    # What an alias points at cannot be cut away beneath it.
    path.write_text(text)
    with pytest.raises(UserError, match="&c is used on line 5"):
        set_value(path, "a", "card", {"title": "u"})
    assert path.read_text() == text


def test_permissions_and_links_are_kept(registry, tmp_path):
    registry.chmod(0o640)
    link = tmp_path / "link.yaml"
    link.symlink_to(registry)
    set_value(link, "base", "repo", "owls/b")
    assert link.is_symlink()
    assert registry.stat().st_mode & 0o777 == 0o640
    assert "repo: owls/b\n" in registry.read_text()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
def test_a_read_only_registry_stays(registry):
    registry.chmod(0o444)
    with pytest.raises(UserError, match="read-only"):
        set_value(registry, "base", "repo", "owls/b")
    assert registry.read_text() == TEXT


def test_no_lock_is_left_beside_what_is_not_there(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        set_value(tmp_path / "gone.yaml", "a", "repo", "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [("no", "no"), ("5", 5), ("[a, 1]", ["a", 1]), ("{a: b}", {"a": "b"}), ("", ""),
     ("8e-4", 8e-4), ("450_000_000", 450_000_000), ("'x'", "x")],
)  # fmt: skip
def test_values_of_the_command_line(text, value):
    assert parse_value(text) == value


@pytest.mark.parametrize("text", ["[a", "a: b: c", "{a: 1, a: 2}", "!!set x", "\udce9"])
def test_values_that_are_no_yaml(text):
    with pytest.raises(UserError):
        parse_value(text)


ENTRIES = st.dictionaries(
    st.sampled_from(["title", "summary", "citation"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    min_size=1,
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["base", "child"]), ENTRIES)
def test_any_text_comes_back_and_the_rest_stays(tmp_path_factory, variant, card):
    path = tmp_path_factory.mktemp("edits") / "registry.yaml"
    path.write_text(TEXT)
    for key, value in card.items():
        set_value(path, variant, f"card.{key}", value)
    entry = load_project(path).variant(variant)
    for key, value in card.items():
        assert getattr(entry.card, key) == value
    comments = [line for line in TEXT.splitlines() if line.strip().startswith("#")]
    assert [ln for ln in path.read_text().splitlines() if ln.strip().startswith("#")] == comments
    assert parse_document(path.read_bytes(), path).value["aliases"] == {"old": "base"}


# What is said of averages, before and after "uniform" and "last:2" were added.
LISTS = [
    ("repo: a/b", 'repo: a/b\n    candidates:\n      averages: [uniform, "last:2"]'),
    (
        "candidates: {checkpoints: all}",
        'candidates: {checkpoints: all, averages: [uniform, "last:2"]}',
    ),
    (
        "candidates:\n      averages: []  # none",
        'candidates:\n      averages: [uniform, "last:2"]  # none',
    ),
    (
        "candidates: {averages: [last:2, ema:0.9,]}",
        "candidates: {averages: [last:2, ema:0.9, uniform,]}",
    ),
    (
        """candidates:
      averages:   # ours
        - best:3+last   # as the paper
        # and this
        - 'wma'   # why not
      checkpoints: all""",
        """candidates:
      averages:   # ours
        - best:3+last   # as the paper
        # and this
        - 'wma'   # why not
        - uniform
        - "last:2"
      checkpoints: all""",
    ),
    (
        "candidates:\n      averages:\n      - last:2",
        "candidates:\n      averages:\n      - last:2\n      - uniform",
    ),
    (
        """candidates:
      averages: [  # ours
        wma,  # why not
        last:3  # LAWA
      ]""",
        """candidates:
      averages: [  # ours
        wma,  # why not
        last:3, uniform, "last:2"  # LAWA
      ]""",
    ),
]


@pytest.mark.parametrize(("before", "after"), LISTS)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("end", ["", "\n    # the end\n\n# aliases\naliases: {old: owl}\n"])
def test_a_list_grows_at_its_end_and_keeps_its_comments(tmp_path, before, after, newline, end):
    path = tmp_path / "registry.yaml"
    head = "version: 1\nfamily: Owls\nvariants:\n  owl:   # one\n    "
    path.write_bytes((head + before + end).replace("\n", newline).encode())
    edit = add_to_list(path, "owl", "candidates.averages", ["uniform", "last:2"])
    assert path.read_bytes().decode() == (head + after + end).replace("\n", newline)
    assert edit.changed
    assert {"uniform", "last:2"} <= set(edit.project.variant("owl").candidates.averages)
    assert not add_to_list(path, "owl", "candidates.averages", ["uniform"]).changed


def test_a_list_that_is_an_alias_is_not_added_to(tmp_path):
    path = tmp_path / "registry.yaml"
    text = (
        "version: 1\nfamily: Owls\nvariants:\n  a: {candidates: {averages: &them [wma]}}\n"
        "  b: {candidates: {averages: *them}}\n"
    )
    path.write_text(text)
    with pytest.raises(UserError, match="cannot set candidates.averages safely"):
        add_to_list(path, "b", "candidates.averages", ["uniform"])
    assert path.read_text() == text


ANCHORED = """\
version: 1
family: x
variants:
  a:
    license: &mit mit
    card: &card
      citation: &cite |
        A book.
      tags: &tags [x]
    sources: [&only "https://x"]
  b:
    license: *mit
    card: {citation: *cite, tags: *tags}
  c: {card: *card, license: *mit}
"""


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda p: set_value(p, "a", "license", "x"), "set license: &mit is used on lines 12, 14"),
        (lambda p: remove_value(p, "a", "license"), "remove license: &mit is used on lines 12, 14"),
        (
            lambda p: set_value(p, "a", "card.tags.+", "y"),
            "set card.tags: &card is used on line 14",
        ),
        (
            lambda p: set_value(p, "a", "card.title", "y"),
            "set card.title: &card is used on line 14",
        ),
        (lambda p: remove_value(p, "a", "card"), "remove card: &card is used on line 14"),
        (lambda p: remove_variant(p, "a"), "remove variants.a: &mit is used on lines 12, 14"),
    ],
)
def test_a_named_value_that_others_use_is_refused_with_who_uses_it(tmp_path, change, why):
    path = tmp_path / "registry.yaml"
    path.write_text(ANCHORED)
    with pytest.raises(UserError) as caught:
        change(path)
    assert why in caught.value.message
    assert caught.value.mend == "write out there what it stands for, then try again"
    assert path.read_text() == ANCHORED


def test_a_named_value_that_nothing_else_uses_is_edited(tmp_path):
    path = tmp_path / "registry.yaml"
    path.write_text(ANCHORED)
    set_value(path, "a", "sources.0", "https://y")
    set_value(path, "c", "card", {})
    set_value(path, "c", "license", "x")
    remove_value(path, "b", "license")
    set_value(path, "a", "license", "y")
    set_value(path, "b", "card.citation", "Another.")
    remove_value(path, "a", "card.citation")
    variants = load_project(path).registry.variants
    assert variants["a"].license == "y"
    assert variants["a"].sources == ["https://y"]
    assert variants["b"].card.tags == variants["a"].card.tags == ["x"]


class Word(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (float("nan"), "nan cannot be written: numbers of a registry are finite"),
        ({"tokens": [float("-inf")]}, "-inf cannot be written"),
        (10**400, "a number of more than 29 digits cannot be written"),
        ({"tokens": 10**5000}, "a number of more than 29 digits cannot be written"),
        ("a\udcff", r"'a\udcff' cannot be written: it is no UTF-8"),
        ({"\ud800": 1}, r"'\ud800' cannot be written: it is no UTF-8"),
        (b"x", "a value of type bytes cannot be written"),
        ({1, 2}, "a value of type set cannot be written"),
    ],
)
def test_a_value_that_cannot_be_written_is_told_as_such(tmp_path, value, why):
    path = tmp_path / "registry.yaml"
    text = "version: 1\nfamily: x\nvariants:\n  a: {}\n"
    path.write_text(text)
    for key in ("training", "sources.+"):
        with pytest.raises(UserError) as caught:
            set_value(path, "a", key, value)
        assert caught.value.message.startswith(why)
    with pytest.raises(UserError) as caught:
        add_variant(path, "b", {"card": value})
    assert caught.value.message.startswith(why)
    assert path.read_text() == text


def test_values_of_other_types_are_written_as_plain_ones(tmp_path):
    path = tmp_path / "registry.yaml"
    path.write_text("version: 1\nfamily: x\nvariants:\n  a: {}\n")
    set_value(path, "a", "languages", (Word("en"), "de"))
    assert "languages: [en, de]" in path.read_text()
    endless: list = []
    endless.append(endless)
    with pytest.raises(UserError, match="nested without end"):
        set_value(path, "a", "sources", endless)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("data.5.name", "data has no item '5': it is a list of 2 items: 0 to 1\n  data.+ is"),
        ("data.2", "data has no item '2': it is a list of 2 items: 0 to 1\n  data.+ is"),
        ("data.name", "data has no item 'name': it is a list of 2 items: 0 to 1\n  data.+ is"),
        ("sources.0", "'a' has no sources as yet\n  sources.+ adds a first item"),
        ("card.tags.0", "'a' has no card.tags as yet\n  card.tags.+ adds a first item"),
        ("data.+.name", "'data.+.name' is no key: + stands behind a list, at the end"),
        ("license.id", "license is mit, and nothing stands below it"),
    ],
)
def test_a_key_into_a_list_that_leads_nowhere_is_told_with_the_list(tmp_path, key, told):
    path = tmp_path / "registry.yaml"
    text = "version: 1\nfamily: x\nvariants:\n  a: {license: mit, data: [{name: b}, {name: c}]}\n"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        set_value(path, "a", key, "x")
    assert str(caught.value).startswith(told)
    assert path.read_text() == text


def test_an_alias_given_to_add_is_written_as_its_variant(tmp_path):
    path = tmp_path / "registry.yaml"
    path.write_text("version: 1\nfamily: x\nvariants:\n  a: {}\naliases: {prod: a}\n")
    parents = [{"variant": "prod", "relation": "fine-tuning"}]
    add_variant(path, "b", {"parents": parents, "supersedes": "prod"})
    variant = load_project(path).variant("b")
    assert (variant.parents[0].variant, variant.supersedes) == ("a", "a")
    with pytest.raises(UserError, match="superseded variant 'prod' is an alias, .* write 'a'"):
        set_value(path, "b", "supersedes", "prod")
