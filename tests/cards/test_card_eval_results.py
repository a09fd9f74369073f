"""Results on benchmarks of the Hub, read back by its own client."""

import copy
from typing import Any

import pytest
import yaml
from card_projects import AVERAGE, REGISTRY, TASKS, Build, settings_sha256
from huggingface_hub import parse_eval_result_entries
from pydantic import TypeAdapter, ValidationError

from mbrelease.cards.eval_results import eval_results
from mbrelease.cards.scores import Column, Evaluation, read_evaluation
from mbrelease.evaluation.task_settings import task_sha256
from mbrelease.metadata.eval_results import check_eval_results
from mbrelease.registry.tasks import AnyTask
from mbrelease.selection.decision import read_decision

BENCHMARK = {"id": "mteb/titles", "task_id": "title_abstract"}
# Of the task "title-abstract" as version 0.1 computed it.
HASH_BEFORE = "f9432a550dd08fc15af670fb1a616a1ee62cdae03506b92c0b6292e97fdb63c1"
_TASK: TypeAdapter[AnyTask] = TypeAdapter(AnyTask)


def evaluated(build: Build, **benchmarks: dict[str, str]) -> tuple[Evaluation, Any]:
    """What was measured in a project whose tasks name ``benchmarks``, by task."""
    registry = copy.deepcopy(REGISTRY)
    for task in registry["suites"]["science"]:
        benchmark = benchmarks.get(task["name"].replace("-", "_"))
        task |= {"benchmark": benchmark} if benchmark else {}
    built = build(registry)
    decision = read_decision(built.project.decision("science"))
    own = Column("this model", AVERAGE, None)
    evaluation = read_evaluation(built.project, "science", own, decision)
    assert evaluation is not None
    return evaluation, built.records


def test_the_result_of_a_benchmark_in_the_layout_of_the_hub(build: Build) -> None:
    benchmark = {**BENCHMARK, "revision": "5503434d"}
    evaluation, records = evaluated(build, title_abstract=benchmark)
    files = eval_results(evaluation, "org/science")
    assert list(files) == [".eval_results/mteb__titles.yaml"]
    text = files[".eval_results/mteb__titles.yaml"]
    assert check_eval_results(text, "x.yaml") == []
    (entry,) = parse_eval_result_entries(yaml.safe_load(text))
    record = records[AVERAGE, "title-abstract", "test"]
    assert entry.value == record.metrics["recall_at_1"]
    assert (entry.dataset_id, entry.task_id) == ("mteb/titles", "title_abstract")
    assert entry.dataset_revision == "5503434d"
    assert entry.source_url == "https://huggingface.co/org/science"
    assert entry.notes == ("recall@1 on test; 1,048 examples; sdpa attention, float32, cpu")


def test_a_file_a_dataset_and_seeds_in_the_notes(build: Build) -> None:
    evaluation, _ = evaluated(
        build,
        title_abstract=BENCHMARK,
        section={**BENCHMARK, "task_id": "section"},
        heldout_mlm={"id": "org/text", "task_id": "mlm"},
    )
    files = eval_results(evaluation)
    assert list(files) == [".eval_results/mteb__titles.yaml", ".eval_results/org__text.yaml"]
    entries = yaml.safe_load(files[".eval_results/mteb__titles.yaml"])
    assert [entry["dataset"]["task_id"] for entry in entries] == ["title_abstract", "section"]
    assert "mean of 5 seeds" in entries[1]["notes"]
    assert all("source" not in entry for entry in entries)


def test_without_a_benchmark_there_is_no_file(build: Build) -> None:
    assert eval_results(evaluated(build)[0]) == {}


def test_the_same_evidence_gives_the_same_bytes(build: Build) -> None:
    evaluation, _ = evaluated(build, title_abstract=BENCHMARK)
    assert eval_results(evaluation, "org/x") == eval_results(evaluation, "org/x")


@pytest.mark.parametrize("settings", TASKS, ids=lambda task: task["name"])
def test_a_benchmark_changes_no_hash_of_what_was_measured(settings: dict[str, Any]) -> None:
    task = _TASK.validate_python({**settings, "benchmark": BENCHMARK})
    assert task_sha256(task) == settings_sha256(settings["name"])


def test_a_hash_made_before_there_were_benchmarks_stays() -> None:
    assert settings_sha256("title-abstract") == HASH_BEFORE


@pytest.mark.parametrize(
    "benchmark",
    [
        {"id": "titles", "task_id": "x"},
        {"id": "./data/titles", "task_id": "x"},
        {"id": "mteb/titles"},
        {"id": "mteb/titles", "task_id": ""},
        {"id": "mteb/titles", "task_id": "x", "split": "test"},
    ],
)
def test_a_benchmark_that_the_hub_could_not_find_is_a_mistake(benchmark: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        _TASK.validate_python({**TASKS[1], "benchmark": benchmark})
