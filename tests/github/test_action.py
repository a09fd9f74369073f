"""The composite action's own step, run in bash: it installs what lies beside it."""

import json
import os
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest
import yaml
from runner import filled

from mbrelease import __version__

ROOT = Path(__file__).parents[2]
CARRIED = ("mbrelease", "templates", ".github", "pyproject.toml", "constraints.txt")
TEXTS = ("CHANGELOG.md", "LICENSE", "README.md")


@pytest.fixture(scope="module")
def action(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the action, as a runner downloads it."""
    folder = tmp_path_factory.mktemp("action")
    for name in (*CARRIED, *TEXTS, "action.yml"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A Python of one's own that has what an index would give, but for mbrelease."""
    folder = tmp_path / "python"
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "index.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def run(action: Path, machine: Path, outputs: Path, **inputs: str) -> subprocess.CompletedProcess:
    """The `run:` steps of the action; that it sets Python up before is not ours."""
    described = yaml.safe_load((action / "action.yml").read_text())
    defaults = {name: each["default"] for name, each in described["inputs"].items()}
    (step,) = [each for each in described["runs"]["steps"] if "run" in each]
    contexts = {"inputs": {**defaults, **inputs}}
    script = outputs.with_name("step.sh")
    script.write_text(filled(step["run"], contexts))
    assert step["shell"] == "bash"
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
        env={
            "PATH": f"{machine / 'bin'}:{os.environ['PATH']}",
            "HOME": str(outputs.parent),
            "GITHUB_ACTION_PATH": str(action),
            "GITHUB_OUTPUT": str(outputs),
            # What it builds and needs is here: there is no index in a test.
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it so that 0 is: no isolation
            **{name: filled(value, contexts) for name, value in step["env"].items()},
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("extras", ["", "rehearsal,sign"])
def test_it_installs_what_lies_beside_it_and_says_which(
    action: Path, machine: Path, tmp_path: Path, extras: str
) -> None:
    outputs = tmp_path / "output"
    done = run(action, machine, outputs, extras=extras)
    assert done.returncode == 0, done.stdout
    assert outputs.read_text() == f"version={__version__}\n"
    ask = "import json, mbrelease; print(json.dumps([mbrelease.__file__, mbrelease.__version__]))"
    told = subprocess.check_output([machine / "bin" / "python", "-c", ask], text=True, cwd=tmp_path)
    place, version = json.loads(told)
    assert Path(place).is_relative_to(machine) and version == __version__


def test_an_extra_whose_needs_cannot_be_had_fails_the_step(
    action: Path, machine: Path, tmp_path: Path
) -> None:
    """The versions are those of the constraints: another one is no stand-in."""
    folder = tmp_path / "action"
    shutil.copytree(action, folder)
    (folder / "constraints.txt").write_text("huggingface-hub==0.0.1\n")
    done = run(folder, machine, tmp_path / "output")
    assert done.returncode != 0
    assert not (tmp_path / "output").exists()


def test_its_output_is_that_of_its_step() -> None:
    described = yaml.safe_load((ROOT / "action.yml").read_text())
    (step,) = [each for each in described["runs"]["steps"] if "run" in each]
    contexts = {"steps": {step["id"]: {"outputs": {"version": "9"}}}}
    assert filled(described["outputs"]["version"]["value"], contexts) == "9"
