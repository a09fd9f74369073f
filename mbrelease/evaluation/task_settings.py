"""What a task is known by: its settings, and the data that measuring it reads.

Apart from the tasks themselves, so that who reads evidence need not load what measures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mbrelease.evaluation.dataset import DataSource, locate
from mbrelease.files import sha256_json
from mbrelease.registry.tasks import AnyTask


def task_sha256(task: AnyTask) -> str:
    """Hex sha256 of a task's settings without its name, paths and benchmark, which change nothing.

    Settings at their default are left out, so that a new one does not orphan what was measured
    before there was one. Whoever changes a default raises the ``CODE_VERSION`` of the task.
    """
    choice = {"__all__": {"name": True, "data": True}}
    paths: Any = {
        "name": True,
        "data": True,
        "benchmark": True,
        "training": {"pairs": True, "choose_on": choice},
    }
    return sha256_json(task.model_dump(mode="json", exclude=paths, exclude_defaults=True))


def split_files(task: AnyTask, split: str, root: Path) -> dict[str, DataSource]:
    """Where the data are that measuring ``task`` on ``split`` reads, by role.

    Raises:
        UserError: the task names no data for one of them.
    """
    return {role: locate(name, root) for role, name in task.files(split).items()}
