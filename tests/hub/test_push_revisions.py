"""Checkpoints as branches, several repositories, and aliases, as they are pushed from a project."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from huggingface_hub import HfApi, snapshot_download
from signing_keys import write_keys

from mbrelease.cli.main import main
from mbrelease.files import sha256_file
from mbrelease.registry.load import load_project

REPO = "rehearsal/tiny"
REGISTRY = """version: 1
family: Tiny
variants:
  tiny-v1: {repo: rehearsal/old}
  tiny-v2:
    repo: rehearsal/tiny
    run: runs/tiny
    released: false
aliases:
  production: tiny-v1  # what serves
"""


def nudged(folder: Path, number: float) -> None:
    """Give a checkpoint weights of its own."""
    from safetensors.numpy import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["head.norm.weight"] += number
    save_file(tensors, path, metadata={"format": "pt"})


@pytest.fixture
def project(
    api: HfApi,
    release: Path,
    saved_by_5x: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A registry with a release and a run of two checkpoints."""
    root = tmp_path / "project"
    (root / "releases").mkdir(parents=True)
    (root / "registry.yaml").write_text(REGISTRY)
    shutil.copytree(release, root / "releases" / "tiny-v2")
    for step in (10, 20):
        folder = Path(shutil.copytree(saved_by_5x, root / "runs" / "tiny" / f"checkpoint-{step}"))
        nudged(folder, step)
        (folder / "optimizer.pt").write_bytes(b"the trainer's own")
    monkeypatch.chdir(root)
    monkeypatch.setenv("HF_ENDPOINT", api.endpoint)
    monkeypatch.setenv("HF_TOKEN", str(api.token))
    return root


def branches(api: HfApi, repo_id: str = REPO) -> dict[str, str]:
    return {ref.name: ref.target_commit for ref in api.list_repo_refs(repo_id).branches}


def files_at(api: HfApi, revision: str) -> set[str]:
    return set(api.list_repo_files(REPO, revision=revision)) - {".gitattributes"}


def test_checkpoints_become_branches_that_load(
    api: HfApi, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import AutoModelForMaskedLM

    assert main(["push", "tiny-v2", "--revisions", "all"]) == 0
    assert set(branches(api)) == {"main", "step-10", "step-20"}
    weights = project / "runs" / "tiny" / "checkpoint-20" / "model.safetensors"
    folder = Path(
        snapshot_download(REPO, revision="step-20", endpoint=api.endpoint, local_dir=tmp_path / "d")
    )
    assert sha256_file(folder / "model.safetensors") == sha256_file(weights)
    _, info = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    # Normalized like a release, and none of the release's own files, nor of the trainer's.
    config = json.loads((folder / "config.json").read_text())
    assert config["global_rope_theta"] == 20000.0 and config["rope_parameters"]
    assert files_at(api, "step-20") == {
        "README.md",
        "config.json",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    text = (folder / "README.md").read_text()
    assert text.startswith("---\nlicense: apache-2.0\n")
    assert "# tiny-v2, step 20\n" in text and f"{api.endpoint}/{REPO}" in text
    assert str(project) not in text, "no path of this machine"
    receipts = [json.loads(path.read_text()) for path in project.rglob("receipts/*/*.json")]
    assert {receipt["step"] for receipt in receipts} == {None, 10, 20}
    assert main(["push", "--status", REPO]) == 0, "the newest receipt is that of the release"
    assert not any((project / ".mbrelease" / "revisions").glob("*/*")), "built, sent, removed"


def test_a_second_push_sends_nothing_and_a_longer_run_sends_what_is_new(
    proxy, api: HfApi, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", proxy.url)
    assert main(["push", "tiny-v2", "--revisions", "10"]) == 0
    first = branches(api)
    assert set(first) == {"main", "step-10"}
    proxy.log.clear()
    assert main(["push", "tiny-v2", "--revisions", "10"]) == 0
    writes = [path for m, path, _ in proxy.log if m != "GET" and "validate" not in path]
    assert writes == [] and branches(api) == first
    assert main(["push", "tiny-v2", "--revisions", "all"]) == 0
    assert branches(api)["step-10"] == first["step-10"]
    assert proxy.count("POST", "/commit/") == 1


def test_a_push_that_stops_between_two_goes_on(proxy, api: HfApi, project: Path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", proxy.url)
    proxy.answers = lambda m, path: (403, [], b"{}") if path.endswith("/commit/step-20") else None
    assert main(["push", "tiny-v2", "--revisions", "all"]) == 1
    assert set(branches(api)) == {"main", "step-10", "step-20"}
    assert files_at(api, "step-20") == set(), "made, and not yet committed to"
    proxy.answers = lambda m, path: None
    proxy.log.clear()
    assert main(["push", "tiny-v2", "--revisions", "all"]) == 0
    assert proxy.count("POST", "/commit/") == 1
    assert "model.safetensors" in files_at(api, "step-20")


def test_a_published_checkpoint_is_not_replaced(
    api: HfApi, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", "tiny-v2", "--revisions", "all"]) == 0
    before = branches(api)
    nudged(project / "runs" / "tiny" / "checkpoint-10", 1)
    capsys.readouterr()
    assert main(["push", "tiny-v2", "--revisions", "all", "--plan"]) == 1
    assert main(["push", "tiny-v2", "--revisions", "all"]) == 1
    assert "branch step-10 holds other weights" in capsys.readouterr().err
    assert branches(api) == before


def test_the_plan_tells_of_the_branches_and_makes_none(
    api: HfApi, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", "tiny-v2", "--revisions", "step-20", "--plan", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["revisions"] == [{"branch": "step-20", "step": 20, "state": "add"}]
    assert not api.repo_exists(REPO)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["tiny-v2", "--revisions", "15"], "has no step 15"),
        (["tiny-v2", "--revisions", "last"], "is no list of steps"),
        (["tiny-v2", "--revisions", "all", "--pr"], "not --pr"),
        (["releases/tiny-v2", "--to", REPO, "--revisions", "all"], "asks for a training run"),
        (["tiny-v2", "--alias", "tiny-v1"], "'tiny-v1' is a variant"),
        (["tiny-v2", "--alias", "not a name"], "is no name for an alias"),
        (["releases/tiny-v2", "--to", REPO, "--alias", "x"], "push a variant by its name"),
        (["tiny-v2", "--to", REPO, "--to", REPO], "is given twice"),
        (["tiny-v2", "--to", "a/b", "--to", "a/c", "--base", "0" * 40], "goes with one --to"),
    ],
)
def test_wrong_calls_send_nothing(
    arguments: list[str], told: str, api: HfApi, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", *arguments]) == 2
    assert told in capsys.readouterr().err
    assert not api.repo_exists(REPO)


def test_weights_of_another_format_are_converted_on_the_way(api: HfApi, project: Path) -> None:
    import torch
    from safetensors.torch import load_file

    folder = project / "runs" / "tiny" / "checkpoint-20"
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert main(["push", "tiny-v2", "--revisions", "20"]) == 0
    assert "pytorch_model.bin" not in files_at(api, "step-20")
    assert "model.safetensors" in files_at(api, "step-20")
    assert main(["push", "tiny-v2", "--revisions", "20"]) == 0
    assert len(api.list_repo_commits(REPO, revision="step-20")) == 2


def test_several_repositories_each_have_their_own_receipt_and_one_no_stops_no_other(
    proxy, api: HfApi, project: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", proxy.url)
    proxy.answers = lambda m, path: (403, [], b"{}") if "/b/commit/" in path else None
    call = ["push", "tiny-v2", "--to", "rehearsal/a", "--to", "rehearsal/b", "--to", "rehearsal/c"]
    assert main([*call, "--json"]) == 1
    out, err = capsys.readouterr()
    told = {each["repo_id"]: each for each in json.loads(out)}
    assert list(told) == ["rehearsal/a", "rehearsal/b", "rehearsal/c"]
    assert "no right to write" in told["rehearsal/b"]["error"]
    assert told["rehearsal/b"]["receipt"] is None and told["rehearsal/a"]["error"] is None
    assert err.endswith("error: 1 of 3 failed: rehearsal/b\n")
    assert len(list(project.rglob("receipts/*/*.json"))) == 2
    proxy.answers = lambda m, path: None
    assert main(call) == 0
    assert len(list(project.rglob("receipts/*/*.json"))) == 3


def test_branches_are_signed_too_and_a_second_push_sends_nothing(
    proxy, api: HfApi, project: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", proxy.url)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    private, public = write_keys(tmp_path / "keys")
    call = ["push", "tiny-v2", "--revisions", "all", "--sign-key", str(private)]
    assert main(call) == 0
    heads = branches(api)
    for branch in ("main", "step-10", "step-20"):
        assert "model.sig" in files_at(api, branch)
        named = ["--public-key", str(public)]
        assert main(["verify", f"{REPO}@{branch}", "--signature", *named]) == 0
        assert main(["pull-check", f"{REPO}@{branch}", *named]) == 0, "the receipt is signed too"
    proxy.log.clear()
    assert main(call) == 0
    writes = [path for m, path, _ in proxy.log if m != "GET" and "validate" not in path]
    assert writes == [] and branches(api) == heads
    other = write_keys(tmp_path / "other")[0]
    assert main([*call[:-1], str(other)]) == 0
    assert all(branches(api)[name] != head for name, head in heads.items())


def test_a_branch_whose_push_was_killed_before_its_receipt_gets_one(
    proxy, api: HfApi, project: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", proxy.url)
    private, public = write_keys(tmp_path / "keys")
    call = ["push", "tiny-v2", "--revisions", "10,20"]
    signed = [*call, "--sign-key", str(private)]
    assert main(signed) == 0
    heads = branches(api)
    receipts = project / "receipts" / "rehearsal__tiny"
    for options, lost in ((call, ""), (signed, ""), (signed, ".sig")):
        path = receipts / f"{heads['step-10'][:12]}.json"
        for gone in [path.with_name(path.name + ".sig"), *([] if lost else [path])]:
            gone.unlink(missing_ok=True)
        capsys.readouterr()
        proxy.log.clear()
        assert main(options) == 0
        assert json.loads(path.read_text())["step"] == 10
        assert "step-10 " in capsys.readouterr().out
        writes = [path for m, path, _ in proxy.log if m not in {"GET", "HEAD"}]
        assert all("validate" in path for path in writes) and branches(api) == heads
        gets = [one for m, one, _ in proxy.log if m == "GET" and "/resolve/" in one]
        read = {one.split("/")[4] for one in gets if not one.endswith("/model.sig")}
        assert heads["step-20"] not in read, "whose receipt is here"
        assert main(["pull-check", f"{REPO}@step-10"]) == 0
    assert main(["pull-check", f"{REPO}@step-10", "--public-key", str(public)]) == 0


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ("/b/commit/", ["it is not known whether", "not pushed yet: rehearsal/c"]),
        ("/a/commit/step-10", ["step-10: it is not known whether", "not published yet: step-20"]),
        ("/a/branch/step-10", ["not published yet: step-10, step-20"]),
        ("/a/resolve/", ["write the receipt, publish the checkpoints", "rehearsal/b, rehearsal/c"]),
    ],
)
def test_ctrl_c_says_what_it_has_not_come_to(
    part: str, told: list[str], proxy, project: Path, monkeypatch, capsys
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
    call = ["push", "tiny-v2", "--revisions", "all"] if "/a/" in part else ["push", "tiny-v2"]
    assert main([*call, *(f"--to=rehearsal/{name}" for name in "abc")]) == 130
    err = " ".join(capsys.readouterr().err.split())
    assert not [each for each in told if each not in err], err


def test_branches_that_are_there_are_signed_later_and_stay_so(
    api: HfApi, project: Path, tmp_path: Path, capsys
) -> None:
    call, key = ["push", "tiny-v2", "--revisions", "10"], write_keys(tmp_path / "keys")[0]
    assert main(call) == 0
    assert main([*call, "--sign-key", str(key), "--plan"]) == 0
    assert "change" in capsys.readouterr().out
    assert main([*call, "--sign-key", str(key)]) == 0
    signed = branches(api)["step-10"]
    assert "model.sig" in files_at(api, "step-10")
    assert main(call) == 0, "what holds needs no key"
    assert branches(api)["step-10"] == signed
    edited = b"---\nlicense: mit\n---\nOther words.\n"
    api.upload_file(
        path_or_fileobj=edited, path_in_repo="README.md", repo_id=REPO, revision="step-10"
    )
    capsys.readouterr()
    assert main(call) == 1
    assert "branch step-10 is signed, and its model.sig would not hold" in capsys.readouterr().err
    assert main([*call, "--sign-key", str(key)]) == 0


def test_an_alias_moves_when_the_push_is_proven(
    proxy, api: HfApi, project: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", proxy.url)
    proxy.answers = lambda m, path: (500, [], b"{}") if "/resolve/" in path else None
    assert main(["push", "tiny-v2", "--alias", "production"]) == 1
    captured = capsys.readouterr()
    assert "not yet read back" in captured.err
    assert (project / "registry.yaml").read_text() == REGISTRY
    proxy.answers = lambda m, path: None
    assert main(["push", "tiny-v2", "--alias", "production", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["receipt"]["aliases"] == ["production"]
    assert "registry: production means tiny-v2" in captured.err
    assert (project / "registry.yaml").read_text() == REGISTRY.replace(
        "production: tiny-v1", "production: tiny-v2"
    ).replace("released: false", "released: true")
    assert load_project(project / "registry.yaml").resolve_name("production") == "tiny-v2"
    (receipt,) = project.rglob("receipts/*/*.json")
    assert json.loads(receipt.read_text())["aliases"] == ["production"]


def test_an_alias_of_a_signed_release_asks_for_the_key_before_it_is_set(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    private, public = write_keys(tmp_path / "keys")
    signed = ["push", "tiny-v2", "--sign-key", str(private)]
    assert main(signed) == 0
    before = (project / "registry.yaml").read_text()
    assert main(["push", "tiny-v2", "--alias", "production"]) == 1
    assert "does not name the alias production yet" in capsys.readouterr().err
    assert (project / "registry.yaml").read_text() == before
    assert main([*signed, "--alias", "production"]) == 0
    assert main(["push", "--status", REPO, "--public-key", str(public)]) == 0


def test_private_holds_for_a_new_repository(api: HfApi, project: Path) -> None:
    assert main(["push", "tiny-v2", "--private", "--revisions", "10"]) == 0
    assert api.model_info(REPO).private


@pytest.mark.parametrize("xet", [True, False])
def test_large_weights_are_sent_from_where_they_lie(
    xet: bool, api: HfApi, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    from mbrelease.hub import download, sending

    for module in (download, sending):
        monkeypatch.setattr(module, "LARGE_BYTES", 100_000)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", not xet)
    weights = project / "runs" / "tiny" / "checkpoint-20" / "model.safetensors"
    before = weights.stat()
    assert main(["push", "tiny-v2", "--revisions", "20"]) == 0
    found = {e.path: e for e in api.list_repo_tree(REPO, revision="step-20")}
    assert found["model.safetensors"].lfs.sha256 == sha256_file(weights)
    assert weights.stat() == before, "not linked to, which would change its ctime"
