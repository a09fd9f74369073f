"""Averaging full-size ModernBERT-base checkpoints, against the physical floor and mergekit.

    python benchmarks/averaging.py [--checkpoints 4,16] [--rounds 3] [--folder DIR]
                                   [--without-mergekit] [--mergekit-venv DIR]
                                   [--memory-as-found]

Makes as many checkpoints as the largest count asks for: the tensors of ModernBertForMaskedLM as
published, 598,635,032 bytes each, filled with random float32 numbers. Then each round measures
every row in turn, each in a fresh process; the tables show the fastest and the median of each row.
The floor is `cat` of all inputs to /dev/null plus `dd` of one to the output. Prints Markdown on
stdout and what it is doing on stderr. Linux only: it reads /proc.

Every run starts alike: nothing is waiting to be written to the disk, the inputs are in the page
cache (a run that read from the disk all the same is pointed out), and free memory has just been in
use. The last matters in a virtual machine that gives free memory back to its host: getting it anew
makes writing one output up to ten times slower, for whichever row it hits. --memory-as-found leaves
that to chance.

Everything made is removed at the end, after Ctrl-C as well, but for the environment in which
mergekit is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import math
import os
import platform
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mbrelease.checkpoints.config import normal_form
from mbrelease.parity.reference import expected_tensors

Float32s = npt.NDArray[np.float32]

ROOT = Path(__file__).parent.parent
WEIGHTS = "model.safetensors"
PUBLISHED_BYTES = 598_635_032
MERGEKIT = "0.1.5"
SAMPLED_ELEMENTS = 200_000
SAMPLED_FROM_EACH_TENSOR = 16
POLL_SECONDS = 0.01
COLD_SHARE = 0.02
"""More than this part of the inputs read from the disk makes a row's time doubtful."""
SPARE_MEMORY_BYTES = 5_000_000_000
"""More than any row takes beside the inputs in the page cache."""

CONFIG: dict[str, Any] = {
    "architectures": ["ModernBertForMaskedLM"],
    "model_type": "modernbert",
    "dtype": "float32",
    "vocab_size": 50368,
    "hidden_size": 768,
    "intermediate_size": 1152,
    "num_hidden_layers": 22,
    "num_attention_heads": 12,
}
SPECIAL = ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")
TOKENIZER = {
    "version": "1.0",
    "added_tokens": [],
    "model": {
        "type": "WordLevel",
        "vocab": {token: number for number, token in enumerate(SPECIAL)},
        "unk_token": "[UNK]",
    },
}
TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "model_max_length": 8192,
    **{f"{token[1:-1].lower()}_token": token for token in SPECIAL},
}

# Everything that `mbrelease average` does to get the output's bytes, but hashing and fsync: no
# command offers that, so this is the one row that calls the library.
ENGINE = """
import sys
from fractions import Fraction
from pathlib import Path
from mbrelease.averaging.compatibility import check_compatible
from mbrelease.averaging.engine import Member, Work, write_tensors
from mbrelease.averaging.tiles import plan_files
from mbrelease.checkpoints.checkpoint import open_checkpoint

*inputs, folder = map(Path, sys.argv[1:])
sources = [open_checkpoint(path) for path in inputs]
(file,) = plan_files(check_compatible(sources).averaged, {"format": "pt"}, None)
members = tuple(Member(source, Fraction(1, len(sources))) for source in sources)
folder.mkdir()
write_tensors(Work(members, (file,), folder), hashing=False)
with (folder / file.name).open("r+b") as opened:
    opened.write(file.layout.header)
"""


@dataclass(frozen=True)
class Measured:
    """One run of one row."""

    seconds: float
    peak_bytes: int
    """VmHWM: the most that was resident, pages of mapped files included."""
    anonymous_bytes: int
    """The most that was resident and backed by no file, of samples POLL_SECONDS apart."""
    disk_bytes: int
    """Read from the disk rather than from the page cache."""


@dataclass(frozen=True)
class Row:
    """One line of the tables."""

    title: str
    commands: Callable[[Sequence[Path], Path], list[list[str]]]
    """From the inputs' folders and the output: what is run, one after the other."""
    weights: str | None = None
    """Where in the output the weights are, if they are to be checked."""
    forgets: bool = True
    """Whether it starts with an empty cache folder, or with what the row before left there."""


def floor(inputs: Sequence[Path], output: Path) -> list[list[str]]:
    """Read all inputs, write one output."""
    files = [str(path / WEIGHTS) for path in inputs]
    return [["cat", *files], ["dd", f"if={files[0]}", f"of={output}", "bs=4M"]]


def floor_on_disk(inputs: Sequence[Path], output: Path) -> list[list[str]]:
    """The floor, ending when the output is on the disk."""
    read, write = floor(inputs, output)
    return [read, [*write, "conv=fsync"]]


def engine(inputs: Sequence[Path], output: Path) -> list[list[str]]:
    """The library without hashing."""
    return [[sys.executable, "-c", ENGINE, *map(str, inputs), str(output)]]


def command(inputs: Sequence[Path], output: Path) -> list[list[str]]:
    """``mbrelease average`` as a user types it."""
    average = [sys.executable, "-m", "mbrelease.cli.main", "average"]
    return [[*average, *map(str, inputs), "-o", str(output)]]


def mergekit(venv: Path) -> Callable[[Sequence[Path], Path], list[list[str]]]:
    """``mergekit-yaml`` with the linear method, equal weights and its default options."""

    def commands(inputs: Sequence[Path], output: Path) -> list[list[str]]:
        models = [{"model": str(path), "parameters": {"weight": 1.0}} for path in inputs]
        recipe = {"merge_method": "linear", "dtype": "float32", "models": models}
        file = output.with_suffix(".yml")
        file.write_text(json.dumps(recipe))  # JSON is YAML
        return [[str(venv / "bin/mergekit-yaml"), str(file), str(output)]]

    return commands


def all_rows(venv: Path | None) -> dict[str, Row]:
    """The rows in the order in which they are measured."""
    rows = {
        "floor": Row("floor: cat the inputs, dd one output", floor),
        "fsync": Row("the same floor, until the output is on the disk (fsync)", floor_on_disk),
        "engine": Row("the engine, without hashing", engine, WEIGHTS),
        "average": Row("`mbrelease average`, no hash remembered", command, WEIGHTS),
        "again": Row("`mbrelease average`, inputs' hashes remembered", command, WEIGHTS, False),
    }
    if venv is not None:
        rows["mergekit"] = Row(f"mergekit {MERGEKIT} linear", mergekit(venv), WEIGHTS)
    return rows


# Checkpoints


def make_checkpoint(folder: Path, seed: int) -> Path:
    """ModernBERT-base with random weights, laid out as the published file is."""
    folder.mkdir()
    for name, content in (
        ("config.json", CONFIG),
        ("tokenizer.json", TOKENIZER),
        ("tokenizer_config.json", TOKENIZER_CONFIG),
    ):
        (folder / name).write_text(json.dumps(content, indent=2))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, shape in sorted(expected_tensors(normal_form(CONFIG)).items()):
        end = position + math.prod(shape) * 4
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    random = np.random.Generator(np.random.SFC64(seed))
    with (folder / WEIGHTS).open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for start in range(0, position, 1 << 24):
            elements = min(1 << 24, position - start) // 4
            file.write(random.standard_normal(elements, dtype=np.float32).data)
    found = (folder / WEIGHTS).stat().st_size
    if found != PUBLISHED_BYTES:
        raise SystemExit(f"made {found:,} bytes, but ModernBERT-base has {PUBLISHED_BYTES:,}")
    return folder


@contextlib.contextmanager
def scratch(parent: Path, count: int) -> Iterator[Path]:
    """A folder for ``count`` checkpoints and an output, removed whatever happens."""
    parent.mkdir(parents=True, exist_ok=True)
    needed = (count + 2) * PUBLISHED_BYTES
    if (free := shutil.disk_usage(parent).free) < needed:
        raise SystemExit(f"{parent} has {free / 1e9:.1f} GB free; {needed / 1e9:.1f} are needed")
    needed = (count + 1) * PUBLISHED_BYTES + SPARE_MEMORY_BYTES
    if (free := proc_bytes(Path("/proc/meminfo"))["MemAvailable"]) < needed:
        raise SystemExit(
            f"{free / 1e9:.1f} GB of memory are free; {needed / 1e9:.1f} are needed, so that the "
            f"page cache holds {count} checkpoints: try --checkpoints with a lower count"
        )
    with tempfile.TemporaryDirectory(prefix="averaging-", dir=parent) as name:
        yield Path(name).resolve()


# Measuring


def measure(row: Row, inputs: Sequence[Path], folder: Path, touch: bool) -> tuple[Measured, Path]:
    """Run a row once; its output stays."""
    cache = folder / "cache"
    if row.forgets:
        shutil.rmtree(cache, ignore_errors=True)
    environment = os.environ | {"XDG_CACHE_HOME": str(cache), "HF_HUB_OFFLINE": "1"}
    output = folder / "out"
    commands = row.commands(inputs, output)
    prepare(inputs, touch)
    runs = [run(arguments, environment, folder / "log") for arguments in commands]
    total = Measured(
        sum(one.seconds for one in runs),
        max(one.peak_bytes for one in runs),
        max(one.anonymous_bytes for one in runs),
        sum(one.disk_bytes for one in runs),
    )
    return total, output


def prepare(inputs: Sequence[Path], touch: bool) -> None:
    """An idle disk, inputs in the page cache and, with ``touch``, free memory that is warm too."""
    os.sync()
    if touch:
        script = f"import numpy; numpy.ones({SPARE_MEMORY_BYTES}, numpy.uint8)"
        subprocess.run([sys.executable, "-c", script], check=True)
    files = [path / WEIGHTS for path in inputs]
    subprocess.run(["cat", *files], check=True, stdout=subprocess.DEVNULL)


def run(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Measured:
    """Run one command to its end."""
    blocks = resource.getrusage(resource.RUSAGE_CHILDREN).ru_inblock
    with log.open("wb") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            arguments, env=environment, stdout=subprocess.DEVNULL, stderr=errors
        )
        peaks: dict[str, int] = {}
        watcher = threading.Thread(target=watch, args=(process.pid, peaks))
        watcher.start()
        try:
            code = process.wait()
            seconds = time.perf_counter() - started
        finally:
            process.kill()
            process.wait()
            watcher.join()
    if code != 0:
        raise SystemExit(
            f"{' '.join(arguments[:4])} … ended with {code}:\n{log.read_text()[-4000:]}"
        )
    blocks = resource.getrusage(resource.RUSAGE_CHILDREN).ru_inblock - blocks
    return Measured(seconds, peaks.get("VmHWM", 0), peaks.get("RssAnon", 0), blocks * 512)


def watch(process: int, peaks: dict[str, int]) -> None:
    """Note the highest memory of a process until it ends.

    ru_maxrss would not do: it also counts what the parent had before the command began.
    """
    while True:
        try:
            now = proc_bytes(Path(f"/proc/{process}/status"))
        except OSError:
            return
        if "VmHWM" not in now:
            return  # it has ended
        for key in ("VmHWM", "RssAnon"):
            peaks[key] = max(peaks.get(key, 0), now[key])
        time.sleep(POLL_SECONDS)


def proc_bytes(file: Path) -> dict[str, int]:
    """The sizes that a file in /proc tells, in bytes."""
    lines = [line.split() for line in file.read_text().splitlines()]
    return {line[0][:-1]: int(line[1]) * 1024 for line in lines if line[-1:] == ["kB"]}


def remove(output: Path) -> None:
    """Delete a row's output, be it a file or a folder."""
    if output.is_dir():
        shutil.rmtree(output)
    else:
        output.unlink()


@dataclass(frozen=True)
class Results:
    """What was measured with one number of checkpoints."""

    count: int
    rows: Mapping[str, Sequence[Measured]]
    """By row, one for each round."""
    sampled: int
    correct: Mapping[str, float]
    """By row, and for a float32 accumulator: the part of the elements that are exact."""

    def fastest(self, row: str) -> float:
        """Seconds."""
        return min(one.seconds for one in self.rows[row])

    def median(self, row: str) -> float:
        """Seconds."""
        return statistics.median(one.seconds for one in self.rows[row])

    def peak_bytes(self, row: str) -> int:
        """Of any round."""
        return max(one.peak_bytes for one in self.rows[row])

    def anonymous_bytes(self, row: str) -> int:
        """Of any round."""
        return max(one.anonymous_bytes for one in self.rows[row])


def measure_all(
    rows: Mapping[str, Row], inputs: Sequence[Path], folder: Path, rounds: int, touch: bool
) -> Results:
    """Measure every row in turn, ``rounds`` times."""
    count = len(inputs)
    sample = draw_sample(inputs)
    correct = {"float32": sample.agreement(float32_mean(sample.members))}
    measurements: dict[str, list[Measured]] = {key: [] for key in rows}
    for number in range(rounds):
        for key, row in rows.items():
            measured, output = measure(row, inputs, folder, touch)
            say(f"{count} checkpoints, round {number + 1}: {measured.seconds:7.2f} s  {row.title}")
            if measured.disk_bytes > COLD_SHARE * count * PUBLISHED_BYTES:
                say(f"  of its input {measured.disk_bytes / 1e6:,.0f} MB came from the disk")
            if row.weights and number == 0:
                correct[key] = sample.agreement(sample.read(output / row.weights))
            remove(output)
            measurements[key].append(measured)
    return Results(count, measurements, sample.exact.size, correct)


# Correctness


@dataclass(frozen=True)
class Sample:
    """Random elements of every tensor, as the inputs have them and as their mean should be."""

    positions: Mapping[str, npt.NDArray[np.int64]]
    """By tensor, which of its elements."""
    members: Float32s
    """(checkpoints, elements)."""
    exact: Float32s

    def read(self, file: Path) -> Float32s:
        """The same elements of another file."""
        return read_elements(file, self.positions)

    def agreement(self, values: Float32s) -> float:
        """The part of ``values`` that are the correctly rounded mean."""
        return float(np.mean(values == self.exact))


def draw_sample(inputs: Sequence[Path]) -> Sample:
    """A sample over all tensors, larger ones with more elements."""
    random = np.random.default_rng(len(inputs))
    positions = {}
    for name, shape in expected_tensors(normal_form(CONFIG)).items():
        elements = math.prod(shape)
        share = SAMPLED_ELEMENTS * elements * 4 // PUBLISHED_BYTES
        drawn = random.integers(elements, size=max(SAMPLED_FROM_EACH_TENSOR, share))
        positions[name] = np.sort(drawn)
    members = np.stack([read_elements(path / WEIGHTS, positions) for path in inputs])
    exact = [exact_mean(column) for column in members.T.tolist()]
    return Sample(positions, members, np.array(exact, dtype=np.float32))


def read_elements(file: Path, positions: Mapping[str, npt.NDArray[np.int64]]) -> Float32s:
    """Elements of the float32 tensors of a safetensors file."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(length))
    values = []
    for name, chosen in positions.items():
        start, end = header[name]["data_offsets"]
        if header[name]["dtype"] != "F32":
            raise SystemExit(f"{file}: {name} is {header[name]['dtype']}, not F32")
        place = 8 + length + start
        tensor = np.memmap(file, np.float32, "r", place, shape=((end - start) // 4,))
        values.append(tensor[chosen])
    return np.concatenate(values)


def exact_mean(values: Sequence[float]) -> float:
    """The float32 nearest to the mean of float32 values, ties to even.

    Whole numbers and fractions all the way: a mean in float64 would be rounded twice.
    """
    # 2**-149 is the smallest float32, so each value is a whole number of it.
    units = sum(int(math.ldexp(value, 149)) for value in values)
    mean = Fraction(units, len(values) << 149)
    if mean == 0:
        return 0.0
    exponent = mean.numerator.bit_length() - mean.denominator.bit_length()
    if abs(mean) < Fraction(2) ** exponent:
        exponent -= 1
    # A float32 has 24 bits, the first of which stands for 2**exponent.
    last_bit = max(exponent - 23, -149)
    return math.ldexp(round(mean / Fraction(2) ** last_bit), last_bit)


def float32_mean(members: Float32s) -> Float32s:
    """The mean as a running sum in float32 has it."""
    total: Float32s = members[0].copy()
    for values in members[1:]:
        total += values
    total /= np.float32(len(members))
    return total


# mergekit, in an environment of its own


def mergekit_venv(venv: Path) -> Path:
    """Install mergekit unless it is there already, and load its libraries once."""
    venv = venv.resolve()
    python = venv / "bin/python"
    if not (venv / "bin/mergekit-yaml").exists():
        say(f"installing mergekit {MERGEKIT} in {venv}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        constraints = [ROOT / "constraints.txt", ROOT / "benchmarks/mergekit-constraints.txt"]
        pinned = [argument for file in constraints for argument in ("--constraint", file)]
        pip = [python, "-m", "pip", "install", "--quiet", *pinned, f"mergekit=={MERGEKIT}"]
        subprocess.run(pip, check=True, stdout=sys.stderr)
    subprocess.run([venv / "bin/mergekit-yaml", "--help"], check=True, stdout=subprocess.DEVNULL)
    return venv


def mergekit_start_seconds(venv: Path, rounds: int) -> float:
    """What mergekit takes before it does anything, fastest of ``rounds``."""
    command = [str(venv / "bin/mergekit-yaml"), "--help"]
    return min(run(command, os.environ, Path(os.devnull)).seconds for _ in range(rounds))


def mergekit_versions(venv: Path) -> str:
    """What is installed beside mergekit."""
    names = ("mergekit", "torch", "transformers", "safetensors")
    script = (
        "import sys; from importlib.metadata import version; "
        "print(', '.join(f'{name} {version(name)}' for name in sys.argv[1:]))"
    )
    told = subprocess.run(
        [venv / "bin/python", "-c", script, *names], check=True, capture_output=True, text=True
    )
    return told.stdout.strip()


# Tables


WHAT_COUNTS = (
    "Each row in a fresh process, fastest and median of {rounds}. Inputs are warm in the page "
    "cache; free memory was {memory}. The floor, the engine and mergekit end when the last byte is "
    "in the page cache; `mbrelease average` and the second floor also wait until it is on the disk "
    "(fsync). "
    "`mbrelease average` always takes the sha256 of its output, and that of its inputs unless "
    "remembered. Peak memory is what the system counted as resident (VmHWM); what is not backed by "
    "a file is the most seen in samples."
)


def report(results: Sequence[Results], rows: Mapping[str, Row], options: argparse.Namespace) -> str:
    """All tables as Markdown."""
    venv = None if options.without_mergekit else options.mergekit_venv.resolve()
    found = "as found" if options.memory_as_found else "in use a moment before"
    parts = [machine(venv), WHAT_COUNTS.format(rounds=options.rounds, memory=found)]
    parts += [timing_table(result, rows) for result in results]
    if venv:
        parts.append(peer_lines(results, mergekit_start_seconds(venv, options.rounds)))
    parts += [scaling_table(results, rows), correctness_table(results)]
    return "\n\n".join(parts)


def machine(venv: Path | None) -> str:
    """Which machine and which versions."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    cores = len(os.sched_getaffinity(0))
    memory = proc_bytes(Path("/proc/meminfo"))["MemTotal"] / 2**30
    ours = [f"{name} {importlib.metadata.version(name)}" for name in ("mbrelease", "numpy")]
    lines = [
        f"{cores} cores ({names[0] if names else platform.machine()}), {memory:.0f} GiB of memory, "
        f"Linux {platform.release()}, Python {platform.python_version()}, {', '.join(ours)}.",
    ]
    if venv is not None:
        lines.append(f"The peer: {mergekit_versions(venv)}.")
    return "\n".join(lines)


def timing_table(result: Results, rows: Mapping[str, Row]) -> str:
    """Seconds, ratio to the floor, and memory."""
    lines = [
        f"{result.count} checkpoints of {PUBLISHED_BYTES:,} bytes:\n",
        "| | seconds | median | × floor | peak memory | of it not backed by a file |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for key in result.rows:
        ratio = result.fastest(key) / result.fastest("floor")
        peak, anonymous = result.peak_bytes(key) / 1e6, result.anonymous_bytes(key) / 1e6
        lines.append(
            f"| {rows[key].title} | {result.fastest(key):.2f} | {result.median(key):.2f} "
            f"| {ratio:.2f} | {peak:,.0f} MB | {anonymous:,.0f} MB |"
        )
    return "\n".join(lines)


def peer_lines(results: Sequence[Results], start_seconds: float) -> str:
    """How many times faster and smaller than mergekit each of our rows is."""
    lines = [
        f"mergekit in multiples of ours; of its time {start_seconds:.1f} s are its start "
        "(`mergekit-yaml --help`):\n",
        "| | checkpoints | time | peak memory | not backed by a file |",
        "|---|---:|---:|---:|---:|",
    ]
    titles = {"engine": "engine", "average": "no hash remembered", "again": "hashes remembered"}
    for key, title in titles.items():
        for result in results:
            time_ratio, peak_ratio, anonymous_ratio = (
                quantity("mergekit") / quantity(key)
                for quantity in (result.fastest, result.peak_bytes, result.anonymous_bytes)
            )
            lines.append(
                f"| {title} | {result.count} | {time_ratio:.1f} × | {peak_ratio:.0f} × "
                f"| {anonymous_ratio:.0f} × |"
            )
    return "\n".join(lines)


def scaling_table(results: Sequence[Results], rows: Mapping[str, Row]) -> str:
    """Seconds per checkpoint."""
    head = "".join(f" {result.count} checkpoints |" for result in results)
    lines = ["Seconds per checkpoint:\n", f"| |{head}", "|---|" + "---:|" * len(results)]
    for key, row in rows.items():
        cells = [f"{result.fastest(key) / result.count:.3f}" for result in results]
        lines.append(f"| {row.title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def correctness_table(results: Sequence[Results]) -> str:
    """The part of the outputs that are the correctly rounded mean."""
    titles = {
        "engine": "the engine",
        "average": "`mbrelease average`",
        "again": "`mbrelease average`, hashes remembered",
        "mergekit": f"mergekit {MERGEKIT} linear",
        "float32": "a running sum in float32",
    }
    head = "".join(f" {result.count} checkpoints |" for result in results)
    lines = [
        f"Of {results[0].sampled:,} random elements over all tensors, equal to the correctly "
        "rounded mean (exact rational arithmetic):\n",
        f"| |{head}",
        "|---|" + "---:|" * len(results),
    ]
    for key, title in titles.items():
        if key in results[0].correct:
            cells = [percent(result.correct[key]) for result in results]
            lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def percent(part: float) -> str:
    """Never 100 % unless it is."""
    return "100 %" if part == 1 else f"{min(part * 100, 99.999):.3f} %"


def say(text: str) -> None:
    """Tell what is going on."""
    print(text, file=sys.stderr, flush=True)


def counts(text: str) -> list[int]:
    """Numbers of checkpoints, such as 4,16."""
    found = sorted({int(part) for part in text.split(",")})
    if found[0] < 2:
        raise ValueError("an average is of two or more")
    return found


def main() -> None:
    """Make checkpoints, measure, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoints", type=counts, default=[4, 16], metavar="N,N")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=ROOT / "build", help="where there is room")
    parser.add_argument("--without-mergekit", action="store_true")
    parser.add_argument("--mergekit-venv", type=Path, default=ROOT / "build/mergekit-venv")
    parser.add_argument("--memory-as-found", action="store_true")
    options = parser.parse_args()
    # A polite kill cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    venv = None if options.without_mergekit else mergekit_venv(options.mergekit_venv)
    rows = all_rows(venv)
    most = max(options.checkpoints)
    with scratch(options.folder, most) as folder:
        say(f"writing {most} checkpoints, {most * PUBLISHED_BYTES / 1e9:.1f} GB")
        inputs = [make_checkpoint(folder / f"checkpoint-{n + 1}", n) for n in range(most)]
        results = [
            measure_all(rows, inputs[:count], folder, options.rounds, not options.memory_as_found)
            for count in options.checkpoints
        ]
    print(report(results, rows, options))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted; what was made is removed")
