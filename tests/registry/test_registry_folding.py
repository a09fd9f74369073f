"""A text that is read again where it changed says what it would say if all of it were read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from valid_registry import VALID

from mbrelease.registry import folding
from mbrelease.registry.document import parse_document
from mbrelease.registry.folding import changed, layout_of
from mbrelease.registry.mistakes import InvalidRegistry

PATH = Path("registry.yaml")
FAMILY = """\
# a family
version: 1
family: x

variants: # all of them
  # the first
  one: {repo: a/one}
  two:
    repo: a/two
    card:
      summary: |
        long
        text

  # the third
  "three": # quoted
    parents:
      - {variant: one, relation: merging}
      - variant: two
        relation: merging
  four:
# a comment at the margin
aliases: {first: one}
tables: {}
"""
TEXTS = [
    FAMILY,
    VALID,
    FAMILY.replace("\n", "\r\n"),
    FAMILY[: FAMILY.index("# a comment")].rstrip(),
    "variants:\n  a: {}\n  b: 'x\n\n    y'\n",
]
PIECES = st.sampled_from(
    ["", "\n", "  ", "    ", "  five: {repo: a/five}\n", "    license: mit\n", "\n  six:\n",
     "three", "a: 1\n", "aliases: {}\n", "- ", ": ", "#", "'", '"', "|\n", "{", "}", "[x", "&a ",
     "*a", "\t", "---\n", "...\n", "? x\n", "% x\n", "!!str ", "\u2028", "\r", "\x07", "文", "<<: ",
     "<<<<<<< x\n", "  one: {}\n", "\ufeff"]
)  # fmt: skip


def flat(node):
    """Every place and value of a tree."""
    if node is None:
        return
    yield node.start, node.end, node.line, node.column, node.file, node.size, node.flow, node.shared
    yield repr(node.value)
    for key in (node.keys or {}).values():
        yield from flat(key)
    children = node.children or []
    for child in children.values() if isinstance(children, dict) else children:
        yield from flat(child)


def said(read):
    try:
        document = read()
    except InvalidRegistry as error:
        return error.message
    return document.text, list(document.mistakes), list(flat(document.root))


def spliced(text, draw):
    start = draw(st.integers(0, len(text)))
    if draw(st.booleans()):  # where lines start is where it matters
        starts = [0, *(match.end() for match in re.finditer(r"\r?\n", text))]
        start = draw(st.sampled_from(starts))
    end = min(len(text), start + draw(st.sampled_from([0, 0, 1, 5, 20, 60])))
    return text[:start] + draw(PIECES) + text[end:]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_whatever_is_changed_it_is_as_if_all_were_read(data):
    text = data.draw(st.sampled_from(TEXTS))
    document = parse_document(text.encode(), PATH, file=3)
    for _ in range(3):
        text = spliced(text, data.draw).lstrip("\ufeff")  # a mark there is none of the text
        expected = said(lambda: parse_document(text.encode(), PATH, file=3))  # noqa: B023
        assert said(lambda: changed(document, text)) == expected  # noqa: B023
        if isinstance(expected, str):
            break
        document = changed(document, text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("family: x", "family: yy\n# more"),
        ("    repo: a/two", "    repo: a/two\n    license: mit"),
        ("repo: a/one", "repo: a/uno"),
        ("# a comment at", "  five: {}\n# a comment at"),
        ("first: one", "first: one, last: four"),
        ("  one: {repo: a/one}\n", ""),
        ("  four:\n", ""),
    ],
)
def test_only_what_changed_is_read(old, new, monkeypatch):
    document = parse_document(FAMILY.encode(), PATH)
    text = FAMILY.replace(old, new, 1)
    expected = said(lambda: parse_document(text.encode(), PATH))
    monkeypatch.setattr(folding, "parse_document", None)
    after = changed(document, text)
    assert said(lambda: after) == expected
    assert said(lambda: changed(after, FAMILY)) == said(lambda: document)


@pytest.mark.parametrize(
    "text",
    [
        FAMILY.replace("one: {repo", "one: &a {repo"),
        "variants: {a: {}}\n",
        "variants:\n  ? a\n  : {}\n",
        "variants: {}\n",
        "- a\n",
        FAMILY + "tables: {}\n",
    ],
    ids=["anchors", "flow", "complex key", "none", "list", "mistake"],
)
def test_what_depends_on_the_rest_is_read_whole(text):
    assert layout_of(parse_document(text.encode(), PATH)) is None
