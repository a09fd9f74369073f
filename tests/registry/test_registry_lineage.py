"""Ancestors, descendants and the drawn tree of a family with a merge in it."""

from __future__ import annotations

import json
import time

import pytest

from mbrelease.cli.main import main
from mbrelease.registry import lineage
from mbrelease.registry.schema import Registry

# base → code ┐
#      → math ┴→ both → small
# other → chat
FAMILY = Registry.model_validate(
    {
        "version": 1,
        "family": "x",
        "variants": {
            "base": {},
            "code": {"parents": [{"variant": "base", "relation": "fine-tuning"}]},
            "math": {"parents": [{"variant": "base", "relation": "continued-pretraining"}]},
            "both": {
                "parents": [
                    {"variant": "code", "relation": "merging"},
                    {"variant": "math", "relation": "merging"},
                ]
            },
            "small": {"parents": [{"variant": "both", "relation": "distillation"}]},
            "other": {},
            "chat": {"parents": [{"variant": "other", "relation": "fine-tuning"}]},
        },
    }
)


def test_roots():
    assert lineage.roots(FAMILY) == ["base", "other"]


def test_ancestors_nearest_first_and_once():
    assert lineage.ancestors(FAMILY, "small") == ["both", "code", "math", "base"]
    assert lineage.ancestors(FAMILY, "base") == []


def test_descendants_nearest_first_and_once():
    assert lineage.descendants(FAMILY, "base") == ["code", "math", "both", "small"]
    assert lineage.descendants(FAMILY, "chat") == []


def test_every_edge_above():
    assert [(s.child, s.parent) for s in lineage.steps_to_roots(FAMILY, "small")] == [
        ("small", "both"), ("both", "code"), ("both", "math"), ("code", "base"), ("math", "base"),
    ]  # fmt: skip


def test_the_path_along_first_parents():
    path = lineage.path_to_root(FAMILY, "small")
    assert [(s.parent, s.relation) for s in path] == [
        ("both", "distillation"), ("code", "merging"), ("base", "fine-tuning"),
    ]  # fmt: skip
    assert lineage.path_to_root(FAMILY, "other") == []


def test_tree_draws_each_once_and_marks_the_second_place():
    lines = list(lineage.tree(FAMILY))
    assert [line.prefix + line.name for line in lines] == [
        "base",
        "├── code",
        "│   └── both",
        "│       └── small",
        "└── math",
        "    └── both",
        "other",
        "└── chat",
    ]
    first, second = (line for line in lines if line.name == "both")
    assert (first.repeated, second.repeated) == (False, True)
    assert [p.variant for p in first.other_parents] == ["math"]
    assert [p.variant for p in second.other_parents] == ["code"]


def test_tree_from_a_variant_down():
    lines = [line.prefix + line.name for line in lineage.tree(FAMILY, "both")]
    assert lines == ["both", "└── small"]


def test_nested_form_of_the_tree():
    (base, other) = lineage.nested(lineage.tree(FAMILY))
    assert [node["variant"] for node in base["children"]] == ["code", "math"]
    both = base["children"][0]["children"][0]
    assert (both["variant"], both["relation"]) == ("both", "merging")
    assert [node["variant"] for node in both["children"]] == ["small"]
    assert base["children"][1]["children"] == [
        {"variant": "both", "relation": "merging", "repeated": True, "children": []}
    ]
    assert other["children"][0]["variant"] == "chat"


def test_a_line_of_descent_ten_thousand_long_is_no_recursion():
    variants = {"v0": {}} | {
        f"v{i}": {"parents": [{"variant": f"v{i - 1}", "relation": "merging"}]}
        for i in range(1, 10_000)
    }
    family = Registry.model_validate({"version": 1, "family": "x", "variants": variants})
    start = time.process_time()
    lines = list(lineage.tree(family))
    assert (len(lines), lines[-1].depth) == (10_000, 9_999)
    assert len(lines[-1].prefix) == 4 * 9_999
    assert lineage.ancestors(family, "v9999")[-1] == "v0"
    assert lineage.descendants(family, "v0")[-1] == "v9999"
    assert lineage.distances(family, "v9999")["v0"] == 9_999
    assert len(lineage.nested(lines)) == 1
    # A quarter of a second of CPU on an idle machine.
    assert time.process_time() - start < 3


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ({"a": ["b"], "b": ["c"], "c": []}, []),
        ({"a": ["a"]}, [["a", "a"]]),
        ({"a": ["b"], "b": ["a"]}, [["a", "b", "a"]]),
        ({"x": ["a"], "a": ["b"], "b": ["a", "gone"]}, [["a", "b", "a"]]),
        ({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, []),
        ({"a": ["b"], "b": ["a"], "c": ["c"]}, [["a", "b", "a"], ["c", "c"]]),
    ],
)
def test_cycles(graph, expected):
    assert list(lineage.cycles(graph)) == expected


@pytest.mark.parametrize(("steps", "code"), [(400, 0), (401, 2)])
def test_a_tree_as_json_is_no_deeper_than_readers_go(tmp_path, capsys, steps, code):
    lines = ["version: 1", "family: x", "variants:", "  v0: {}"]
    for i in range(1, steps + 1):
        lines.append(f"  v{i}: {{parents: [{{variant: v{i - 1}, relation: merging}}]}}")
    (tmp_path / "registry.yaml").write_text("\n".join(lines))
    call = ["registry", "tree", "--json", "--registry", str(tmp_path / "registry.yaml")]
    assert main(call) == code
    said = capsys.readouterr()
    assert "deeper than programs read nested JSON" in said.err if code else json.loads(said.out)
