"""Values derived once more from their records, and held against what a page says."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbrelease.cards.arithmetic import agrees, fields_of, recomputed, same
from mbrelease.cards.fields import read_field
from mbrelease.cards.numbers import (
    amount_text,
    change_text,
    count_text,
    frequency_text,
    metric_text,
    real_text,
    share_text,
    weight_text,
)
from mbrelease.cards.told import Derived, Field, Origin

RECORD: dict[str, Any] = {
    "a": 0.44, "b": 0.279, "zero": 0, "text": "0.44 or so",
    "list": [80.0, 80.1, 80.05], "chosen": "z",
    "candidates": [
        {"name": "x", "kind": "checkpoint", "tied": True},
        {"name": "y", "kind": "checkpoint", "tied": False},
        {"name": "z", "kind": "average", "tied": True},
    ],
}  # fmt: skip


def read(field: Field) -> Any:
    return read_field(RECORD, field.field)


def derived(how: str, *paths: str) -> Derived:
    return Derived(how, tuple(Field("f.json", path) for path in paths))


@pytest.mark.parametrize(
    ("origin", "value"),
    [
        (Field("f.json", "a"), 0.44),
        (Field("f.json", "text"), "0.44 or so"),
        (derived("mean", "list[0]", "list[1]"), 80.05),
        (derived("sum", "list[0]", "a"), 80.44),
        (derived("difference", "a", "b"), 0.161),
        (derived("difference", "b", "a"), -0.161),
        (derived("relative change", "a", "b"), 0.44 / 0.279 - 1),
        (derived("standard deviation", "list[0]", "list[1]", "list[2]"), 0.05),
        (derived("count", "list"), 3),
        (derived("count", "a", "b"), 2),
        (derived("count", "text"), None),
        (derived("count of checkpoints", "candidates"), 2),
        (derived("count of averages", "candidates"), 1),
        (derived("count of tied candidates", ""), 1),
        (derived("1 - alpha", "a"), 0.56),
        (derived("greatest learning_rate", "list"), None),
    ],
)
def test_recomputed(origin: Origin, value: Any) -> None:
    found = recomputed(origin, read)
    assert found == (pytest.approx(value) if isinstance(value, float) else value)


def test_what_was_derived_from_what_was_derived() -> None:
    means = (derived("mean", "list[0]", "list[1]"), derived("mean", "a", "b"))
    assert recomputed(Derived("difference", means), read) == pytest.approx(80.05 - 0.3595)
    assert fields_of(Derived("difference", means)) == tuple(
        Field("f.json", path) for path in ("list[0]", "list[1]", "a", "b")
    )


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=9))
def test_means_and_deviations_are_those_of_the_library(values: list[float]) -> None:
    record = {"values": values}
    fields = tuple(Field("f", f"values[{i}]") for i in range(len(values)))

    def of(how: str) -> Any:
        return recomputed(Derived(how, fields), lambda field: read_field(record, field.field))

    assert of("mean") == pytest.approx(statistics.fmean(values))
    assert of("sum") == pytest.approx(sum(values))
    assert of("standard deviation") == pytest.approx(statistics.stdev(values))


@pytest.mark.parametrize(
    "origin",
    [
        Field("f.json", "gone"),
        derived("difference", "a", "gone"),
        derived("no rule at all", "gone"),
        derived("difference", "a"),
        derived("difference", "a", "text"),
        derived("relative change", "a", "zero"),
        derived("standard deviation", "a"),
        derived("mean"),
        derived("mean", "text"),
        derived("sum", "list"),
        derived("count of averages", "list"),
        derived("count of tied candidates", "candidates"),
    ],
)
def test_a_record_that_is_gone_or_holds_something_else(origin: Origin) -> None:
    with pytest.raises(LookupError):
        recomputed(origin, read)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.440", 0.44),
        ("0.161", 0.1605),
        ("−0.0960", -0.09603),
        ("+0.110", 0.1104),
        ("80.1", 80.05),  # half a unit, up
        ("80.0", 80.05),  # and down, as binary fractions have it
        ("1,048", 1048),
        ("8192", 8192),
        ("30%", 0.3),
        ("+58%", 0.577),
        ("58", 0.577),  # its percent sign may stand apart
        ("450", 450_000_000),
        ("1.719", 1_719_000_000_000),
        ("1/3", 1 / 3),
        ("1/2", 0.5),
        ("2e-05", 2e-5),
        ("0.0002", 0.0002),
        ("160,000", 160_000.0),
        ("12.5", 12_500),  # grams as kilograms
        ("0", 0),
        ("&lt; 0.001", 0.0004),
        ("&lt;1%", 0.002),
        ("2.13", "2.13.0"),
        ("-0.012", "95% interval -0.012 to 0.033"),
        ("&lt; 0.001", "corrected, p < 0.001."),
        ("3", [1, 2, 3]),  # nothing to hold a number against
        ("3", None),
        ("1/0", 0.5),
    ],
)
def test_agrees(text: str, value: Any) -> None:
    assert agrees(text, value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.441", 0.44),
        ("0.440", 0.4406),
        ("80.2", 80.05),
        ("80.1", 80.04),
        ("1,049", 1048),
        ("31%", 0.3),
        ("451", 450_000_000),
        ("1/3", 0.3333),
        ("1/4", 1 / 3),
        ("2e-05", 3e-5),
        ("0", 1),
        ("0.000", 0.4),
        ("0.001", 0.8),
        ("&lt; 0.001", 0.001),
        ("&lt;1%", 0.01),
        ("2.14", "2.13.0"),
        ("&lt; 0.01", "p < 0.001"),
        ("0.440", float("nan")),
        ("1", float("inf")),
    ],
)
def test_does_not_agree(text: str, value: Any) -> None:
    assert not agrees(text, value)


@given(st.floats(-1e4, 1e4, allow_subnormal=False), st.integers(0, 10**15))
def test_what_a_card_writes_agrees_with_its_value(value: float, count: int) -> None:
    """Every way in which a card writes a number."""
    for metric in ("loss", "perplexity", "recall@1"):
        assert agrees(metric_text(metric, value), value)
        assert agrees(change_text(metric, value), value)
    assert agrees(real_text(value), value)
    assert agrees(count_text(count), count)
    assert agrees(amount_text(count).split()[0], count)
    share = abs(value) / 1e4
    assert agrees(share_text(share), share)
    assert agrees(frequency_text(share).replace("<", "&lt;"), share)
    assert agrees(weight_text(share), share)


@given(st.floats(0.01, 1), st.integers(2, 99))
def test_a_number_that_is_one_unit_off_does_not_agree(value: float, part: int) -> None:
    written = float(metric_text("recall@1", value))
    assert not agrees(f"{written + 0.002:.3f}", value)
    assert agrees(weight_text(1 / part), 1 / part)
    assert not agrees(f"1/{part}", 1 / part + 1e-6)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (0.1 + 0.2, 0.3, True),
        (1e12 + 1e-3, 1e12, True),
        (0.3, 0.3001, False),
        (3, 3.0, True),
        ("a", "a", True),
        ("3", 3, False),
        (float("nan"), 1.0, False),
    ],
)
def test_same(one: Any, other: Any, expected: bool) -> None:
    assert same(one, other) == expected
