"""A plan for a job that must not hold a token: made as anyone can, and for looking alone."""

from pathlib import Path

import pytest
from huggingface_hub import HfApi

from mbrelease.cli.main import main

REPO = "owls/seen"


@pytest.fixture
def folder(tmp_path: Path, hub_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setenv("HF_ENDPOINT", hub_url)
    # Neither is to be used, nor even looked at.
    monkeypatch.setenv("HF_TOKEN", "hf_" + "Forbidden" * 4)
    monkeypatch.setenv("HF_OIDC_RESOURCE", REPO)
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Owl\n")
    return tmp_path


def test_it_compares_with_what_everybody_sees(folder: Path, hub_url: str, capsys):
    owner = HfApi(endpoint=hub_url, token="hf_owner")
    owner.create_repo(REPO, exist_ok=True)
    readme = folder / "README.md"
    owner.upload_file(path_or_fileobj=readme, path_in_repo="README.md", repo_id=REPO)
    readme.write_text(readme.read_text() + "More.\n")
    assert main(["push", str(folder), "--to", REPO, "--plan", "--anonymous", "--markdown"]) == 0
    told = capsys.readouterr().out
    assert "1 to change" in told
    assert "as: anyone" in told


def test_what_is_private_looks_new(folder: Path, hub_url: str, capsys):
    owner = HfApi(endpoint=hub_url, token="hf_owner")
    owner.create_repo("owls/hidden", private=True)
    call = ["push", str(folder), "--to", "owls/hidden", "--plan", "--anonymous", "--json"]
    assert main(call) == 0
    assert '"repo_exists": false' in capsys.readouterr().out


def test_nothing_is_pushed_anonymously(folder: Path, capsys):
    assert main(["push", str(folder), "--to", REPO, "--anonymous"]) == 2
    assert "--anonymous looks; it is for --plan alone" in capsys.readouterr().err
