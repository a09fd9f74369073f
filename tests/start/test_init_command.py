"""`mbrelease init` finds runs, writes a registry that holds, and overwrites nothing."""

import os
import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from mbrelease.cli.main import main
from mbrelease.registry.load import load_project

ROOT = Path(__file__).parents[2]
WORKFLOW = Path(".github", "workflows", "release.yml")
CONSTRAINTS = Path(".github", "mbrelease-constraints.txt")


def make_run(folder: Path, steps: int) -> None:
    for step in range(1, steps + 1):
        (folder / f"checkpoint-{step * 1000}").mkdir(parents=True)


def variants(root: Path) -> dict[str, str | None]:
    registry = load_project(root / "registry.yaml").registry
    return {name: variant.run for name, variant in registry.variants.items()}


def test_each_run_on_disk_becomes_a_variant(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root = tmp_path / "Owls & science"
    make_run(root / "runs" / "dapt", 8)
    make_run(root / "runs" / "long context!" / "out", 2)
    make_run(root / "old" / "dapt", 1)
    make_run(root / "releases" / "no", 1)
    make_run(root / ".cache" / "no", 1)
    assert main(["init", str(root)]) == 0
    assert variants(root) == {
        "modernbert-base": None,
        "dapt": "old/dapt",
        "dapt-2": "runs/dapt",
        "long-context": "runs/long context!/out",
    }
    registry = load_project(root / "registry.yaml").registry
    assert registry.family == "Owls & science"
    assert registry.variants["dapt-2"].candidates.averages
    assert not registry.variants["dapt"].candidates.averages
    told = capsys.readouterr()
    assert told.out == ""
    assert "dapt-2: runs/dapt, 8 checkpoints" in told.err


def test_composer_saves_are_a_run_and_the_folder_itself_may_be_one(tmp_path: Path):
    composer = tmp_path / "composer"
    (composer / "modern").mkdir(parents=True)
    for batch in (100, 200, 300):
        (composer / "modern" / f"ep0-ba{batch}-rank0.pt").write_bytes(b"never opened")
    assert main(["init", str(composer)]) == 0
    assert variants(composer)["modern"] == "modern"
    itself = tmp_path / "my-run"
    make_run(itself, 3)
    assert main(["init", str(itself)]) == 0
    assert variants(itself)["my-run"] == "."


def test_without_a_run_the_registry_is_valid_and_says_how_to_go_on(tmp_path: Path, capsys):
    root = tmp_path / "new"
    assert main(["init", str(root)]) == 0
    assert list(variants(root)) == ["modernbert-base"]
    assert "mbrelease registry add NAME --run FOLDER" in capsys.readouterr().err
    assert main(["registry", "lint", str(root / "registry.yaml")]) == 0


def test_its_comments_are_valid_where_they_are_taken_up(tmp_path: Path):
    make_run(tmp_path / "owl", 3)
    assert main(["init", str(tmp_path)]) == 0
    path = tmp_path / "registry.yaml"
    text = path.read_text().replace("{summary: …, intended_use: […], limitations: […]}", "{}")
    head, rest = text.split("version: 1", 1)
    rest = re.sub(r"^(\s*)# (?! *What)", r"\1", rest, flags=re.MULTILINE)
    path.write_text(f"{head}version: 1{rest}")
    (variant,) = [v for v in load_project(path).registry.variants.values() if v.run]
    assert variant.repo == "ORG/owl"
    assert variant.policy == variant.suite == "main"


def test_what_is_there_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "registry.yaml").write_text("mine\n")
    assert main(["init", str(tmp_path)]) == 0
    assert (tmp_path / "registry.yaml").read_text() == "mine\n"
    assert "kept" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == [".gitignore", "registry.yaml"]


def test_the_workflow_is_the_one_that_is_tested_here(tmp_path: Path):
    assert main(["init", "--github", str(tmp_path)]) == 0
    assert (tmp_path / WORKFLOW).read_bytes() == (ROOT / WORKFLOW).read_bytes()


def test_the_constraints_pin_what_is_installed_without_torch(tmp_path: Path):
    assert main(["init", "--github", str(tmp_path)]) == 0
    lines = (tmp_path / CONSTRAINTS).read_text().splitlines()[1:]
    pins = dict(line.split("==") for line in lines)
    assert lines == sorted(lines)
    assert {"click", "huggingface-hub", "hf-xet", "numpy", "starlette", "markdown-it-py"} <= set(
        pins
    )
    assert not {"torch", "transformers", "pytest", "mbrelease", "mteb"} & set(pins)
    for name, version in pins.items():
        assert metadata.version(name) == version


def test_a_workflow_that_differs_is_shown_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["init", "--github", str(tmp_path)]) == 0
    capsys.readouterr()
    mine = (tmp_path / WORKFLOW).read_text().replace("timeout-minutes: 120", "timeout-minutes: 9")
    (tmp_path / WORKFLOW).write_text(mine)
    assert main(["init", "--github", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert "-    timeout-minutes: 9\n+    timeout-minutes: 120\n" in told.out
    assert "release.yml differs; nothing of it was changed" in told.err
    assert f"kept     {tmp_path / CONSTRAINTS}: it is the same" in told.err
    assert (tmp_path / WORKFLOW).read_text() == mine


def test_a_second_time_changes_nothing(tmp_path: Path):
    def state() -> dict[Path, tuple[int, bytes]]:
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    assert main(["init", "--github", str(tmp_path)]) == 0
    before = state()
    assert main(["init", "--github", str(tmp_path)]) == 0
    assert state() == before


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["init", str(tmp_path / "file")]) == 2
    assert "is a file" in capsys.readouterr().err


def test_what_is_of_this_machine_is_kept_from_git(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["init", str(tmp_path)]) == 0
    ignored = tmp_path / ".gitignore"
    assert ignored.read_text() == ".mbrelease/\n.*.lock\n"
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for name in (".registry.yaml.lock", ".mbrelease/parsed/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    status = ["git", "-C", str(tmp_path), "status", "--porcelain"]
    shown = subprocess.run(status, capture_output=True, text=True, check=True).stdout
    assert shown == "?? .gitignore\n?? registry.yaml\n"
    ignored.write_text("runs/\n.*.lock\n")
    capsys.readouterr()
    assert main(["init", str(tmp_path)]) == 0
    assert "it is there already; add to it: .mbrelease/\n" in capsys.readouterr().err
    assert ignored.read_text() == "runs/\n.*.lock\n"
