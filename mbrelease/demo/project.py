"""A project of the demo: data, two trained runs and the registry that describes them."""

from __future__ import annotations

from pathlib import Path

from mbrelease.demo.corpus import Corpus, build_corpus, standard_library, write_corpus
from mbrelease.demo.training import Run, Schedule, Sizes, is_trained, train, train_tokenizer
from mbrelease.errors import UserError
from mbrelease.files import write_text
from mbrelease.progress import SILENT, Progress
from mbrelease.registry.load import load_project
from mbrelease.registry.project import REGISTRY_NAME, Project

BASE = "python-base"
VARIANT = "python-docstrings"
SIZES = Sizes()
BASE_SCHEDULE = Schedule(steps=400, checkpoints=1, learning_rate=2e-3, decay_steps=80)
SCHEDULE = Schedule(steps=640, checkpoints=8, learning_rate=2e-3, decay_steps=192)
# Texts for the Trainer's own evaluation; what the release measures is all of dev.
TRAINER_DEV = 100

REGISTRY = f"""\
# Written by `mbrelease demo`. Change it, then run `mbrelease release {VARIANT}` again.
version: 1
family: ModernBERT demo
defaults: {{license: apache-2.0, languages: [en]}}

suites:
  docstrings:
    - name: heldout-mlm
      type: mlm
      data: {{dev: data/dev.jsonl, test: data/test.jsonl}}
      text: [title, text]
      mask_rate: 0.3
      max_length: 128
    - name: summary-body
      type: retrieval
      data: {{dev: data/dev.jsonl, test: data/test.jsonl}}
      query: title
      document: text
      metrics: [recall@1, recall@5, mrr, ndcg@10]
      max_length: 128
    - name: package
      type: classification
      data: {{train: data/train.jsonl, dev: data/dev.jsonl, test: data/test.jsonl}}
      text: text
      label: label
      seeds: [0, 1, 2, 3, 4]
      max_length: 128

policies:
  docstrings:
    primary: heldout-mlm/loss
    guardrails:
      - {{metric: summary-body/mrr, margin: 0.05}}
      - {{metric: package/macro_f1, margin: 0.05}}
    reference: {BASE}
    tie_break: earliest

variants:
  {BASE}:
    repo: demo/{BASE}
    run: runs/base
    training: {{objective: mlm, mask_rate: 0.3, steps: {BASE_SCHEDULE.steps}, hardware: CPU}}
    data: [{{name: Python's language reference and short docstrings, license: psf-2.0}}]
    card:
      title: ModernBERT demo base
      summary: A very small ModernBERT, trained from scratch in a minute for a demonstration.

  {VARIANT}:
    repo: demo/{VARIANT}
    parents: [{{variant: {BASE}, relation: continued-pretraining}}]
    run: runs/docstrings
    candidates: {{checkpoints: all, averages: ["best:3+last", "last:3"]}}
    suite: docstrings
    policy: docstrings
    training:
      objective: mlm
      mask_rate: 0.3
      steps: {SCHEDULE.steps}
      context: {SIZES.block}
      hardware: CPU
      schedule: warmup, stable, 1-sqrt decay over the last {SCHEDULE.decay_steps} steps
    data:
      - name: Docstrings of Python's standard library
        license: psf-2.0
        description: training modules only; dev and test are other modules
    card:
      title: ModernBERT Python docstrings
      summary: >-
        A very small ModernBERT that continued pretraining on the docstrings of Python's standard
        library, made in minutes to show a whole release.
      intended_use: [Trying out a release pipeline.]
      limitations: ["It has read docstrings and nothing else, for minutes: expect little of it."]
"""


def make_project(root: Path, progress: Progress = SILENT) -> Project:
    """Write data and registry into ``root``, train both runs, and load the project.

    Runs that were trained from the same settings are kept, and so is a registry that is there:
    it may have been edited.

    Raises:
        MissingExtra: what training needs is not installed.
        UserError: ``root`` cannot be written, or holds something else.
    """
    _check_free(root)
    corpus = build_corpus(standard_library())
    write_corpus(corpus, root / "data")
    if not (root / REGISTRY_NAME).exists():
        write_text(root / REGISTRY_NAME, REGISTRY)
    texts = {
        split: [f"{one.title}\n{one.text}" for one in documents]
        for split, documents in corpus.splits.items()
    }
    tokenizer = None
    for run in _runs(root, corpus, texts):
        if not is_trained(run):
            tokenizer = tokenizer or train_tokenizer([*corpus.general, *texts["train"]], SIZES)
            train(run, tokenizer, progress)
            progress.note(f"trained    {run.name}: {run.schedule.steps} steps")
    return load_project(root / REGISTRY_NAME)


def _runs(root: Path, corpus: Corpus, texts: dict[str, list[str]]) -> list[Run]:
    dev = texts["dev"][:TRAINER_DEV]
    base, child = root / "runs" / "base", root / "runs" / "docstrings"
    return [
        Run(BASE, base, None, corpus.general, dev, SIZES, BASE_SCHEDULE),
        Run(VARIANT, child, base, texts["train"], dev, SIZES, SCHEDULE),
    ]


def _check_free(root: Path) -> None:
    if root.exists() and not root.is_dir():
        raise UserError(f"{root} is a file", mend="name a folder: mbrelease demo FOLDER")
    occupied = root.is_dir() and any(root.iterdir())
    if occupied and not (root / "data" / "train.jsonl").exists():
        raise UserError(
            f"{root} holds something that is not a demo", mend="name another: mbrelease demo FOLDER"
        )
