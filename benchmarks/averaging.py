"""How close averaging comes to the physical floor: reading the inputs and writing one output.

    python benchmarks/averaging.py [--files 4] [--megabytes 600] [--rounds 3] [--folder DIR]

Makes checkpoints of random float32 weights in a temporary folder and prints a Markdown table. The
floor is `cat` of all inputs to /dev/null plus `dd` of one to the output, from a warm page cache.
The command also waits until the output is on the disk (fsync), which the other two rows do not.
Each round measures all rows in turn; the table shows the fastest of each.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

HIDDEN = 768
CONFIG = {"model_type": "modernbert", "architectures": ["ModernBertForMaskedLM"]}
ENGINE = """
import sys
from fractions import Fraction
from pathlib import Path
from mbrelease.averaging.engine import write_average
from mbrelease.checkpoints.checkpoint import open_checkpoint
*inputs, output = map(Path, sys.argv[1:])
members = [(open_checkpoint(path), Fraction(1, len(inputs))) for path in inputs]
write_average(members, output, {"format": "pt"})
"""


def make_checkpoint(folder: Path, size_bytes: int, seed: int) -> Path:
    """A checkpoint of random float32 matrices of the width of ModernBERT-base."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    rows = 50368
    tensors = max(1, size_bytes // (rows * HIDDEN * 4))
    header, position, each = {}, 0, rows * HIDDEN * 4
    for number in range(tensors):
        header[f"model.layers.{number}.weight"] = {
            "dtype": "F32",
            "shape": [rows, HIDDEN],
            "data_offsets": [position, position + each],
        }
        position += each
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    random = np.random.default_rng(seed)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _ in range(tensors):
            random.standard_normal((rows, HIDDEN), dtype=np.float32).tofile(file)
    return folder


def run(command: list[str]) -> float:
    """Wall seconds of a command."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def floor(inputs: list[Path], output: Path) -> float:
    """Wall seconds to read all inputs and to write one output."""
    files = [str(path / "model.safetensors") for path in inputs]
    seconds = run(["cat", *files])
    seconds += run(["dd", f"if={files[0]}", f"of={output}", "bs=4M"])
    output.unlink()
    return seconds


def engine(inputs: list[Path], output: Path) -> float:
    """Wall seconds of the engine in a fresh process, without hashing."""
    seconds = run([sys.executable, "-c", ENGINE, *map(str, inputs), str(output)])
    output.unlink()
    return seconds


def command(inputs: list[Path], output: Path) -> float:
    """Wall seconds of the command line, which also hashes every input and the output."""
    arguments = ["average", *map(str, inputs), "-o", str(output)]
    seconds = run([sys.executable, "-m", "mbrelease.cli.main", *arguments])
    shutil.rmtree(output)
    return seconds


def memory_mb(inputs: list[Path], output: Path) -> float:
    """Peak resident memory of the command line, in MB (Linux)."""
    arguments = ["average", *map(str, inputs), "-o", str(output)]
    # VmHWM belongs to the address space; ru_maxrss would also count the parent's before exec.
    script = (
        f"from mbrelease.cli.main import run; run({arguments!r}); "
        "print(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')))"
    )
    command = [sys.executable, "-c", script]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    shutil.rmtree(output)
    return int(answer.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


@contextlib.contextmanager
def checkpoints(files: int, megabytes: int, parent: Path | None) -> Iterator[list[Path]]:
    """Checkpoints in a temporary folder, warm in the page cache."""
    with tempfile.TemporaryDirectory(dir=parent) as name:
        root = Path(name)
        yield [
            make_checkpoint(root / f"checkpoint-{n + 1}", megabytes * 1_000_000, n)
            for n in range(files)
        ]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--megabytes", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    rows: dict[str, Callable[[list[Path], Path], float]] = {
        "floor: cat the inputs, dd one output": floor,
        "the engine": engine,
        "`mbrelease average` (with sha256 of every file, and fsync)": command,
    }
    with checkpoints(options.files, options.megabytes, options.folder) as inputs:
        output = inputs[0].parent / "out"
        peak = memory_mb(inputs, output)
        best = dict.fromkeys(rows, float("inf"))
        for _ in range(options.rounds):
            for name, measure in rows.items():
                best[name] = min(best[name], measure(inputs, output))
        size = (inputs[0] / "model.safetensors").stat().st_size
    lowest = next(iter(best.values()))
    print(f"{options.files} checkpoints of {size:,} bytes; peak memory {peak:.0f} MB\n")
    print("| | seconds | ratio |\n|---|---|---|")
    for name, seconds in best.items():
        print(f"| {name} | {seconds:.2f} | {seconds / lowest:.2f} |")


if __name__ == "__main__":
    main()
