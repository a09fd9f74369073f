"""1 is a check that said no, 2 a call that is wrong: the same in every command that asks a Hub."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import HfApi

from mbrelease.cli.main import main

REPO = "rehearsal/tiny"
REGISTRY = "version: 1\nfamily: Tiny\nvariants:\n  tiny: {repo: rehearsal/tiny}\n"


@pytest.fixture
def project(api: HfApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "registry.yaml").write_text(REGISTRY)
    monkeypatch.chdir(root)
    monkeypatch.setenv("HF_ENDPOINT", api.endpoint)
    monkeypatch.setenv("HF_TOKEN", str(api.token))
    api.create_repo(REPO)
    return root


WRONG_IDS = ("no model", "owls/owl/x", "owls/owl--x", "-/-", "owls/owl@")
TRUST = ("--signature", "--identity", "me", "--issuer", "https://nobody.example")


@pytest.mark.parametrize("name", WRONG_IDS)
def test_what_is_no_repository_id_is_a_wrong_call(
    name: str, project: Path, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for call in (
        ["push", str(release), "--to", name],
        ["push", str(release), "--to", name, "--plan"],
        ["push", "--status", name],
        ["pull-check", name],
        ["verify", name],
        ["verify", name, *TRUST],
        ["release", "tiny", "--push", "--to", name],
    ):
        assert main(call) == 2, call
        out, err = capsys.readouterr()
        assert err.startswith("error: ") and "Traceback" not in err
        assert out == "", "nothing was planned"


@pytest.mark.parametrize("tag", ["../x", "v1 0", ""])
def test_what_is_no_name_for_a_tag_is_a_wrong_call(
    tag: str, project: Path, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for call in (
        ["push", str(release), "--to", REPO, "--tag", tag],
        ["push", str(release), "--to", REPO, "--tag", tag, "--plan"],
        ["release", "tiny", "--push", "--tag", tag],
    ):
        assert main(call) == 2, call
        out, err = capsys.readouterr()
        assert f"error: '{tag}' is no name for a tag" in err and out == ""


@pytest.mark.parametrize("name", ["tinny", "releases/tiny/"])
def test_a_variant_or_folder_that_is_not_there_is_a_wrong_call(name: str, project: Path) -> None:
    for call in (["push", name], ["verify", name], ["verify", name, *TRUST], ["pull-check", name]):
        assert main(call) == 2, call


def test_a_variant_without_a_release_is_a_wrong_call(project: Path) -> None:
    for call in (["push", "tiny"], ["verify", "tiny"], ["verify", "tiny", *TRUST]):
        assert main(call) == 2, call


def test_what_no_hub_has_is_a_no(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for model in ("rehearsal/none", "rehearsal/none@v1", f"{REPO}@v9"):
        for call in (["pull-check", model], ["verify", model], ["verify", model, *TRUST]):
            assert main(call) == 1, call
            assert len(capsys.readouterr().err.splitlines()) == 2


def test_without_a_receipt_there_is_nothing_to_ask_about(project: Path, capsys) -> None:
    for name in (REPO, "rehearsal/none"):
        assert main(["push", "--status", name]) == 2
        assert f"no receipt for {name} at " in capsys.readouterr().err


def test_a_plan_with_problems_is_a_no(project: Path, release: Path) -> None:
    (release / "notes.pkl").write_bytes(b"x")
    assert main(["push", str(release), "--to", REPO, "--plan"]) == 1
