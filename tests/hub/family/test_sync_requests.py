"""What `registry sync` asks a Hub for: little, again where an answer was lost, when it may."""

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
from published_family import BASE, BIO, DAPT1, DAPT2, child, config, publish, publish_family
from sync_project import REGISTRY, Run

from mbrelease.hub.rehearsal.faults import parse_fault
from mbrelease.hub.rehearsal.server import running


@pytest.fixture
def behind(run: Run, family: HfApi, proxy, monkeypatch: pytest.MonkeyPatch):
    """The proxy, through which the commands go; it logs what is asked for."""
    monkeypatch.setenv("HF_ENDPOINT", proxy.url)
    return proxy


def asked(proxy) -> list[str]:
    """The paths that were asked for since the last time, in order."""
    paths = [path.partition("?")[0] for _, path, _ in proxy.log]
    proxy.log.clear()
    return sorted(paths)


def test_a_model_that_has_not_changed_costs_one_request(behind, run: Run, family: HfApi) -> None:
    first = run("sync", BIO)
    commit = {repo: family.model_info(repo).sha for repo in (BIO, BASE)}
    assert asked(behind) == sorted(
        f"/{prefix}{repo}{path}"
        for repo in (BIO, BASE)
        for prefix, path in [
            ("api/models/", ""),
            ("", f"/resolve/{commit[repo]}/README.md"),
            ("", f"/resolve/{commit[repo]}/config.json"),
        ]
    )
    behind.tamper = lambda method, path, status, body: (
        (status, body) if status == 304 else pytest.fail(f"{path} was sent whole")
    )
    assert run("sync", BIO).out == first.out
    assert asked(behind) == sorted([f"/api/models/{BIO}", f"/api/models/{BASE}"])


def test_of_a_changed_model_only_changed_files_are_read(behind, run: Run, family: HfApi) -> None:
    run("sync", BIO)
    commit = publish(family, BIO, README=child(BASE, license="cc0-1.0"))
    asked(behind)
    assert "license: cc0-1.0" in run("sync", BIO).out
    assert asked(behind) == sorted(
        [f"/api/models/{BIO}", f"/api/models/{BASE}", f"/{BIO}/resolve/{commit}/README.md"]
    )


def test_what_is_kept_may_be_deleted_or_broken(behind, run: Run, project: Path) -> None:
    first = run("sync", BIO).out
    for path in (project / ".mbrelease" / "hub-facts").iterdir():
        path.write_text("{")
    assert run("sync", BIO).out == first


def test_another_hub_has_other_models(
    family: HfApi, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "license: mit" in run("sync", BIO).out
    with running(tmp_path / "other") as url:
        publish(HfApi(endpoint=url, token="hf_x"), BIO, README=child(BASE, license="cc0-1.0"))
        monkeypatch.setenv("HF_ENDPOINT", url)
        assert "license: cc0-1.0" in run("sync", BIO).out


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("info=429@1", ["the Hub asks for fewer requests: waiting 1 seconds"]),
        ("resolve=429@1", ["the Hub asks for fewer requests: waiting 1 seconds"]),
        ("info=500", []),
        ("info=500:2", []),
        ("info=reset", []),
        ("info=truncated", []),
        ("resolve=reset", []),
        ("resolve=500", []),
        ("resolve=truncated", []),
        ("info=504", []),
    ],
)
def test_faults_that_pass_are_gone_through(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, words: list[str]
) -> None:
    root = tmp_path / "faulty"
    with running(root) as url:
        publish_family(HfApi(endpoint=url, token="hf_x"))
        monkeypatch.setenv("HF_ENDPOINT", url)
        wanted = run("sync", BIO).out
    with running(root, faults=[parse_fault(fault)]) as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        start = time.monotonic()
        said = run("sync", BIO)
    assert (said.code, said.out) == (0, wanted)
    assert [line for line in said.err.splitlines() if "fewer requests" in line] == words
    assert time.monotonic() - start >= len(words)


def test_a_hub_that_is_out_of_order_is_told(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path / "h", faults=[parse_fault("info=500:always")]) as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        said = run("sync", BIO)
        assert said.code == 1 and f"could not read {BIO}: the Hub answered 500" in said.err
    said = run("sync", BIO)
    assert said.code == 1 and "error: cannot reach http://127.0.0.1:" in said.err
    assert said.out == ""


def test_a_pause_of_hours_is_not_waited_for(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path / "h", faults=[parse_fault("info=429@7200:always")]) as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        said = run("sync", BIO)
    assert said.code == 1 and "asks for fewer requests" in said.err
    assert "run the same command later; what was read is kept" in said.err


def test_the_last_request_of_a_window_is_followed_by_a_pause(behind, run: Run) -> None:
    info = f"/api/models/{BIO}"
    behind.headers = lambda method, path: (
        {"RateLimit": '"api";r=0;t=1'} if path.startswith(info) else {}
    )
    start = time.monotonic()
    assert "waiting 1 seconds" in run("sync", BIO).err
    assert time.monotonic() - start >= 1


SYNC = [sys.executable, "-m", "mbrelease.cli.main", "registry", "sync", BASE, "--descendants"]


def test_a_run_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    root, folder = tmp_path / "hub", tmp_path / "project"
    folder.mkdir()
    (folder / "registry.yaml").write_text(REGISTRY)
    with running(root) as url:
        api = HfApi(endpoint=url, token="hf_x")
        publish_family(api)
        for number in range(8):
            readme = child(BASE, "tags: [dapt]", f"x: {number}")
            publish(api, f"lab/m{number}", README=readme, config=config())
    log: list[str] = []
    slow = parse_fault("info=slow@0.3:always+1")
    with running(root, faults=[slow], log=log.append) as url:
        env = {**os.environ, "HF_ENDPOINT": url, "HF_HUB_DISABLE_TELEMETRY": "1"}
        process = subprocess.Popen(SYNC, cwd=folder, env=env, stdout=subprocess.DEVNULL)
        facts = folder / ".mbrelease" / "hub-facts"
        while process.poll() is None and len(list(facts.glob("[!.]*.json"))) < 4:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        # What the server was at when its client was killed.
        time.sleep(0.5)
        before = {path.name: path.read_bytes() for path in facts.glob("[!.]*.json")}
        assert 4 <= len(before) < 12
        read = {json.loads(data)["id"] for data in before.values()}
        log.clear()
        done = subprocess.run(SYNC, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("+    repo:") == 11
    fetched = [line.split()[1] for line in log if "/resolve/" in line]
    assert fetched and not [path for path in fetched if path[1:].split("/resolve/")[0] in read]
    assert {f"/{DAPT1}", f"/{DAPT2}"} >= {p.split("/resolve/")[0] for p in fetched if "dapt" in p}


def test_ctrl_c_does_not_wait_for_the_hub(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "registry.yaml").write_text(REGISTRY)
    with running(tmp_path / "hub", faults=[parse_fault("info=429@600:always")]) as url:
        env = {**os.environ, "HF_ENDPOINT": url, "HF_HUB_DISABLE_TELEMETRY": "1"}
        options = {"cwd": folder, "env": env, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(SYNC, **options) as process:
            assert process.stderr is not None
            assert "waiting 600 seconds" in process.stderr.readline()
            start = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 130
            assert time.monotonic() - start < 5
            assert "interrupted; what was finished is kept" in process.stderr.read()
