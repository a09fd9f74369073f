"""Merging two cards: what is told of a clash, and what the ends of lines have to do with it."""

from __future__ import annotations

import pytest

from mbrelease.metadata.card_merge import merge_cards

BASE = "# Owl\n\nMine.\n\nThe end.\n"
LONG = "A sentence that goes on for longer than anybody quotes it, "


def clashes(ours: str, theirs: str) -> tuple[str, ...]:
    return merge_cards(BASE, ours, theirs, there="the Hub").clashes


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        (
            BASE + "\n## Who\n\nStudents.\n\nAll.\n",
            BASE + "\n## Who\n\nEverybody.\nYou.\n\nAll.\n",
            "line 9 here: “Students.”; lines 9-10 at the Hub: “Everybody.”",
        ),
        (
            BASE.replace("Mine.", LONG + "here."),
            BASE.replace("Mine.", LONG + "there."),
            "line 3 here: “…uotes it, here.”; line 3 at the Hub: “…uotes it, there.”",
        ),
        (
            BASE.replace("Mine.", LONG),
            BASE.replace("Mine.", LONG + "or not."),
            "line 3 here: “…quotes it,”; line 3 at the Hub: “…quotes it, or not.”",
        ),
        (
            BASE.replace("Mine.", "Ours."),
            BASE.replace("Mine.\n", ""),
            "line 3 here: “Ours.”; line 3 at the Hub: nothing",
        ),
        (
            BASE.replace("Mine.", " Mine."),
            BASE.replace("Mine.", "Mine. "),
            "line 3 here: other blank space; line 3 at the Hub: other blank space",
        ),
    ],
)
def test_a_clash_quotes_the_first_lines_that_differ(ours: str, theirs: str, told: str) -> None:
    assert clashes(ours, theirs) == (told,)


def crlf(text: str) -> str:
    return text.replace("\n", "\r\n")


def test_the_ends_of_lines_are_no_change_and_ours_are_kept() -> None:
    ours = BASE.replace("Mine.", "Ours.")
    theirs = BASE.replace("The end.", "The end of it.")
    both = ours.replace("The end.", "The end of it.")
    for text, other in ((ours, crlf(theirs)), (crlf(ours), theirs), (crlf(ours), crlf(theirs))):
        merged = merge_cards(BASE, text, other, there="the Hub")
        assert merged.clashes == ()
        assert merged.text == (crlf(both) if "\r" in text else both)
    assert merge_cards(BASE, ours, crlf(BASE), there="the Hub").text == ours
    assert clashes(ours, crlf(BASE.replace("Mine.", "Theirs."))) == (
        "line 3 here: “Ours.”; line 3 at the Hub: “Theirs.”",
    )


def test_a_generated_region_with_other_line_ends_is_the_same() -> None:
    base = BASE + "<!-- mbrelease:usage -->\n\nUse it.\n\n<!-- /mbrelease:usage -->\n"
    merged = merge_cards(base, base.replace("Use it.", "Do."), crlf(base), there="the Hub")
    assert merged.clashes == () and "Do." in merged.text
