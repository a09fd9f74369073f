"""What is generated of a card, and what its author wrote around it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from card_projects import Built
from hypothesis import given
from hypothesis import strategies as st

from mbrelease.cards.card import GENERATED_KEYS, make_card
from mbrelease.cards.lock import lock_path
from mbrelease.cards.write import write_card
from mbrelease.errors import UserError
from mbrelease.metadata.regions import (
    Page,
    Part,
    fresh_page,
    generated_keys,
    merged,
    own_keys,
    read_page,
)

KEYS = ("license", "tags")
MATTER = "---\nlicense: mit\ntags:\n- a\n---\n"
NAMES = ("summary", "usage", "license", "citation")
OLD = {name: f"## {name}\n\nold" for name in NAMES}
NEW = {name: f"## {name}\n\n| new |" for name in NAMES}


def mark(name: str, text: str) -> str:
    return f"<!-- mbrelease:{name} -->\n\n{text}\n\n<!-- /mbrelease:{name} -->"


def rewritten(text: str, regions: dict[str, str], matter: str = MATTER) -> str:
    return merged(read_page(text, "README.md"), matter, regions, KEYS).text


def own_texts(text: str) -> list[str]:
    return [part.text for part in read_page(text, "README.md").parts if part.name is None]


# Anything but what begins or ends a region itself.
author = st.text(alphabet="ab \n\t\r\x0b\u2028#-|`<!>:/é", max_size=30) | st.sampled_from(
    ["\n---\nlicense: mine\n---\n", "```\nopen", "<!-- mbrelease: -->", " <!-- mbrelease:usage -->"]
)


@given(st.lists(author, min_size=5, max_size=5), st.permutations(NAMES))
def test_what_the_author_wrote_stays_byte_for_byte(own: list[str], order: list[str]) -> None:
    """Before, between and after regions, in whatever order the author has put them."""
    page = MATTER + own[0]
    for name, after in zip(order, own[1:], strict=True):
        page += ("" if page.endswith("\n") else "\n") + mark(name, OLD[name]) + "\n" + after
    before = own_texts(page)
    after_once = rewritten(page, NEW)
    assert own_texts(after_once) == before
    assert [part.name for part in read_page(after_once, "x").parts if part.name] == list(order)
    assert read_page(after_once, "x").regions == NEW
    assert rewritten(after_once, NEW) == after_once


def test_a_page_is_what_it_was_read_from() -> None:
    page = fresh_page(MATTER, OLD)
    assert read_page(page.text, "README.md") == page
    assert page.regions == OLD
    assert page.text == MATTER + "\n" + "\n\n".join(mark(n, OLD[n]) for n in NAMES) + "\n"


def test_text_instead_of_what_is_generated_goes() -> None:
    page = fresh_page(MATTER, OLD).text.replace("## usage\n\nold", "My own words.")
    assert rewritten(page, NEW) == fresh_page(MATTER, NEW).text


def test_blank_lines_within_the_marks_are_nobodys() -> None:
    page = fresh_page(MATTER, OLD).text.replace("-->\n\n## usage", "-->  \n## usage")
    assert rewritten(page, OLD) == fresh_page(MATTER, OLD).text


@pytest.mark.parametrize("gone", NAMES)
def test_a_region_goes_and_comes_back(gone: str) -> None:
    """The author's words around it stay in their order, and nothing piles up."""
    whole = fresh_page(MATTER, OLD).text
    less = {name: text for name, text in OLD.items() if name != gone}
    assert rewritten(whole, less) == fresh_page(MATTER, less).text
    assert rewritten(rewritten(whole, less), OLD) == whole
    written = whole.replace(mark(gone, OLD[gone]), f"before\n\n{mark(gone, OLD[gone])}\n\nafter\n")
    without = rewritten(written, less)
    assert "before\n\n" in without and "\n\nafter\n" in without
    assert without.index("before") < without.index("after")
    assert rewritten(without, less) == without


def test_a_new_region_stands_where_its_order_says() -> None:
    page = MATTER + "\nTop.\n\n" + mark("summary", "s") + "\n\nMine.\n\n" + mark("citation", "c")
    page += "\nEnd."
    text = rewritten(page, NEW)
    assert text == MATTER + (
        "\nTop.\n\n" + mark("summary", NEW["summary"]) + "\n\nMine.\n\n"
        + mark("usage", NEW["usage"]) + "\n\n" + mark("license", NEW["license"]) + "\n\n"
        + mark("citation", NEW["citation"]) + "\nEnd."
    )  # fmt: skip


def test_new_regions_at_the_end_stand_behind_what_the_author_wrote() -> None:
    page = MATTER + "\n" + mark("summary", "s") + "\n\nAbout the summary."
    text = rewritten(page, {"summary": "s", "usage": "u", "license": "l"})
    assert text == (
        page + "\n\n" + mark("usage", "u") + "\n\n" + mark("license", "l") + "\n"
    )  # fmt: skip


def test_a_region_that_the_author_moved_stays_there_beside_new_ones() -> None:
    page = MATTER + "\n" + mark("license", "l") + "\n\n" + mark("summary", "s") + "\n"
    text = rewritten(page, NEW)
    assert [part.name for part in read_page(text, "x").parts if part.name] == [
        "usage", "license", "summary", "citation",
    ]  # fmt: skip
    assert rewritten(text, NEW) == text


@given(st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES)), st.permutations(NAMES))
def test_any_regions_before_and_after(old: set[str], new: set[str], order: list[str]) -> None:
    parts = [Part(None, "\n")]
    for name in order:
        if name in old:
            parts += [Part(name, OLD[name]), Part(None, f"\n\nmine, after {name}\n\n")]
    wanted = {name: NEW[name] for name in NAMES if name in new}
    text = rewritten(Page(MATTER, tuple(parts)).text, wanted)
    assert read_page(text, "x").regions == wanted
    own = "".join(own_texts(text)).split("\n")
    assert [line for line in own if line] == [f"mine, after {n}" for n in order if n in old]
    assert rewritten(text, wanted) == text


OPEN, CLOSE = "<!-- mbrelease:usage -->", "<!-- /mbrelease:usage -->"


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        (f"\n{OPEN}\n\ntext\n", None, "the generated region 'usage' does not end"),
        (f"\n{CLOSE}\n", 7, "'usage' do not pair"),
        (f"\n{OPEN}\n{OPEN}\n{CLOSE}\n", 8, "'usage' do not pair"),
        (f"\n{OPEN}\n{CLOSE}\n{CLOSE}\n", 9, "'usage' do not pair"),
        (f"\n{OPEN}\n<!-- mbrelease:summary -->\n", 8, "'usage' do not pair"),
        (f"\n{OPEN}\n<!-- /mbrelease:summary -->\n", 8, "'usage' do not pair"),
        (f"\n{OPEN}\n{CLOSE}\n\n{OPEN}\n{CLOSE}\n", 11, "the region 'usage' stands there twice"),
    ],
)
def test_broken_marks_are_named_with_their_line(
    built: Built, tmp_path: Path, body: str, line: int | None, message: str
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(MATTER + body)
    with pytest.raises(UserError) as error:
        write_card(make_card(built.project, "science"), readme)
    assert error.value.message.startswith(f"{readme}:{line}: " if line else f"{readme}: ")
    assert message in error.value.message
    assert readme.read_text() == MATTER + body
    assert not lock_path(readme).exists()


OWN_MATTER = """---
# what we agreed on
license: gpl
widget:
- text: "[MASK]"
  # of the widget

- text: two
tags:
# why this tag
- mine
"quoted": 1
a key: "x\u2028license: y"
new_thing: {license: deep}
# the last word
---
"""


def test_keys_and_comments_of_the_author_stay() -> None:
    page = OWN_MATTER + "\n" + mark("usage", "u") + "\n"
    text = rewritten(page, {"usage": "u"})
    assert text.split("\n<!--")[0] == (
        "---\n# what we agreed on\nlicense: mit\n# why this tag\ntags:\n- a\n"
        'widget:\n- text: "[MASK]"\n  # of the widget\n\n- text: two\n'
        '"quoted": 1\na key: "x\u2028license: y"\nnew_thing: {license: deep}\n'
        "# the last word\n---\n"
    )
    assert rewritten(text, {"usage": "u"}) == text
    # A key that is not generated any more leaves its comment behind.
    bare = rewritten(text, {"usage": "u"}, "---\nlicense: mit\n---\n")
    assert "# why this tag\n" in bare and "tags" not in bare
    assert rewritten(bare, {"usage": "u"}, "---\nlicense: mit\n---\n") == bare


def test_keys_of_the_author_are_no_generated_ones() -> None:
    assert generated_keys(OWN_MATTER, KEYS) == "---\nlicense: gpl\ntags:\n- mine\n---\n"
    own = own_keys(OWN_MATTER, KEYS)
    assert set(yaml.safe_load(own)) == {"widget", "quoted", "a key", "new_thing"}
    for comment in ("what we agreed on", "of the widget", "why this tag", "the last word"):
        assert f"# {comment}\n" in own


@pytest.mark.parametrize("text", ["", "---\n---\n", "---\nno: end\n", "no fence\n---\nx: 1\n---\n"])
def test_a_page_without_front_matter_gets_one(text: str) -> None:
    body = text.removeprefix("---\n---\n")
    page = rewritten(text + "\n" + mark("usage", "u"), {"usage": "u"})
    assert page == MATTER + body + "\n" + mark("usage", "u")


def test_a_card_is_written_around_what_stands_there(built: Built, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    card = make_card(built.project, "science")
    assert write_card(card, readme).changed
    assert readme.read_text() == card.text
    own = card.text.replace("library_name:", "# mine\nlibrary_name:").replace(
        "\n---\n", "\nx: 1\n---\n", 1
    )
    own = own.replace(
        "\n<!-- mbrelease:usage -->", "\nOwls.\r\n\u2028x\n\n<!-- mbrelease:usage -->"
    )
    readme.write_bytes(own.encode())
    assert not write_card(card, readme).changed
    assert readme.read_bytes() == own.encode()
    readme.write_bytes(own.replace("A model for papers.", "The best model.").encode())
    assert write_card(card, readme).changed
    assert readme.read_bytes() == own.encode()


def test_a_card_of_another_hand_is_left_alone(built: Built, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# Mine\n")
    with pytest.raises(UserError, match="was written by another hand"):
        write_card(make_card(built.project, "science"), readme)
    assert readme.read_text() == "# Mine\n"


def test_the_keys_of_a_card_are_all_known_as_generated(built: Built) -> None:
    matter = make_card(built.project, "science").front_matter
    assert own_keys(matter, GENERATED_KEYS) == ""
    assert generated_keys(matter, GENERATED_KEYS) == matter
