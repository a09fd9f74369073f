"""A project whose measurements a test types in; no model runs."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from safetensors.numpy import save_file

from mbrelease.averaging.average import average_checkpoints
from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.evaluation.evidence import EvidenceRecord, Provenance, write_record
from mbrelease.evaluation.task_settings import task_sha256
from mbrelease.registry.load import load_project
from mbrelease.selection.candidates import average_folder, average_members
from mbrelease.selection.policy import decide

REGISTRY = """\
version: 1
family: Owls
suites:
  owls:
    - {name: mlm, type: mlm, data: {dev: dev.jsonl}}
    - {name: find, type: retrieval, data: {dev: dev.jsonl}, metrics: [recall@1]}
policies:
  owls:
    primary: find/recall@1
    guardrails: [{metric: mlm/loss, margin: 0.25}]
    reference: base
    tie_break: earliest
variants:
  base: {weights: base}
  owl: {run: run, suite: owls, policy: owls, candidates: {averages: []}}
"""
SIZES = {"vocab_size": 8, "hidden_size": 4, "intermediate_size": 6, "num_hidden_layers": 1}


N = 400
IDS = [f"owl {number}" for number in range(N)]


def losses(loss: float) -> dict[str, object]:
    """Scores of documents with this loss in all; what is hard for one model is hard for all."""
    tokens = np.full(N, 10)
    hard = np.random.default_rng(0).normal(0, 0.2, N)
    nll = (loss + hard - hard.mean()) * tokens
    return {
        "id": IDS, "nll_sum": nll, "n_tokens": tokens, "n_correct": tokens // 2,
        "n_bytes": 5 * tokens,
    }  # fmt: skip


def ranks(recall: float) -> dict[str, object]:
    """Ranks of which this share is 1; a better model finds all that a worse one finds."""
    order = np.random.default_rng(1).permutation(N)
    return {"id": IDS, "rank": np.where(order < round(recall * N), 1, 7)}


class Owls:
    """A project whose measurements a test types in: loss and recall of each checkpoint."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "registry.yaml").write_text(REGISTRY)
        self.checkpoint("base", 0)

    def checkpoint(self, folder: str, seed: int) -> None:
        path = self.root / folder
        path.mkdir(parents=True)
        (path / "config.json").write_text(json.dumps({"model_type": "modernbert", **SIZES}))
        (path / "tokenizer.json").write_text("{}")
        (path / "tokenizer_config.json").write_text("{}")
        values = np.full(4, seed, dtype=np.float32)
        save_file({"w": values}, path / "model.safetensors", metadata={"format": "pt"})

    def measure(self, folder: str, loss: float, recall: float, **provenance) -> None:
        self.record(folder, "mlm", {"loss": loss}, losses(loss), **provenance)
        self.record(folder, "find", {"recall_at_1": recall}, ranks(recall), **provenance)

    def record(self, folder, task, metrics, columns, *, split="dev", **provenance):
        checkpoint = open_checkpoint(self.root / folder)
        tasks = {one.name: one for one in self.project.registry.suites["owls"]}
        known = {
            "weights_sha256": checkpoint.weights_sha256,
            "tokenizer_sha256": checkpoint.tokenizer_sha256,
            "config_sha256": checkpoint.config.sha256,
            "data_sha256": "d" * 64,
            "task_sha256": task_sha256(tasks[task]),
            "attn": "sdpa",
            "dtype": "float32",
            "device": "cpu",
            "code_version": 1,
        }
        record = EvidenceRecord(
            task_name=task,
            split=split,
            main_score=next(iter(metrics.values())),
            metrics=metrics,
            n_examples=len(set(columns["id"])),
            ci95={},
            experiments=(),
            counts={},
            provenance=Provenance(**(known | provenance)),
            languages=("en",),
            evaluation_time_seconds=1.0,
        )
        return write_record(self.root / "evidence", record, pa.table(columns))

    def average(self, recipe: str, loss: float, recall: float):
        members = average_members(self.project, "owl", recipe)
        folder = average_folder(self.project, "owl", recipe)
        average_checkpoints(members, folder, recipe=recipe)
        self.measure(folder.relative_to(self.root).as_posix(), loss, recall)
        return members

    def run(self, *values: tuple[float, float]) -> None:
        for number, (loss, recall) in enumerate(values, start=1):
            folder = f"run/checkpoint-{number}0"
            self.checkpoint(folder, number)
            self.measure(folder, loss, recall)

    def evidence(self, folder: str) -> Path:
        return self.root / "evidence" / open_checkpoint(self.root / folder).weights_sha256[:16]

    def edit(self, old: str, new: str) -> None:
        text = (self.root / "registry.yaml").read_text()
        assert old in text
        (self.root / "registry.yaml").write_text(text.replace(old, new))

    @property
    def project(self):
        return load_project(self.root / "registry.yaml")

    def decide(self):
        return decide(self.project, "owl")
