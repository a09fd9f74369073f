"""docs/push.md: its example runs, and its receipt is one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mbrelease.hub.receipt import Receipt

TEXT = (Path(__file__).parents[2] / "docs" / "push.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


def test_the_receipt_shown_is_a_receipt() -> None:
    shown = json.loads(block("json"))
    assert set(shown) == set(Receipt.model_fields), "no field is missing or gone"
    Receipt.model_validate(shown)


def test_the_python_example_publishes(
    hub_url: str,
    release: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("releases").mkdir()
    release.rename("releases/owl-science")
    exec(block("python").replace("http://127.0.0.1:5290", hub_url), {})
    assert capsys.readouterr().out.startswith(f"{hub_url}/owls/owl-science/tree/")
    assert len(list(Path("receipts").rglob("*.json"))) == 1
