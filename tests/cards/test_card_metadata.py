"""The front matter, read back by the Hub's own client."""

import copy
from typing import Any

import pytest
import yaml
from card_projects import AVERAGE, REGISTRY, Build, Built
from huggingface_hub import ModelCard, ModelCardData

from mbrelease.cards.card import render_card, render_folder_card
from mbrelease.cards.lineage import UNKNOWN
from mbrelease.cards.metadata import front_matter


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
    registry["variants"]["science"]["license"] = code
    found = matter(render_card(build(registry).project, "science"))
    assert found["language"] == [code]
    assert found["license"] == code.lower()


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
