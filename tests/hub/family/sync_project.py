"""The registry that the tests begin with, and what a command said."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

REGISTRY = """\
version: 1
family: Science # ours

variants:
  base:
    repo: answerdotai/ModernBERT-base # where all began
    released: true
    license: apache-2.0
    languages: [en]
    sources: [answerdotai/ModernBERT-base]
    architecture: {parameters: 149_000_000}

  # To be trained.
  own:
    parents: [{variant: base, relation: fine-tuning}]
"""


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Said]
