"""Ranking a million documents: seconds and peak memory, and that the cost is linear.

    python benchmarks/retrieval.py [--documents 250000,500000,1000000] [--queries 1000]

Random float32 embeddings of 768 dimensions, one gold document a query; each count of documents in a
process of its own. The peak is that of the whole process, with the matrix of documents in it (of a
million 3.07 GB). Prints Markdown. Linux only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass

HIDDEN = 768

# Not the main process, whose peak would be that of the largest count before.
WORKER = """
import json, resource, sys, time
import numpy as np
from mbrelease.evaluation.ranking import gold_ranks

n_documents, n_queries, hidden = map(int, sys.argv[1:])
generator = np.random.default_rng(0)
documents = np.empty((n_documents, hidden), dtype=np.float32)
for start in range(0, n_documents, 10_000):
    block = documents[start : start + 10_000]
    generator.standard_normal(block.shape, dtype=np.float32, out=block)
queries = generator.standard_normal((n_queries, hidden), dtype=np.float32)
gold = list(generator.integers(0, n_documents, (n_queries, 1)))
started = time.monotonic()
ranks = gold_ranks(queries, documents, gold)
seconds = time.monotonic() - started
assert 0.4 < np.mean(ranks) / n_documents < 0.6
peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": seconds, "peak_bytes": 1024 * peak_kib}))
"""


@dataclass(frozen=True)
class Ranked:
    """One run. ``peak_bytes`` is the largest resident size of its process."""

    n_documents: int
    n_queries: int
    seconds: float
    peak_bytes: int


def rank_random_documents(n_documents: int, n_queries: int = 1000) -> Ranked:
    """Rank random documents for random queries in a fresh process."""
    command = [sys.executable, "-c", WORKER, str(n_documents), str(n_queries), str(HIDDEN)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Ranked(n_documents, n_queries, **json.loads(done.stdout))


def table(runs: list[Ranked]) -> str:
    """The runs as Markdown."""
    lines = [
        "| documents | queries | seconds | µs a document | peak memory, GB |",
        "|---:|---:|---:|---:|---:|",
    ]
    for run in runs:
        each = 1e6 * run.seconds / run.n_documents
        lines.append(
            f"| {run.n_documents:,} | {run.n_queries:,} | {run.seconds:.1f} | {each:.0f} "
            f"| {run.peak_bytes / 1e9:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", default="250000,500000,1000000")
    parser.add_argument("--queries", type=int, default=1000)
    arguments = parser.parse_args()
    counts = [int(count) for count in arguments.documents.split(",")]
    print(table([rank_random_documents(count, arguments.queries) for count in counts]))


if __name__ == "__main__":
    main()
