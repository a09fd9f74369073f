"""The text of a first registry: what is known is said, what is not stands in comments."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from mbrelease.start.runs import FEW, FoundRun

# What a trainer's output folder is called when nobody thought of a name.
_NO_NAMES = {"checkpoints", "ckpt", "ckpts", "models", "out", "output", "outputs", "results", "run"}

_HEAD = """\
# Written by `mbrelease init`. All keys: `mbrelease registry schema`; check it with
# `mbrelease registry lint`. Then: `mbrelease release VARIANT`.
version: 1
family: {family}
# defaults: {{license: apache-2.0, languages: [en]}}

# What models are measured on, and the rule that chooses among checkpoints and averages.
# suites:
#   main:
#     - name: heldout-mlm
#       type: mlm
#       data: {{dev: data/dev.jsonl, test: data/test.jsonl}}
#       text: [text]
# policies:
#   main: {{primary: heldout-mlm/loss, reference: modernbert-base}}

variants:
"""

_BASE = """\
  # What yours are made from.
  modernbert-base:
    repo: answerdotai/ModernBERT-base
"""

_VARIANT = """
  {name}:
    # repo: ORG/{name}
    # parents: [{{variant: modernbert-base, relation: continued-pretraining}}]
    run: {run}
    candidates: {candidates}
    # suite: main
    # policy: main
    # card: {{summary: …, intended_use: […], limitations: […]}}
"""


def registry_text(family: str, runs: Sequence[FoundRun]) -> str:
    """A valid registry with a variant for each of ``runs``.

    Args:
        family: any words.
        runs: as ``find_runs`` found them beside the registry.
    """
    text = _HEAD.format(family=json.dumps(family, ensure_ascii=False)) + _BASE
    for run, name in zip(runs, variant_names(family, runs), strict=True):
        averages = ', averages: ["last:3", "best:3+last"]' if run.checkpoints >= FEW else ""
        text += _VARIANT.format(
            name=name,
            run=json.dumps(run.path, ensure_ascii=False),
            candidates="{checkpoints: all" + averages + "}",
        )
    return text


def variant_names(family: str, runs: Sequence[FoundRun]) -> list[str]:
    """A name for each run, after its folder, or the one above where that says nothing."""
    taken = {"modernbert-base"}
    names = []
    for run in runs:
        parts = [part for part in PurePosixPath(run.path).parts if part not in _NO_NAMES]
        name = base = _name(parts[-1] if parts and parts[-1] != "runs" else family)
        number = 2
        while name in taken:
            name, number = f"{base}-{number}", number + 1
        taken.add(name)
        names.append(name)
    return names


def _name(text: str) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")
    return name or "model"
