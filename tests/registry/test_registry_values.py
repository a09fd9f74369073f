"""What YAML scalars mean, and that what is written is read again as the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mbrelease.registry.document import parse_document
from mbrelease.registry.scalars import flow_text, plain_value

MEANINGS = {
    "no": "no", "yes": "yes", "on": "on", "y": "y", "true": True, "False": False, "null": None,
    "450_000_000": 450_000_000, "-3": -3, "0": 0, "0x1F": 31, "0o17": 15, "010": "010",
    "1_": "1_", "12:30": "12:30", "8e-4": 8e-4, "1e-06": 1e-06, ".5": 0.5, "1.": 1.0, "+1": 1,
    "2024-12-18": "2024-12-18", "1.0.0": "1.0.0", "0.30": 0.3, "00.5": "00.5", "~": None,
    "9" * 5000: "9" * 5000, "-": "-", ".": ".", "=": "=",
}  # fmt: skip


@pytest.mark.parametrize("text", MEANINGS)
def test_plain_scalars(text):
    value = plain_value(text)
    assert value == MEANINGS[text]
    assert type(value) is type(MEANINGS[text])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(deadline=None)
@given(VALUES)
def test_what_is_written_is_read_again(value):
    text = flow_text([value])
    assert "\n" not in text
    read = parse_document(text.encode(), Path("x"))
    assert read.mistakes == ()
    assert repr(read.value) == repr([value])


@pytest.mark.parametrize("text", ["no", "12:30", "2024-12-18", "010", "1_", "0b1", "=", "<<", "y"])
def test_text_that_others_take_for_more_is_quoted(text):
    assert yaml.safe_load(flow_text(text)) == text
