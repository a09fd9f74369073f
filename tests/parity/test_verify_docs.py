"""docs/verify.md names every check."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r'"((?:config|tensors|tokenizer|files|loading)\.[a-z_]+)"')


def test_every_check_is_documented_and_no_other():
    code = "\n".join(file.read_text() for file in (ROOT / "mbrelease/parity/checks").glob("*.py"))
    in_code = {name for name in NAME.findall(code) if not name.endswith(".json")}
    text = (ROOT / "docs" / "verify.md").read_text()
    in_table = set(re.findall(r"^\| `([a-z_.]+)` \|", text, re.MULTILINE))
    in_table = {
        name
        for name in in_table
        if name.split(".")[0] in {"config", "tensors", "tokenizer", "files", "loading"}
        and "." in name
    }
    assert in_code == in_table
