"""Merging two texts that were made from the same one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbrelease.metadata.three_way import merge_texts

BASE = "one\ntwo\nthree\nfour\nfive\n"


@pytest.mark.parametrize(
    ("ours", "theirs", "merged"),
    [
        (BASE, BASE, BASE),
        (BASE.replace("one", "1"), BASE.replace("five", "5"), "1\ntwo\nthree\nfour\n5\n"),
        (BASE.replace("two", "2"), BASE.replace("two", "2"), BASE.replace("two", "2")),
        (BASE + "six\n", "zero\n" + BASE, "zero\n" + BASE + "six\n"),
        (BASE.replace("three\n", ""), BASE + "six\n", "one\ntwo\nfour\nfive\nsix\n"),
        (BASE.replace("\n", "\r\n"), BASE, BASE.replace("\n", "\r\n")),
        ("", BASE, ""),
        (BASE + "no end", BASE, BASE + "no end"),
    ],
)
def test_what_does_not_clash_is_taken_from_both(ours: str, theirs: str, merged: str) -> None:
    found = merge_texts(BASE, ours, theirs)
    assert (found.text, found.clashes) == (merged, ())
    assert merge_texts(BASE, theirs, ours).text == merged


def test_a_clash_has_the_lines_of_both_and_the_text_of_ours() -> None:
    ours, theirs = BASE.replace("two", "2"), "zero\n" + BASE.replace("two", "zwei\nzwo")
    found = merge_texts(BASE, ours, theirs)
    assert found.text == "zero\n" + ours
    (clash,) = found.clashes
    assert (clash.ours.start, clash.ours.lines) == (2, ("2",))
    assert (clash.theirs.start, clash.theirs.lines) == (3, ("zwei", "zwo"))


LINES = st.lists(st.sampled_from("abcde"), max_size=12).map(lambda lines: "\n".join(lines))


@given(LINES, LINES, LINES)
def test_one_that_changed_nothing_leaves_the_other_and_both_sides_are_alike(
    base: str, ours: str, theirs: str
) -> None:
    assert merge_texts(base, ours, base).text == ours
    assert merge_texts(base, base, theirs).text == theirs
    assert merge_texts(base, ours, ours).text == ours
    clashes = merge_texts(base, ours, theirs).clashes
    assert len(clashes) == len(merge_texts(base, theirs, ours).clashes)
