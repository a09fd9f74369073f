"""An entry cut out of a text is what the whole text says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mbrelease.registry.document import parse_document
from mbrelease.registry.history.chunk import Reader, Unreadable, include_patterns

TOP = Path(__file__).parents[2]
TEXTS = {
    "CRLF and quoted names": "variants:\r\n  a: {x: 1}\r\n  'b':\r\n    x: 2\r\n\r\n  # c\r\n"
    '  "c":\r\n    y: [1,\r\n    2]\r\npeers: {a: {}}\r\n',
    "a byte order mark": "\ufeffvariants:\n  a: {x: 1}\n",
    "flow style": "variants: {a: {x: 1}, b: {y: 2}}\n",
    "names in a text": "variants:\n  a:\n    t: |\n      b:\n        x\n  b: {z: 1}\n",
    "names on another shelf": "peers:\n  a: {q: 1}\nvariants:\n  b: {z: 1}\n  a: {q: 2}\n",
    "a bracket that goes on further out": "variants:\n  a: {p: [{v: b,\n  q: x}], r: y}\n  b: {}\n",
    "an alias": "x: &x {y: &z 1}\nvariants:\n  a: {p: *x, q: *z}\n  b: *x\n",
    "a quoted key of a shelf": '"variants":\n  a: {x: 1}\n',
    "comments at the margin": "variants:\n# one\n  a:\n# two\n    x: 1\n# three\n  b: {}\n",
    "no end of line": "variants:\n  a: {x: 1}",
    "nothing": "variants: {}\n",
    "an odd indentation": "variants:\n     a:\n          x: 1\n     b: {}\nsuites: {}\n",
}
FILES = ["registry.yaml", *(f"{p}/registry.yaml" for p in ("examples/debian-science",))]
EVERY = TEXTS | {name: (TOP / name).read_text(encoding="utf-8") for name in FILES}


@pytest.mark.parametrize("text", EVERY.values(), ids=EVERY)
def test_each_entry_is_as_the_whole_says(text):
    variants = parse_document(text.encode(), Path("registry.yaml")).value.get("variants")
    reader = Reader()
    for name in [*variants, "nobody"]:
        assert reader.entry(text, name) == variants.get(name)
    assert set(variants) <= set(reader.names(text))


def test_what_was_wrong_is_not_remembered_for_what_is_right():
    lines = "variants:\n  a: {p: *x}\n"
    reader = Reader()
    broken = reader.entry(lines, "a")
    assert isinstance(broken, Unreadable)
    assert broken.why == "2:10: alias *x is not defined above"
    assert reader.entry("x: &x 1\n" + lines, "a") == {"p": 1}


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        ("version: 1\ninclude: [a.yaml, 'b/*.yaml']\nvariants: {}\n", ["a.yaml", "b/*.yaml"]),
        ("include:\n- a.yaml\n# more\n- b.yaml\nvariants: {}\n", ["a.yaml", "b.yaml"]),
        ("include:\n  - a.yaml", ["a.yaml"]),
        ("include: a.yaml\n", []),
        ("include: [a\nvariants: {}\n", []),
        ("variants: {include: {}}\n", []),
    ],
)
def test_what_a_registry_includes(text, patterns):
    assert include_patterns(text) == patterns
