"""What ``mbrelease eval`` says, and where."""

import json
import re

import pytest
from owls import TASKS, write_data, write_registry, write_run
from safetensors.torch import load_file, save_file

from mbrelease.cli.main import main
from mbrelease.evaluation.evidence import EvidenceRecord, Provenance
from mbrelease.evaluation.jobs import distinct_names
from mbrelease.evaluation.remarks import odd_data
from mbrelease.registry.tasks import PairTask, SplitFiles

MLM, FIND, SORT = TASKS


@pytest.fixture
def project(tmp_path, saved_by_5x, monkeypatch):
    write_data(tmp_path)
    write_run(tmp_path, saved_by_5x, [10])
    write_registry(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def spoil(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["model.final_norm.weight"] *= float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def with_rows(project, change, task, **fields):
    """The registry with ``task`` alone, on rows that ``change`` was made to."""
    rows = [json.loads(line) for line in (project / "data.jsonl").read_text().splitlines()]
    changed = "".join(json.dumps(row | change) + "\n" for row in rows)
    (project / "changed.jsonl").write_text(changed)
    data = task.data.model_copy(update=fields)
    write_registry(project, [task.model_copy(update={"data": data})])


def test_what_was_measured_is_shown_before_what_failed(project, saved_by_5x, capsys):
    write_run(project, saved_by_5x, [20])
    spoil(project / "run" / "checkpoint-20")
    assert main(["eval", "owl"]) == 1
    said = capsys.readouterr()
    table = [line.split() for line in said.out.splitlines() if "checkpoint-" in line]
    assert [row[0] for row in table] == ["checkpoint-10", "checkpoint-20"]
    assert "failed" not in table[0]
    assert table[1][1:] == ["failed"] * 3
    assert said.err.count("the model returns NaN") == 2  # at the end, once a reason
    assert said.err.count("failed checkpoint-20 ·") == 3
    # Known by now, and shown again beside what fails again.
    assert main(["eval", "owl", "--json"]) == 1
    entries = json.loads(capsys.readouterr().out)
    assert [entry["task"] for entry in entries] == ["mlm", "find", "sort"] * 2
    assert all("main_score" in entry for entry in entries[:3])
    for entry in entries[3:]:
        assert entry.keys() == {"checkpoint", "task", "failed", "mend"}
        assert entry["checkpoint"].endswith("checkpoint-20")
        assert "the model returns NaN" in entry["failed"]


PAIR = PairTask(
    name="alike", type="pair", kind="similarity", data=SplitFiles(dev="pairs.jsonl"),
    first="title", second="text",
)  # fmt: skip


@pytest.mark.parametrize(
    "task", [MLM, FIND, FIND.model_copy(update={"scoring": "maxsim"}), SORT, PAIR]
)
def test_nan_names_the_file_and_the_ids(project, capsys, task):
    rows = [json.loads(line) for line in (project / "data.jsonl").read_text().splitlines()]
    pairs = "".join(json.dumps(row | {"label": n}) + "\n" for n, row in enumerate(rows))
    (project / "pairs.jsonl").write_text(pairs)
    write_registry(project, [task])
    spoil(project / "run" / "checkpoint-10")
    assert main(["eval", "owl"]) == 1
    place = re.escape(str(project / task.data.dev))
    assert re.search(rf"NaN .* in the batch of {place}, ids d\d+, d\d+", capsys.readouterr().err)


def test_a_lone_failure_is_told_once(project, capsys):
    write_registry(project, [FIND])
    spoil(project / "run" / "checkpoint-10")
    assert main(["eval", "owl"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("failed") == said.err.count("NaN") == 1


def test_names_that_collide_are_told_apart(project, saved_by_5x, capsys):
    for run in ("one", "two"):
        write_run(project / run, saved_by_5x, [10])
        (project / run / "run").rename(project / f"run-{run}")
    write_registry(project, [FIND])
    targets = ["run-one/checkpoint-10", "run-two", "run"]
    assert main(["eval", "plan", *targets]) == 0
    planned = capsys.readouterr().out
    for run in ("run-one", "run-two", "run"):
        assert f"{run}/checkpoint-10" in planned.split()
    spoil(project / "run-two" / "checkpoint-10")
    assert main(["eval", *targets]) == 1
    said = capsys.readouterr()
    # The same weights as in run-one, so measured once.
    assert "measured run/checkpoint-10 · find dev" in said.err
    assert "run-two/checkpoint-10 · find dev failed:" in said.err
    assert "run-two/checkpoint-10" in said.out.split()


def test_names_are_no_longer_than_they_must(tmp_path):
    paths = [tmp_path / part for part in ("a/x/c", "b/x/c", "b/y/c", "d")]
    assert list(distinct_names(paths).values()) == ["a/x/c", "b/x/c", "y/c", "d"]
    assert distinct_names([tmp_path]) == {tmp_path: tmp_path.name}


def test_what_computes_is_said_once(project, capsys):
    assert main(["eval", "plan", "owl", "--attn", "eager"]) == 0
    assert capsys.readouterr().err.count("(attn eager, dtype float32, device cpu)") == 1


def test_few_seeds_are_warned_of_once(project, saved_by_5x, capsys):
    write_run(project, saved_by_5x, [20])
    enough = SORT.model_copy(update={"name": "enough", "seeds": [0, 1, 2, 3, 4]})
    untrained = PairTask(
        name="alike", type="pair", kind="similarity", data=SplitFiles(dev="data.jsonl"), seeds=[0]
    )
    write_registry(project, [FIND, SORT, enough, untrained])
    assert main(["eval", "plan", "owl"]) == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert warnings == ["warning: fewer than 5 seeds, which hardly tell their spread: sort (2)"]


@pytest.mark.parametrize(
    ("change", "task", "fields", "said"),
    [
        ({"kind": "x"}, SORT, {"dev": "changed.jsonl"}, "sort: all 24 labels unseen in train"),
        ({"text": " "}, SORT, {"train": "changed.jsonl"}, "sort: all 24 training texts empty"),
        (
            {"text": "", "title": ""}, FIND, {"dev": "changed.jsonl"},
            "find: all 24 queries empty, all 24 texts empty",
        ),
        ({"text": "owl " * 99}, FIND, {"dev": "changed.jsonl"}, "find: all 24 texts truncated"),
    ],
)  # fmt: skip
def test_data_that_say_nothing_are_warned_of(project, capsys, change, task, fields, said):
    with_rows(project, change, task, **fields)
    for _ in ("measured", "known"):
        assert main(["eval", "owl"]) == 0
        warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
        assert [line for line in warnings if "seeds" not in line] == [f"warning: {said}"]


def counted(**counts):
    made = Provenance("w", "t", "c", "d", "s", "sdpa", "float32", "cpu", 1)
    return EvidenceRecord(
        "sort", "dev", 0.5, {"macro_f1": 0.5}, 200, {}, (), counts, made, ("en",), 1.0
    )


def test_only_counts_that_matter_are_told_and_the_worst_checkpoint_counts():
    assert odd_data([counted(truncated=1, empty=0)]) is None
    assert (
        odd_data([counted(truncated=1), counted(truncated=3)]) == "sort: 3 of 200 texts truncated"
    )
    assert odd_data([counted(empty=300)]) == "sort: 300 texts empty"  # two of an example
    assert odd_data([counted(unseen_label=2, spans=40)]) == "sort: 2 of 40 labels unseen in train"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["eval", "owl", "--suite", "nope"], "no suite 'nope'\n  the suites are owls"),
        (["eval", "run/checkpint-10"], "no variant 'run/checkpint-10'"),
        (["eval", "run/checkpint-10"], "and no such folder"),
    ],
)
def test_names_that_are_none(project, capsys, arguments, said):
    assert main(arguments) == 2
    assert said in capsys.readouterr().err
