"""The layout: columns, few crossings, nothing on anything else, and no explosion."""

from __future__ import annotations

import itertools
import time

import pytest
from families import SMALL, large, project

from mbrelease.graph.family import SUPERSEDES, read_graph
from mbrelease.graph.layout.columns import columns
from mbrelease.graph.layout.heights import heights
from mbrelease.graph.layout.rows import _crossings, _first_order, rows
from mbrelease.graph.layout.stations import Line, weave
from mbrelease.graph.svg import Drawing, draw, svg_document


def drawing(content: dict) -> Drawing:
    return draw(read_graph(project(content)))


def named(made: Drawing) -> dict:
    names = [node.name for node in made.graph.nodes]
    return dict(zip(names, made.plan.boxes, strict=True))


def test_each_stands_right_of_all_that_it_was_made_from():
    for content in (SMALL, large(300)):
        made = drawing(content)
        boxes = named(made)
        for edge in made.graph.edges:
            if edge.kind != SUPERSEDES:
                assert boxes[edge.older].right < boxes[edge.newer].left, edge


def test_columns_are_by_the_longest_way_and_late_bases_stand_near():
    #  0 → 1 → 2 → 3, 0 → 3, and 4 is merged into 3 alone
    pairs = [(0, 1), (1, 2), (2, 3), (0, 3), (4, 3)]
    assert columns(5, pairs) == [0, 1, 2, 3, 2]
    assert columns(5, pairs, versions={4}) == [0, 1, 2, 3, 0]
    assert columns(3, []) == [0, 0, 0]


@pytest.mark.parametrize("content", [SMALL, large(200)], ids=["small", "200"])
def test_no_box_lies_on_another_and_all_are_on_the_sheet(content):
    plan = drawing(content).plan
    for box in plan.boxes:
        assert box.left >= 0 and box.right <= plan.width
        assert box.top >= -0.1 and box.bottom <= plan.height + 0.1
    for one, other in itertools.combinations(plan.boxes, 2):
        apart = one.right < other.left or other.right < one.left
        assert apart or one.bottom < other.top or other.bottom < one.top


def test_long_lines_pass_boxes_and_words_by():
    """A level piece of a line that goes through a column meets no box and no word there."""
    plan = drawing(large(200)).plan
    level = [(c.end[0], c.level_to, c.end[1]) for c in plan.curves]
    seen = 0
    for left, right, y in level:
        for box in plan.boxes:
            if left < box.right and box.left < right:
                seen += 1
                assert not box.top < y < box.bottom
    assert seen > 1000
    for left, right, y in level:
        for stub in plan.stubs:
            if left < stub.right and stub.left < right - 0.5:
                assert not stub.y - 15 < y < stub.y or right == stub.left


def test_versions_in_one_column_stand_together():
    boxes = named(drawing(SMALL))
    one, two = boxes["science-v1"], boxes["science-v2"]
    assert one.left == two.left and one.bottom < two.top
    between = [b for b in boxes.values() if b.left == one.left and one.top < b.top < two.top]
    assert between == []


def test_versions_in_other_columns_are_joined_in_the_right_direction():
    content = {
        "version": 1,
        "family": "x",
        "variants": {
            "base": {},
            "cpt": {"parents": [{"variant": "base", "relation": "continued-pretraining"}]},
            "old": {"parents": [{"variant": "cpt", "relation": "fine-tuning"}]},
            "new": {
                "parents": [{"variant": "base", "relation": "fine-tuning"}],
                "supersedes": "old",
            },
        },
    }
    made = drawing(content)
    boxes = named(made)
    [curve] = [curve for curve in made.plan.curves if curve.kind == SUPERSEDES]
    assert boxes["new"].left < boxes["old"].left
    assert curve.backward and curve.head_at_start
    assert curve.start[0] == boxes["new"].right


def test_two_that_supersede_one_stand_on_both_sides_of_it():
    variants = {"base": {}, "v1": {}, "v2": {}, "v3": {}}
    for name in ("v1", "v2", "v3"):
        variants[name] = {"parents": [{"variant": "base", "relation": "fine-tuning"}]}
    variants["v2"]["supersedes"] = variants["v3"]["supersedes"] = "v1"
    made = drawing({"version": 1, "family": "x", "variants": variants})
    assert [beside.bowed for beside in made.plan.beside] == [False, False]


def test_sweeps_leave_fewer_crossings_than_the_first_order_and_none_where_none_need_be():
    lines = drawing(large(200)).lines
    column = columns(200, [(x.older, x.newer) for x in lines if x.kind != SUPERSEDES])
    web = weave(column, lines)
    first = _crossings(web, _first_order(web))
    order = [[(item,) for item in column] for column in rows(web)]
    assert _crossings(web, order) < 0.8 * first
    # a → d, b → c: the first order crosses, one exchange does not
    web = weave([0, 0, 1, 1], [Line(0, 3, "x"), Line(1, 2, "x"), Line(0, 2, "y")])
    assert _crossings(web, [[(i,) for i in column] for column in rows(web)]) == 0


def test_crossings_are_counted():
    web = weave([0, 0, 0, 1, 1, 1], [Line(0, 5, "x"), Line(1, 4, "x"), Line(2, 3, "x")])
    assert _crossings(web, [[(0,), (1,), (2,)], [(3,), (4,), (5,)]]) == 3
    assert _crossings(web, [[(0,), (1,), (2,)], [(5,), (4,), (3,)]]) == 0
    # Lines that share an end cross nothing.
    web = weave([0, 0, 1], [Line(0, 2, "x"), Line(1, 2, "x")])
    assert _crossings(web, [[(0,), (1,)], [(2,)]]) == 0


def test_a_parent_stands_in_the_middle_of_its_children():
    web = weave([0, 1, 1, 1], [Line(0, 1, "x"), Line(0, 2, "x"), Line(0, 3, "x")])
    y = heights(web, rows(web), lambda upper, lower: 10.0)
    assert y[2] - y[1] == y[3] - y[2] == 10
    assert y[0] == pytest.approx(y[2])


def test_one_trunk_serves_all_lines_of_a_kind_from_one_node():
    count = 40
    lines = [Line(0, i, "adapter") for i in range(2, count)]
    lines += [Line(i, i + 1, "merging") for i in range(count - 1)]
    web = weave(range(count), lines)
    assert len(web.column) - count == count - 2
    # Each line can be followed back to its older end.
    for line, end in web.ends.items():
        segment = web.segments[end]
        assert segment.right == line.newer
        while segment.before >= 0:
            assert web.segments[segment.before].right == segment.left
            segment = web.segments[segment.before]
        assert segment.left == line.older


def test_a_family_of_endless_lines_gets_no_more_stations_than_it_can_have():
    count = 400
    lines = [
        Line(i, j, "merging") for i in range(count) for j in (i + 1, count - 1) if i < j < count
    ]
    web = weave(range(count), dict.fromkeys(lines))
    assert len(web.column) <= 21 * count
    assert set(web.ends) == set(lines)


def test_the_same_family_gives_the_same_picture():
    content = large(120)
    assert svg_document(read_graph(project(content))) == svg_document(read_graph(project(content)))


def test_two_thousand_variants_in_seconds_and_megabytes():
    graph = read_graph(project(large(2000)))
    started = time.process_time()
    text = svg_document(graph)
    assert time.process_time() - started < 8  # takes 1 alone
    assert len(text) < 4_000_000
    chain = {f"v{i}": {} for i in range(2000)}
    for i in range(1, 2000):
        parents = [{"variant": f"v{i - 1}", "relation": "fine-tuning"}]
        parents += [{"variant": "v0", "relation": "weight-initialization"}] if i > 1 else []
        chain[f"v{i}"] = {"parents": parents}
    graph = read_graph(project({"version": 1, "family": "x", "variants": chain}))
    started = time.process_time()
    assert len(svg_document(graph)) < 4_000_000
    assert time.process_time() - started < 8


def test_families_that_are_hardly_one():
    for variants in ({}, {"a": {}}, {"a": {}, "b": {}, "c": {}}):
        content = {"version": 1, "family": "x", "variants": variants}
        text = svg_document(read_graph(project(content)))
        assert text.count('class="node ') == len(variants) + bool(variants)  # and in the legend
