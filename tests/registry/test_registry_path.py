"""`mbrelease registry path`: the shortest chains between two variants."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from mbrelease.cli.main import main
from mbrelease.registry.kinship import kinship
from mbrelease.registry.lineage import Step
from mbrelease.registry.schema import Registry

ROOT = ["--registry", str(Path(__file__).parents[2] / "registry.yaml")]


def family(**named: str) -> Registry:
    """``c="a b:merging"`` is a variant c, fine-tuned from a and merged from b."""
    variants = {}
    for name, listed in named.items():
        pairs = [one.partition(":") for one in listed.split()]
        entries = [
            {"variant": v, "relation": relation or "fine-tuning"} for v, _, relation in pairs
        ]
        variants[name] = {"parents": entries}
    return Registry.model_validate({"version": 1, "family": "x", "variants": variants})


def test_the_shortest_of_several_ways():
    # base → a → b → c, and base → c directly
    found = kinship(family(base="", a="base", b="a", c="b base:averaging"), "base", "c")
    (chain,) = found.chains()
    assert chain.ancestor == "base"
    assert chain.to_first == ()
    assert chain.to_second == (Step("c", "base", "averaging"),)


def test_every_way_of_a_diamond():
    found = kinship(family(base="", l="base", r="base", m="l:merging r:merging"), "base", "m")
    assert found.count == 2
    assert [[s.child for s in chain.to_second] for chain in found.chains()] == [
        ["l", "m"], ["r", "m"],
    ]  # fmt: skip


def test_two_relations_to_one_parent_are_two_ways():
    found = kinship(family(base="", m="base:merging base:distillation"), "base", "m")
    assert [c.to_second[0].relation for c in found.chains()] == ["merging", "distillation"]


def test_descent_goes_before_a_nearer_common_ancestor():
    # b comes from a by four steps, and both come from base by one
    registry = family(base="", a="base", x="a", y="x", z="y", b="z base")
    assert kinship(registry, "a", "b").ancestors == ("a",)
    assert kinship(registry, "b", "a").ancestors == ("a",)


def test_common_ancestors_that_are_as_near():
    registry = family(one="", two="", a="one two", b="one two")
    found = kinship(registry, "a", "b")
    assert (found.ancestors, found.count) == (("one", "two"), 2)


def test_nobody_related():
    found = kinship(family(a="", b=""), "a", "b")
    assert (found.ancestors, found.count, found.chains()) == ((), 0, [])


def test_more_chains_than_anyone_can_list():
    # 2 ** 60 shortest chains from v0 to v60
    listed = {"v0": ""}
    for i in range(1, 61):
        listed |= {f"l{i}": f"v{i - 1}", f"r{i}": f"v{i - 1}", f"v{i}": f"l{i} r{i}"}
    found = kinship(family(**listed), "v0", "v60")
    assert found.count == 2**60
    assert len({chain.to_second for chain in found.chains(100)}) == 100


def test_ten_thousand_steps():
    registry = family(v0="", **{f"v{i}": f"v{i - 1}" for i in range(1, 10_000)})
    start = time.process_time()
    (chain,) = kinship(registry, "v9999", "v0").chains()
    assert chain.steps == 9_999
    # A twentieth of a second of CPU on an idle machine.
    assert time.process_time() - start < 1


def test_path_down(capsys):
    assert main(["registry", "path", "modernbert-base", "modernbert-bio-large", *ROOT]) == 0
    assert capsys.readouterr() == (
        "modernbert-base\n"
        "→ modernbert-large  (weight-initialization)\n"
        "→ modernbert-bio-large  (continued-pretraining)\n",
        "",
    )


def test_path_up_reads_the_same(capsys):
    assert main(["registry", "path", "modernbert-bio-large", "modernbert-large", *ROOT]) == 0
    expected = "modernbert-large\n→ modernbert-bio-large  (continued-pretraining)\n"
    assert capsys.readouterr().out == expected


def test_path_through_a_common_ancestor(capsys):
    call = ["registry", "path", "modernbert-science-dapt-v2", "modernbert-bio-large", *ROOT]
    assert main(call) == 0
    assert capsys.readouterr().out == (
        "modernbert-base\n"
        "→ modernbert-science-dapt-v2  (continued-pretraining)\n"
        "modernbert-base\n"
        "→ modernbert-large  (weight-initialization)\n"
        "→ modernbert-bio-large  (continued-pretraining)\n"
    )
    assert main([*call, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["shortest_chains"] == 1
    (chain,) = answer["chains"]
    assert chain["ancestor"] == "modernbert-base"
    assert [step["child"] for step in chain["to_second"]] == [
        "modernbert-large", "modernbert-bio-large",
    ]  # fmt: skip


def test_unrelated_exits_1(capsys):
    call = ["registry", "path", "modernbert-base", "moderncamembert-bio-base", *ROOT]
    assert main(call) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("modernbert-base and moderncamembert-bio-base are not related")
    assert main([*call, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["chains"] == []


@pytest.fixture
def diamond(tmp_path, monkeypatch):
    (tmp_path / "registry.yaml").write_text(
        "version: 1\nfamily: x\nvariants:\n  base: {}\n"
        "  left: {parents: [{variant: base, relation: fine-tuning}]}\n"
        "  right: {parents: [{variant: base, relation: fine-tuning}]}\n"
        "  mix:\n    parents:\n"
        "      - {variant: left, relation: merging}\n      - {variant: right, relation: merging}\n"
        "aliases: {start: base}\n"
    )
    monkeypatch.chdir(tmp_path)


def test_all_shows_every_chain_and_one_tells_of_the_rest(diamond, capsys):
    assert main(["registry", "path", "start", "mix"]) == 0
    said = capsys.readouterr()
    assert said.out == "base\n→ left  (fine-tuning)\n→ mix  (merging)\n"
    assert said.err == "1 other chain is as short; --all shows them\n"
    assert main(["registry", "path", "start", "mix", "--all"]) == 0
    said = capsys.readouterr()
    assert said.out.count("→ mix  (merging)") == 2
    assert "→ right" in said.out
    assert said.err == ""


def test_a_variant_and_itself(diamond, capsys):
    assert main(["registry", "path", "mix", "mix"]) == 0
    assert capsys.readouterr() == ("mix\n", "")


def test_a_misspelt_name(diamond, capsys):
    assert main(["registry", "path", "mix", "rihgt"]) == 2
    assert "did you mean 'right'?" in capsys.readouterr().err
