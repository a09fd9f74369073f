"""Whatever is done to a registry, it is valid or the mistakes are told; nothing else happens."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from valid_registry import VALID

from mbrelease.registry.document import parse_document
from mbrelease.registry.load import read_registry
from mbrelease.registry.mistakes import InvalidRegistry

ROOT = (Path(__file__).parents[2] / "registry.yaml").read_text(encoding="utf-8")
TOKENS = re.compile(r"[\w.@/-]+|[^\w\s]|\s+")
PIECES = st.sampled_from(
    ["", " ", "\n", "\t", ":", ": ", "- ", "{", "}", "[", "]", ",", "#", "&a ", "*a", "!!set ",
     "|\n", '"', "'", "? ", "<<", "null", "true", "no", "1", "-1", "1e999", ".nan", "[]", "{}",
     "base", "\r",
     "\x00", "\u2028", "é", "---\n", "variants:\n", "<<<<<<< x\n", "\ud800", "9" * 400]
)  # fmt: skip


@st.composite
def mutated(draw):
    text = draw(st.sampled_from([VALID, VALID, ROOT]))
    for _ in range(draw(st.integers(1, 3))):
        spans = [match.span() for match in TOKENS.finditer(text)] or [(0, 0)]
        start, end = spans[draw(st.integers(0, len(spans) - 1))]
        other = spans[draw(st.integers(0, len(spans) - 1))]
        piece = draw(PIECES | st.just(text[slice(*other)]))
        keep = draw(st.sampled_from([start, end]))
        text = text[:keep] + piece + text[end:]
    return text.encode("utf-8", "surrogatepass")


@settings(max_examples=120, deadline=None)
@given(mutated())
def test_a_mutated_registry_is_valid_or_told_about(data):
    try:
        registry = read_registry(parse_document(data, Path("registry.yaml")))
    except InvalidRegistry as error:
        lines = data.count(b"\n") + data.count(b"\r") + 2 + data.count("\u2028".encode())
        for mistake in error.mistakes:
            assert 1 <= mistake.line <= lines
            assert mistake.column >= 1
            assert mistake.message
            assert "\n" not in mistake.message
        assert error.mistakes
    else:
        assert registry.variants is not None
