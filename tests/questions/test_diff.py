"""`mbrelease registry diff`, on evidence that was measured and figures that were reported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mbrelease.cards.paired import paired_interval
from mbrelease.cli.main import main
from mbrelease.evaluation.evidence import read_records
from mbrelease.evaluation.reported import ReportedResult, ReportSource, write_reported
from mbrelease.questions.columns import columns_text
from mbrelease.questions.difference import difference
from mbrelease.questions.difference_text import difference_text
from mbrelease.registry.load import load_project

TOP = Path(__file__).parents[2]
FAMILY = load_project(TOP / "registry.yaml")
BASE, SCIENCE = "debian-base", "debian-science"


@pytest.fixture
def measured(tmp_path):
    """The gallery's project: a decision and evidence of a real run, without weights."""
    kept = shutil.ignore_patterns(".mbrelease", "figures", "screenshots")
    shutil.copytree(TOP / "docs/gallery/debian-science", tmp_path / "p", ignore=kept)
    return load_project(tmp_path / "p/registry.yaml")


def rows(found):
    return {(row.task, row.metric): row for row in found.measured}


def test_the_evidence_is_that_of_the_decided_weights_and_their_reference(measured):
    found = difference(measured, BASE, SCIENCE)
    decision = json.loads(measured.decision(SCIENCE).read_text())
    chosen = next(c for c in decision["candidates"] if c["name"] == decision["chosen"])
    assert found.second.weights_sha256 == chosen["weights_sha256"]
    assert found.first.weights_sha256 == decision["reference"]["weights_sha256"]
    assert found.second.weights == "best:3+last, as decided"
    assert found.first.weights == "the reference that debian-science was decided against"


def test_the_numbers_are_those_of_the_files_on_test(measured):
    found = difference(measured, BASE, SCIENCE)
    row = rows(found)["title-text", "recall@1"]
    for side, value in ((found.first, row.first), (found.second, row.second)):
        path = measured.evidence / side.weights_sha256[:16] / "title-text.json"
        (entry,) = json.loads(path.read_text())["scores"]["test"]
        assert entry["recall_at_1"] == value
    assert row.split == "test"
    assert row.difference == row.second - row.first
    assert list(dict.fromkeys(task for task, _ in rows(found))) == [
        "heldout-mlm", "title-text", "section",
    ]  # fmt: skip


def test_an_interval_is_shown_where_one_was_kept_and_none_is_drawn(measured):
    found = difference(measured, BASE, SCIENCE)
    assert {row.interval for row in found.measured} == {None}
    assert not (measured.root / ".mbrelease").exists()
    task = measured.suite(SCIENCE)[1]
    first, second = (
        next(
            record
            for record in read_records(measured.evidence, side.weights_sha256, task.name)
            if record.split == "test"
        )
        for side in (found.first, found.second)
    )
    drawn = paired_interval(measured, task, "recall_at_1", second, first)
    assert rows(difference(measured, BASE, SCIENCE))["title-text", "recall@1"].interval == drawn
    low, high = drawn
    turned = rows(difference(measured, SCIENCE, BASE))["title-text", "recall@1"]
    assert turned.interval == (-high, -low)
    text = difference_text(difference(measured, BASE, SCIENCE))
    assert "+0.067 [+0.032, +0.104]" in text
    assert "where no interval stands, a card has kept none" in text


def test_other_conditions_are_not_set_side_by_side(measured):
    sha256 = difference(measured, BASE, SCIENCE).first.weights_sha256
    path = measured.evidence / sha256[:16] / "title-text.json"
    content = json.loads(path.read_text())
    for entries in content["scores"].values():
        for entry in entries:
            entry["provenance"]["dtype"] = "bfloat16"
    path.write_text(json.dumps(content))
    tasks = {task for task, _ in rows(difference(measured, BASE, SCIENCE))}
    assert tasks == {"heldout-mlm", "section"}


def test_a_figure_of_one_source_and_place_is_compared():
    found = difference(FAMILY, "modernbert-base", "modernbert-large")
    (glue,) = (row for row in found.reported if (row.task, row.subset) == ("glue", "default"))
    # arXiv:2412.13663, Table 1: 88.4 and 90.4.
    assert (glue.first, glue.second, glue.split) == (88.4, 90.4, "dev")
    assert "Table 1" in glue.source
    assert not [row for row in found.reported if row.metric.endswith("_sd")]


def test_figures_by_seed_are_means_over_the_seeds_of_both(configs):
    source = ReportSource(name="a paper", place="Table 1")

    def report(variant, values):
        results = [
            ReportedResult("glue", "dev", "score", value, source, seed=seed)
            for seed, value in values.items()
        ]
        write_reported(configs.evidence, variant, results)

    report("a", {0: 80.0, 1: 82.0, 2: 99.0})
    report("b", {0: 81.0, 1: 85.0})
    (row,) = difference(configs, "a", "b").reported
    assert (row.first, row.second, row.seeds) == (81.0, 83.0, 2)
    assert "glue/score (mean of 2 seeds)" in difference_text(difference(configs, "a", "b"))


def test_another_place_or_source_is_another_figure(configs):
    for variant, place in (("a", "Table 1"), ("b", "Table 2")):
        result = ReportedResult("glue", "dev", "score", 1.0, ReportSource(name="x", place=place))
        write_reported(configs.evidence, variant, [result])
    assert difference(configs, "a", "b").reported == ()


REGISTRY = """\
version: 1
family: x
defaults: {license: mit, languages: [en]}
variants:
  a: {weights: a, architecture: {parameters: 10, layers: 2}, data: [{name: News, documents: 3}]}
  b:
    weights: b
    license: apache-2.0
    architecture: {parameters: 20, layers: 4}
    parents: [{variant: a, relation: context-extension}]
    training: {tokens: 7}
    data: [{name: News, documents: 4}, {name: Law}]
    card: {title: B}
  stated: {architecture: {layers: 3, context: 64}}
  silent: {}
  twin: {}
"""
CONFIG = {"model_type": "modernbert", "num_hidden_layers": 6, "max_position_embeddings": 512}


@pytest.fixture
def configs(tmp_path, monkeypatch):
    (tmp_path / "registry.yaml").write_text(REGISTRY)
    for name, more in {
        "a": {},
        "b": {"max_position_embeddings": 8192, "global_rope_theta": 1.6e5},
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(
            json.dumps(CONFIG | {"global_rope_theta": 1e4} | more)
        )
    monkeypatch.chdir(tmp_path)
    return load_project()


def test_configs_on_disk_go_before_what_is_stated(configs):
    found = difference(configs, "a", "b")
    assert [design.source for design in found.designs] == ["a/config.json", "b/config.json"]
    assert {c.key: (c.before, c.after) for c in found.config} == {
        "max_position_embeddings": (512, 8192), "global_rope_theta": (1e4, 1.6e5),
    }  # fmt: skip
    assert found.same_in_config == 18


def test_a_config_beside_a_stated_design_is_told_in_its_words(configs):
    found = difference(configs, "a", "stated")
    both = {c.key: (c.before, c.after) for c in found.config if c.after is not None}
    assert both == {"layers": (6, 3), "context": (512, 64)}
    text = difference_text(found)
    assert "Config (A: a/config.json; B: stated in the registry)" in text
    assert "only of A: hidden size, attention heads" in text
    assert difference(configs, "a", "silent").designs[1].source == "nothing is stated"


def test_data_rights_and_card(configs):
    found = difference(configs, "a", "b")
    assert [(c.key, c.before, c.after) for c in found.data] == [
        ("data[News].documents", 3, 4), ("data", None, {"name": "Law"}),
    ]  # fmt: skip
    assert [(c.key, c.before, c.after) for c in found.rights] == [("license", "mit", "apache-2.0")]
    assert [(c.key, c.after) for c in found.card] == [("card.title", "B")]


def test_json(configs, capsys):
    assert main(["registry", "diff", "a", "b", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["lineage"]["common_ancestors"] == ["a"]
    assert answer["lineage"]["chain"]["to_second"] == [
        {"child": "b", "parent": "a", "relation": "context-extension"}
    ]
    assert answer["training"] == [{"key": "training.tokens", "before": None, "after": 7}]
    assert answer["evidence"]["measured"] == []
    # Why nothing is known of the weights is told.
    assert answer["evidence"]["first"]["sha256"] is None
    assert answer["evidence"]["first"]["notes"]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_tables_keep_to_the_width(measured, width):
    for found in (
        difference(FAMILY, "modernbert-base", "modernbert-science-dapt-v2"),
        difference(measured, BASE, SCIENCE),
    ):
        lines = difference_text(found, width).splitlines()
        # Only names, which stay whole, may be longer.
        wide = [line for line in lines if len(line) > width]
        assert all("→" in line for line in wide)
        assert any("only of A" in line or "debian" in line for line in lines)


def test_columns_break_what_is_wide_and_lose_nothing():
    table = [["key", "short", "a long sentence that needs more room than there is in its column"]]
    lines = columns_text(["", "A", "B"], table, 60)
    assert max(map(len, lines)) <= 60
    words = [word for line in lines[1:] for word in line.split()]
    assert sorted(words) == sorted(" ".join(table[0]).split())
    stacked = columns_text(["", "A", "B"], table, 40)
    assert stacked[:2] == ["  key", "    A: short"]


def test_a_variant_and_itself_differ_in_nothing(measured):
    found = difference(measured, SCIENCE, SCIENCE)
    changes = [*found.config, *found.training, *found.data, *found.rights, *found.card]
    assert changes == []
    assert {row.difference for row in found.measured} == {0.0}
    assert difference_text(found) == f"A: {SCIENCE}\nB: {SCIENCE}\n\nno difference"


def test_equal_figures_are_counted_and_not_shown(configs):
    source = ReportSource(name="a paper")
    for variant, values in {"a": (0.44, 0.5), "b": (0.338, 0.5)}.items():
        results = [
            ReportedResult("glue", "dev", metric, value, source)
            for metric, value in zip(("f1", "accuracy"), values, strict=True)
        ]
        write_reported(configs.evidence, variant, results)
    lines = difference_text(difference(configs, "a", "b")).splitlines()
    at = lines.index("Evidence, reported by a paper")
    assert lines[at + 2].split() == ["glue/f1", "dev", "0.440", "0.338", "−0.102"]
    assert lines[at + 3] == "  the same: 1"


def test_two_that_differ_in_nothing_but_their_name(configs):
    found = difference(configs, "silent", "twin")
    assert difference_text(found).endswith("\n\nno difference is known beside the lineage")


def test_equal_values_of_other_weights_are_counted(measured):
    sha256 = difference(measured, BASE, SCIENCE).first.weights_sha256
    path = measured.evidence / sha256[:16] / "title-text.json"
    (row,) = (r for r in difference(measured, BASE, SCIENCE).measured if r.metric == "recall@1")
    content = json.loads(path.read_text())
    (entry,) = content["scores"]["test"]
    entry["recall_at_1"] = row.second
    path.write_text(json.dumps(content))
    text = difference_text(difference(measured, BASE, SCIENCE))
    assert "title-text/recall@1" not in text and "\n  the same: 1\n" in text
