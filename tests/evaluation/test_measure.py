import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
from owls import TASKS, write_data, write_registry, write_run
from pydantic import TypeAdapter
from safetensors.torch import load_file, save_file

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.cli.main import main
from mbrelease.errors import CheckFailed, MissingExtra, UserError
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.candidates import run_checkpoints
from mbrelease.evaluation.evidence import read_examples, read_records
from mbrelease.evaluation.jobs import SOFTWARE, job_from_json, plan_jobs, stored
from mbrelease.evaluation.measure import Order, run_job, run_jobs
from mbrelease.evaluation.task_settings import task_sha256
from mbrelease.evaluation.tasks import retrieval
from mbrelease.progress import Silent
from mbrelease.registry.load import load_project
from mbrelease.registry.tasks import AnyTask, DatasetSplit, RetrievalFiles


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_data(tmp_path)
    return tmp_path


def plan(project, checkpoint, tasks=TASKS, backend=None):
    return plan_jobs([checkpoint], tasks, "dev", backend=backend or Backend(), data_root=project)


def missing(jobs, project):
    return [job.task.name for job in jobs if stored(job, project / "evidence") is None]


def test_every_task_is_measured_once_with_the_score_of_each_example(project, saved_by_5x):
    checkpoint = open_checkpoint(saved_by_5x)
    jobs = plan(project, checkpoint)
    assert missing(jobs, project) == ["mlm", "find", "sort"]
    records = run_jobs(jobs, project / "evidence")
    assert missing(jobs, project) == []
    rows = [read_examples(record).num_rows for record in records]
    assert rows == [24, 24, 48]
    for record, task in zip(records, TASKS, strict=True):
        assert {name.replace("@", "_at_") for name in task.shown_metrics} <= set(record.metrics)
        low, high = record.ci95[task.main_metric.replace("@", "_at_")]
        assert low <= record.main_score <= high
    assert [e["seed"] for e in records[2].experiments] == [0, 1]


def test_a_record_whose_examples_are_gone_is_made_again(project, saved_by_5x):
    jobs = plan(project, open_checkpoint(saved_by_5x))
    records = run_jobs(jobs, project / "evidence")
    records[1].examples_file.unlink()
    assert missing(jobs, project) == ["find"]
    again = run_jobs(jobs, project / "evidence")
    assert missing(jobs, project) == []
    assert again[1].per_example == records[1].per_example
    assert read_examples(again[1]).num_rows == 24


def test_a_measurement_made_again_gives_the_same_numbers(project, saved_by_5x):
    jobs = plan(project, open_checkpoint(saved_by_5x))
    one = run_jobs(jobs, project / "one")
    two = run_jobs(jobs, project / "two")
    assert [record.metrics for record in one] == [record.metrics for record in two]
    assert [r.per_example.sha256 for r in one] == [r.per_example.sha256 for r in two]


def test_a_path_or_a_task_name_is_no_part_of_a_result(project, saved_by_5x, tmp_path):
    run_jobs(plan(project, open_checkpoint(saved_by_5x)), project / "evidence")
    copied = shutil.copytree(saved_by_5x, tmp_path / "renamed")
    (project / "data.jsonl").rename(project / "moved.jsonl")
    moved = RetrievalFiles(train="moved.jsonl", dev="moved.jsonl")
    tasks = [task.model_copy(update={"data": moved}) for task in TASKS]
    assert missing(plan(project, open_checkpoint(copied), tasks), project) == []


@pytest.mark.parametrize("change", ["data", "settings", "backend", "config", "mask"])
def test_what_could_change_a_number_is_measured_again(project, saved_by_5x, tmp_path, change):
    folder = shutil.copytree(saved_by_5x, tmp_path / "model")
    tasks, backend = [TASKS[0 if change == "mask" else 1]], Backend()
    run_jobs(plan(project, open_checkpoint(folder), tasks), project / "evidence")
    if change == "data":
        with (project / "data.jsonl").open("a") as file:
            file.write('{"id": "new", "title": "a", "text": "b"}\n')
    elif change == "settings":
        tasks = [TASKS[1].model_copy(update={"pooling": "cls"})]
    elif change == "backend":
        backend = Backend(dtype="bfloat16")
    elif change == "mask":
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"mask_token": "[UNK]"}))
    else:
        content = json.loads((folder / "config.json").read_text())
        content["local_attention"] = 4
        (folder / "config.json").write_text(json.dumps(content))
    assert missing(plan(project, open_checkpoint(folder), tasks, backend), project) == [
        tasks[0].name
    ]


class Interrupt(Silent):
    def note(self, message):
        raise KeyboardInterrupt


def test_an_interruption_keeps_what_is_finished(project, saved_by_5x):
    jobs = plan(project, open_checkpoint(saved_by_5x))
    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, project / "evidence", progress=Interrupt())
    assert missing(jobs, project) == ["find", "sort"]


@pytest.mark.parametrize("changed", ["data.jsonl", "model/model.safetensors", "model/config.json"])
def test_a_file_that_changes_while_it_is_measured_leaves_no_record(project, saved_by_5x, changed):
    folder = shutil.copytree(saved_by_5x, project / "model")
    jobs = plan(project, open_checkpoint(folder), TASKS[:1])
    if changed == "model/model.safetensors":
        tensors = load_file(folder / "model.safetensors")
        tensors["decoder.bias"] += 1
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    elif changed == "model/config.json":
        content = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(content | {"local_attention": 4}))
    else:
        with (project / "data.jsonl").open("a") as file:
            file.write('{"id": "new", "title": "a", "text": "b"}\n')
    with pytest.raises(UserError, match=r"changed since the measurement was planned"):
        run_jobs(jobs, project / "evidence")
    assert not list((project / "evidence").glob("*/*.json"))


def test_a_model_that_diverged_is_told_from_a_bug(project, saved_by_5x):
    folder = shutil.copytree(saved_by_5x, project / "model")
    tensors = load_file(folder / "model.safetensors")
    tensors["head.norm.weight"] *= 1e5
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckFailed, match="perplexity on mlm is inf: the model diverged"):
        run_jobs(plan(project, open_checkpoint(folder), TASKS[:1]), project / "evidence")


def test_truncated_empty_and_unseen_are_counted(project, saved_by_5x):
    rows = [json.loads(line) for line in (project / "data.jsonl").read_text().splitlines()]
    rows[0]["text"] = "the owl " * 100
    rows[1]["kind"] = "never seen"
    rows[2]["text"] = " "
    (project / "dev.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = RetrievalFiles(train="data.jsonl", dev="dev.jsonl")
    task = TASKS[2].model_copy(update={"data": data})
    [record] = run_jobs(plan(project, open_checkpoint(saved_by_5x), [task]), project / "evidence")
    assert record.counts == {
        "truncated": 1, "empty": 1, "unseen_label": 1, "train": 24, "empty_in_train": 0,
    }  # fmt: skip


def test_a_record_names_what_computed_it_and_a_language_nobody_named(project, saved_by_5x):
    from mteb.results import TaskResult

    jobs = plan(project, open_checkpoint(saved_by_5x), TASKS[1:2])
    [record] = run_jobs(jobs, project / "evidence")
    installed = record.provenance.software
    assert set(installed) == {"python", *SOFTWARE}
    assert installed["sentence-transformers"] == version("sentence-transformers")
    assert TaskResult.from_disk(record.file).get_score(splits=["dev"]) == record.main_score


def test_a_split_without_a_file_has_no_jobs(project, saved_by_5x):
    checkpoint = open_checkpoint(saved_by_5x)
    assert plan_jobs([checkpoint], TASKS, "test", backend=Backend(), data_root=project) == []


def test_a_missing_data_file_is_named(project, saved_by_5x):
    (project / "data.jsonl").unlink()
    with pytest.raises(UserError, match=r"data\.jsonl does not exist"):
        plan(project, open_checkpoint(saved_by_5x))


def test_a_checkpoint_at_step_0_can_be_named(registry):
    (registry / "run" / "checkpoint-10").rename(registry / "run" / "checkpoint-0")
    path = registry / "registry.yaml"
    content = json.loads(path.read_text())
    content["variants"]["owl"]["candidates"] = {"checkpoints": [0]}
    path.write_text(json.dumps(content))
    assert [one.step for one in run_checkpoints(load_project(path), "owl")] == [0]


@pytest.fixture
def registry(project, saved_by_5x, monkeypatch):
    shutil.copytree(saved_by_5x, project / "run" / "checkpoint-10")
    write_registry(project)
    monkeypatch.chdir(project)
    return project


def test_the_command_measures_a_variant_and_then_nothing(registry, capsys):
    assert main(["eval", "owl", "--plan", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert [job["task"] for job in planned] == ["mlm", "find", "sort"]
    assert main(["eval", "owl", "--json"]) == 0
    out = capsys.readouterr()
    assert "3 to make" in out.err
    by_task = {entry["task"]: entry for entry in json.loads(out.out)}
    weights = open_checkpoint(registry / "run" / "checkpoint-10").weights_sha256
    [record] = read_records(registry / "evidence", weights, "find")
    assert by_task["find"]["recall_at_1"] == record.metrics["recall_at_1"]
    assert main(["eval", "run/checkpoint-10"]) == 0
    out = capsys.readouterr()
    assert "3 known, 0 to make" in out.err
    assert "checkpoint-10" in out.out


def test_the_word_plan_lists_what_is_missing_and_a_variant_may_be_called_so(registry, capsys):
    path = registry / "registry.yaml"
    content = json.loads(path.read_text())
    content["variants"]["plan"] = content["variants"]["owl"]
    path.write_text(json.dumps(content))
    for words in (["plan", "owl"], ["owl", "--plan"], ["plan", "plan"], ["plan", "run"]):
        assert main(["eval", *words, "--json"]) == 0
        assert [job["task"] for job in json.loads(capsys.readouterr().out)] == [
            "mlm", "find", "sort"
        ]  # fmt: skip
    assert not (registry / "evidence").exists()
    assert main(["eval", "plan"]) == 0  # the variant
    assert "3 to make" in capsys.readouterr().err


def test_a_backend_is_part_of_a_record_and_other_ones_are_measured_again(registry, capsys):
    assert main(["eval", "owl"]) == 0
    capsys.readouterr()
    assert main(["eval", "owl", "--attn", "eager", "--json"]) == 0
    out = capsys.readouterr()
    assert "3 measurements, 0 known, 3 to make" in out.err
    assert {entry["provenance"]["attn"] for entry in json.loads(out.out)} == {"eager"}
    weights = open_checkpoint(registry / "run" / "checkpoint-10").weights_sha256
    assert len(read_records(registry / "evidence", weights, "find")) == 2


def test_listing_and_finding_nothing_to_do_need_no_torch(registry, capsys):
    assert main(["eval", "owl"]) == 0
    script = (
        "import sys\n"
        "from mbrelease.cli.main import main\n"
        "assert main(['eval', 'owl']) == main(['eval', 'plan', 'owl']) == 0\n"
        "print({'torch', 'transformers', 'sklearn', 'datasets'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.endswith("set()\n"), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["eval", "owl", "--slots", "2", "--backend", "slurm"], "--slots is for --backend local"),
        (["eval", "owl", "--slurm", "mem=1G"], "are for --backend slurm"),
        (["eval", "owl", "--attn", "fa2-varlen", "--device", "cpu"], "needs a CUDA device"),
        (["eval", "owls"], "did you mean 'owl'?"),
        (["eval", "owl", "--suite", "owl"], "no suite 'owl'\n  did you mean 'owls'?"),
        (["eval", "data"], "no variant 'data'"),
    ],
)
def test_a_wrong_call_is_one_or_two_lines(registry, capsys, arguments, said):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) <= 2


def test_an_alias_stands_for_its_variant_and_a_folder_named_twice_is_one_row(registry, capsys):
    path = registry / "registry.yaml"
    content = json.loads(path.read_text())
    content["suites"]["mice"] = [TASKS[0].model_dump(mode="json") | {"name": "other"}]
    path.write_text(json.dumps(content | {"aliases": {"production": "owl"}}))
    assert main(["eval", "production", "run", "run/checkpoint-10", "--plan", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 3


def test_settings_at_their_default_are_no_part_of_a_result():
    written = TypeAdapter(AnyTask).validate_python(
        {"name": "x", "type": "mlm", "data": {"dev": "a"}, "mask_rate": 0.3, "seed": 0}
    )
    left_out = TypeAdapter(AnyTask).validate_python(
        {"name": "y", "type": "mlm", "data": {"dev": "b"}}
    )
    assert task_sha256(written) == task_sha256(left_out)
    assert task_sha256(left_out) != task_sha256(left_out.model_copy(update={"seed": 1}))
    other = {"name": "y", "type": "retrieval", "data": {"dev": "b"}}
    assert task_sha256(left_out) != task_sha256(TypeAdapter(AnyTask).validate_python(other))


def test_a_job_goes_anywhere_as_json(project, saved_by_5x, monkeypatch):
    monkeypatch.chdir(project)
    jobs = plan(Path(), open_checkpoint(saved_by_5x))
    carried = [job_from_json(json.loads(json.dumps(job.to_json()))) for job in jobs]
    monkeypatch.chdir("/")
    assert [run_job(job, Order([job], project / "e")).provenance.key for job in carried] == [
        job.key for job in jobs
    ]
    named = replace(jobs[0], data={"dev": DatasetSplit("org/owls", "dev", revision="a1")})
    assert job_from_json(named.to_json()).data == named.data


def spoil(folder, tensor, factor):
    tensors = load_file(folder / "model.safetensors")
    tensors[tensor] *= factor
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_jobs_that_fail_are_named_and_the_others_go_on(registry, saved_by_5x, capsys):
    write_run(registry, saved_by_5x, [20, 30])
    spoil(registry / "run" / "checkpoint-20", "model.final_norm.weight", float("nan"))
    content = json.loads((registry / "registry.yaml").read_text())
    content["suites"]["owls"][1]["data"]["dev"] = "bad.jsonl"
    (registry / "registry.yaml").write_text(json.dumps(content))
    (registry / "bad.jsonl").write_text('{"title": "a", "text": "b"}\n{"title":\n')
    assert main(["eval", "owl"]) == 1
    error = capsys.readouterr().err
    assert "9 to make" in error
    assert error.count("measured ") == 4
    [summary] = error.split("error: ")[1:]
    lines = summary.splitlines()
    assert lines[0] == "5 of 9 measurements failed; the others are kept"
    places = [f"checkpoint-{step} · find dev" for step in (10, 20, 30)]
    assert lines[1].startswith(f"  {', '.join(places)}: {registry / 'bad.jsonl'}:2:")
    assert "checkpoint-20 · mlm dev" in summary
    assert "checkpoint-20 · sort dev" in summary
    assert "NaN" in summary
    assert main(["eval", "owl", "--plan", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 5


def test_a_bug_in_one_job_stops_no_other(project, saved_by_5x, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("one by none\nmore")

    monkeypatch.setattr(retrieval, "measure", broken)
    jobs = plan(project, open_checkpoint(saved_by_5x))
    with pytest.raises(CheckFailed) as failed:
        run_jobs(jobs, project / "evidence")
    said = str(failed.value)
    assert re.fullmatch(
        r"saved · find dev failed: ZeroDivisionError: one by none \(test_measure.py:\d+\)", said
    )
    assert missing(jobs, project) == ["find"]


def test_what_would_stop_every_job_stops_at_once(project, saved_by_5x, monkeypatch):
    jobs = plan(project, open_checkpoint(saved_by_5x))
    (project / "evidence").write_text("a file where the folder would be")
    with pytest.raises(UserError, match="cannot write .*evidence") as told:
        run_jobs(jobs, project / "evidence")
    assert len(str(told.value).splitlines()) == 2
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingExtra):
        run_jobs(jobs, project / "elsewhere")


def test_an_interruption_says_how_much_is_done(project, saved_by_5x):
    jobs = plan(project, open_checkpoint(saved_by_5x))
    notes = []

    class InterruptAtTwo(Silent):
        def note(self, message):
            notes.append(message)
            if len(notes) == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, project / "evidence", progress=InterruptAtTwo())
    assert notes[-1] == "2 of 3 measurements are done and kept"


def test_what_running_jobs_leave_is_not_for_git(project, saved_by_5x):
    run_jobs(plan(project, open_checkpoint(saved_by_5x)), project / "evidence")
    assert [path.name for path in (project / "evidence" / ".jobs").iterdir()] == [".gitignore"]
    assert (project / "evidence" / ".jobs" / ".gitignore").read_text() == "*\n"
