"""`mbrelease push` as people and night jobs call it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from mbrelease.cli.main import main
from mbrelease.files import sha256_file
from mbrelease.registry.schema import Policy
from mbrelease.selection.decision import Candidate, Decision, write_decision

REPO = "rehearsal/tiny"


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def at_hub(api: HfApi, monkeypatch: pytest.MonkeyPatch) -> HfApi:
    """The environment of someone who is logged in to the rehearsal Hub."""
    monkeypatch.setenv("HF_ENDPOINT", api.endpoint)
    monkeypatch.setenv("HF_TOKEN", str(api.token))
    return api


def test_a_plan_shows_what_would_be_sent_and_sends_nothing(
    at_hub: HfApi, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", str(release), "--to", REPO, "--plan"]) == 0
    out, err = capsys.readouterr()
    size = (release / "model.safetensors").stat().st_size
    assert "model.safetensors" in out and f"{size / 1000:.1f} kB" in out
    assert max(map(len, out.splitlines())) <= 80
    assert "10 to add, 0 to change, 0 unchanged, 0 only there (kept)" in err
    assert not at_hub.repo_exists(REPO)


def test_a_push_ends_with_url_commit_tag_and_receipt(
    at_hub: HfApi, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", str(release), "--to", REPO, "--tag", "v1", "-m", "First"]) == 0
    out, err = capsys.readouterr()
    last = dict(line.split() for line in out.splitlines()[-4:])
    assert last["url"] == f"{at_hub.endpoint}/{REPO}/tree/{last['commit']}"
    assert last["tag"] == "v1"
    assert json.loads(Path(last["receipt"]).read_text())["commit"] == last["commit"]
    assert at_hub.list_repo_commits(REPO)[0].title == "First"
    assert str(at_hub.token) not in out + err


def test_a_second_push_says_that_nothing_was_sent(
    at_hub: HfApi, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["push", str(release), "--to", REPO])
    capsys.readouterr()
    assert main(["push", str(release), "--to", REPO]) == 0
    assert "has these bytes already" in capsys.readouterr().err


def test_json_is_the_whole_of_stdout(
    at_hub: HfApi, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", str(release), "--to", REPO, "--plan", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["receipt"] is None and planned["plan"]["clean"]
    assert main(["push", str(release), "--to", REPO, "--json"]) == 0
    pushed = json.loads(capsys.readouterr().out)
    assert set(pushed["receipt"]["files"]) == set(planned["plan"]["added"])
    (release / "x.pkl").write_bytes(b"")
    assert main(["push", str(release), "--to", REPO, "--json"]) == 1
    refused = json.loads(capsys.readouterr().out)
    assert "x.pkl can run code" in refused["plan"]["problems"][0]["message"]


def test_problems_end_with_exit_1_and_nothing_sent(
    at_hub: HfApi, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (release / "optimizer.pt").write_bytes(b"")
    (release / ".env").write_text("")
    for options in ([], ["--plan"]):
        assert main(["push", str(release), "--to", REPO, *options]) == 1
        err = capsys.readouterr().err
        assert "error: 2 problems; nothing was sent\n  - .env is hidden" in err
    assert not at_hub.repo_exists(REPO)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "localhost:8000", "http://127.0.0.1:x"])
def test_an_endpoint_that_is_not_there_is_two_lines(
    endpoint: str,
    release: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setenv("HF_TOKEN", "hf_something")
    assert main(["push", str(release), "--to", REPO]) in {1, 2}
    told = capsys.readouterr().err.partition("error: ")[2]
    assert "HF_ENDPOINT" in told
    assert len(told.splitlines()) == 2


def test_no_token_is_two_lines(
    api: HfApi,
    release: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", api.endpoint)
    assert main(["push", str(release), "--to", REPO]) == 1
    told = capsys.readouterr().err.partition("error: ")[2]
    assert told == ("no token for the Hub was found\n  run 'hf auth login', or set HF_TOKEN\n")


def test_the_status_is_0_as_long_as_nothing_changed(
    at_hub: HfApi, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["push", str(release), "--to", REPO, "--tag", "v1"])
    assert main(["push", "--status", REPO]) == 0
    assert "is as published" in capsys.readouterr().out
    at_hub.upload_file(path_or_fileobj=b"x", path_in_repo="LICENSE", repo_id=REPO)
    assert main(["push", "--status", REPO]) == 1
    err = capsys.readouterr().err
    assert "LICENSE is not the published file" in err
    assert main(["push", "--status", REPO, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["same"] is False


def test_a_status_without_a_receipt_is_a_wrong_call(
    at_hub: HfApi, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", "--status", "some/where"]) == 2
    assert "no receipt for some/where" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "say what to push"),
        (["", "--to", "o/m"], "say what to push"),
        (["x", "--status", "a/b"], "leave PATH out"),
        (["./nowhere", "--to", "a/b"], "./nowhere is not a folder"),
        (["."], "give --to ORG/NAME"),
    ],
)
def test_wrong_calls_exit_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", *arguments]) == 2
    assert told in capsys.readouterr().err


REGISTRY = """version: 1
family: Tiny
variants:
  tiny-v1: {repo: rehearsal/tiny}
  tiny-v2: {}
aliases: {production: tiny-v1}
"""


def test_a_variant_is_pushed_to_its_repo_by_its_alias(
    at_hub: HfApi, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("registry.yaml").write_text(REGISTRY)
    Path("releases").mkdir()
    release.rename(Path("releases", "tiny-v1"))
    weights = sha256_file(Path("releases", "tiny-v1", "model.safetensors"))
    one = Candidate(name="one", kind="checkpoint", path="runs/one", weights_sha256=weights)
    other = one.model_copy(update={"name": "other", "weights_sha256": "0" * 64})
    decided = Decision(
        variant="tiny-v1",
        split="dev",
        basis="points",
        policy_name="plain",
        policy=Policy(primary="find/mrr", reference="tiny-v2"),
        policy_sha256="0" * 64,
        reference=other,
        candidates=[one, other],
        chosen="other",
        reasons=[],
    )
    path = Path("decisions", "tiny-v1.json")
    write_decision(path, decided)
    assert main(["push", "production"]) == 1
    assert "holds other weights than tiny-v1.json chose (other)" in capsys.readouterr().err
    write_decision(path, decided.model_copy(update={"chosen": "one"}))
    assert main(["push", "production", "--json"]) == 0
    pushed = json.loads(capsys.readouterr().out)
    assert pushed["receipt"]["repo_id"] == REPO
    assert pushed["receipt"]["decision_sha256"] == sha256_file(path)
    assert Path(pushed["receipt_path"]).parent.parent == Path.cwd() / "receipts"


def test_a_variant_that_cannot_be_pushed_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    Path("registry.yaml").write_text(REGISTRY)
    assert main(["push", "tiny-v1"]) == 2
    assert "has no release yet" in capsys.readouterr().err
    Path("releases", "tiny-v2").mkdir(parents=True)
    assert main(["push", "tiny-v2"]) == 2
    assert "names no repo for tiny-v2" in capsys.readouterr().err
    assert main(["push", "tiny-v3"]) == 2
    assert "did you mean" in capsys.readouterr().err


WITHOUT_TORCH = (
    "import sys; sys.modules['torch'] = sys.modules['transformers'] = None;"
    "from mbrelease.cli.main import main; main()"
)


def test_a_process_of_its_own_pushes_without_torch_and_without_the_clients_noise(
    api: HfApi, release: Path, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "HF_ENDPOINT": api.endpoint,
        "HF_TOKEN": str(api.token),
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_TORCH, "push", release, "--to", REPO],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "100%" not in done.stderr and "huggingface_hub" not in done.stderr
    assert str(api.token) not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ("/commit/", "it is not known whether the commit arrived: run the same command again"),
        ("/resolve/", "left to do: read it back, set the tag v1, write the receipt"),
        ("/tag/", "left to do: set the tag v1, write the receipt"),
    ],
)
def test_ctrl_c_after_the_commit_says_that_it_stands_and_what_is_left(
    part: str,
    told: str,
    proxy,
    at_hub: HfApi,
    release: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", proxy.url)
    pressed: list[str] = []

    def press(method: str, path: str) -> bool:
        if part in path and not pressed:
            pressed.append(path)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
        return False

    proxy.refuse = press
    assert main(["push", str(release), "--to", REPO, "--tag", "v1"]) == 130
    err = capsys.readouterr().err
    assert told in err and "error: interrupted" in err
    commit = at_hub.list_repo_commits(REPO)[0].commit_id
    assert (f"the commit {commit} stands" in err) == (part != "/commit/")
    assert main(["push", str(release), "--to", REPO, "--tag", "v1"]) == 0
    assert len(at_hub.list_repo_commits(REPO)) == 2
    assert [tag.target_commit for tag in at_hub.list_repo_refs(REPO).tags] == [
        at_hub.list_repo_commits(REPO)[0].commit_id
    ]


@pytest.mark.parametrize("option", ["--tag", "--base", "--message"])
def test_an_option_that_is_given_twice_is_no_silent_choice(
    option: str, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", str(release), "--to", REPO, option, "a", option, "b"]) == 2
    assert f"error: {option} is given 2 times" in capsys.readouterr().err
