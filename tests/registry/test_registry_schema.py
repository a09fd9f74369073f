"""What editors say of a registry, by its JSON Schema, and what lint says, are one."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML
from valid_registry import VALID

from mbrelease.registry.document import parse_document
from mbrelease.registry.json_schema import registry_schema
from mbrelease.registry.shape import read_shape

ROOT = Path(__file__).parents[2]
OWLS, TABLES = (
    block.split("\n", 1)[1]
    for block in (ROOT / "docs/registry.md").read_text(encoding="utf-8").split("```")[1::2]
    if block.startswith("yaml\n") and ("\nversion: 1\n" in block or "\npeers:" in block)
)
REGISTRIES = {
    "tests": VALID,
    "documentation": OWLS,
    "documentation with tables": OWLS + TABLES,
    "root": (ROOT / "registry.yaml").read_text(encoding="utf-8"),
    "example": (ROOT / "examples/debian-science/registry.yaml").read_text(encoding="utf-8"),
    "split": "version: 1\nfamily: Owls\ninclude: [variants/*.yaml]\n",
}
SCHEMA = Draft202012Validator(registry_schema())
VALUES = [
    parse_document(REGISTRIES[name].encode(), Path("registry.yaml")).value
    for name in ("tests", "documentation with tables", "root")
]
NEW = [
    None, True, False, 0, 1, -1, 0.5, 10**30, "", "x", "base", "a/b", "..", "a b", "é", "mlm/loss",
    [], ["x"], [1], [None], {}, {"x": 1}, {"a": {}},
]  # fmt: skip
KEYS = ["x", "name", "a b", "a/b", "", "metric", "mean", "models", "bands", "columns", "train"]


def test_the_schema_is_one():
    Draft202012Validator.check_schema(registry_schema())


@pytest.mark.parametrize("name", REGISTRIES)
def test_a_valid_registry_is_valid_in_an_editor(name):
    # A reader of YAML 1.2 that is not ours.
    value = YAML(typ="safe", pure=True).load(REGISTRIES[name])
    assert [error.message for error in SCHEMA.iter_errors(value)] == []


@st.composite
def changed(draw: st.DrawFn) -> dict[str, Any]:
    """A valid registry of which one thing is lost, another, or one more."""
    value = copy.deepcopy(draw(st.sampled_from(4 * VALUES[:2] + VALUES[2:])))
    paths = [path for path in places(value) if path]
    path = paths[draw(st.integers(0, len(paths) - 1))]
    holder = value
    for step in path[:-1]:
        holder = holder[step]
    target = holder[path[-1]]
    how = draw(st.sampled_from(["lost", "another", "more"]))
    if how == "lost":
        del holder[path[-1]]
    elif how == "more" and isinstance(target, dict):
        target[draw(st.sampled_from(KEYS))] = draw(st.sampled_from(NEW))
    elif how == "more" and isinstance(target, list):
        target.append(draw(st.sampled_from(NEW)))
    else:
        holder[path[-1]] = draw(st.sampled_from(NEW))
    return value


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


# These are between two keys, one of which has a default.
LINT_ALONE = ("has no 'facts' with the layout", "has 'change' only with 'layout")


@settings(max_examples=250, deadline=None)
@given(changed())
def test_the_shape_of_a_registry_is_refused_by_both_or_by_none(value):
    document = parse_document(json.dumps(value).encode(), Path("registry.yaml"))
    registry, mistakes = read_shape(document)
    messages = [one.message for one in mistakes]
    if any(word in message for message in messages for word in LINT_ALONE):
        return
    if messages == ["missing key 'variants'"] and "include" in value:
        return  # an editor does not look into the included files
    found = [error.message for error in SCHEMA.iter_errors(document.value)]
    assert bool(found) == bool(messages), (found, messages)
    assert (registry is None) == bool(messages)
