"""What others reported is kept apart from what was measured."""

import json
from dataclasses import replace

import pyarrow as pa
import pytest

from mbrelease.errors import UserError
from mbrelease.evaluation.evidence import (
    EvidenceRecord,
    Provenance,
    measured_tasks,
    read_records,
    write_record,
)
from mbrelease.evaluation.reported import (
    ReportedResult,
    ReportSource,
    plan_reported,
    read_reported,
    reported_folder,
    require_names,
    write_reported,
)

PAPER = ReportSource(url="https://example.org/owls.pdf", name="The owl paper", place="Table 5")
COLA = ReportedResult("cola", "dev", "matthews", 65.1, PAPER, n_examples=1043)
FULL = ReportedResult(
    "cola", "test", "accuracy", 0.84, ReportSource(place="a.csv"), subset="en", seed=3,
    n_examples=7, higher_is_better=True, stderr=0.01, languages=("eng-Latn",),
    details={"limit": 7, "model": "owls/base"},
)  # fmt: skip
WEIGHTS = "a" * 64


def values(root, variant="owl"):
    return {(r.task_name, r.split, r.metric): r.value for r in read_reported(root, variant)}


def test_what_is_written_is_read_with_every_field(tmp_path):
    write_reported(tmp_path, "owl", [COLA, FULL])
    assert read_reported(tmp_path, "owl") == [COLA, FULL]
    assert read_reported(tmp_path, "other") == []


def test_metrics_of_one_report_stand_in_one_entry_and_the_first_is_the_main_one(tmp_path):
    f1 = replace(COLA, metric="f1", value=70.0, higher_is_better=True)
    write_reported(tmp_path, "owl", [COLA, f1, replace(COLA, seed=1, value=64.0)])
    content = json.loads((reported_folder(tmp_path, "owl") / "cola.json").read_text())
    first, second = content["scores"]["dev"]
    assert (first["main_score"], first["matthews"], first["f1"]) == (65.1, 65.1, 70.0)
    assert first["source"] == {
        "url": "https://example.org/owls.pdf", "name": "The owl paper", "place": "Table 5",
    }  # fmt: skip
    assert first["higher_is_better"] == {"f1": True}
    assert (second["main_score"], second["seed"]) == (64.0, 1)


def test_writing_again_leaves_the_bytes_and_the_clock_alone(tmp_path):
    first = write_reported(tmp_path, "owl", [COLA, FULL])
    file = reported_folder(tmp_path, "owl") / "cola.json"
    before = file.stat()
    again = write_reported(tmp_path, "owl", [COLA, FULL])
    assert [change.state for change in [*first, *again]] == ["new", "new", "known", "known"]
    assert file.stat().st_ino == before.st_ino


def test_a_result_replaces_the_one_of_the_same_source_alone(tmp_path):
    card = replace(COLA, source=ReportSource(url="https://example.org/card"), value=66.0)
    write_reported(tmp_path, "owl", [COLA, card])
    corrected = replace(COLA, value=65.2)
    [planned] = plan_reported(tmp_path, "owl", [corrected])
    assert (planned.state, planned.before) == ("changed", COLA)
    assert read_reported(tmp_path, "owl") == [COLA, card]
    write_reported(tmp_path, "owl", [corrected])
    assert read_reported(tmp_path, "owl") == [corrected, card]


def test_a_plan_writes_nothing(tmp_path):
    plan_reported(tmp_path, "owl", [COLA])
    assert list(tmp_path.iterdir()) == []


def measured(task="cola"):
    return EvidenceRecord(
        task_name=task, split="dev", main_score=0.5, metrics={"matthews": 0.5}, n_examples=2,
        ci95={}, experiments=(), counts={}, languages=("en",), evaluation_time_seconds=1.0,
        provenance=Provenance(WEIGHTS, *"bcde", "sdpa", "float32", "cpu", 1),
    )  # fmt: skip


def test_no_reader_of_evidence_sees_a_report(tmp_path):
    write_record(tmp_path, measured(), pa.table({"id": ["x"]}))
    # A variant may even be called like the folder of its weights.
    for variant in ("owl", WEIGHTS[:16]):
        write_reported(tmp_path, variant, [COLA, replace(COLA, task_name="rte")])
    assert [record.metrics for record in read_records(tmp_path, WEIGHTS, "cola")] == [
        {"matthews": 0.5}
    ]
    assert read_records(tmp_path, WEIGHTS, "rte") == []
    assert measured_tasks(tmp_path, WEIGHTS) == ["cola"]
    assert values(tmp_path) == {
        ("cola", "dev", "matthews"): 65.1,
        ("rte", "dev", "matthews"): 65.1,
    }


def test_a_measured_file_among_the_reports_is_refused_and_the_other_way_round(tmp_path):
    stored = write_record(tmp_path, measured(), pa.table({"id": ["x"]}))
    write_reported(tmp_path, "owl", [COLA])
    report = reported_folder(tmp_path, "owl") / "cola.json"
    measured_text, reported_text = stored.file.read_text(), report.read_text()
    report.write_text(measured_text)
    stored.file.write_text(reported_text)
    with pytest.raises(UserError, match="it was measured: it has a provenance"):
        read_reported(tmp_path, "owl")
    with pytest.raises(UserError, match="malformed evidence"):
        read_records(tmp_path, WEIGHTS, "cola")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"source": None}, "TypeError"),
        ({"source": {"who": "x"}}, "who"),
        ({"matthews": "65"}, "main_score is the value of no metric"),
        ({"matthews": float("nan")}, "not a finite number"),
        ({"matthews": 10**400}, "OverflowError"),
        ({"main_score": 1}, "main_score is the value of no metric"),
    ],
)
def test_a_malformed_report_is_named(tmp_path, entry, said):
    write_reported(tmp_path, "owl", [COLA])
    path = reported_folder(tmp_path, "owl") / "cola.json"
    content = json.loads(path.read_text())
    content["scores"]["dev"][0] |= entry
    if entry.get("matthews") == "65":
        content["scores"]["dev"][0]["main_score"] = "65"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"cola\.json: malformed report: .*{said}"):
        read_reported(tmp_path, "owl")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", "3"), ("n_examples", 2.5), ("hf_subset", 3), ("languages", ["en", 3]),
        ("details", {"step": [1]}), ("details", {"limit": float("nan")}),
        ("details", 3), ("source", {"url": 3}),
        ("higher_is_better", {"matthews": "yes"}), ("stderr", {"matthews": "N/A"}),
    ],
)  # fmt: skip
def test_a_field_of_another_type_is_named(tmp_path, field, value):
    write_reported(tmp_path, "owl", [COLA])
    path = reported_folder(tmp_path, "owl") / "cola.json"
    content = json.loads(path.read_text())
    content["scores"]["dev"][0][field] = value
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"cola\.json: "):
        read_reported(tmp_path, "owl")


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("task_name", "../cola"), ("task_name", "a/b"), ("task_name", ".hidden"),
        ("task_name", "x" * 101), ("task_name", "cola\n"), ("task_name", "cola\0"),
        ("task_name", ""),
        ("metric", "F1 (macro)"), ("metric", "main_score"), ("metric", "seed"),
        ("split", "dev/1"), ("subset", " "), ("subset", "a\nb"),
    ],
)  # fmt: skip
def test_names_that_cannot_be_kept_are_refused_with_their_place(field, name):
    with pytest.raises(UserError, match=r"^paper\.csv:3: "):
        require_names(replace(COLA, **{field: name}), "paper.csv:3")


def test_mteb_reads_a_report(tmp_path):
    from mteb.results import TaskResult

    write_reported(tmp_path, "owl", [COLA])
    found = TaskResult.from_disk(reported_folder(tmp_path, "owl") / "cola.json")
    assert (found.task_name, found.get_score()) == ("cola", 65.1)
    assert found.scores["dev"][0]["source"]["place"] == "Table 5"
