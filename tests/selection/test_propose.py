"""The search over averages: what is proposed, and what becomes of it with real models."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from owl_project import Owls
from safetensors.torch import load_file, save_file

from mbrelease.errors import CheckFailed, UserError
from mbrelease.evaluation.backend import Backend
from mbrelease.progress import Silent
from mbrelease.registry.load import load_project
from mbrelease.selection.averages import make_averages
from mbrelease.selection.candidates import candidate_sources
from mbrelease.selection.policy import decide
from mbrelease.selection.propose import propose, search

REGISTRY = """\
version: 1
family: Owls
defaults: {license: apache-2.0, languages: [en]}
suites:
  owls:
    - {name: mlm, type: mlm, data: {dev: dev.jsonl, test: dev.jsonl}, max_length: 64}
policies:
  owls: {primary: mlm/loss, reference: base, resamples: 1000}
variants:
  base: {weights: base}
  owl:
    run: run
    suite: owls
    policy: owls
    candidates:
      averages:
        - weights:0,1,1   # by hand
aliases: {production: owl}
"""
SENTENCE = "the other owl found a mouse in the old barn while it rained all over there"
WORDS = SENTENCE.split()


@pytest.fixture
def typed(tmp_path):
    """A project whose measurements are typed in."""
    return Owls(tmp_path)


def proposed(owls, recalls, *, averages="[]"):
    owls.run(*((2.0, recall) for recall in recalls))
    owls.edit("averages: []", f"averages: {averages}")
    return propose(owls.project, "owl")


def test_a_long_run_gets_every_kind_up_to_five(typed):
    assert proposed(typed, (0.5, 0.6, 0.7, 0.4, 0.3, 0.2, 0.25, 0.1)) == [
        "last:2", "last:3", "last:4", "last:5",
        "uniform",
        "wsm:cosine", "wsm:1-sqrt",  # linear, of steps evenly apart, is uniform
        "best:1+last", "best:2+last", "best:3+last", "best:4+last", "best:5+last",
        "greedy",
    ]  # fmt: skip


def test_of_the_same_weights_the_recipe_without_scores_is_proposed(typed):
    """The best are the latest: best:K+last is last:K+1, and with all of them uniform."""
    assert proposed(typed, (0.1, 0.2, 0.3, 0.4)) == [
        "last:2", "last:3", "uniform", "wsm:cosine", "wsm:1-sqrt", "greedy",
    ]  # fmt: skip


def test_two_checkpoints_have_few_averages(typed):
    """Halfway down, a cosine has 1/2 left: it gives the mean; greedy gives it or one of them."""
    assert proposed(typed, (0.5, 0.6)) == ["uniform", "wsm:1-sqrt"]


@pytest.mark.parametrize("recalls", [(0.5,), ()])
def test_one_checkpoint_has_none(typed, recalls):
    if not recalls:
        typed.checkpoint("run/checkpoint-10", 1)  # not measured, and need not be
    assert proposed(typed, recalls) == []


def test_what_the_registry_has_in_another_spelling_is_not_proposed(typed):
    known = '["weights:0,2,2", "best:02+last", "ema:0.5", "weights:0,1,0"]'
    assert proposed(typed, (0.5, 0.6, 0.4), averages=known) == [
        "wsm:cosine", "wsm:1-sqrt", "greedy",
    ]  # fmt: skip
    typed.edit('"ema:0.5"', '"ema:0.5", greedy')
    assert propose(typed.project, "owl") == ["wsm:cosine", "wsm:1-sqrt"]


def test_uneven_steps_make_linear_a_recipe_of_its_own(typed):
    typed.run((2.0, 0.5), (2.0, 0.6), (2.0, 0.4))
    (typed.root / "run" / "checkpoint-30").rename(typed.root / "run" / "checkpoint-90")
    assert "wsm:linear" in propose(typed.project, "owl")


def test_checkpoints_that_are_not_measured_are_named(typed):
    typed.run((2.0, 0.5), (2.0, 0.6))
    typed.checkpoint("run/checkpoint-15", 3)
    with pytest.raises(UserError, match=r"1 of 2 checkpoints have none: checkpoint-15"):
        propose(typed.project, "owl")


def write_run(root: Path, tensors, noise, steps) -> None:
    # An untrained model loses least where its head is flat, and noise makes it less so.
    for step, scale, size in steps:
        folder = root / "run" / f"checkpoint-{step}"
        shutil.copytree(root / "base", folder)
        changed = {name: t * scale + size * noise[name] for name, t in tensors.items()}
        save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.fixture(scope="module")
def made(saved_by_5x: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose first and last checkpoints have opposite noise, and one that lost its way."""
    root = tmp_path_factory.mktemp("owls")
    (root / "registry.yaml").write_text(REGISTRY)
    rows = [
        {"id": f"{n}", "title": WORDS[n % 9], "text": " ".join(WORDS[n % 9 : 3 + n % 14])}
        for n in range(40)
    ]
    (root / "dev.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.copytree(saved_by_5x, root / "base")
    tensors = load_file(saved_by_5x / "model.safetensors")
    generator = torch.Generator().manual_seed(0)
    noise = {name: torch.randn(t.shape, generator=generator) for name, t in tensors.items()}
    write_run(root, tensors, noise, ((10, 0.2, 0.4), (20, 3.0, 0.0), (30, 0.2, -0.4)))
    return root


@pytest.fixture
def owls(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "project"))


class Notes(Silent):
    """A progress that remembers what was said, and may be interrupted after so many notes."""

    def __init__(self, last: int | None = None) -> None:
        self.all: list[str] = []
        self.last = last

    def that(self, start: str) -> list[str]:
        return [note for note in self.all if note.startswith(start)]

    def note(self, message: str) -> None:
        self.all.append(message)
        if len(self.all) == self.last:
            raise KeyboardInterrupt


def searched(root, *, variant="owl", notes=None):
    project = load_project(root / "registry.yaml")
    return search(project, variant, backend=Backend(), progress=notes or Silent())


def splits(root):
    """What was measured on, of all the evidence."""
    files = (root / "evidence").rglob("mlm.json")
    return {split for file in files for split in json.loads(file.read_text())["scores"]}


def contents(root: Path) -> dict[str, bytes]:
    """What was decided and built; measuring times differ."""
    kept = [root / "registry.yaml", *(root / "averages").rglob("*")]
    return {str(path.relative_to(root)): path.read_bytes() for path in kept if path.is_file()}


ADDED = ["uniform", "wsm:cosine", "wsm:1-sqrt", "best:1+last"]


def test_what_is_proposed_is_added_built_and_measured_on_dev(owls):
    notes = Notes()
    # last:2 is there as weights:0,1,1; greedy keeps the first and the last, as best:1+last does.
    assert searched(owls, notes=notes, variant="production") == ADDED
    lines = "".join(f'        - "{recipe}"\n' for recipe in ADDED)
    grown = REGISTRY.replace("# by hand\n", "# by hand\n" + lines).replace('"uniform"', "uniform")
    assert (owls / "registry.yaml").read_text() == grown
    assert notes.that("built") == [
        "built greedy", "built weights:0,1,1", *(f"built {recipe}" for recipe in ADDED),
    ]  # fmt: skip
    assert notes.that("greedy") == ["greedy finds what is a candidate already: it is not added"]
    assert notes.that("added") == [
        f"added to the averages of owl in {owls}/registry.yaml: {', '.join(ADDED)}"
    ]
    assert notes.all[-1] == "averages on dev: 5 built, 0 unchanged; 5 measured, 0 known"
    assert splits(owls) == {"dev"}


def test_all_are_candidates_of_the_decision(owls):
    searched(owls)
    project = load_project(owls / "registry.yaml")
    names = [source.name for source in candidate_sources(project, "owl")]
    assert names[3:] == ["weights:0,1,1", *ADDED]
    decision = decide(project, "owl")
    assert [candidate.name for candidate in decision.candidates] == names
    assert [one.kind for one in decision.findings if "average" in one.kind] == ["average-beats"]


def times(folder):
    """When each file was written, other than locks."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {path: path.stat().st_mtime_ns for path in files}


def test_a_second_search_does_nothing(owls):
    searched(owls)
    before = times(owls)
    notes = Notes()
    assert searched(owls, notes=notes) == []
    assert notes.all == [
        "nothing to add to the averages of owl",
        "averages on dev: 0 built, 5 unchanged; 0 measured, 5 known",
    ]
    assert times(owls) == before


def test_a_search_that_was_killed_goes_on_where_it_stood(owls, made, tmp_path):
    whole = Path(shutil.copytree(made, tmp_path / "whole"))
    notes = Notes()
    searched(whole, notes=notes)
    measured = []
    for _ in range(60):
        cut = Notes(last=3)
        try:
            searched(owls, notes=cut)
            break
        except KeyboardInterrupt:
            measured += cut.that("measured")
    assert cut.last is not None and len(cut.all) < cut.last  # the last one was not killed
    assert len(measured) > 8
    assert contents(owls) == contents(whole)
    # Nothing was measured twice.
    assert sorted(measured) == sorted(notes.that("measured"))


def test_what_differs_in_more_than_its_weights_is_told_before_anything_is_measured(owls):
    config = owls / "run" / "checkpoint-30" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"local_attention": 4}))
    with pytest.raises(CheckFailed, match="config local_attention is 4, not 8"):
        searched(owls)
    text = (owls / "registry.yaml").read_text()
    (owls / "registry.yaml").write_text(text.replace("weights:0,1,1", "last:4"))
    with pytest.raises(UserError, match="needs 4 checkpoints, and there are 3"):
        searched(owls)
    assert not (owls / "evidence").exists() and not (owls / "averages").exists()


def test_a_run_of_one_checkpoint_has_nothing_added(owls):
    text = (owls / "registry.yaml").read_text().replace("weights:0,1,1   # by hand", "last:1")
    (owls / "registry.yaml").write_text(text)
    for step in (10, 20):
        shutil.rmtree(owls / "run" / f"checkpoint-{step}")
    notes = Notes()
    assert searched(owls, notes=notes) == []
    assert (owls / "registry.yaml").read_text() == text
    assert "owl has one checkpoint: nothing to average" in notes.all
    assert [note.split()[1] for note in notes.that("measured")] == [
        "base",
        "checkpoint-30",
        "last-1",
    ]


def test_greedy_that_finds_something_new_is_added(owls):
    """A fourth checkpoint is lost, too: greedy leaves it out, and no other recipe does."""
    lost = owls / "run" / "checkpoint-40"
    shutil.copytree(owls / "run" / "checkpoint-20", lost)
    tensors = load_file(lost / "model.safetensors")
    save_file({n: 1.1 * t for n, t in tensors.items()}, lost / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    text = (owls / "registry.yaml").read_text().replace("weights:0,1,1", "uniform")
    (owls / "registry.yaml").write_text(text)
    assert searched(owls)[-1] == "greedy"
    project = load_project(owls / "registry.yaml")
    [greedy] = [one for one in candidate_sources(project, "owl") if one.name == "greedy"]
    assert list(greedy.members) == ["checkpoint-10", "checkpoint-30"]
    # A release finds all made.
    made = make_averages(project, "owl", backend=Backend())
    assert not made.changed and made.n_averages == made.n_jobs > 5
