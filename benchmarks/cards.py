"""`mbrelease card` from many records: seconds, against the floor of reading them.

    python benchmarks/cards.py [--records 1000] [--rounds 5]

Two projects are made: one in which all records are measured (half of this model, half of its
parent, each with the scores of 200 examples beside it), and one in which all figures are reported
and stand in tables of 50 columns. Each run is a process of its own, imports and all, without torch
and without pictures. The floor is a Python that only reads and parses the same JSON files. The
table has the fastest of --rounds; at "first" no interval of a difference is kept yet, so that each
is resampled. Prints Markdown on stdout.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from mbrelease.checkpoints.checkpoint import Checkpoint, open_checkpoint
from mbrelease.evaluation.evidence import EvidenceRecord, Provenance, write_record
from mbrelease.evaluation.reported import ReportedResult, ReportSource, write_reported
from mbrelease.evaluation.task_settings import task_sha256
from mbrelease.registry.load import load_project

EXAMPLES = 200
COLUMNS = 50
FLOOR = """
import json, pathlib
for path in pathlib.Path("evidence").rglob("*.json"):
    json.loads(path.read_bytes())
"""
CARD = ["-c", "from mbrelease.cli.main import main; raise SystemExit(main(['card', 'owl']))"]
CHECK = [
    "-c",
    "from mbrelease.cli.main import main; "
    "raise SystemExit(main(['card', 'owl', '--check', '-o', 'README.md']))",
]


def write_model(folder: Path, seed: int) -> Checkpoint:
    """A checkpoint of twelve elements: its hash is all that is asked of it."""
    folder.mkdir(parents=True)
    tensor = {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]}
    header = json.dumps({"a": tensor, "__metadata__": {"format": "pt"}}).encode()
    data = np.random.default_rng(seed).normal(size=12).astype(np.float32).tobytes()
    weights = len(header).to_bytes(8, "little") + header + data
    (folder / "model.safetensors").write_bytes(weights)
    config = {"model_type": "modernbert", "max_position_embeddings": 8192}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    return open_checkpoint(folder)


def write_registry(root: Path, content: dict[str, Any]) -> None:
    """The registry of a family of an owl and its base."""
    base = {"version": 1, "family": "Owls", "defaults": {"license": "mit", "languages": ["en"]}}
    (root / "registry.yaml").write_text(yaml.safe_dump({**base, **content}, sort_keys=False))


def measured(root: Path, records: int) -> None:
    """A project with ``records`` records of retrieval, half of them of the parent."""
    models = {name: write_model(root / name, i) for i, name in enumerate(("base", "owl"))}
    tasks = [
        {
            "name": f"task-{n}", "type": "retrieval", "metrics": ["recall@1"],
            "data": {"dev": "dev.jsonl", "test": "test.jsonl"},
        }
        for n in range(records // 2)
    ]  # fmt: skip
    parent = {"variant": "base", "relation": "continued-pretraining"}
    owl = {"repo": "owls/owl", "weights": "owl", "suite": "all", "parents": [parent]}
    variants = {"base": {"repo": "owls/base", "weights": "base"}, "owl": owl}
    write_registry(root, {"suites": {"all": tasks}, "variants": variants})
    project = load_project(root / "registry.yaml")
    generator = np.random.default_rng(0)
    for task in project.suite("owl"):
        settings = task_sha256(task)
        for checkpoint in models.values():
            ranks = np.where(generator.random(EXAMPLES) < 0.4, 1, 7)
            recall = float((ranks == 1).mean())
            record = EvidenceRecord(
                task_name=task.name,
                split="test",
                main_score=recall,
                metrics={"recall_at_1": recall},
                n_examples=EXAMPLES,
                ci95={"recall_at_1": (recall - 0.05, recall + 0.05)},
                experiments=(),
                counts={},
                provenance=Provenance(
                    checkpoint.weights_sha256, checkpoint.tokenizer_sha256,
                    checkpoint.config.sha256, "d" * 64, settings, "sdpa", "float32", "cpu", 1,
                ),
                languages=("en",),
                evaluation_time_seconds=1.0,
            )  # fmt: skip
            names = [str(n) for n in range(EXAMPLES)]
            write_record(project.evidence, record, pa.table({"id": names, "rank": ranks}))


def reported(root: Path, records: int) -> None:
    """A project with ``records`` reported figures of four models, in tables."""
    models = ["owl", "base", "crow", "jay"]
    tables, columns = {}, []
    for n in range(records // len(models)):
        columns.append({"label": f"Task {n}", "metric": f"task-{n}/score"})
        if len(columns) == COLUMNS:
            name = f"table-{n}"
            average = {"label": "Mean", "mean": [one["metric"] for one in columns]}
            tables[name] = {
                "title": name, "models": models, "columns": [*columns, average],
            }  # fmt: skip
            columns = []
    peers = {"crow": {"title": "Crow"}, "jay": {"title": "Jay"}}
    card = {"tables": list(tables)}
    variants = {"base": {"repo": "owls/base"}, "owl": {"repo": "owls/owl", "card": card}}
    write_registry(root, {"peers": peers, "tables": tables, "variants": variants})
    generator = np.random.default_rng(0)
    source = ReportSource(url="https://example.org/owls.pdf", place="Table 1")
    for model in models:
        results = [
            ReportedResult(f"task-{n}", "test", "score", round(generator.random() * 100, 1), source)
            for n in range(records // len(models))
        ]
        write_reported(root / "evidence", model, results)


def fastest(arguments: Sequence[str], root: Path, rounds: int) -> float:
    """Seconds of the fastest of ``rounds`` processes."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, *arguments], cwd=root, capture_output=True)
        taken.append(time.perf_counter() - start)
        assert done.returncode == 0, done.stderr.decode()
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print("| records | floor | card, first | card | × floor | --check |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for what, make in (("measured", measured), ("reported", reported)):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            make(root, given.records)
            floor = fastest(["-c", FLOOR], root, given.rounds)
            first = fastest(CARD, root, 1)
            card = fastest(CARD, root, given.rounds)
            fastest([*CARD[:1], CARD[1].replace("'owl'", "'owl', '-o', 'README.md'")], root, 1)
            check = fastest(CHECK, root, given.rounds)
        print(
            f"| {given.records:,} {what} | {floor:.2f} s | {first:.2f} s | {card:.2f} s "
            f"| {card / floor:.1f} | {check:.2f} s |"
        )


if __name__ == "__main__":
    main()
