"""The blocks of a card are those that a Markdown parser sees."""

import re

import pytest
from card_reading import parse
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mbrelease.cards.snippets.blocks import read_blocks, read_page

PIECES = [
    "```", "````", "~~~", "```python", "~~~ py x", "``` a`b", "- ", "* ", "1. ", "2) ", "> ", ">",
    "  ", "    ", " ", "text", "<!--", "-->", "<div>", "</div>", "<pre>", "</pre>", "<b>", "---",
    "===", "# h", "`x`", "- - -", "| a | b |", "|-|-|",
]  # fmt: skip
LINES = st.lists(st.sampled_from(PIECES), max_size=4).map("".join)


@settings(max_examples=400, deadline=None)
@given(st.lists(LINES, max_size=9).map(lambda lines: "".join(f"{line}\n" for line in lines)))
def test_blocks_are_those_of_a_commonmark_parser(text: str) -> None:
    assume(not text.startswith("---"))  # front matter
    assume(not re.search("    >", text))  # markdown-it goes on with a quotation there
    expected = [
        ("".join(token.info.split()[:1]).lower(), token.content)
        for token in parse(text)
        if token.type == "fence"
    ]
    assert [(block.language, block.code) for block in read_blocks(text)] == expected


@pytest.mark.parametrize(
    "text",
    [
        "```python\nx = 1\n```\n",
        "~~~~ Python title='a'\nx = 1\n~~~~~~\n",
        "   ```py\n   x = 1\n  ```\n",
        "1. first\n\n   ```python3\n   x = 1\n   ```\n",
        "- a\n  - ```python\n    x = 1\n    ```\n",
        "> ```python\n> x = 1\n> ```\n",
        "text\n```python\r\nx = 1\r\n```\r\n",
        "```python\nx = 1\n",
    ],
)
def test_a_python_block_is_found_wherever_it_stands(text: str) -> None:
    (block,) = read_blocks(text)
    assert block.is_python
    assert block.code == "x = 1\n"


@pytest.mark.parametrize(
    "text",
    [
        "<!--\n```python\nx\n```\n-->\n",
        "    ```python\n    x\n    ```\n",
        "<details>\n```python\nx\n```\n</details>\n",
        "a ```python x``` b\n",
        "````text\n```python\nx\n```\n````\n",
        "---\nnote: |\n  ```python\n  x\n  ```\n---\n",
    ],
)
def test_what_only_looks_like_a_block_is_none(text: str) -> None:
    assert not [block for block in read_blocks(text) if block.is_python]


def test_lines_are_those_of_the_file() -> None:
    text = "---\nlicense: mit\n---\n\nHello\n\n```python\na\n\nb\n```\nend\n"
    (block,) = read_blocks(text)
    lines = text.splitlines()
    assert lines[block.line - 1] == "a"
    assert lines[block.last_line - 1] == "```"
    assert read_page(text).prose == ((4, ""), (5, "Hello"), (6, ""), (12, "end"))


def test_a_block_knows_the_region_it_stands_in() -> None:
    code = "```python\nx\n```\n"
    text = f"{code}\n<!-- mbrelease:usage -->\n{code}<!-- /mbrelease:usage -->\n\n{code}"
    assert [block.region for block in read_blocks(text)] == [None, "usage", None]


def test_a_mark_inside_of_a_block_is_code() -> None:
    text = "<!-- mbrelease:usage -->\n```\n<!-- /mbrelease:usage -->\n```\n```py\nx\n```\n"
    assert [block.region for block in read_blocks(text)] == ["usage", "usage"]


def test_tabs_indent_to_columns_of_four() -> None:
    (block,) = read_blocks("-\t```python\n\tif x:\n\t\ty\n\t```\n")
    assert block.code == "if x:\n\ty\n"
