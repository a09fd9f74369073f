"""docs/push.md: its example runs, and its receipts are such."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mbrelease.files import sha256_file
from mbrelease.hub.receipt import Receipt, read_receipt
from mbrelease.selection.decision import read_decision

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "push.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


def test_the_receipt_shown_is_a_receipt() -> None:
    shown = json.loads(block("json"))
    assert set(shown) == set(Receipt.model_fields), "no field is missing or gone"
    Receipt.model_validate(shown)


def test_the_demos_receipt_is_of_the_weights_that_its_decision_chose() -> None:
    folder = DOCS / "gallery" / "python-docstrings"
    receipt = read_receipt(folder / "receipt.json")
    decision = folder / "decisions" / "python-docstrings.json"
    assert receipt.decision_sha256 == sha256_file(decision)
    chosen = read_decision(decision).chosen_candidate
    assert chosen is not None
    assert receipt.files["model.safetensors"].sha256 == chosen.weights_sha256
    assert set(receipt.summary.checks.values()) == {"passed"}
    assert receipt.what_was_verified is not None and receipt.what_was_verified.not_loaded is None


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
