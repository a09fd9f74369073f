"""Licences along the path that ask more than the variant's own."""

from __future__ import annotations

import json

from mbrelease.cli.main import main
from mbrelease.questions.rights import license_remarks
from mbrelease.registry.schema import Registry


def family(**variants):
    return Registry.model_validate({"version": 1, "family": "x", "variants": variants})


def child(parent, **more):
    return {"parents": [{"variant": parent, "relation": "fine-tuning"}], **more}


def test_a_grandparent_that_allows_no_commerce():
    registry = family(
        base={"license": "cc-by-nc-4.0"},
        middle=child("base", license="cc-by-nc-4.0"),
        free=child("middle", license="mit"),
    )
    assert license_remarks(registry, "free") == [
        "middle is under cc-by-nc-4.0, which allows no commercial use; free is under mit",
        "base is under cc-by-nc-4.0, which allows no commercial use; free is under mit",
    ]
    assert license_remarks(registry, "middle") == []


def test_no_licence_is_told_beside_one_that_demands_something():
    registry = family(base={"license": "gpl-3.0"}, silent=child("base"))
    assert license_remarks(registry, "silent") == [
        "base is under gpl-3.0, which demands the same licence of what is based on it; "
        "silent states no licence"
    ]
    assert license_remarks(family(a={"license": "mit"}, b=child("a")), "b") == []


def test_data_of_an_ancestor_count_too():
    registry = family(
        base={"license": "mit", "data": [{"name": "Notes", "license": "CC BY-NC 4.0"}]},
        own=child("base", license="mit", data=[{"name": "Web", "license": "cc-by-nd-4.0"}]),
    )
    assert license_remarks(registry, "own") == [
        "the data 'Web' are under cc-by-nd-4.0, which allows no derivatives, and a model may be "
        "one; own is under mit",
        "the data 'Notes', which base was trained on, are under CC BY-NC 4.0, which allows no "
        "commercial use; own is under mit",
    ]


def test_show_tells_them(tmp_path, monkeypatch, capsys):
    (tmp_path / "registry.yaml").write_text(
        "version: 1\nfamily: x\nvariants:\n  base: {license: gpl-3.0}\n"
        "  own: {license: mit, parents: [{variant: base, relation: fine-tuning}]}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["registry", "show", "own"]) == 0
    assert "  remark: base is under gpl-3.0, which demands" in capsys.readouterr().out
    assert main(["registry", "show", "own", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["remarks"]) == 1
