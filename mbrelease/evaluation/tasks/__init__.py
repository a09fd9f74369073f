"""The tasks, one file each. A task module offers ``CODE_VERSION`` and ``measure``."""

from __future__ import annotations

from types import ModuleType

from mbrelease.evaluation.tasks import (
    classification,
    efficiency,
    glue,
    mlm,
    pair,
    retrieval,
    token_classification,
)

TASKS: dict[str, ModuleType] = {
    "mlm": mlm,
    "retrieval": retrieval,
    "classification": classification,
    "token-classification": token_classification,
    "pair": pair,
    "glue": glue,
    "efficiency": efficiency,
}
