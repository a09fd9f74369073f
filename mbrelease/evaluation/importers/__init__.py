"""Results of other harnesses, read as reported results: one file a harness."""

from __future__ import annotations

from mbrelease.evaluation.importers import csv_table, lm_eval, mteb, sentence_transformers, trainer
from mbrelease.evaluation.importers.contract import Importer

IMPORTERS: dict[str, Importer] = {
    "mteb": mteb,
    "trainer": trainer,
    "lm-eval": lm_eval,
    "sentence-transformers": sentence_transformers,
    "csv": csv_table,
}
"""By the name that ``--format`` takes."""
