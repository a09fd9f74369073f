"""Against a real Slurm, which the tests start and stop."""

import json
import re
import signal
import subprocess
import threading
import time

import pytest
from one_node_slurm import one_node_slurm, why_not
from owls import TASKS, start_eval, write_data, write_registry, write_run

from mbrelease.checkpoints.discover import discover
from mbrelease.cli.main import main
from mbrelease.errors import MissingExtra, UserError
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.grid.slurm import on_slurm
from mbrelease.evaluation.grid.slurm_options import backend_on_nodes, parse_options
from mbrelease.evaluation.jobs import plan_jobs
from mbrelease.evaluation.measure import run_jobs

needs_slurm = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@pytest.fixture(scope="module")
def slurm_conf(tmp_path_factory):
    with one_node_slurm(tmp_path_factory.mktemp("slurm")) as configuration:
        yield configuration


@pytest.fixture
def slurm(slurm_conf, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", str(slurm_conf))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def project(tmp_path, saved_by_5x, monkeypatch):
    write_data(tmp_path)
    write_registry(tmp_path, TASKS[:2])
    write_run(tmp_path, saved_by_5x, [10, 20])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ask(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def queue():
    """index → (job id, state) of all elements that Slurm remembers."""
    answer = ask("squeue", "-h", "-r", "--states=all", "--format=%K|%i|%T")
    lines = [line.split("|") for line in answer.splitlines()]
    return {int(index): (job, state) for index, job, state in lines if index.isdecimal()}


def wait_for(condition, seconds=90):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def plan(capsys, target="owl"):
    assert main(["eval", "plan", target, "--json"]) == 0
    return [(job["checkpoint"][-2:], job["task"]) for job in json.loads(capsys.readouterr().out)]


@needs_slurm
@pytest.mark.slow
def test_elements_that_slurm_takes_away_start_again_and_one_that_is_cancelled_is_named(
    slurm, project, capsys
):
    logs = project / "evidence" / ".jobs" / "slurm"

    def log(index):
        return "".join(path.read_text() for path in logs.glob(f"mbrelease-*/*_{index}_0_log.out"))

    def disturb():
        wait_for(lambda: len(queue()) == 4)
        ask("scancel", queue()[3][0])
        # As Slurm preempts by itself.
        wait_for(lambda: queue()[1][1] == "RUNNING")
        ask("scontrol", "requeue", queue()[1][0])
        # As sbatch --signal warns of a preemption; submitit answers by a requeue.
        wait_for(lambda: "measure checkpoint-10" in log(0))
        ask("scancel", "--signal=USR2", queue()[0][0])

    disturbing = threading.Thread(target=disturb)
    disturbing.start()
    assert main(["eval", "owl", "--backend", "slurm", "--slurm", "time=60"]) == 1
    disturbing.join()
    error = capsys.readouterr().err
    assert re.search(r"4 measurements submitted to Slurm as mbrelease-\w+\n", error)
    # Of an element that was cancelled before it was split from its array Slurm keeps no memory.
    said = r"it ended in Slurm without a result, and Slurm says (CANCELLED|nothing \(.*\))\n"
    assert re.search(f"error: checkpoint-20 · find dev failed: {said}", error)
    # More than two where scancel sent its signal again.
    assert log(0).count("measure checkpoint-10 · mlm dev") >= 2, log(0)
    for index in (0, 1):
        job = ask("scontrol", "show", "job", queue()[index][0])
        assert re.search(r"Restarts=[1-9]", job), job
    assert plan(capsys) == [("20", "find")]


@needs_slurm
@pytest.mark.slow
def test_a_command_that_is_run_again_finds_its_jobs_in_the_queue(slurm, project, capsys):
    process = start_eval(project, "run/checkpoint-10", "--backend", "slurm", "--max-parallel", "1")
    for line in process.stderr:
        if "submitted" in line:
            break
    name = line.split()[-1]
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"what was submitted goes on in Slurm, as {name}" in error
    assert "Traceback" not in error
    assert main(["eval", "run/checkpoint-10", "--backend", "slurm"]) == 0
    error = capsys.readouterr().err
    assert "measurements are in Slurm's queue already" in error
    assert "submitted" not in error
    assert plan(capsys, "run/checkpoint-10") == []
    [array] = (project / "evidence" / ".jobs" / "slurm").glob("mbrelease-*")
    assert array.name == name


@needs_slurm
def test_a_job_that_fails_on_a_node_says_why(slurm, project, capsys):
    write_registry(project, TASKS[:1])
    (project / "data.jsonl").write_text('{"title": "a", "text":\n')
    assert main(["eval", "run/checkpoint-10", "--backend", "slurm"]) == 1
    error = capsys.readouterr().err
    assert f"error: checkpoint-10 · mlm dev failed: {project / 'data.jsonl'}:1:" in error


@needs_slurm
def test_what_slurm_refuses_is_told_in_its_words(slurm, project, capsys):
    assert main(["eval", "owl", "--backend", "slurm", "--slurm", "partition=moon"]) == 2
    error = capsys.readouterr().err
    assert "error: Slurm refuses the jobs: invalid partition specified: moon" in error
    assert len(error.partition("error: ")[2].splitlines()) == 2
    assert list((project / "evidence" / ".jobs" / "slurm").glob("mbrelease-*")) == []


def test_a_slurm_that_is_not_set_up_has_a_way_around(project, monkeypatch):
    jobs = plan_jobs(
        discover(project / "run"), TASKS[:1], "dev", backend=Backend(), data_root=project
    )
    for name in ("sbatch", "squeue", "srun", "scontrol"):
        program = project / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\necho 'fatal: no slurm.conf' >&2\nexit 1\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{project / 'bin'}:/bin:/usr/bin")
    with pytest.raises(UserError, match=r"fails: fatal: no slurm.conf\n.*use --backend local"):
        run_jobs(jobs, project / "evidence", runner=on_slurm(parse_options([])))


def test_without_slurm_it_says_so(project, monkeypatch):
    jobs = plan_jobs(
        discover(project / "run"), TASKS[:1], "dev", backend=Backend(), data_root=project
    )
    runner = on_slurm(parse_options([]))
    monkeypatch.setenv("PATH", str(project))
    with pytest.raises(UserError, match="there is no Slurm here: no sbatch"):
        run_jobs(jobs, project / "evidence", runner=runner)
    monkeypatch.setitem(__import__("sys").modules, "submitit", None)
    with pytest.raises(MissingExtra, match=r"extra \[slurm\]"):
        run_jobs(jobs, project / "evidence", runner=runner)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("90", 90),
        ("1:30", 2),
        ("2:00:00", 120),
        ("1-12", 2160),
        ("1-0:30", 1470),
        ("1-1:1:1", 1502),
    ],
)  # fmt: skip
def test_times_are_those_of_sbatch(text, minutes):
    assert parse_options([f"time={text}"]).time_minutes == minutes


def test_options_are_those_of_sbatch():
    options = parse_options(["partition=gpu", "--mem_per_cpu=4G", "exclusive"], 7)
    assert options.sbatch == {"partition": "gpu", "mem-per-cpu": "4G", "exclusive": True}
    assert (options.time_minutes, options.max_parallel) == (240, 7)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["partition="], "'partition=' is no option of sbatch"),
        (["=gpu"], "is no option of sbatch"),
        (["a=b\n#SBATCH --wrap=x"], "is no option of sbatch"),
        (["array=0-3"], "mbrelease sets this itself"),
        (["time=soon"], "time=soon is no time"),
        (["time=0"], "time=0 is no time"),
    ],
)
def test_options_that_are_none_are_told(given, said):
    with pytest.raises(UserError, match=re.escape(said)):
        parse_options(given)


def test_nodes_that_cannot_be_asked_compute_as_options_say():
    cpu, gpu = parse_options([]), parse_options(["gres=gpu:1"])
    assert backend_on_nodes(cpu) == Backend("sdpa", "float32", "cpu")
    assert backend_on_nodes(gpu) == Backend("fa2-varlen", "bfloat16", "cuda")
    assert backend_on_nodes(cpu, device="cuda") == Backend("fa2-varlen", "bfloat16", "cuda")
    assert backend_on_nodes(gpu, dtype="float32") == Backend("sdpa", "float32", "cuda")
    with pytest.raises(UserError, match="needs a CUDA device"):
        backend_on_nodes(cpu, "fa2-varlen")
    with pytest.raises(UserError, match="has no float32"):
        backend_on_nodes(gpu, "fa2-varlen", "float32")
