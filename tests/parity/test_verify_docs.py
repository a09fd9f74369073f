"""docs/verify.md names every check."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ASPECTS = "config|shapes|tensors|drift|tokenizer|files|loading|numerics"


def test_every_check_is_documented_and_no_other():
    code = "\n".join(file.read_text() for file in (ROOT / "mbrelease/parity/checks").glob("*.py"))
    named = re.findall(rf'"((?:{ASPECTS})\.[a-z_0-9]+)"', code)
    in_code = {name for name in named if not name.endswith(".json")}
    page = (ROOT / "docs" / "verify.md").read_text()
    cells = re.findall(r"^\| (`[^|]*`) \|", page, re.MULTILINE)
    in_table = set(re.findall(rf"`((?:{ASPECTS})\.[a-z_0-9]+)`", "\n".join(cells)))
    assert in_code == in_table
