"""The greedy average with real models and real measurements, in a project and in a release."""

import json
import shutil
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mbrelease.averaging.average import average_checkpoints
from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.cli.main import main
from mbrelease.errors import CheckFailed, UserError
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.candidates import run_checkpoints
from mbrelease.evaluation.jobs import plan_jobs, stored
from mbrelease.evaluation.measure import run_jobs
from mbrelease.pipeline import release_variant
from mbrelease.progress import Silent
from mbrelease.registry.load import load_project
from mbrelease.selection.candidates import average_members, candidate_sources
from mbrelease.selection.greedy import greedy_average, greedy_members, read_search

REGISTRY = """\
version: 1
family: Owls
defaults: {license: apache-2.0, languages: [en]}
suites:
  owls:
    - {name: mlm, type: mlm, data: {dev: dev.jsonl, test: dev.jsonl}, max_length: 64}
policies:
  owls: {primary: mlm/loss, reference: base}
variants:
  base: {weights: base}
  owl: {run: run, suite: owls, policy: owls, candidates: {averages: ["greedy", "best:1"]}}
"""
SENTENCE = "the other owl found a mouse in the old barn while it rained all over there"
WORDS = SENTENCE.split()
METRIC = "mlm/loss"


@pytest.fixture(scope="module")
def made(saved_by_5x: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose first and last checkpoints have opposite noise, and one that lost its way."""
    root = tmp_path_factory.mktemp("owls")
    (root / "registry.yaml").write_text(REGISTRY)
    rows = [
        {"id": f"{n}", "title": WORDS[n % 9], "text": " ".join(WORDS[n % 9 :])} for n in range(40)
    ]
    (root / "dev.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.copytree(saved_by_5x, root / "base")
    tensors = load_file(saved_by_5x / "model.safetensors")
    generator = torch.Generator().manual_seed(0)
    noise = {name: torch.randn(t.shape, generator=generator) for name, t in tensors.items()}
    # An untrained model loses least where its head is flat, and noise makes it less so.
    for step, scale, size in ((10, 0.2, 0.4), (20, 3.0, 0.0), (30, 0.2, -0.4)):
        folder = root / "run" / f"checkpoint-{step}"
        shutil.copytree(saved_by_5x, folder)
        changed = {name: t * scale + size * noise[name] for name, t in tensors.items()}
        save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
    return root


@pytest.fixture
def owls(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    shutil.copytree(made, root)
    monkeypatch.chdir(root)
    return root


class Notes(Silent):
    """A progress that remembers what was measured, and may be interrupted after so many."""

    def __init__(self, last: int | None = None) -> None:
        self.all: list[str] = []
        self.last = last

    @property
    def measured(self) -> list[str]:
        return [note.split()[1] for note in self.all if note.startswith("measured")]

    def note(self, message: str) -> None:
        self.all.append(message)
        if len(self.measured) == self.last:
            raise KeyboardInterrupt


def search(root, *, metric=METRIC, output=None, notes=None, checkpoints=None):
    project = load_project(root / "registry.yaml")
    return greedy_average(
        project,
        run_checkpoints(project, "owl") if checkpoints is None else checkpoints,
        metric,
        output or root / "averages" / "owl" / "greedy",
        tasks=project.suite("owl"),
        backend=Backend(),
        progress=notes or Silent(),
    )


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_noise_that_cancels_is_averaged_and_what_lost_its_way_is_left_out(owls):
    notes = Notes()
    average, changed = search(owls, notes=notes)
    assert changed
    run = run_checkpoints(load_project(owls / "registry.yaml"), "owl")
    half = Fraction(1, 2)
    weights = [half, Fraction(0), half]
    assert greedy_members(average.path, run) == list(zip(run, weights, strict=True))
    assert notes.measured[:3] == ["checkpoint-10", "checkpoint-20", "checkpoint-30"]
    assert notes.measured[3:] == ["with-checkpoint-10", "with-checkpoint-20"]
    assert any(note.startswith("dropped checkpoint-20: mlm/loss") for note in notes.all)
    # Nothing else is left beside it.
    assert [path.name for path in average.path.parent.iterdir()] == ["greedy"]


def test_the_record_says_what_was_searched_and_the_evidence_is_that_of_the_average(owls):
    average, _ = search(owls)
    record = json.loads((average.path / "averaging.json").read_text())
    assert record["recipe"] == "greedy" and record["ranked_by"] == METRIC
    found = record["search"]
    assert found["metric"] == METRIC
    project = load_project(owls / "registry.yaml")
    run, tasks = run_checkpoints(project, "owl"), project.suite("owl")[:1]
    jobs = plan_jobs([*run, average], tasks, "dev", backend=Backend(), data_root=owls)
    records = [stored(job, owls / "evidence") for job in jobs]
    assert all(records)  # the average's too: it was measured as a trial
    assert found["candidates"] == [
        {"name": one.name, "sha256": one.weights_sha256, "value": known.metrics["loss"], "kept": k}
        for one, known, k in zip(run, records[:-1], (True, False, True), strict=True)
    ]
    [kept] = [trial for trial in found["trials"] if trial["kept"]]
    assert kept["sha256"] == average.weights_sha256
    assert kept["value"] == records[-1].metrics["loss"]
    assert kept["value"] < min(one["value"] for one in found["candidates"])
    assert [trial["candidate"] for trial in found["trials"] if not trial["kept"]] == [
        "checkpoint-20"
    ]


def test_a_second_search_does_nothing(owls):
    average, _ = search(owls)
    before = snapshot(owls)
    notes = Notes()
    again, changed = search(owls, notes=notes)
    assert not changed and notes.all == []
    assert again.weights_sha256 == average.weights_sha256
    assert snapshot(owls) == before


def test_a_search_that_was_killed_goes_on_with_what_was_measured(owls, made, tmp_path):
    left = owls / "averages" / "owl" / ".greedy.search.k1ll3d"
    left.mkdir(parents=True)
    (left / "sum").mkdir()
    seen = []
    for _ in range(5):
        notes = Notes(last=1)
        with pytest.raises(KeyboardInterrupt):
            search(owls, notes=notes)
        seen += notes.measured
        assert not left.exists() or len(seen) <= 3  # swept when the first trial begins
    assert len(set(seen)) == 5
    notes = Notes()
    average, changed = search(owls, notes=notes)
    assert changed and notes.measured == []
    assert [path.name for path in average.path.parent.iterdir()] == ["greedy"]
    shutil.copytree(made, tmp_path / "whole")
    assert search(tmp_path / "whole")[0].weights_sha256 == average.weights_sha256


def test_changed_weights_are_never_overwritten_and_made_again_without_measuring(owls):
    average, _ = search(owls)
    good = (average.path / "model.safetensors").read_bytes()
    (average.path / "model.safetensors").write_bytes(good[:-4] + b"\0\0\0\1")
    with pytest.raises(UserError, match="was changed since it was averaged"):
        search(owls)
    shutil.rmtree(average.path)
    notes = Notes()
    again, changed = search(owls, notes=notes)
    assert changed and notes.measured == []
    assert (again.path / "model.safetensors").read_bytes() == good


@pytest.mark.parametrize("spoilt", ['{"metric": 1}', '{"metric": "x", "candidates": []}', "[]"])
def test_a_record_without_a_search_is_no_search(owls, spoilt):
    average, _ = search(owls)
    path = average.path / "averaging.json"
    before = json.loads(path.read_text())
    path.write_text(json.dumps(before | {"search": json.loads(spoilt)}))
    assert read_search(average.path) is None
    assert search(owls)[1]
    assert json.loads(path.read_text()) == before


@pytest.mark.parametrize("change", ["metric", "data", "candidates"])
def test_another_question_is_searched_again(owls, change):
    search(owls)
    project = load_project(owls / "registry.yaml")
    run, metric = run_checkpoints(project, "owl"), METRIC
    if change == "metric":
        metric = "mlm/perplexity"
    elif change == "data":
        with (owls / "dev.jsonl").open("a") as file:
            file.write('{"id": "new", "title": "an owl", "text": "the barn owl hooted"}\n')
    else:
        run = run[:2]
    average, changed = search(owls, metric=metric, checkpoints=run)
    assert changed
    found = read_search(average.path)
    assert found is not None and found.metric == metric
    assert [one.name for one in found.candidates] == [one.name for one in run]


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("mlm/los", "task 'mlm' has no metric 'los'\n  it has loss, accuracy"),
        ("mlmm/loss", "no task 'mlmm' in the suite\n  did you mean 'mlm'?"),
    ],
)
def test_a_metric_that_is_not_there_is_a_sentence(owls, metric, said):
    with pytest.raises(UserError) as caught:
        search(owls, metric=metric)
    assert said in str(caught.value)
    assert not (owls / "evidence").exists()


def test_what_would_stop_it_later_is_told_before_anything_is_measured(owls):
    with pytest.raises(UserError, match="is one of the inputs"):
        search(owls, output=owls / "run" / "checkpoint-10")
    with pytest.raises(UserError, match="is not an average"):
        search(owls, output=owls / "base")
    config = owls / "run" / "checkpoint-30" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"local_attention": 4}))
    with pytest.raises(CheckFailed, match="config local_attention is 4, not 8"):
        search(owls)
    assert not (owls / "evidence").exists() and not (owls / "averages").exists()


def test_a_release_searches_by_its_policy_and_a_second_one_does_nothing(owls, capsys):
    project = load_project(owls / "registry.yaml")
    first = release_variant(project, "owl")
    assert first.decision is not None and first.decision.chosen == "greedy"
    assert first.decision.chosen_candidate.members == {"checkpoint-10": 0.5, "checkpoint-30": 0.5}
    [step] = [step for step in first.steps if step.name == "average"]
    # greedy was measured while it was searched, the other average is left.
    assert step.summary == "2 built, 0 unchanged; 1 measured, 1 known"
    folder = owls / "averages" / "owl" / "best-1"
    assert json.loads((folder / "averaging.json").read_text())["ranked_by"] == METRIC
    before = snapshot(owls)
    again = release_variant(project, "owl")
    assert [step.name for step in again.steps if step.changed] == []
    assert snapshot(owls) == before
    assert main(["select", "owl"]) == 0
    capsys.readouterr()


def test_a_search_that_was_not_made_is_no_candidate(owls, capsys):
    project = load_project(owls / "registry.yaml")
    run = run_checkpoints(project, "owl")
    jobs = plan_jobs(run, project.suite("owl"), "dev", backend=Backend(), data_root=owls)
    run_jobs(jobs, owls / "evidence")
    said = (
        "the average greedy of 'owl' is not built, or not from these checkpoints\n"
        f"  mbrelease average owl --recipe greedy --score-by mlm/loss -o {owls}/averages/owl/greedy"
    )
    with pytest.raises(UserError) as caught:
        average_members(project, "owl", "greedy")
    assert str(caught.value) == said
    # The mend mends it.
    assert main(str(caught.value.mend).split()[1:]) == 0
    capsys.readouterr()
    weights = [weight for _, weight in average_members(project, "owl", "greedy")]
    assert weights == [Fraction(1, 2), Fraction(0), Fraction(1, 2)]
    # An average of that name which nobody searched for is none.
    folder = owls / "averages" / "owl" / "greedy"
    average_checkpoints([(run[0], Fraction(1))], folder, recipe="greedy")
    with pytest.raises(UserError, match="is not built, or not from these checkpoints"):
        candidate_sources(project, "owl")


def test_what_other_backends_measured_too_does_not_unmake_a_search(owls):
    """The most recent backend of a policy's numbers need not be that of the search."""
    search(owls)
    project = load_project(owls / "registry.yaml")
    run, tasks = run_checkpoints(project, "owl"), project.suite("owl")
    other = Backend(dtype="bfloat16")
    run_jobs(plan_jobs(run, tasks, "dev", backend=other, data_root=owls), owls / "evidence")
    assert [bool(weight) for _, weight in average_members(project, "owl", "greedy")] == [
        True, False, True,
    ]  # fmt: skip
    with (owls / "dev.jsonl").open("a") as file:
        file.write('{"id": "new", "title": "an owl", "text": "the barn owl hooted"}\n')
    with pytest.raises(UserError, match="is not built, or not from these checkpoints"):
        average_members(project, "owl", "greedy")


def test_one_checkpoint_alone_is_its_own_average(owls):
    [_, _, last] = run_checkpoints(load_project(owls / "registry.yaml"), "owl")
    average, changed = search(owls, checkpoints=[last])
    assert changed and greedy_members(average.path, [last]) == [(last, Fraction(1))]
    ours, theirs = open_checkpoint(average.path), last
    for name, tensor in load_file(theirs.weight_files[0]).items():
        assert torch.equal(load_file(ours.weight_files[0])[name], tensor)
    assert not search(owls, checkpoints=[last])[1]
