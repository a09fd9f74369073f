import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from owls import TASKS, start_eval, write_data, write_registry, write_run

from mbrelease.checkpoints.discover import discover
from mbrelease.cli.main import main
from mbrelease.errors import CheckFailed
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.evidence import read_examples
from mbrelease.evaluation.grid import local
from mbrelease.evaluation.grid.local import Slot, choose_slots, on_slots
from mbrelease.evaluation.jobs import plan_jobs, stored
from mbrelease.evaluation.measure import run_jobs
from mbrelease.progress import Silent


@pytest.fixture
def project(tmp_path, saved_by_5x):
    write_data(tmp_path)
    write_registry(tmp_path)
    write_run(tmp_path, saved_by_5x, [10, 20])
    return tmp_path


@pytest.fixture
def jobs(project):
    run = discover(project / "run")
    return plan_jobs(run, TASKS, "dev", backend=Backend(), data_root=project)


def two_slots():
    return on_slots(Backend(), 2)


def missing(jobs, evidence):
    return [job.name for job in jobs if stored(job, evidence) is None]


def workers(parent):
    """The processes that ``parent`` started to measure with."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        own_parent = int(stat.rpartition(")")[2].split()[1])
        if own_parent == parent and local.WORKER.encode() in command:
            found.append(int(folder.name))
    return found


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def test_two_slots_measure_what_one_measures(project, jobs):
    notes = []

    class Notes(Silent):
        def note(self, message):
            notes.append(message)

    one = run_jobs(jobs, project / "one")
    two = run_jobs(jobs, project / "two", runner=two_slots(), progress=Notes())
    assert [record.metrics for record in one] == [record.metrics for record in two]
    for a, b in zip(one, two, strict=True):
        assert read_examples(a).equals(read_examples(b))
    assert len([note for note in notes if note.startswith("measured checkpoint-")]) == 6
    assert workers(os.getpid()) == []


def test_a_worker_that_is_killed_loses_its_job_alone(project, jobs):
    jobs = [job for job in jobs if job.task.name != "sort"]

    def kill_one():
        os.kill(wait_for(lambda: workers(os.getpid()))[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(CheckFailed) as told:
        run_jobs(jobs, project / "evidence", runner=two_slots())
    killer.join()
    [lost] = missing(jobs, project / "evidence")
    reason = "its process was killed; perhaps the machine ran out of memory"
    assert str(told.value) == f"{lost} failed: {reason}"
    run_jobs(jobs, project / "evidence", runner=two_slots())
    assert missing(jobs, project / "evidence") == []


def test_a_job_that_fails_in_a_worker_is_named_as_elsewhere(project, jobs):
    (project / "data.jsonl").write_text('{"title": "a", "text":\n')
    fresh = plan_jobs(discover(project / "run"), TASKS, "dev", backend=Backend(), data_root=project)
    with pytest.raises(CheckFailed, match=r"6 of 6 measurements failed.*\n.*data\.jsonl:1:"):
        run_jobs(fresh, project / "evidence", runner=two_slots())


def test_slots_are_gpus_or_shares_of_the_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 5}, raising=False)
    assert choose_slots(Backend()) == [Slot(cores=(0, 1, 2, 5))]
    assert choose_slots(Backend(), 2) == [Slot(cores=(0, 2)), Slot(cores=(1, 5))]
    assert [slot.cores for slot in choose_slots(Backend(), 5)] == [(0,), (1,), (2,), (5,), (0,)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,MIG-1")
    assert choose_slots(Backend(device="cuda")) == [Slot(gpu="3"), Slot(gpu="MIG-1")]
    assert choose_slots(Backend(device="cuda"), 3)[2] == Slot(gpu="3")


@pytest.mark.parametrize("slots", ["1", "2"])
def test_a_killed_command_loses_what_was_in_flight_and_goes_on(project, capsys, slots, monkeypatch):
    process = start_eval(project, "owl", "--slots", slots)
    measured = 0
    for line in process.stderr:
        measured += line.startswith("measured")
        if measured == 2:
            break
    process.kill()
    process.communicate()
    wait_for(lambda: not workers(process.pid))
    # Nothing half written is left in sight.
    for path in (project / "evidence").glob("*/*.json"):
        json.loads(path.read_text())
    monkeypatch.chdir(project)
    assert main(["eval", "owl", "--plan", "--json"]) == 0
    left = json.loads(capsys.readouterr().out)
    assert 6 - 2 - int(slots) <= len(left) <= 4
    assert main(["eval", "owl", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [record["provenance"]["key"] for record in records] == list(
        dict.fromkeys(record["provenance"]["key"] for record in records)
    )
    assert len(records) == 6


def test_two_commands_at_once_share_the_work(project):
    both = [start_eval(project, "owl", "--json") for _ in range(2)]
    # Each imports torch and sklearn: 12 s alone, 45 s where four others use the two cores.
    said = [process.communicate(timeout=400) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    answers = [json.loads(out) for out, _err in said]
    assert [r["provenance"]["key"] for r in answers[0]] == [
        r["provenance"]["key"] for r in answers[1]
    ]
    assert answers[0] == answers[1]
    assert list((project / "evidence" / ".jobs").glob("*.lock")) == []


def test_ctrl_c_keeps_what_is_finished_and_leaves_no_process(project):
    process = start_eval(project, "owl", "--slots", "2")
    for line in process.stderr:
        if line.startswith("measured"):
            break
    started = workers(process.pid)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "measurements are done and kept" in error
    assert "Traceback" not in error
    assert len(started) == 2
    wait_for(lambda: not [pid for pid in started if Path(f"/proc/{pid}").exists()])
