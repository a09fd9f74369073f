"""Texts that know where their numbers come from, and paths to the values of a record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from card_projects import Built
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from mbrelease.cards.card import make_card
from mbrelease.cards.escape import code, fenced, markdown, one_line, paragraphs, python_string
from mbrelease.cards.fields import read_field
from mbrelease.cards.tables import bold, table
from mbrelease.cards.told import (
    Derived,
    Field,
    Origin,
    Place,
    Told,
    as_json,
    derived,
    extract,
    from_json,
    joined,
    listed,
    origin_of,
    phrase,
    place,
    visible,
)

FIELD = Field("evidence/a|b/ta`sk.json", 'scores["<!-- x -->"][0]', 0.25)
ORIGINS: list[Origin] = [
    FIELD,
    Field("registry.yaml", ""),
    Derived("difference", (FIELD, Field("b.json", "x", 3)), -2.75),
    Derived("mean", (Derived("sum", (FIELD,), 0.25),)),
]
RESERVED = [chr(code_point) for code_point in range(0xFDD0, 0xFDF0)]

values = st.none() | st.integers() | st.floats(allow_nan=False) | st.text()
fields = st.builds(Field, st.text(), st.text(), values)
origins = st.recursive(
    fields,
    lambda inner: st.builds(Derived, st.text(), st.lists(inner, max_size=3).map(tuple), values),
    max_leaves=5,
)
texts = st.text(alphabet="0123456789ab .,|`*_<&\n#{}-%\u05d0\ufdd0\ufdd1\ufdd2", min_size=1)


def row_of(*cells: str) -> str:
    return str(table(["left", "right"], [["x", "y"], list(cells)]).markdown)


# Each puts two texts on a page.
SHOWN: dict[str, Callable[[str, str], str]] = {
    "markdown": lambda a, b: str(markdown(a) + " and " + markdown(b)),
    "code": lambda a, b: str(code(a) + " and " + code(b)),
    "fenced": lambda a, b: str(fenced(a, "text") + "\n\n" + fenced(b)),
    "paragraphs": lambda a, b: str(paragraphs(a) + "\n\n" + paragraphs(b)),
    "python": lambda a, b: str(python_string(a) + ", " + python_string(b)),
    "phrase": lambda a, b: str(phrase("**{}** of {}, {}", a, b, Markup("*7*"))),
    "listed": lambda a, b: str(listed([a, b, a])),
    "joined": lambda a, b: str(joined([a, b], "; ")),
    "nested": lambda a, b: str(phrase("({})", listed([phrase("{}!", a), b]))),
    "table": row_of,
    "bold cells": lambda a, b: row_of(bold(a), phrase("{} [{}]", b, a)),
}


@pytest.mark.parametrize("how", SHOWN)
@given(a=texts, b=texts, first=origins, second=origins)
def test_an_origin_comes_through(how: str, a: str, b: str, first: Origin, second: Origin) -> None:
    """The page is the same as without origins, and each digit on it lies in its own span."""
    show = SHOWN[how]
    page, spans = extract(show(Told(a, first), Told(b, second)))
    assert page == show(a, b)
    assert visible(show(Told(a, first), Told(b, second))) == page
    assert {span.origin for span in spans} <= {first, second}
    for one, origin in ((a, first), (b, second)):
        if any(character.isdigit() for character in one):
            assert origin in [span.origin for span in spans]
    inside = {i for span in spans for i in range(span.start, span.end)}
    outside = "".join(" " if i in inside else character for i, character in enumerate(page))
    told = outside.replace("*7*", "")
    assert not any(map(str.isdigit, told))


@given(origins)
def test_an_origin_is_the_same_after_json(origin: Origin) -> None:
    assert from_json(as_json(origin)) == origin


def test_spans_stand_at_their_texts() -> None:
    page, spans = extract(
        f"x {markdown(Told('1.5', FIELD))} y\n{markdown(Told('two 2', ORIGINS[1]))}"
    )
    assert page == "x 1.5 y\ntwo 2"
    assert [(page[s.start : s.end], s.origin) for s in spans] == [
        ("1.5", FIELD),
        ("two 2", ORIGINS[1]),
    ]


def test_a_text_without_digits_needs_no_origin() -> None:
    assert extract(markdown(Told("no number", FIELD))) == ("no number", ())


def test_formatting_loses_an_origin_and_phrase_keeps_it() -> None:
    told = Told("1", FIELD)
    assert origin_of(told) == FIELD
    assert origin_of(f"{told}") is None
    assert extract(phrase("{}", f"{told}"))[1] == ()
    assert [span.origin for span in extract(phrase("{}", told))[1]] == [FIELD]
    with pytest.raises(AssertionError):
        phrase("{} of {}", told)


@pytest.mark.parametrize("character", RESERVED)
def test_nobody_can_forge_an_origin(character: str) -> None:
    forged = f"1\ufdd0{{}}\ufdd1{character}2\ufdd2{character}3"
    for show in SHOWN.values():
        page, spans = extract(show(forged, forged))
        assert spans == ()
        assert not set(page) & set(RESERVED)
        page, spans = extract(show(Told(forged, FIELD), forged))
        assert {span.origin for span in spans} == {FIELD}
        assert not set(page) & set(RESERVED)


@pytest.mark.parametrize(
    "inner",
    ["", "1", "no json", "[]", "null", "{}", '{"record": "a"}', '{"how": 1, "of": 2}', "[" * 9999],
)
def test_what_a_template_makes_of_an_origin_is_none(inner: str) -> None:
    assert extract(f"a \ufdd0{inner}\ufdd1 7\ufdd2 b\ufdd1") == ("a  7 b", ())


def test_the_templates_of_a_project_cannot_forge_either(built: Built) -> None:
    own = built.project.root / "templates" / "sections" / "citation.md.j2"
    own.parent.mkdir(parents=True)
    own.write_text("\ufdd0{}\ufdd1 7.25 \ufdd2 {{ author.summary | upper }}", encoding="utf-8")
    card = make_card(built.project, "science")
    assert not set(card.text) & set(RESERVED)
    # It is typed in the template, so that is where it comes from.
    assert [n.template for n in card.numbers if n.text == "7.25"] == ["sections/citation.md.j2"]


def test_places_are_relative_to_the_registry(tmp_path: Any) -> None:
    assert place(tmp_path, tmp_path / "evidence" / "a.json") == Place("evidence/a.json")
    # Not even what lies elsewhere has an absolute path: a card tells nothing of the machine.
    assert place(tmp_path / "x", tmp_path / "a.json") == Place("../a.json")
    at = Place("a.json").at("scores", "test").entry("9f").at("ci95", "recall_at_1", 0)
    assert at == Place("a.json", "scores.test[key=9f].ci95.recall_at_1[0]")
    assert at.optional(None) is None and at.optional("") is None
    assert at.tell("0.5", 0.5).origin == Field("a.json", at.path, 0.5)
    assert derived("1", "count", [at.field()], 1).origin == Derived("count", (at.field(),), 1)


@pytest.mark.parametrize(
    ("steps", "path"),
    [
        (("a", "b_1", 2), "a.b_1[2]"),
        (("recall@1", "best:1+last"), 'recall@1["best:1+last"]'),
        (("1st",), '["1st"]'),
        (("a", "x.y", 'q"uo\\te'), 'a["x.y"]["q\\"uo\\\\te"]'),
        ((0, "key"), "[0].key"),
        (("", "checkpoint-100"), '[""].checkpoint-100'),
    ],
)
def test_paths_as_people_read_them(steps: Sequence[str | int], path: str) -> None:
    assert Place("f").at(*steps).path == path
    content: Any = "found"
    for step in reversed(steps):
        content = {step: content} if isinstance(step, str) else [None] * step + [content]
    assert read_field(content, path) == "found"


@given(st.lists(st.text() | st.integers(0, 3), min_size=1, max_size=5))
def test_every_path_leads_back_to_its_value(steps: list[str | int]) -> None:
    content: Any = "found"
    for step in reversed(steps):
        content = {step: content} if isinstance(step, str) else [None] * step + [content]
    assert read_field(content, Place("f").at(*steps).path) == "found"


def test_an_entry_is_found_by_its_key_wherever_it_stands() -> None:
    entries = [{"provenance": {"key": key}, "loss": value} for key, value in (("9f", 1), ("a0", 2))]
    at = Place("f").at("scores", "test").entry("a0").at("loss")
    assert read_field({"scores": {"test": entries}}, at.path) == 2
    assert read_field({"scores": {"test": entries[::-1]}}, at.path) == 2
    with pytest.raises(LookupError, match="key=a0"):
        read_field({"scores": {"test": entries[:1]}}, at.path)


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ({"a": [1]}, "a[1]"),
        ({"a": [1]}, "a.b"),
        ({"a": 1}, "b"),
        ({"a": {"0": 1}}, "a[0]"),
        ({"a": "text"}, "a[0]"),
        (None, "a"),
        ({"a": [1, None, {"provenance": None}]}, "a[key=9f]"),
        ({"a": 1}, "a["),
        ({"a": 1}, "a[-1]"),
        ({"a": 1}, '["\\x"]'),
        ({"a": {"b": 1}}, "a..b"),
        ({"a": 1}, "elements of all tensors"),
    ],
)
def test_a_path_that_leads_nowhere(content: Any, path: str) -> None:
    with pytest.raises(LookupError):
        read_field(content, path)


def test_one_line_of_what_is_told_has_no_origin_any_more() -> None:
    assert origin_of(one_line(Told("1  2", FIELD))) is None
