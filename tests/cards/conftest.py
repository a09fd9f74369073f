"""Projects and folders that the tests of cards share."""

import functools
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from card_projects import (
    FIRST,
    REGISTRY,
    SECOND,
    VALUES,
    Build,
    Built,
    decision,
    record,
    with_settings,
    write,
)

from mbrelease.evaluation.evidence import EvidenceRecord
from mbrelease.registry.load import load_project
from mbrelease.selection.decision import write_decision

Records = dict[tuple[str, str, str], EvidenceRecord]


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, Records]]:
    """A folder of evidence for some splits, written once and then copied: syncing is slow."""

    @functools.cache
    def make(splits: tuple[str, ...]) -> tuple[Path, Records]:
        root = tmp_path_factory.mktemp("evidence")
        records = {}
        for weights, tasks in VALUES.items():
            for task, metrics in tasks.items():
                for position, split in enumerate(("dev", "test")):
                    # Only the chosen candidate and the reference are measured on test.
                    if split not in splits or (split == "test" and weights in (FIRST, SECOND)):
                        continue
                    values = {name: pair[position] for name, pair in metrics.items()}
                    records[weights, task, split] = write(
                        root, record(weights, task, split, values)
                    )
        return root, records

    return make


@pytest.fixture(scope="session")
def build_in(measured: Callable[..., tuple[Path, Records]]) -> Callable[..., Built]:
    """Makes a project in a folder from a registry, with evidence for splits and a decision."""

    def make(
        root: Path,
        registry: Mapping[str, Any] = REGISTRY,
        *,
        splits: tuple[str, ...] = ("dev", "test"),
        decide: bool = True,
    ) -> Built:
        path = root / "registry.yaml"
        root.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(dict(registry), sort_keys=False), encoding="utf-8")
        project = load_project(path)
        source, stored = measured(splits)
        if registry.get("suites") == REGISTRY["suites"]:
            shutil.copytree(source, project.evidence, dirs_exist_ok=True)
            records = {
                key: replace(found, file=project.evidence / found.file.relative_to(source))
                for key, found in stored.items()
                if found.file is not None
            }
        else:
            tasks = {task.name: task for task in project.suite("science")}
            records = {
                key: write(project.evidence, with_settings(found, tasks[key[1]]))
                for key, found in stored.items()
                if key[1] in tasks
            }
        built = Built(project, records)
        if decide:
            write_decision(project.decision("science"), decision(built))
        return built

    return make


@pytest.fixture
def build(tmp_path: Path, build_in: Callable[..., Built]) -> Build:
    """``build_in`` for one test."""
    return functools.partial(build_in, tmp_path / "project")


@pytest.fixture
def built(build: Build) -> Built:
    """The usual project."""
    return build()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint with a tensor of 12 elements, of which nothing but names and sizes is read."""
    header = json.dumps({"a": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]}}).encode()
    path = tmp_path / "checkpoint-40"
    path.mkdir()
    (path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(48))
    config = {"model_type": "modernbert", "num_hidden_layers": 3, "max_position_embeddings": 1024}
    (path / "config.json").write_text(json.dumps(config))
    return path
