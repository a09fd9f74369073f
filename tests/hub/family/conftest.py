"""A family of five models on a rehearsal Hub, a registry that knows two, and the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import HfApi
from published_family import publish_family
from sync_project import REGISTRY, Run, Said

from mbrelease.cli.main import main
from mbrelease.hub.family import asking


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between tries after a lost answer; what a Hub asks for is waited for."""
    monkeypatch.setattr(asking, "PAUSES_SECONDS", (0.01, 0.01))


@pytest.fixture
def family(api: HfApi) -> HfApi:
    """ModernBERT base and large, and three that were made from the base."""
    publish_family(api)
    return api


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a registry; it is the current one."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "registry.yaml").write_text(REGISTRY)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run(
    project: Path, hub_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """``mbrelease registry …`` in the project, with the Hub there is."""
    monkeypatch.setenv("HF_ENDPOINT", hub_url)

    def call(*arguments: str) -> Said:
        capsys.readouterr()
        code = main(["registry", *arguments])
        printed = capsys.readouterr()
        return Said(code, printed.out, printed.err)

    return call
