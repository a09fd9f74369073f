"""A renamed variant has its new name in every place and file, and nothing else has changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mbrelease.errors import UserError
from mbrelease.registry.edit import rename_variant
from mbrelease.registry.load import load_project

REGISTRY = """\
# owl is who all come from
version: 1
family: owl   # the family is no variant
include: [variants/*.yaml]
policies:
  science: {primary: owl/loss, reference: owl}  # the reference
variants:
  owl:   # the first
    repo: owl/owl
    weights: weights/owl
    card: {title: owl, related: [owl/owl, 'owl', "two"], design_beside: [owl]}
aliases:
  owl-alias: owl
  two-alias: two
"""
SCIENCE = """\
\ufeffvariants:\r
  two:   # of owl\r
    parents:\r
      - relation: merging\r
        variant: "owl"\r
    supersedes: 'owl'\r
"""
TABLES = """\
tables:
  one:
    title: owl
    models: [owl, two]
    labels: {'owl': owl}
    stated:
      owl: {context: 1}
    layout: metrics
    change: {of: owl, against: two}
    columns: [{label: owl, metric: owl/loss}]
  bands:
    title: b
    bands:
      - {title: owl, models: [two]}
      - title: b
        models:
          - owl   # owl
    columns: [{label: owl, metric: owl/loss}]
"""
PLACES = [
    "registry.yaml:6:43: the reference of policy 'science'",
    "registry.yaml:11:43: related to 'eule' on its card",
    "registry.yaml:11:75: with the design of 'eule' on its card",
    "registry.yaml:13:14: what alias 'owl-alias' means",
    "variants/science.yaml:5:18: a parent of 'two'",
    "variants/science.yaml:6:17: superseded by 'two'",
    "variants/tables.yaml:4:14: in table 'one'",
    "variants/tables.yaml:5:14: in table 'one', labels",
    "variants/tables.yaml:7:7: in table 'one', stated",
    "variants/tables.yaml:9:18: in table 'one', change",
    "variants/tables.yaml:17:13: in table 'bands'",
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "variants").mkdir()
    (tmp_path / "registry.yaml").write_bytes(REGISTRY.encode())
    (tmp_path / "variants/science.yaml").write_bytes(SCIENCE.encode())
    (tmp_path / "variants/tables.yaml").write_bytes(TABLES.encode())
    (tmp_path / "variants/other.yaml").write_text("variants: {three: {}}  # owl\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "registry.yaml"


def test_every_place_gets_the_new_name_in_its_quotes(here):
    edit = rename_variant(here, "owl", "eule")
    registry = REGISTRY.replace("reference: owl", "reference: eule").replace("  owl:", "  eule:")
    registry = registry.replace("'owl'", "'eule'").replace("beside: [owl]", "beside: [eule]")
    registry = registry.replace("alias: owl", "alias: eule")
    assert here.read_bytes().decode() == registry
    science = SCIENCE.replace('"owl"', '"eule"').replace("'owl'", "'eule'")
    assert Path("variants/science.yaml").read_bytes().decode() == science
    tables = TABLES.replace("[owl,", "[eule,").replace("'owl'", "'eule'").replace("- owl", "- eule")
    tables = tables.replace("      owl:", "      eule:").replace("of: owl", "of: eule")
    assert Path("variants/tables.yaml").read_text() == tables
    assert Path("variants/other.yaml").read_text() == "variants: {three: {}}  # owl\n"
    assert [str(place) for place in edit.places] == PLACES
    assert [file.name for file in edit.files] == ["registry.yaml", "science.yaml", "tables.yaml"]
    assert load_project(here).registry == edit.project.registry
    assert not Path(".registry.yaml.journal").exists()
    # And back, byte for byte.
    rename_variant(here, "eule", "owl")
    assert here.read_text() == REGISTRY
    assert Path("variants/tables.yaml").read_text() == TABLES
    assert Path("variants/science.yaml").read_bytes().decode() == SCIENCE


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("owl", "two", "'two' is a variant already"),
        ("owl", "two-alias", "'two-alias' is an alias already"),
        ("two-alias", "zwei", "'two-alias' is an alias"),
        ("owll", "eule", "no variant 'owll'"),
        ("owl", "eine eule", "'eine eule' is no name"),
        ("owl", "eu\nle", r"'eu\\nle' is no name"),
    ],
)
def test_names_that_it_cannot_have(here, old, new, message):
    with pytest.raises(UserError, match=message):
        rename_variant(here, old, new)
    assert here.read_text() == REGISTRY
    assert Path("variants/tables.yaml").read_text() == TABLES


def test_its_own_name_is_no_change(here):
    edit = rename_variant(here, "owl", "owl")
    assert not edit.changed
    assert edit.files == edit.places == ()


@pytest.mark.parametrize("new", ["1.0", "no", "2024-01-01", "null", "e"])
def test_names_that_look_like_something_else_stay_names(here, new):
    edit = rename_variant(here, "owl", new)
    assert load_project(here).registry == edit.project.registry
    assert load_project(here).resolve_name("owl-alias") == new
    assert load_project(here).variant("two").supersedes == new


def test_anchors_and_aliases(tmp_path):
    path = tmp_path / "registry.yaml"
    head = "version: 1\nfamily: x\nvariants:\n  a: {}\n"
    path.write_text(
        head + "  b: {parents: &p [{variant: &n a, relation: merging}], supersedes: *n}\n"
        "  c: {parents: *p}\n  d: {supersedes: b}\n"
    )
    rename_variant(path, "a", "e")
    assert path.read_text() == (
        head.replace("a: {}", "e: {}")
        + "  b: {parents: &p [{variant: &n e, relation: merging}], supersedes: e}\n"
        "  c: {parents: *p}\n  d: {supersedes: b}\n"
    )
    # A title that is the same text by an anchor would change with it.
    text = head + "  b: {card: {title: &n a}}\n  c: {parents: [{variant: *n, relation: merging}]}\n"
    path.write_text(text)
    rename_variant(path, "a", "e")
    assert load_project(path).variant("b").card.title == "a"
    text = head + "  b: {supersedes: &n a, card: {title: *n}}\n"
    path.write_text(text)
    with pytest.raises(UserError, match="cannot rename"):
        rename_variant(path, "a", "e")
    assert path.read_text() == text


def test_files_of_both_names_are_not_mixed(here):
    for name in ("owl", "eule"):
        Path("decisions").mkdir(exist_ok=True)
        Path(f"decisions/{name}.json").write_text("{}")
    with pytest.raises(UserError, match=r"decisions/eule\.json is there already"):
        rename_variant(here, "owl", "eule")
    Path("decisions/owl.json").unlink()
    assert rename_variant(here, "owl", "eule").changed


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
def test_a_read_only_file_among_several_stops_all(here):
    Path("variants/tables.yaml").chmod(0o444)
    with pytest.raises(UserError, match=r"variants/tables\.yaml is read-only"):
        rename_variant(here, "owl", "eule")
    assert here.read_text() == REGISTRY
