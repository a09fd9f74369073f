"""The front matter, read back by the Hub's own client."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from card_projects import AVERAGE, REGISTRY, Build, Built
from huggingface_hub import ModelCard, ModelCardData

from mbrelease.cards.arithmetic import fields_of
from mbrelease.cards.card import render_card, render_folder_card
from mbrelease.cards.lineage import UNKNOWN
from mbrelease.cards.metadata import front_matter
from mbrelease.cards.model_index import index_origins, model_index
from mbrelease.cards.reports import Report, Reports
from mbrelease.cards.told import Derived, Place
from mbrelease.evaluation.reported import ReportedResult, ReportSource, write_reported
from mbrelease.metadata.check import check_metadata
from mbrelease.registry.load import load_project
from mbrelease.registry.schema import Emissions


def matter(card: str) -> dict[str, Any]:
    content = yaml.safe_load(card.removeprefix("---\n").split("\n---\n", 1)[0])
    assert isinstance(content, dict)
    return content


def nothing_is_null(value: Any) -> bool:
    if isinstance(value, dict):
        return all(nothing_is_null(inner) for inner in value.values())
    if isinstance(value, list):
        return all(nothing_is_null(inner) for inner in value)
    return value is not None and value == value


def test_the_whole_front_matter(built: Built) -> None:
    found = matter(render_card(built.project, "science"))
    index = found.pop("model-index")
    assert found == {
        "language": ["en"],
        "license": "apache-2.0",
        "library_name": "transformers",
        "pipeline_tag": "fill-mask",
        "base_model": "org/base",
        "base_model_relation": "finetune",
        "datasets": ["org/papers"],
        "tags": ["modernbert", "papers"],
    }
    assert nothing_is_null(index)
    (model,) = index
    assert model["name"] == "Science"
    assert [result["task"]["type"] for result in model["results"]] == [
        "fill-mask", "information-retrieval", "text-classification",
    ]  # fmt: skip


def test_model_index_holds_the_unrounded_values_of_the_evidence(built: Built) -> None:
    (model,) = matter(render_card(built.project, "science"))["model-index"]
    for result in model["results"]:
        record = built.records[AVERAGE, result["dataset"]["name"], "test"]
        assert result["dataset"]["split"] == "test"
        assert result["dataset"]["revision"] == record.provenance.data_sha256
        for metric in result["metrics"]:
            assert metric["value"] == record.metrics[metric["type"]]


def test_the_hubs_client_reads_it_and_writes_it_back(built: Built) -> None:
    card = render_card(built.project, "science")
    data = ModelCard(card).data
    assert isinstance(data, ModelCardData)
    assert data.model_name == "Science"
    assert data.eval_results is not None
    assert len(data.eval_results) == 6
    again = yaml.safe_load(data.to_yaml())
    # The client writes `verified: false` and such of its own; ours must survive beside it.
    ours = matter(card)
    for key, value in ours.items():
        if key != "model-index":
            assert again[key] == value
    results = {
        (r["dataset"]["name"], m["type"]): m["value"]
        for r in again["model-index"][0]["results"]
        for m in r["metrics"]
    }
    assert results == {
        (r["dataset"]["name"], m["type"]): m["value"]
        for r in ours["model-index"][0]["results"]
        for m in r["metrics"]
    }


def test_without_evidence_there_is_no_model_index(build: Build) -> None:
    assert "model-index" not in matter(render_card(build(splits=(), decide=False).project, "base"))


def test_a_folder_claims_nothing_it_does_not_know(folder: Any) -> None:
    assert matter(render_folder_card(folder)) == {
        "library_name": "transformers",
        "pipeline_tag": "fill-mask",
        "tags": ["modernbert"],
    }


def with_variants(**variants: dict[str, Any]) -> dict[str, Any]:
    registry = copy.deepcopy(REGISTRY)
    registry["variants"] = {"base": {"repo": "org/base"}, **variants}
    return registry


def parents(*names: str, relation: str = "continued-pretraining") -> dict[str, Any]:
    return {"parents": [{"variant": name, "relation": relation} for name in names]}


@pytest.mark.parametrize(
    ("variants", "base", "relation", "merged"),
    [
        # an unpublished step in between is passed over
        ({"run": parents("base"), "x": parents("run")}, "org/base", "finetune", False),
        # an average of checkpoints of one run
        (
            {"run": parents("base"), "x": parents("run", relation="averaging")},
            "org/base", "finetune", False,
        ),
        # an average of two unpublished runs from one published model
        (
            {
                "a": parents("base"),
                "b": parents("base"),
                "x": parents("a", "b", relation="averaging"),
            },
            "org/base", "finetune", False,
        ),
        # an average of published models
        (
            {
                "a": {**parents("base"), "repo": "org/a"},
                "b": {**parents("base"), "repo": "org/b"},
                "x": parents("a", "b", relation="averaging"),
            },
            ["org/a", "org/b"], "merge", True,
        ),
        (
            {
                "a": {**parents("base"), "repo": "org/a"},
                "x": parents("base", "a", relation="merging"),
            },
            ["org/base", "org/a"], "merge", True,
        ),
        ({"x": parents("base", relation="quantization")}, "org/base", "quantized", False),
        ({"x": parents("base", relation="adapter")}, "org/base", "adapter", False),
        # a quantization of an unpublished finetune
        (
            {"run": parents("base"), "x": parents("run", relation="quantization")},
            "org/base", "quantized", False,
        ),
        # a parent that is said not to be out yet is passed over
        (
            {"a": {**parents("base"), "repo": "org/a", "released": False}, "x": parents("a")},
            "org/base", "finetune", False,
        ),
        # nothing published above: no claim
        ({"run": {}, "x": parents("run")}, None, None, False),
    ],
)  # fmt: skip
def test_base_model(
    build: Build,
    variants: dict[str, Any],
    base: str | list[str] | None,
    relation: str | None,
    merged: bool,
) -> None:
    registry = with_variants(**variants, science=REGISTRY["variants"]["science"])
    found = matter(render_card(build(registry).project, "x"))
    assert found.get("base_model") == base
    assert found.get("base_model_relation") == relation
    assert ("merge" in found["tags"]) == merged


def test_a_chosen_average_of_one_run_is_a_finetune(built: Built) -> None:
    found = matter(render_card(built.project, "science"))
    assert (found["base_model_relation"], "merge" in found["tags"]) == ("finetune", False)


@pytest.mark.parametrize(("released", "written"), [(True, True), (None, False), (False, False)])
def test_new_version_stands_on_the_old_card_once_it_is_out(
    build: Build, released: bool | None, written: bool
) -> None:
    later: dict[str, Any] = {"repo": "org/v2", "supersedes": "v1", "run": "runs/v2"}
    if released is not None:
        later["released"] = released
    science = REGISTRY["variants"]["science"]
    registry = with_variants(v1={"repo": "org/v1"}, v2=later, science=science)
    card = render_card(build(registry).project, "v1")
    assert matter(card).get("new_version") == ("org/v2" if written else None)
    assert ("There is a newer version" in card) == written


@pytest.mark.parametrize("code", ["no", "on", "yes", "null", "0x1", "~", "2026-01-01", "=", "a: b"])
def test_yaml_does_not_take_text_for_something_else(build: Build, code: str) -> None:
    """Norwegian is `no`, which YAML 1.1 reads as false."""
    registry = copy.deepcopy(REGISTRY)
    registry["variants"]["science"]["languages"] = [code]
    registry["variants"]["science"]["card"]["tags"] = [code]
    card = render_card(build(registry).project, "science")
    assert matter(card)["language"] == [code]
    assert matter(card)["tags"] == ["modernbert", code]
    assert not [each for each in check_metadata(card) if "YAML 1.1" in each.what]


@pytest.mark.parametrize("text", ["1e3", "0o7", "12", "1.5E-3"])
def test_numbers_of_yaml_1_2_are_quoted_too(text: str) -> None:
    matter_text = front_matter(
        "x",
        license_id=None,
        languages=(),
        tags=[text],
        data=(),
        lineage=UNKNOWN,
        evaluation=None,
    )
    assert f"- '{text}'\n" in matter_text


def written(**given: Any) -> dict[str, Any]:
    """The front matter of a model of which only ``given`` is known."""
    settings: dict[str, Any] = {
        "license_id": None,
        "languages": (),
        "tags": (),
        "data": (),
        "lineage": UNKNOWN,
        "evaluation": None,
    }
    if "reported" in given:
        given["reported"] = [Report(one, Place("reports.json")) for one in given["reported"]]
    text = front_matter("x", **{**settings, **given})
    assert not [each for each in check_metadata(text) if each.is_error]
    return matter(text)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("Apache License 2.0", {"license": "apache-2.0"}),
        ("CC BY-NC 4.0", {"license": "cc-by-nc-4.0"}),
        (
            "Owl Licence v2",
            {"license": "other", "license_name": "owl-licence-v2", "license_link": "LICENSE"},
        ),
        (
            "https://owls.org/terms.html",
            {
                "license": "other",
                "license_name": "terms",
                "license_link": "https://owls.org/terms.html",
            },
        ),
        ("  ", {}),
    ],
)
def test_a_licence_without_an_id_is_other_with_name_and_link(
    given: str, found: dict[str, str]
) -> None:
    metadata = written(license_id=given)
    assert {k: v for k, v in metadata.items() if k.startswith("license")} == found


def test_emissions_are_in_grams_with_where_they_come_from() -> None:
    metadata = written(
        emissions=Emissions(
            co2_grams=0.00001, source="CodeCarbon", location="Quebec", hardware="1 H100"
        )
    )
    assert metadata["co2_eq_emissions"] == {
        "emissions": 0.00001,
        "source": "CodeCarbon",
        "geographical_location": "Quebec",
        "hardware_used": "1 H100",
    }
    assert written(emissions=Emissions(co2_grams=0.0))["co2_eq_emissions"] == {"emissions": 0.0}


PAPER = ReportSource("https://example.org/owls.pdf", "The owl paper", "Table 5")


def report(metric: str = "ndcg_at_10", value: float = 52.1, **given: Any) -> ReportedResult:
    settings: dict[str, Any] = {"task_name": "beir", "split": "test", "source": PAPER}
    return ReportedResult(metric=metric, value=value, **{**settings, **given})


def test_a_reported_result_names_its_source() -> None:
    metadata = written(
        reported=[report(subset="nfcorpus"), report("mrr", 1 / 3, subset="nfcorpus")]
    )
    (model,) = metadata["model-index"]
    assert model["results"] == [
        {
            "task": {"type": "information-retrieval", "name": "Retrieval"},
            "dataset": {
                "name": "beir nfcorpus", "type": "beir", "config": "nfcorpus", "split": "test",
            },
            "metrics": [
                {"type": "ndcg_at_10", "value": 52.1, "name": "nDCG@10"},
                {"type": "mrr", "value": 1 / 3, "name": "mean reciprocal rank"},
            ],
            "source": {"url": PAPER.url, "name": "The owl paper, Table 5"},
        }
    ]  # fmt: skip


def test_reports_that_cannot_be_marked_or_are_of_something_else_are_left_out() -> None:
    left_out = [
        report(source=ReportSource(None, "hearsay")),
        report(details={"step": 100}),
        report(details={"limit": 8}),
        report("ndcg_sd"),
    ]
    assert "model-index" not in written(reported=left_out)


def test_several_seeds_of_a_report_are_their_mean() -> None:
    metadata = written(reported=[report("f1", 0.1, seed=0), report("f1", 0.2, seed=1)])
    (metric,) = metadata["model-index"][0]["results"][0]["metrics"]
    assert metric == {"type": "f1", "value": (0.1 + 0.2) / 2, "name": "F1, mean of 2 seeds"}


def test_a_split_that_nobody_named_is_not_made_up() -> None:
    metadata = written(reported=[report(split="unstated", task_name="Owls & Others")])
    (result,) = metadata["model-index"][0]["results"]
    assert result["dataset"] == {"name": "Owls & Others", "type": "owls-others"}


TABLES = """\
version: 1
family: Owls
variants:
  owl: {card: {tables: [all, parts, nests]}}
  owlet: {parents: [{variant: owl, relation: fine-tuning}], card: {tables: [songs]}}
tables:
  all:
    title: All benchmarks
    models: [owl]
    columns:
      - {label: BEIR, metric: beir/ndcg@10}
      - {label: Mean, mean: [beir/ndcg@10, nests/mrr]}
  parts:
    title: The parts of BEIR
    models: [owl]
    columns:
      - {label: NFCorpus, metric: "beir[nfcorpus]/ndcg@10"}
      - {label: Average, metric: beir/ndcg@10}
  nests:
    title: Finding nests
    models: [owl]
    columns: [{label: Recall@1, metric: nests/recall@1}, {label: MRR, metric: nests/mrr}]
  songs:
    title: Songs
    models: [owlet, owl]
    columns: [{label: Calls, metric: calls/f1}]
"""


def test_reported_results_are_those_of_the_cards_own_tables_each_once(tmp_path: Path) -> None:
    later = ReportSource(PAPER.url, PAPER.name, "Table 7")
    (tmp_path / "registry.yaml").write_text(TABLES)
    write_reported(
        tmp_path / "evidence",
        "owl",
        [
            report(), report(source=later), report(value=23.7, subset="nfcorpus", source=later),
            report("mrr", 0.2, task_name="nests", seed=0),
            report("mrr", 0.3, task_name="nests", seed=1),
            report("recall_at_1", 0.1, task_name="nests"),
            report("f1", 70.0, task_name="calls"),  # which the card of owlet compares with
            report("map", 12.0),
        ],
    )  # fmt: skip
    write_reported(tmp_path / "evidence", "owlet", [report("f1", 71.0, task_name="calls")])
    given = Reports(load_project(tmp_path / "registry.yaml")).all_of("owl")
    index = model_index("x", None, given)
    assert index is not None
    assert [
        (r["dataset"]["name"], r["source"]["name"], [(m["name"], m["value"]) for m in r["metrics"]])
        for r in index[0]["results"]
    ] == [
        ("BEIR", "The owl paper, Table 5", [("nDCG@10", 52.1)]),
        ("NFCorpus (The parts of BEIR)", "The owl paper, Table 7", [("nDCG@10", 23.7)]),
        (
            "Finding nests",
            "The owl paper, Table 5",
            [("recall@1", 0.1), ("mean reciprocal rank, mean of 2 seeds", 0.25)],
        ),
    ]
    # The origins stand in the order of the values.
    values = [m["value"] for r in index[0]["results"] for m in r["metrics"]]
    origins = index_origins(None, given)
    first = [fields_of(origin)[0] for origin in origins]
    assert len(values) == len(origins) == 4
    assert [field.value for field in first] == [52.1, 23.7, 0.1, 0.2]
    assert isinstance(origins[3], Derived) and len(fields_of(origins[3])) == 2


def test_what_others_report_of_a_base_stands_on_their_cards_alone() -> None:
    project = load_project(Path(__file__).parents[2] / "registry.yaml")
    said = {report.result.task_name for report in Reports(project).all_of("modernbert-base")}
    assert "beir-dpr" in said and not said & {"chemprot", "arxiv-categories", "title-abstract"}


def test_data_of_the_hub_are_named_as_the_hub_does(build: Build, tmp_path: Path) -> None:
    registry = copy.deepcopy(REGISTRY)
    (task,) = [t for t in registry["suites"]["science"] if t["name"] == "heldout-mlm"]
    task["data"] = {
        "dataset": "org/papers", "config": "en", "revision": "abc", "dev": "validation",
    }  # fmt: skip
    project = build(registry, splits=("dev",)).project
    tasks = project.suite("science")
    given = [report("loss", 3.5, task_name="heldout-mlm", split="dev")]

    def dataset(root: Path) -> dict[str, Any]:
        metadata = written(reported=given, tasks=tasks, root=root)
        return metadata["model-index"][0]["results"][0]["dataset"]

    assert dataset(project.root) == {
        "name": "heldout-mlm", "type": "org/papers", "config": "en", "split": "validation",
        "revision": "abc",
    }  # fmt: skip
    (tmp_path / "org" / "papers").mkdir(parents=True)
    assert dataset(tmp_path) == {"name": "heldout-mlm", "type": "heldout-mlm", "split": "dev"}


def test_a_measured_task_on_data_of_the_hub_has_no_hash_for_a_revision(build: Build) -> None:
    registry = copy.deepcopy(REGISTRY)
    (task,) = [t for t in registry["suites"]["science"] if t["name"] == "heldout-mlm"]
    task["data"] = {"dataset": "org/papers", "dev": "validation", "test": "test"}
    (model,) = matter(render_card(build(registry).project, "science"))["model-index"]
    assert model["results"][0]["dataset"] == {
        "name": "heldout-mlm", "type": "org/papers", "split": "test",
    }  # fmt: skip


def test_the_whole_card_passes_the_rules_of_the_hub(built: Built) -> None:
    assert check_metadata(render_card(built.project, "science"), repo_id="org/science") == []
