"""What the project knows of a release is asked before a push: one fault each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from mbrelease.cards.write import write_variant_card
from mbrelease.cli.main import main
from mbrelease.files import write_json
from mbrelease.hub.plan import make_plan
from mbrelease.hub.problems import Check
from mbrelease.registry.load import load_project
from mbrelease.registry.project import Project
from mbrelease.release_checks.checks import Subject, release_checks, subject_of
from mbrelease.release_checks.verified import release_contents

REPO = "rehearsal/tiny"
REGISTRY = """version: 1
family: Tiny
defaults: {license: apache-2.0, languages: [en]}
variants:
  tiny: {repo: rehearsal/tiny}
"""


@pytest.fixture(scope="module")
def made(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a release and its card, as `mbrelease release` leaves it, but for verify."""
    root = tmp_path_factory.mktemp("made")
    (root / "registry.yaml").write_text(REGISTRY)
    shutil.copytree(released, root / "releases" / "tiny")
    project = load_project(root / "registry.yaml")
    write_variant_card(project, "tiny", root / "releases" / "tiny" / "README.md")
    return root


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    root = tmp_path / "project"
    shutil.copytree(made, root)
    monkeypatch.chdir(root)
    return load_project(root / "registry.yaml")


@pytest.fixture
def folder(project: Project) -> Path:
    return project.release("tiny")


def asked(project: Project, **options) -> dict[str, Check]:
    subject = Subject(project.release("tiny"), project, "tiny")
    return {check.name: check for check in release_checks(subject, **options)}


def remember_a_pass(project: Project) -> None:
    """What verify leaves when the files passed; torch is spared here."""
    inputs = {"release": release_contents(project.release("tiny")), "mbrelease": "0.0.1"}
    write_json(project.root / ".mbrelease" / "verified" / "tiny.json", {"inputs": inputs})


def test_a_sound_release_that_nobody_has_verified(project: Project) -> None:
    checks = asked(project)
    assert {name: check.state for name, check in checks.items()} == {
        "verify": "not run",
        "lint": "passed",
        "card": "passed",
    }
    assert "--verify" in checks["verify"].told
    assert not any(check.problems for check in checks.values())


def test_a_pass_is_remembered_with_the_bytes_that_passed(project: Project, folder: Path) -> None:
    remember_a_pass(project)
    assert asked(project)["verify"].state == "passed"
    (folder / "model.sig").write_text("{}")
    (folder / "README.md").write_text((folder / "README.md").read_text() + "\nMine.\n")
    assert asked(project)["verify"].state == "passed", "what is written after it is no change"
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    (folder / "LICENSE").write_text("x")
    check = asked(project)["verify"]
    assert check.state == "failed"
    (problem,) = check.problems
    assert problem.message.endswith("has changed since it was verified: LICENSE, config.json")
    assert problem.mend == "push with --verify, or: mbrelease release tiny"


@pytest.mark.parametrize("spoilt", ["[]", "{", '{"inputs": {"release": []}}'])
def test_a_spoilt_memory_is_no_pass(project: Project, spoilt: str) -> None:
    remember_a_pass(project)
    (project.root / ".mbrelease" / "verified" / "tiny.json").write_text(spoilt)
    assert asked(project)["verify"].state == "not run"


def test_a_number_that_was_changed_by_hand_is_a_problem(project: Project, folder: Path) -> None:
    readme = folder / "README.md"
    text = readme.read_text()
    lock = json.loads((folder / "card.lock.json").read_text())
    assert lock["numbers"], "there are numbers to change"
    number = next(n for n in lock["numbers"] if n["text"].isdigit() and len(n["text"]) > 2)
    readme.write_text(text.replace(number["text"], "987654321"))
    check = asked(project)["card"]
    assert check.state == "failed" and check.problems
    assert all(problem.message.startswith("README.md:") for problem in check.problems)
    assert "987654321" in " ".join(problem.message for problem in check.problems)
    assert {problem.mend for problem in check.problems} == {f"mbrelease card tiny -o {readme}"}


def test_a_lint_error_is_a_problem(project: Project, folder: Path) -> None:
    readme = folder / "README.md"
    readme.write_text(readme.read_text() + "\n![a curve](figures/none.png)\n")
    (problem,) = asked(project)["lint"].problems
    assert problem.message.startswith("README.md:") and "figures/none.png" in problem.message


def test_a_card_without_a_lock_or_a_registry_is_not_checked_and_says_why(
    project: Project, folder: Path, tmp_path: Path
) -> None:
    (folder / "card.lock.json").rename(tmp_path / "card.lock.json")
    assert asked(project)["card"].told == "no card.lock.json says what its numbers come from"
    away = tmp_path / "away"
    shutil.copytree(folder, away)
    (tmp_path / "card.lock.json").rename(away / "card.lock.json")
    subject = subject_of(away)
    assert subject == Subject(away)
    told = {check.name: check.told for check in release_checks(subject)}
    assert told["card"] == "no registry here knows its variant"


def test_a_folder_is_known_by_its_lock_and_the_registry_above(
    project: Project, folder: Path
) -> None:
    subject = subject_of(folder)
    assert subject.is_release and subject.variant == "tiny"
    (project.root / "registry.yaml").write_text("version: 1\nfamily: [\n")
    assert subject_of(folder) == Subject(folder), "what is no registry stops no folder"


def test_verify_is_run_where_it_is_asked_for_and_remembered(project: Project) -> None:
    first = asked(project, run_verify=True)["verify"]
    assert first.state == "passed" and " passed" in first.told
    but_the_card = "all but the card and its figures passed"
    assert asked(project)["verify"].told.startswith(f"{but_the_card} mbrelease ")
    assert asked(project, run_verify=True)["verify"].told == f"{but_the_card} before"


def test_what_verify_refuses_is_a_problem_each(project: Project, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 289}))
    check = asked(project, run_verify=True)["verify"]
    assert check.state == "failed"
    assert all(problem.message.startswith("verify: ") for problem in check.problems)
    assert not (project.root / ".mbrelease" / "verified" / "tiny.json").exists()


def test_the_command_tells_all_of_them_at_once(
    api: HfApi,
    project: Project,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", api.endpoint)
    monkeypatch.setenv("HF_TOKEN", str(api.token))
    assert main(["push", "tiny", "--plan"]) == 0
    out = capsys.readouterr().out
    assert "✓ lint     no error" in out and "✓ card " in out and "– verify " in out
    remember_a_pass(project)
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text() + " ")
    readme = folder / "README.md"
    readme.write_text(readme.read_text() + "\n![a curve](figures/none.png)\n")
    (folder / "optimizer.pt").write_bytes(b"")
    for target in (["tiny"], ["releases/tiny", "--to", REPO]):
        assert main(["push", *target, "--plan", "--json"]) == 1
        plan = json.loads(capsys.readouterr().out)["plan"]
        states = {check["name"]: check["state"] for check in plan["checks"]}
        assert states == {"verify": "failed", "lint": "failed", "card": "passed"}
        told = " | ".join(problem["message"] for problem in plan["problems"])
        for part in ("optimizer.pt", "figures/none.png", "changed since it was verified"):
            assert part in told


def test_what_two_checks_find_is_told_once(api: HfApi, project: Project, folder: Path) -> None:
    readme = folder / "README.md"
    readme.write_text(readme.read_text().replace("license: apache-2.0", "license: apache2", 1))
    checks = tuple(asked(project).values())
    plan = make_plan(folder, REPO, checks=checks, api=api)
    told = [problem.message for problem in plan.problems]
    assert len(told) == len(set(told))
    assert sum("is unknown to the Hub" in message for message in told) == 1
