"""Choosing among 20 candidates by 10,000 resamples, against the loop one would write by hand.

    python benchmarks/selection.py [--candidates 20] [--examples 5000] [--resamples 10000]
                                   [--rounds 3]

Scores are drawn at random, written as evidence and read as ``mbrelease select`` reads them. Each
row is a fresh process; the table has the fastest of --rounds by wall time, and the greatest peak of
memory. The loop takes examples by their drawn positions and calls the functions of
``evaluation.metrics``, one model, one metric and one resample at a time; SciPy's is
``scipy.stats.bootstrap`` on the paired differences of a candidate, which can do means alone. Both
are timed on a part of the resamples and scaled up. Prints Markdown. Linux or macOS only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mbrelease.evaluation.evidence import EvidenceRecord, Provenance, write_record
from mbrelease.evaluation.metric_names import lower_is_better
from mbrelease.evaluation.metrics import (
    Columns,
    classification_metrics,
    mlm_metrics,
    retrieval_metrics,
)
from mbrelease.registry.tasks import ClassificationTask, MlmTask, RetrievalTask
from mbrelease.selection.rule import Changes, Rule
from mbrelease.selection.scores import read_scores
from mbrelease.selection.statistics import bootstrap

DATA = {"dev": "dev.jsonl"}
MLM = MlmTask.model_validate({"name": "mlm", "type": "mlm", "data": DATA})
FIND = RetrievalTask.model_validate({"name": "find", "type": "retrieval", "data": DATA})
TOPIC = ClassificationTask.model_validate(
    {"name": "topic", "type": "classification", "data": {"train": "train.jsonl", **DATA}}
)
N_SEEDS, N_CLASSES = 5, 10
Metric = tuple[MlmTask | RetrievalTask | ClassificationTask, str]
ADDITIVE: list[Metric] = [
    (FIND, "recall_at_1"),
    (MLM, "loss"),
    (MLM, "accuracy"),
    (FIND, "mrr"),
    (FIND, "ndcg_at_10"),
]
"""The primary metric first."""
WITH_F1: list[Metric] = [*ADDITIVE[:-1], (TOPIC, "macro_f1")]
CASES: dict[str, list[Metric]] = {
    "five sums: recall@1, MRR, NDCG@10, loss, accuracy": ADDITIVE,
    "macro-F1 (5 seeds, 10 classes) for NDCG@10": WITH_F1,
    "the same, macro-F1 as the primary metric": [WITH_F1[-1], *WITH_F1[:-1]],
}


def drawn_columns(n: int, model: int) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    """The per-example table of each task, as measuring writes it; models agree on most examples."""
    shared, own = np.random.default_rng(0), np.random.default_rng(1 + model)
    tokens = shared.integers(5, 150, n)
    hard = shared.gamma(2.0, 1.0, n)
    label = shared.integers(0, N_CLASSES, n)
    right = own.random((N_SEEDS, n)) < 0.9 - 0.1 * np.minimum(hard, 4)
    wrong = own.integers(0, N_CLASSES, (N_SEEDS, n))
    ids = np.asarray([f"{row}" for row in range(n)])
    return {
        "mlm": {
            "id": ids,
            "nll_sum": tokens * hard * own.normal(1, 0.1, n),
            "n_tokens": tokens,
            "n_correct": own.binomial(tokens, np.exp(-hard / 2)),
            "n_bytes": 4 * tokens,
        },
        "find": {"id": ids, "rank": own.geometric(np.exp(-hard / 2))},
        "topic": {
            "id": np.tile(ids, N_SEEDS),
            "seed": np.repeat(np.arange(N_SEEDS), n),
            "label": np.tile(label, N_SEEDS),
            "prediction": np.where(right, label, wrong).reshape(-1),
        },
    }


def by_hand(task: str, key: str, columns: Columns, drawn: np.ndarray[Any, Any]) -> float:
    """A metric of the examples at the positions ``drawn``."""
    once = np.ones((1, len(drawn)))
    if task == "topic":
        rows = {
            name: columns[name].reshape(N_SEEDS, -1)[:, drawn] for name in ("label", "prediction")
        }
        return float(classification_metrics(rows, once)[key][0])
    rows = {name: column[drawn] for name, column in columns.items() if name != "id"}
    if task == "mlm":
        return float(mlm_metrics(rows, once)[key][0])
    return float(retrieval_metrics(rows, once, [key.replace("_at_", "@")])[key][0])


def recorded(root: Path, task: str, model: int, columns: Columns, keys: Sequence[str]) -> Any:
    """Evidence of one model on one task."""
    everything = np.arange(len(columns["id"]) // (N_SEEDS if task == "topic" else 1))
    metrics = {key: by_hand(task, key, columns, everything) for key in keys}
    record = EvidenceRecord(
        task_name=task,
        split="dev",
        main_score=metrics[keys[0]],
        metrics=metrics,
        n_examples=len(everything),
        ci95={},
        experiments=(),
        counts={},
        provenance=Provenance(
            f"{model:016x}" * 4, "0" * 64, "0" * 64, "0" * 64, "0" * 64, "sdpa", "float32", "cpu", 1
        ),
        languages=("en",),
        evaluation_time_seconds=0.0,
    )
    return write_record(root, record, pa.table(dict(columns)))


def run_ours(case: str, candidates: int, examples: int, resamples: int) -> dict[str, float]:
    """Seconds of each part, and the peak of memory in bytes."""
    metrics = CASES[case]
    with tempfile.TemporaryDirectory() as folder:
        records = []
        for model in range(candidates + 1):
            columns = drawn_columns(examples, model)
            of_task = {
                task.name: recorded(
                    Path(folder),
                    task.name,
                    model,
                    columns[task.name],
                    [key for other, key in metrics if other.name == task.name],
                )
                for task, _ in metrics
            }
            records.append(of_task)
        before = peak_bytes()
        times = [clock()]
        table = [
            [read_scores(of_task[task.name], task, key).score for of_task in records]
            for task, key in metrics
        ]
        times.append(clock())
        flat = [score for column in table for score in column]
        asked = [place == 0 for place in range(len(metrics)) for _ in records]
        drawn = bootstrap(flat, resamples=resamples, out_of_bag=asked)
        times.append(clock())
        signs = np.asarray([-1.0 if lower_is_better(key) else 1.0 for _, key in metrics])
        # Scores stand metric by metric: (..., metrics, models) → (..., models, metrics).
        point = drawn.point.reshape(len(metrics), -1).T * signs
        values = drawn.values.reshape(resamples, len(metrics), -1).transpose(0, 2, 1) * signs
        changes = Changes(point[1:] - point[:1], values[:, 1:] - values[:, :1])
        margins = [0.02] * (len(metrics) - 1)
        rule = Rule.fixed_by(changes, margins, 0.05, range(candidates))
        rule.apply(changes.point[None])
        rule.apply(changes.values)
        times.append(clock())
    names = ("read", "bootstrap", "rule")
    taken = {name: b[0] - a[0] for name, a, b in zip(names, times, times[1:], strict=False)}
    taken["all"] = times[-1][0] - times[1][0]
    taken["cpu"] = times[-1][1] - times[1][1]
    return {**taken, "peak": peak_bytes(), "before": before}


def run_by_hand(case: str, candidates: int, examples: int, resamples: int) -> dict[str, float]:
    """Seconds of the resamples alone, without any rule."""
    metrics = CASES[case]
    models = [drawn_columns(examples, model) for model in range(candidates + 1)]
    generator = np.random.default_rng(0)
    start = clock()
    for _ in range(resamples):
        drawn = generator.integers(0, examples, examples)
        for task, key in metrics:
            for columns in models:
                by_hand(task.name, key, columns[task.name], drawn)
    return {"all": clock()[0] - start[0]}


def run_scipy(case: str, candidates: int, examples: int, resamples: int) -> dict[str, float]:
    """Seconds of one metric of one candidate, times their number."""
    from scipy.stats import bootstrap as scipy_bootstrap

    models = [drawn_columns(examples, model)["find"]["rank"] == 1 for model in range(2)]
    change = models[1].astype(float) - models[0]
    start = clock()
    scipy_bootstrap((change,), np.mean, n_resamples=resamples, batch=250, method="percentile")
    return {"all": (clock()[0] - start[0]) * candidates * len(CASES[case])}


RUNS: Mapping[str, Callable[[str, int, int, int], dict[str, float]]] = {
    "ours": run_ours,
    "loop": run_by_hand,
    "scipy": run_scipy,
}


def clock() -> tuple[float, float]:
    """Wall time and CPU time of all threads, in seconds."""
    return time.perf_counter(), time.process_time()


def peak_bytes() -> float:
    """The most memory that this process ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def measured(what: str, case: str, candidates: int, examples: int, resamples: int) -> Any:
    """What a fresh process found."""
    call = [sys.executable, __file__, "--row", what, "--case", case]
    sizes = {"candidates": candidates, "examples": examples, "resamples": resamples}
    call += [word for name, size in sizes.items() for word in (f"--{name}", str(size))]
    done = subprocess.run(call, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def fastest(rounds: int, what: str, case: str, *sizes: int) -> dict[str, float]:
    """The fastest of several runs, with the greatest peak of any."""
    found = [measured(what, case, *sizes) for _ in range(rounds)]
    best = min(found, key=lambda one: one["all"])
    return {**best, "peak": max(one.get("peak", 0.0) for one in found)}


def main() -> None:
    """Run all rows and print the table, or be one of its rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--row", choices=RUNS, help=argparse.SUPPRESS)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    sizes = (given.candidates, given.examples, given.resamples)
    if given.row:
        print(json.dumps(RUNS[given.row](given.case, *sizes)))
        return
    threads = os.environ.get("OMP_NUM_THREADS", f"all {os.cpu_count()}")
    print(
        f"{given.resamples:,} resamples, {given.candidates} candidates and a reference, 5 metrics, "
        f"{given.examples:,} examples; NumPy {np.__version__}, Python {platform.python_version()}, "
        f"threads: {threads}. Fastest of {given.rounds}.\n"
    )
    print("| metrics | read | resample | rule | wall | CPU | peak memory | loop | SciPy |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for case in CASES:
        ours = fastest(given.rounds, "ours", case, *sizes)
        part = max(10, given.resamples // 500)
        loop = measured("loop", case, given.candidates, given.examples, part)
        ratios = [loop["all"] * given.resamples / part / ours["all"]]
        if "macro-F1" not in case:
            part = given.resamples // 5
            scipy = measured("scipy", case, given.candidates, given.examples, part)
            ratios.append(scipy["all"] * given.resamples / part / ours["all"])
        times = " | ".join(f"{ours[name]:.2f} s" for name in ("read", "bootstrap", "rule"))
        slower = [f"{ratio:,.0f} ×" for ratio in ratios] + ["" for _ in ratios[1:] or [0]]
        print(
            f"| {case} | {times} | **{ours['all']:.2f} s** | {ours['cpu']:.2f} s | "
            f"{ours['peak'] / 2**20:,.0f} MiB | {slower[0]} | {slower[1]} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
