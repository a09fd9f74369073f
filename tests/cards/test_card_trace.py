"""What is a number on a page and what a name, and which record is behind it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbrelease.cards.escape import markdown
from mbrelease.cards.told import Field, Span, Told, extract, phrase
from mbrelease.cards.trace import NUMBER, Number, numbers_in

A, B = Field("a.json", "x", 1), Field("b.json", "y", 2)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0.440 [0.420, 0.460]", ["0.440", "0.420", "0.460"]),
        ("+0.161 −0.0960 -3", ["+0.161", "−0.0960", "-3"]),
        ("| **1,048** | 518,531 |", ["1,048", "518,531"]),
        ("1,000,000 1,00 12,34", ["1,000,000", "1", "00", "12", "34"]),
        ("30% (1/2 each), 2e-05, 1e3", ["30%", "1/2", "2e-05", "1e3"]),
        ("450 million, 0.2 kg.", ["450", "0.2"]),
        ("2015–2024", ["2015", "2024"]),
        ("α = 0.05.", ["0.05"]),
        ("p &lt; 0.001 and &lt;1%", ["&lt; 0.001", "&lt;1%"]),
        ("0.123 ± 0.004", ["0.123", "0.004"]),
        ("(5)", ["5"]),
        ("`max_length=256`", ["256"]),
        ("7.", ["7"]),
        ("torch 2.13.0", ["2.13"]),
        # names
        ("sha256 checkpoint-900 recall@1 ndcg@10 e5-base v1.5 BM25", []),
        ("best:3+last macro_f1 x2y 22M 10k cc-by-4.0 abs/2412.13663", []),
        ("`aaaa1` 4ae9f5826a5ea18b mean-2", []),
        ("10² CO₂ m³", []),
        ("a&#92;b &#124; &amp; &lt;b", []),
        ("no number", []),
    ],
)
def test_what_is_a_number(text: str, numbers: list[str]) -> None:
    assert NUMBER.findall(text) == numbers


@pytest.mark.parametrize("text", ["5\\6", "a|7", "<8", "x *9* y", "[1](2)", "& 3", "&#4;", "~5"])
def test_what_escaping_adds_is_no_number(text: str) -> None:
    """The digits of a page are those of the text."""
    shown = " ".join(NUMBER.findall(markdown(text)))
    assert [c for c in shown if c.isdigit()] == [c for c in text if c.isdigit()]


@given(st.text())
def test_no_text_makes_it_slow_or_fail(text: str) -> None:
    for found in NUMBER.finditer(text):
        assert any(map(str.isdigit, found[0]))


def test_each_number_has_its_line_and_its_origin() -> None:
    page = phrase(
        "Typed 7 {} here\n\n+{} and {} of 9\n{}",
        Told("1.5", A), Told("2", B), Told("3 then 4", A), "5",
    )  # fmt: skip
    text, spans = extract(page)
    found = list(numbers_in("usage", text, spans, {"7": "t.md.j2", "1.5": "no"}.get))
    assert found == [
        Number("usage", 1, "7", None, "t.md.j2"),
        Number("usage", 1, "1.5", A),
        Number("usage", 3, "+2", B),
        Number("usage", 3, "3", A),
        Number("usage", 3, "4", A),
        Number("usage", 3, "9", None),
        Number("usage", 4, "5", None),
    ]


def test_a_bound_belongs_to_the_origin_of_its_digits() -> None:
    text, spans = extract(phrase("p {}, &lt; {}", Told("< 0.001", A), Told("0.5", B)))
    assert [(n.text, n.origin) for n in numbers_in("x", text, spans, {}.get)] == [
        ("&lt; 0.001", A),
        ("&lt; 0.5", B),
    ]


def test_a_span_ends_where_it_ends() -> None:
    text = "12 34 56"
    found = numbers_in("x", text, (Span(3, 5, A),), {}.get)
    assert [number.origin for number in found] == [None, A, None]
