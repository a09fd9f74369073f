"""What a block prints stands under it, and can break neither the page nor its regions."""

from collections.abc import Mapping

import pytest
from card_reading import parse

from mbrelease.cards.fields import read_field
from mbrelease.cards.snippets.blocks import read_blocks
from mbrelease.cards.snippets.outputs import with_outputs
from mbrelease.cards.snippets.printed import shown_output
from mbrelease.cards.snippets.records import Outcome, Outcomes, code_sha256
from mbrelease.cards.told import Field, Place, extract, marked
from mbrelease.metadata.regions import read_page

FILE = "evidence/snippets/0123456789abcdef.json"


def outcome(
    code: str, output: str | None, not_run: str | None = None, device: str = "cpu"
) -> Outcome:
    shown = None if output is None else shown_output(output)
    return Outcome(code_sha256(code), shown, not_run, None if not_run else device, {})


def outcomes(printed: Mapping[str, str]) -> Outcomes:
    known = [outcome(code, output) for code, output in printed.items()]
    return Outcomes(Place(FILE), {one.key: one for one in known})


def page(code: str = "x", before: str = "", after: str = "\nThe end.\n") -> str:
    return (
        f"<!-- mbrelease:usage -->\n\n{before}```python\n{code}\n```\n{after}\n"
        "<!-- /mbrelease:usage -->\n"
    )


def test_output_stands_under_its_block() -> None:
    text, _ = extract(with_outputs(page(), outcomes({"x\n": "a\nb\n"})))
    assert text == (
        "<!-- mbrelease:usage -->\n\n```python\nx\n```\n\nIt prints:\n\n```text\na\nb\n```\n\n"
        "The end.\n\n<!-- /mbrelease:usage -->\n"
    )


def test_a_block_that_is_followed_at_once_keeps_its_distance() -> None:
    text, _ = extract(with_outputs(page(after="The end.\n"), outcomes({"x\n": "a"})))
    assert "```text\na\n```\n\nThe end.\n" in text


def test_what_is_not_known_or_prints_nothing_stands_alone() -> None:
    assert with_outputs(page(), outcomes({"y\n": "a"})) == page()
    assert with_outputs(page(), outcomes({"x\n": " \n"})) == page()


def test_other_languages_have_no_output() -> None:
    text = page().replace("python", "sh")
    assert with_outputs(text, outcomes({"x\n": "a"})) == text


def test_a_block_that_was_not_run_says_why() -> None:
    one = outcome("x\n", None, "a GPU")
    text = with_outputs(page(), Outcomes(Place(FILE), {one.key: one}))
    assert "```\n\n*Not run here: it needs a GPU.*\n\nThe end." in text


def test_where_it_ran_is_said_of_a_gpu() -> None:
    one = outcome("x\n", "a", device="cuda")
    assert "\nIt prints on a GPU:\n" in with_outputs(page(), Outcomes(Place(FILE), {one.key: one}))


def test_each_of_several_blocks_has_its_own() -> None:
    text = page() + page("y").replace("usage", "training")
    shown, _ = extract(with_outputs(text, outcomes({"x\n": "a", "y\n": "b"})))
    fences = [token.content for token in parse(shown) if token.type == "fence"]
    assert fences == ["x\n", "a\n", "y\n", "b\n"]


def test_numbers_of_an_output_come_from_the_record() -> None:
    known = outcomes({"x\n": "1.00 0.61\nnone\n0.5"})
    text, spans = extract(with_outputs(page(), known))
    (span,) = spans
    assert text[span.start : span.end] == "1.00 0.61\nnone\n0.5"
    (one,) = known.by_key.values()
    origin = span.origin
    assert isinstance(origin, Field) and origin.file == FILE
    record = {"blocks": {one.key: {"output": one.output}}}
    assert read_field(record, origin.field) == one.output


def test_origins_in_the_code_are_not_part_of_it() -> None:
    code = str(marked("f(256)", Place("registry.yaml", "a").tell("f(256)", 256)))
    assert code != "f(256)"
    text, spans = extract(with_outputs(page(code), outcomes({"f(256)\n": "7"})))
    assert "```python\nf(256)\n```\n\nIt prints:\n\n```text\n7\n```" in text
    assert len(spans) == 2


@pytest.mark.parametrize(
    ("before", "prefix"), [("- item\n\n  ", "  "), ("1. item\n\n   ", "   "), ("> ", "> ")]
)
def test_output_stays_in_the_list_or_quotation_of_its_block(before: str, prefix: str) -> None:
    text = f"{before}```python\n{prefix}x\n{prefix}```\n{prefix}more\n"
    shown, _ = extract(with_outputs(text, outcomes({"x\n": "a"})))
    fences = [token for token in parse(shown) if token.type == "fence"]
    assert [token.content for token in fences] == ["x\n", "a\n"]
    assert fences[0].level == fences[1].level > 0


HOSTILE = [
    "```\n<b>out</b>\n```",
    "````text\n~~~",
    "<!-- /mbrelease:usage -->",
    "<!-- mbrelease:usage -->\n<!-- /mbrelease:usage -->",
    "<!--/mbrelease:usage -->",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "\u202egnp.exe\u2066",
    "\ufdd0{}\ufdd1x\ufdd2",
    "abc\x00\x08\x07",
    "a\u2028b\x0cc\x85d",
    "\ud800",
    "---\ntitle: x\n---",
    "{{ model.title }} {% raw %}",
    "$$ x $$ | a | b |",
]


@pytest.mark.parametrize("output", HOSTILE)
def test_no_output_breaks_out(output: str) -> None:
    before = page(after="\nAfter `it`.\n")
    text, _ = extract(with_outputs(before, outcomes({"x\n": f"1 {output}\n{output}\n2"})))
    tokens = [token for token in parse(text) if token.type not in ("html_block",)]
    assert [token.type for token in tokens if token.nesting != -1] == [
        "fence", "paragraph_open", "inline", "fence", "paragraph_open", "inline",
    ]  # fmt: skip
    assert list(read_page(text, "card").regions) == ["usage"]
    assert text.endswith("<!-- /mbrelease:usage -->\n")
    assert [block.region for block in read_blocks(text)] == ["usage", "usage"]
    text.encode()
    assert not any(mark in text for mark in "\x1b\u202e\u2066\ufdd0\ufdd1\ufdd2\x00")


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("a  \nb\n\n", "a\nb"),
        ("  indented\n", "  indented"),
        ("\x1b[1;32mok\x1b[0m", "ok"),
        (" 10%\r 50%\r100%\ndone\r\n", "100%\ndone"),
        ("a\tb", "a\tb"),
        ("שלום 1", "שלום 1"),
        ("<!-- a comment -->", "<!-- a comment -->"),
    ],
)
def test_output_is_shown_as_a_terminal_would(printed: str, shown: str) -> None:
    assert shown_output(printed) == shown
    assert shown_output(shown) == shown
