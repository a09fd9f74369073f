from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mbrelease.registry.load import load_project
from mbrelease.registry.mistakes import InvalidRegistry


@pytest.fixture
def mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | bytes], list[str]]:
    """The lines that loading a text complains with; empty if it is valid."""
    monkeypatch.chdir(tmp_path)

    def load(text: str | bytes) -> list[str]:
        data = text.encode() if isinstance(text, str) else text
        Path("registry.yaml").write_bytes(data)
        try:
            load_project()
        except InvalidRegistry as error:
            return error.message.splitlines()
        return []

    return load
