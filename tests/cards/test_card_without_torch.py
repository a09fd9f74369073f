"""Cards are made from evidence, on machines without torch."""

import subprocess
import sys

from card_projects import Built

PROGRAM = """
import sys
from pathlib import Path
for name in ("torch", "transformers", "huggingface_hub", "sklearn", "safetensors"):
    sys.modules[name] = None  # makes every import of it fail
from mbrelease.cards.card import render_card
from mbrelease.registry.load import load_project
print(len(render_card(load_project(Path(sys.argv[1])), "science")))
"""


def test_a_card_needs_no_torch(built: Built) -> None:
    path = str(built.project.registry_path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 5000
