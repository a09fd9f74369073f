"""The picture of a family, really drawn and read back."""

import itertools
import random

import pytest
from picture_reading import SVG, drawn, hovers, outside, overlapping, texts, words

from mbrelease.cards.pictures.lineage import (
    MOST_NODES,
    SUPERSEDES,
    Edge,
    Family,
    Node,
    family_words,
    read_family,
)
from mbrelease.cards.pictures.lineage_rows import MOST_IN_A_ROW, rows_of
from mbrelease.registry.schema import Registry

CP = "continued-pretraining"


def registry(**variants):
    return Registry.model_validate({"version": 1, "family": "Owls", "variants": variants})


def parents(*names, relation=CP):
    return {"parents": [{"variant": name, "relation": relation} for name in names]}


OWLS = registry(
    base={"repo": "org/owl-base"},
    v1=parents("base"),
    v2=parents("base") | {"supersedes": "v1", "repo": "org/owl-v2"},
    int8=parents("v2", relation="quantization"),
    stranger={},
)


def family(own, *edges, left_out=0):
    names = list(dict.fromkeys(name for edge in edges for name in edge[:2]))
    return Family(
        own, tuple(Node(n, None) for n in names), tuple(Edge(*e) for e in edges), left_out
    )


def draw(given):
    from mbrelease.cards.pictures.draw_lineage import draw_lineage

    return drawn(lambda: draw_lineage(given))


def test_the_family_is_that_of_the_registry():
    found = read_family(OWLS, "v2")
    assert [node.name for node in found.nodes] == ["base", "v1", "v2", "int8"]
    assert found.nodes[2].repo == "org/owl-v2"
    assert {(e.older, e.newer, e.relation) for e in found.edges} == {
        ("base", "v1", CP),
        ("base", "v2", CP),
        ("v1", "v2", "supersedes"),
        ("v2", "int8", "quantization"),
    }
    assert found.left_out == 0


def test_one_without_family_has_no_picture():
    assert read_family(OWLS, "stranger") is None


def test_of_a_large_family_the_nearest_are_drawn():
    children = {f"child-{i}": parents("own") for i in range(20)}
    found = read_family(registry(root={}, own=parents("root"), **children), "own")
    assert [node.name for node in found.nodes] == [
        "root", "own", *(f"child-{i}" for i in range(MOST_NODES - 2)),
    ]  # fmt: skip
    assert found.left_out == 10
    assert "10 more not drawn." in words(draw(found))


def test_the_alt_text_says_who_was_made_from_whom():
    assert family_words(read_family(OWLS, "v2")).plain == (
        "Lineage: v2 was made by continued pretraining of base and supersedes v1; "
        "from it was made int8 (quantization)."
    )
    assert family_words(read_family(OWLS, "v1")).plain == (
        "Lineage: v1 was made by continued pretraining of base and is superseded by v2."
    )
    assert family_words(read_family(OWLS, "base")).plain == (
        "Lineage: from base were made v1 (continued pretraining) and v2 (continued pretraining)."
    )
    merged = family("m", ("a", "m", "merging"), ("b", "m", "merging"), ("c", "m", "averaging"))
    assert family_words(merged).plain == (
        "Lineage: m was made by merging a and b and by averaging weights of c."
    )
    many = family("own", *(("own", f"child-{i}", "adapter") for i in range(9)))
    assert family_words(many).plain.endswith("child-5 (adapter) and others.")


def test_the_description_is_the_alt_text():
    found = read_family(OWLS, "v2")
    assert draw(found).find(f"{SVG}desc").text == family_words(found).plain


def test_names_repos_and_relations_are_written():
    svg = draw(read_family(OWLS, "v2"))
    said = words(svg)
    for word in ("base", "org/owl-base", "v1", "v2", "org/owl-v2", "int8", "this model"):
        assert said.count(word) == 1
    assert said.count("continued pretraining") == 2
    assert said.count("quantization") == said.count("supersedes") == 1
    bold = {(t.text or "").strip() for t in texts(svg) if "font-weight: 700" in t.get("style", "")}
    assert bold == {"Lineage", "v2", "this model"}
    assert "v2; org/owl-v2; continued pretraining of base; supersedes v1" in hovers(svg).values()


def test_parents_stand_above_their_children_and_versions_beside_each_other():
    assert rows_of(read_family(OWLS, "v2")) == [["base"], ["v1", "v2"], ["int8"]]
    four = family(
        "base", ("base", "large", CP), ("base", "v1", CP), ("base", "v2", CP), ("base", "bio", CP),
        ("v1", "v2", SUPERSEDES),
    )  # fmt: skip
    assert rows_of(four) == [["base"], ["large", "bio"], ["v1", "v2"]]
    orphan = family("v2", ("base", "v2", CP), ("v1", "v2", SUPERSEDES))
    assert rows_of(orphan) == [["base"], ["v1", "v2"]]


def some_family(seed, n):
    """A family with parents and versions as chance has it."""
    chance = random.Random(seed)
    names = [f"model-{i}" for i in range(n)]
    edges = {}
    for i in range(1, n):
        for parent in chance.sample(names[:i], min(i, chance.choice([1, 1, 1, 2, 3]))):
            relation = chance.choice([CP, "merging", "quantization", "weight-initialization"])
            edges[parent, names[i], "made"] = relation
        if chance.random() < 0.3:
            edges[chance.choice(names[:i]), names[i], "follows"] = SUPERSEDES
    return family(chance.choice(names), *((a, b, r) for (a, b, _), r in edges.items()))


FAMILIES = [some_family(seed, n) for seed in range(12) for n in (2, 5, 8, 12)]


@pytest.mark.parametrize("given", FAMILIES, ids=range(len(FAMILIES)))
def test_no_line_passes_through_a_box_or_a_word(given):
    from mbrelease.cards.pictures.lineage_layout import lay_out
    from mbrelease.cards.pictures.lineage_routes import routes
    from mbrelease.pictures.labels import Box

    layout = lay_out(given, 60.0)
    boxes = {name: placed.box for name, placed in layout.placed.items()}
    blocks = {
        f"{kind} {name}": block
        for name, placed in layout.placed.items()
        for kind, block in (("box", placed.box), ("words", placed.words and placed.words.box))
        if block is not None
    }
    for one, other in itertools.combinations(blocks.values(), 2):
        assert one.overlap(other) == 0
    for row in rows_of(given):
        assert len(row) <= MOST_IN_A_ROW
    for edge in given.made():
        assert boxes[edge.older].bottom < boxes[edge.newer].top
    found = routes(given, layout)
    assert len(found) == len(given.edges)
    for route in found:
        for (x, y), (u, v) in itertools.pairwise(route.points):
            assert x == u or y == v, "level or upright"
            line = Box(min(x, u) - 0.5, min(y, v) - 0.5, max(x, u) + 0.5, max(y, v) + 0.5)
            for name, box in boxes.items():
                inner = Box(box.left + 1, box.top + 1, box.right - 1, box.bottom - 1)
                assert line.overlap(inner) == 0, (route.edge, name)


@pytest.mark.parametrize("given", FAMILIES[::6], ids=range(len(FAMILIES[::6])))
def test_words_stand_apart(given):
    svg = draw(given)
    assert overlapping(svg) == []
    assert outside(svg) == []


LONG = "a-name-of-very-many-words-" * 400
SOME = {
    "long names": family(LONG, (f"{LONG}1", LONG, "merging"), (f"{LONG}2", LONG, "averaging")),
    "any script": family("模型", ("מודל 2", "模型", CP), ("نموذج", "模型", CP), ("模型", "😀", CP)),
    "signs": family("a<b>", ("$x_1$ & {{y}}", "a<b>", CP), ("a<b>", "c\x00\u202ed", CP)),
}


@pytest.mark.parametrize("case", SOME)
def test_an_extreme_is_drawn_whole(case):
    svg = draw(SOME[case])
    assert overlapping(svg) == []
    assert outside(svg) == []


def test_a_long_name_is_whole_under_the_pointer():
    assert any(words.startswith(f"{LONG};") for words in hovers(draw(SOME["long names"])).values())


def test_the_same_family_gives_the_same_bytes(tmp_path):
    from mbrelease.cards.pictures.draw_lineage import draw_lineage
    from mbrelease.pictures.write import write_pictures

    found = read_family(OWLS, "v2")
    first = write_pictures(lambda: {"lineage": draw_lineage(found)}, tmp_path / "one")
    again = write_pictures(lambda: {"lineage": draw_lineage(found)}, tmp_path / "two")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]


def along(route):
    """The stretches of a route: (upright or level, where, from, to)."""
    for (x, y), (u, v) in itertools.pairwise(route.points):
        if x == u:
            yield "upright", x, min(y, v), max(y, v)
        else:
            yield "level", y, min(x, u), max(x, u)


@pytest.mark.parametrize("given", FAMILIES, ids=range(len(FAMILIES)))
def test_lines_of_different_parents_cannot_be_taken_for_one(given):
    from mbrelease.cards.pictures.lineage_layout import lay_out
    from mbrelease.cards.pictures.lineage_routes import routes

    found = routes(given, lay_out(given, 60.0))
    for one, other in itertools.combinations(found, 2):
        same_parent = one.edge.older == other.edge.older and SUPERSEDES not in (
            one.edge.relation, other.edge.relation,
        )  # fmt: skip
        if same_parent:
            continue
        for (kind, at, start, end), (kind2, at2, start2, end2) in itertools.product(
            along(one), along(other)
        ):
            if kind == kind2 and abs(at - at2) < 3:
                assert min(end, end2) - max(start, start2) <= 0.5, (one.edge, other.edge)
