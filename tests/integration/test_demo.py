"""`mbrelease demo`, and the tutorial that goes on from where it ends."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.checkpoints.discover import discover
from mbrelease.evaluation.evidence import read_records
from mbrelease.hub.receipt import read_receipt
from mbrelease.selection.decision import read_decision

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"
BIN = Path(sys.executable).parent


def environment(home: Path) -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return {
        **known,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the demo was made, as ``demo``."""
    return tmp_path_factory.mktemp("tutorial")


@pytest.fixture(scope="module")
def said(parent: Path) -> str:
    """What the demo said, on both streams."""
    done = subprocess.run(
        [BIN / "mbrelease", "demo", "demo"],
        cwd=parent,
        env=environment(parent / "home"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    card = parent / "demo" / "releases" / "python-docstrings" / "README.md"
    assert done.stdout.strip() == str(card)
    return done.stderr


def test_it_ends_with_what_was_chosen_why_and_what_to_type_next(said, parent):
    decision = read_decision(parent / "demo" / "decisions" / "python-docstrings.json")
    assert f"Chosen: {decision.chosen}" in said
    assert decision.reasons[0] in said
    assert "The downloaded model fills in:" in said
    assert "mbrelease rehearse --root hub" in said
    for noise in ("Warning", "Traceback", "it/s"):
        assert noise not in said


def test_it_is_a_real_training_that_did_visible_good(said, parent):
    root = parent / "demo"
    run = discover(root / "runs" / "docstrings")
    assert len(run) >= 8
    state = run[-1].trainer_state
    assert state.decay_start is not None and 0 < state.decay_start < state.max_steps
    [base] = discover(root / "runs" / "base")
    chosen = open_checkpoint(root / "releases" / "python-docstrings")
    loss = {
        name: next(r for r in read_records(root / "evidence", c.weights_sha256, "heldout-mlm")
                   if r.split == "test").metrics["loss"]
        for name, c in (("base", base), ("chosen", chosen))
    }  # fmt: skip
    assert loss["chosen"] < loss["base"] - 0.3


def test_both_models_are_on_the_hub_as_released(said, parent):
    receipts = {
        receipt.repo_id: receipt
        for path in (parent / "demo" / "receipts").glob("*/*.json")
        for receipt in [read_receipt(path)]
    }
    assert set(receipts) == {"demo/python-base", "demo/python-docstrings"}
    release = open_checkpoint(parent / "demo" / "releases" / "python-docstrings")
    published = receipts["demo/python-docstrings"].files["model.safetensors"].sha256
    assert published == release.weights_sha256


def test_the_tutorial_runs_as_it_is_written(said, parent):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    text = TUTORIAL.read_text(encoding="utf-8").replace("5290", port)
    folder, settings = parent, environment(parent / "home2")
    hub = None
    try:
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            if block.startswith("mbrelease rehearse"):
                hub = subprocess.Popen(
                    [BIN / "mbrelease", *block.split()[1:]],
                    cwd=folder,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
                assert hub.stdout is not None
                assert hub.stdout.readline().strip() == f"http://127.0.0.1:{port}"
                continue
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", f"{block}\npwd"],
                cwd=folder,
                env=settings,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, f"{block}\n{done.stderr}"
            folder = Path(done.stdout.splitlines()[-1])
            exported = re.findall(r"(HF_ENDPOINT|HF_TOKEN)=(\S+)", block)
            settings |= dict(exported)
        assert "token_str" in done.stdout
    finally:
        if hub is not None:
            hub.kill()
            hub.wait()
            assert hub.stdout is not None
            hub.stdout.close()


def test_a_folder_that_is_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("important")
    done = subprocess.run(
        [BIN / "mbrelease", "demo", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "holds something that is not a demo" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
