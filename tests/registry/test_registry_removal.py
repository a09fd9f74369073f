"""What is removed takes its own lines and comments along, and not a byte of anything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from mbrelease.errors import UserError
from mbrelease.registry.edit import (
    StillNamed,
    remove_alias,
    remove_value,
    remove_variant,
    set_alias,
    set_value,
)
from mbrelease.registry.load import load_project

TEXT = """\
# The owls
version: 1   # the only one
family: 'Owls'

variants:

  # the first of them
  base:   # all others descend from it
    repo: "owls/base"
    training: {tokens: 450_000_000, objective: mlm,}   # as reported

  # Barn owls,
  # of all sizes.
  barn:
    parents:   # just one
      - variant: base
        relation: fine-tuning   # or is it?
      # and these
      - {variant: snow, relation: merging}
      - relation: adapter   # a small one
        variant: elf
    # data to follow
    candidates:
      averages: [  # ours
        wma,  # why not
        last:3  # LAWA
      ]
    card: {title: Barn, tags: [a, b, c]}
    languages:
    - en

      # no French
    # the end of barn

  snow: {}
  elf: {}  # tiny
  last:
    card:
      summary: |+
        Two lines,
        no more.

      title: Last
# aliases come last
aliases:
  # what serves
  old: base  # for now
"""

# variant, key, what is cut out, what takes its place
KEYS = [
    ("base", "repo", '    repo: "owls/base"\n', ""),
    ("base", "training",
        "    training: {tokens: 450_000_000, objective: mlm,}   # as reported\n", ""),
    ("base", "training.tokens", "tokens: 450_000_000, ", ""),
    ("base", "training.objective", ", objective: mlm", ""),
    ("barn", "parents.0",
        "      - variant: base\n        relation: fine-tuning   # or is it?\n", ""),
    ("barn", "parents.1", "      # and these\n      - {variant: snow, relation: merging}\n", ""),
    ("barn", "parents.2", "      - relation: adapter   # a small one\n        variant: elf\n", ""),
    ("barn", "candidates", "    # data to follow\n    candidates:\n      averages: [  # ours\n"
        "        wma,  # why not\n        last:3  # LAWA\n      ]\n", ""),
    ("barn", "candidates.averages", "\n      averages: [  # ours\n        wma,  # why not\n"
        "        last:3  # LAWA\n      ]", " {}"),
    ("barn", "candidates.averages.0", "        wma,  # why not\n", ""),
    ("barn", "candidates.averages.1", ",  # why not\n        last:3  # LAWA", "  # why not"),
    ("barn", "card.tags.0", "a, b", "b"),
    ("barn", "card.tags.1", "a, b", "a"),
    ("barn", "card.tags.2", "b, c", "b"),
    ("barn", "card.tags", ", tags: [a, b, c]", ""),
    ("barn", "languages", "    languages:\n    - en\n\n      # no French\n", ""),
    ("barn", "languages.0", "\n    - en", " []"),
    ("last", "card.summary", "      summary: |+\n        Two lines,\n        no more.\n\n", ""),
    ("last", "card.title", "      title: Last\n", ""),
]  # fmt: skip


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    path = tmp_path / "registry.yaml"
    path.write_text(TEXT)
    return path


@pytest.mark.parametrize(("variant", "key", "old", "new"), KEYS)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_a_key_goes_alone(registry, variant, key, old, new, newline, bom):
    assert TEXT.count(old) == 1
    registry.write_bytes((bom + TEXT.replace("\n", newline)).encode())
    edit = remove_value(registry, variant, key)
    assert edit.changed
    assert edit.files == (registry,)
    after = registry.read_bytes().decode()
    assert after == (bom + TEXT.replace(old, new)).replace("\n", newline)
    assert load_project(registry).registry == edit.project.registry


# What a variant takes along.
VARIANTS = {
    "snow": "  snow: {}\n",
    "elf": "  elf: {}  # tiny\n",
    "last": TEXT[TEXT.index("  last:\n") : TEXT.index("# aliases come last")],
    "barn": TEXT[TEXT.index("\n  # Barn owls,") : TEXT.index("\n  snow")],
    "base": TEXT[TEXT.index("\n  # the first") : TEXT.index("\n  # Barn owls,")],
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_variant_takes_its_comments_along(registry, variant, newline):
    free = TEXT
    for name in ("base", "snow", "elf"):
        if name == variant:  # let nothing name it
            free = free.replace(f"variant: {name}", "variant: last").replace(
                "old: base", "old: barn"
            )
    registry.write_bytes(free.replace("\n", newline).encode())
    edit = remove_variant(registry, variant)
    assert registry.read_bytes().decode() == free.replace(VARIANTS[variant], "").replace(
        "\n", newline
    )
    assert variant not in edit.project.registry.variants


def test_what_is_named_is_kept_and_each_place_told(registry, monkeypatch):
    monkeypatch.chdir(registry.parent)
    with pytest.raises(StillNamed) as caught:
        remove_variant(registry, "base")
    assert str(caught.value).splitlines() == [
        "nothing removed: 2 places name 'base'",
        "registry.yaml:16:18: a parent of 'barn'",
        "registry.yaml:47:8: what alias 'old' means",
        "  change these first",
    ]
    assert registry.read_text() == TEXT


def test_an_alias_is_no_name_to_remove_by(registry):
    with pytest.raises(UserError, match="'old' is an alias") as caught:
        remove_variant(registry, "old")
    assert caught.value.mend == "name the variant that it means: base"


def test_the_last_alias_leaves_an_empty_shelf_that_the_next_one_fills(registry):
    remove_alias(registry, "old")
    head = TEXT[: TEXT.index("aliases:")]
    assert registry.read_text() == head + "aliases: {}  # for now\n"
    set_alias(registry, "new", "barn")
    assert registry.read_text() == head + "aliases:  # for now\n  new: barn\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("aliases: {a: x, b: x}", "aliases: {b: x}"),
        ("aliases: { b: x , a: x }", "aliases: { b: x }"),
        ("aliases: {a: x}", "aliases: {}"),
        ("aliases: {\n  b: x,  # one\n  a: x,  # two\n}", "aliases: {\n  b: x,  # one\n}"),
        ("aliases: {\n  b: x,  # one\n  a: x  # two\n}", "aliases: {\n  b: x  # one\n}"),
        ("aliases: {\n  a: x, b: x,\n  c: x}", "aliases: {\n  b: x,\n  c: x}"),
        ("aliases: {\n  b: x, a: x,\n  c: x}", "aliases: {\n  b: x,\n  c: x}"),
        ("aliases: {'a': x, b: x}", "aliases: {b: x}"),
        ("aliases:\n  b: x\n\n  a: x", "aliases:\n  b: x"),
        ("aliases:\n  b: x\n\n  a: x\n\n\n", "aliases:\n  b: x\n\n\n"),
        ("aliases:\n  b: x\n\n  #\n\n  # a\n  a: x\n  c: x", "aliases:\n  b: x\n\n  #\n\n  c: x"),
    ],
)  # fmt: skip
def test_an_alias_goes_from_every_shape(tmp_path, before, after):
    path = tmp_path / "registry.yaml"
    head = "version: 1\nfamily: x\nvariants: {x: {}}\n"
    path.write_text(head + before)
    remove_alias(path, "a")
    assert path.read_text() == head + after


def test_the_first_key_beside_a_dash_lets_the_next_one_up(tmp_path):
    path = tmp_path / "registry.yaml"
    text = "version: 1\nfamily: x\nvariants:\n  x:\n    data:\n"
    text += "      - license: mit  # !\n        name: n\n"
    path.write_text(text)
    remove_value(path, "x", "data.0.license")
    assert path.read_text() == text.replace("license: mit  # !\n        ", "")


def test_what_cannot_be_cut_out_safely_stays(tmp_path):
    path = tmp_path / "registry.yaml"
    text = "version: 1\nfamily: x\nvariants:\n  a: {card: &c {title: t}}\n  b: {card: *c}\n"
    path.write_text(text)
    with pytest.raises(UserError, match=r":4:13: cannot remove card: &c is used on line 5"):
        remove_value(path, "a", "card")
    with pytest.raises(UserError, match=r":5:13: cannot remove card\.title safely: the alias \*c"):
        remove_value(path, "b", "card.title")
    assert path.read_text() == text
    remove_value(path, "b", "card")
    assert path.read_text() == text.replace("card: *c", "")


def test_what_must_be_there_is_not_removed(registry):
    with pytest.raises(UserError, match="missing key 'relation'"):
        remove_value(registry, "barn", "parents.0.relation")
    with pytest.raises(UserError, match=r"'barn' has no card\.titel") as caught:
        remove_value(registry, "barn", "card.titel")
    assert caught.value.mend == "did you mean 'title'?"
    with pytest.raises(UserError, match=r"parents has no item '3': it is a list of 3"):
        remove_value(registry, "barn", "parents.3")
    assert registry.read_text() == TEXT


def test_null_is_set_where_it_may_stand(registry):
    set_value(registry, "base", "repo", None)
    assert registry.read_text() == TEXT.replace('"owls/base"', "null")
    with pytest.raises(UserError, match="parents should be a list, not nothing"):
        set_value(registry, "barn", "parents", None)


def test_plus_is_behind_the_last(registry):
    set_value(registry, "barn", "parents.+", {"variant": "last", "relation": "merging"})
    set_value(registry, "barn", "card.tags.+", "d")
    set_value(registry, "elf", "card.tags.+", "e")
    after = TEXT.replace(
        "variant: elf\n", "variant: elf\n      - {variant: last, relation: merging}\n"
    )
    after = after.replace("[a, b, c]", "[a, b, c, d]").replace(
        "elf: {}", "elf: {card: {tags: [e]}}"
    )
    assert registry.read_text() == after
    with pytest.raises(UserError, match="cannot add to repo safely: it is no list"):
        set_value(registry, "base", "repo.+", "x")
