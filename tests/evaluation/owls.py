"""A small project to measure: a variant 'owl' with a run, and a suite of three tasks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mbrelease.registry.tasks import (
    AnyTask,
    ClassificationTask,
    MlmTask,
    RetrievalFiles,
    RetrievalTask,
)

DATA = RetrievalFiles(train="data.jsonl", dev="data.jsonl")
TASKS = [
    MlmTask(name="mlm", type="mlm", data=DATA, text=["title", "text"], max_length=64),
    RetrievalTask(name="find", type="retrieval", data=DATA, max_length=64),
    ClassificationTask(
        name="sort", type="classification", data=DATA, label="kind", seeds=[0, 1], max_length=64
    ),
]
SENTENCE = "the other owl found a mouse in the old barn while it rained"
WORDS = SENTENCE.split()


def write_data(folder: Path) -> None:
    rows = [
        {
            "id": f"d{n}",
            "title": " ".join(WORDS[n % 7 :]),
            "text": " ".join(WORDS[: 3 + n % 9]) + f" {n}",
            "kind": ["bird", "place"][n % 2],
        }
        for n in range(24)
    ]
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_registry(folder: Path, tasks: Sequence[AnyTask] = TASKS) -> None:
    content = {
        "version": 1,
        "family": "Owls",
        "suites": {"owls": [task.model_dump(mode="json") for task in tasks]},
        "variants": {"owl": {"run": "run", "suite": "owls"}},
    }
    (folder / "registry.yaml").write_text(json.dumps(content))


def write_run(folder: Path, model: Path, steps: list[int]) -> list[Path]:
    """Checkpoints of different weights."""
    from safetensors.torch import load_file, save_file

    paths = []
    for step in steps:
        path = shutil.copytree(model, folder / "run" / f"checkpoint-{step}")
        tensors = load_file(path / "model.safetensors")
        tensors["decoder.bias"] += step / 100
        save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
        paths.append(path)
    return paths


def start_eval(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """``mbrelease eval`` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "mbrelease.cli.main", "eval", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
