"""docs/registry-hub.md shows what the commands print."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from huggingface_hub import HfApi
from published_family import BASE, card, child, config, publish
from sync_project import Run

PAGE = (Path(__file__).parents[3] / "docs" / "registry-hub.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = FENCE.findall(PAGE)


def plain(text: str) -> list[str]:
    """Lines without what is another thing each time: commits, the port, the width of a table."""
    text = re.sub(r" at [0-9a-f]{7}$", " at COMMIT", text, flags=re.MULTILINE)
    text = re.sub(r"127\.0\.0\.1:\d+", "HUB", text)
    text = re.sub(r"─+", "─", text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def test_the_examples_print_what_the_page_says(api: HfApi, run: Run, project: Path) -> None:
    publish(api, BASE, README=card("license: apache-2.0\nlanguage: en"), config=config())
    plain_model = config(architectures=["ModernBertModel"])
    publish(api, "lab/owl", README=child(BASE), config=plain_model)
    (project / "registry.yaml").write_text(next(b for kind, b in BLOCKS if kind == "yaml"))
    for block in (block for kind, block in BLOCKS if kind == "console"):
        for example in re.split(r"^\$ mbrelease registry ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = example.partition("\n")
            if command.startswith("check-hub"):
                said = "base_model_relation: quantized"
                publish(api, "lab/owl", README=child(BASE, said, license="mit"))
            said = run(*shlex.split(command))
            assert plain(said.out + said.err) == plain(printed), command
    kept = json.loads((project / "registry.answers.json").read_text())
    assert kept == json.loads(next(b for kind, b in BLOCKS if kind == "json"))
