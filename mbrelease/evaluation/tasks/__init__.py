"""The tasks, one file each. A task module offers ``CODE_VERSION`` and ``measure``."""

from __future__ import annotations

from types import ModuleType

from mbrelease.evaluation.tasks import classification, mlm, retrieval

TASKS: dict[str, ModuleType] = {
    "mlm": mlm,
    "retrieval": retrieval,
    "classification": classification,
}
