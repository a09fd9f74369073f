"""The streaming mean of safetensors files: tiles are read, averaged in float64, written in place.

For members x_i with weights w_i = a_i / D (whole a_i, D), each element is

    mean = (Σ a_i · x_i) / D        in float64, then rounded once to the dtype of the tensor

Products and sums of float32, float16 and bfloat16 values are exact in float64 unless their
exponents lie more than about 25 apart, so the result is the correctly rounded mean, and the mean
of copies is the copy. float64 tensors have no room for exact sums; theirs is taken as
x_0 + Σ w_i · (x_i − x_0), which keeps copies exact.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from pathlib import Path

import numpy as np

from mbrelease.averaging.dtypes import FLOATING, Float64s, decode, encode
from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.checkpoints.safetensors_header import BYTES_PER_ELEMENT, TensorInfo
from mbrelease.errors import CheckFailed, UserError
from mbrelease.files import unreadable
from mbrelease.progress import SILENT, Progress

TILE_ELEMENTS = 1 << 16
"""Few enough that a tile and its sum stay in the second-level cache."""
THREADS = 2
LARGEST_EXACT_DENOMINATOR = 1 << 24
"""24 bits of weight and 24 of value leave 5 of float64's 53 for the sum."""


@dataclass(frozen=True)
class Tile:
    """A run of elements of one tensor; the offsets are bytes from the start of the tensor."""

    tensor: str
    dtype: str
    offset_bytes: int
    size_bytes: int
    output_offset_bytes: int
    """From the start of the output file."""


@dataclass(frozen=True)
class Source:
    """One member, open: its weight, and where each tensor begins in which file."""

    checkpoint: Checkpoint
    weight: Fraction
    tensors: Mapping[str, tuple[int, int, Path]]
    """File descriptor, offset in bytes and path by tensor name."""


def write_average(
    members: Sequence[tuple[Checkpoint, Fraction]],
    output: Path,
    metadata: Mapping[str, str],
    *,
    tile_elements: int = TILE_ELEMENTS,
    threads: int = THREADS,
    progress: Progress = SILENT,
) -> None:
    """Write the weighted mean of ``members`` to the safetensors file ``output``.

    The members must have passed ``check_compatible``; their weights are positive and sum to 1.
    The bytes written depend neither on ``tile_elements`` nor on ``threads``. ``output`` is written
    in place: give a path inside ``files.atomic_folder``.

    Raises:
        UserError: an input cannot be read or has been cut short since its header was read.
        CheckFailed: a value is NaN or infinite, or an integer tensor differs between members.
    """
    tensors = members[0][0].tensors
    header, starts = _header(tensors, metadata)
    size_bytes = sum(info.end - info.start for info in tensors.values())
    tiles = _tiles(tensors, starts, tile_elements)
    progress.start("averaging", size_bytes * len(members), "bytes")
    with contextlib.ExitStack() as stack, output.open("wb") as file:
        sources = [_open(stack, checkpoint, weight) for checkpoint, weight in members]
        file.write(header)
        file.truncate(len(header) + size_bytes)
        file.flush()
        _run(tiles, sources, file.fileno(), tile_elements, threads, progress)


def _header(
    tensors: Mapping[str, TensorInfo], metadata: Mapping[str, str]
) -> tuple[bytes, dict[str, int]]:
    """The bytes before the data, and where in the file each tensor begins.

    Widest types first, then by name, as the reference implementation lays files out: every
    tensor is aligned to its own width.
    """
    order = sorted(tensors, key=lambda name: (-BYTES_PER_ELEMENT[tensors[name].dtype], name))
    content: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    offsets: dict[str, int] = {}
    position = 0
    for name in order:
        info = tensors[name]
        end = position + info.end - info.start
        content[name] = {
            "dtype": info.dtype,
            "shape": list(info.shape),
            "data_offsets": [position, end],
        }
        offsets[name] = position
        position = end
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    return header, {name: len(header) + offset for name, offset in offsets.items()}


def _tiles(
    tensors: Mapping[str, TensorInfo], starts: Mapping[str, int], tile_elements: int
) -> Iterator[Tile]:
    """All tiles, in the order of the output file."""
    for name, start in starts.items():
        info = tensors[name]
        total_bytes = info.end - info.start
        tile_bytes = tile_elements * BYTES_PER_ELEMENT[info.dtype]
        for offset in range(0, total_bytes, tile_bytes):
            size = min(tile_bytes, total_bytes - offset)
            yield Tile(name, info.dtype, offset, size, start + offset)


def _open(stack: contextlib.ExitStack, checkpoint: Checkpoint, weight: Fraction) -> Source:
    tensors: dict[str, tuple[int, int, Path]] = {}
    for header in checkpoint.headers:
        try:
            descriptor = os.open(header.path, os.O_RDONLY)
        except OSError as error:
            raise unreadable(header.path, error) from error
        stack.callback(os.close, descriptor)
        for name, info in header.tensors.items():
            tensors[name] = (descriptor, info.start, header.path)
    return Source(checkpoint, weight, tensors)


def _run(
    tiles: Iterator[Tile],
    sources: Sequence[Source],
    output: int,
    tile_elements: int,
    threads: int,
    progress: Progress,
) -> None:
    """Let ``threads`` workers take tiles until there are none, or one of them fails."""
    lock = threading.Lock()
    stop = threading.Event()

    def take() -> Tile | None:
        with lock:
            return None if stop.is_set() else next(tiles, None)

    def work() -> None:
        worker = Worker(sources, output, tile_elements)
        try:
            while (tile := take()) is not None:
                worker.average(tile)
                with lock:
                    progress.advance(tile.size_bytes * len(sources))
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(threads) as pool:
        try:
            for future in [pool.submit(work) for _ in range(threads)]:
                future.result()
        finally:
            stop.set()


class Worker:
    """Averages one tile after another in buffers of its own."""

    def __init__(self, sources: Sequence[Source], output: int, tile_elements: int) -> None:
        self.sources = sources
        self.output = output
        denominator = lcm(*(source.weight.denominator for source in sources))
        if denominator <= LARGEST_EXACT_DENOMINATOR:
            self.factors = [float(source.weight * denominator) for source in sources]
            self.divisor = float(denominator)
        else:
            self.factors = [float(source.weight) for source in sources]
            self.divisor = 1.0
        self.bytes = memoryview(bytearray(tile_elements * 8))
        self.sum = np.empty(tile_elements, dtype=np.float64)
        self.scratch = np.empty(tile_elements, dtype=np.float64)

    def average(self, tile: Tile) -> None:
        """Read ``tile`` from every source, average, and write it to the output."""
        if tile.dtype not in FLOATING:
            self._write(tile, self._equal_bytes(tile))
            return
        # NaN and Inf get a sentence of ours below, not NumPy's warnings.
        with np.errstate(all="ignore"):
            mean = self._anchored_mean(tile) if tile.dtype == "F64" else self._mean(tile)
            # One sum finds NaN and Inf in any member; whose they are is asked only then.
            if not np.isfinite(mean.sum()) and not np.isfinite(mean).all():
                raise self._not_finite(tile)
            data = encode(mean, tile.dtype).data.cast("B")
        self._write(tile, data)

    def _mean(self, tile: Tile) -> Float64s:
        elements = tile.size_bytes // BYTES_PER_ELEMENT[tile.dtype]
        total, scratch = self.sum[:elements], self.scratch[:elements]
        for position, source in enumerate(self.sources):
            values, factor = decode(self._read(tile, source), tile.dtype), self.factors[position]
            # The first is taken as it is, not added to 0: that would turn −0.0 into 0.0.
            if position == 0 and factor == 1.0:
                np.copyto(total, values)
            elif position == 0:
                np.multiply(values, factor, out=total, dtype=np.float64)
            elif factor == 1.0:
                np.add(total, values, out=total)
            else:
                np.multiply(values, factor, out=scratch, dtype=np.float64)
                np.add(total, scratch, out=total)
        if self.divisor != 1.0:
            np.divide(total, self.divisor, out=total)
        return total

    def _anchored_mean(self, tile: Tile) -> Float64s:
        elements = tile.size_bytes // BYTES_PER_ELEMENT[tile.dtype]
        total, scratch = self.sum[:elements], self.scratch[:elements]
        anchor = decode(self._read(tile, self.sources[0]), tile.dtype).copy()
        total[:] = 0
        for source in self.sources[1:]:
            np.subtract(decode(self._read(tile, source), tile.dtype), anchor, out=scratch)
            np.multiply(scratch, float(source.weight), out=scratch)
            np.add(total, scratch, out=total)
        # Where nothing moved the anchor stays as it is, −0.0 included.
        np.add(anchor, total, out=anchor, where=total != 0)
        return anchor

    def _equal_bytes(self, tile: Tile) -> memoryview:
        """The bytes of an integer tile, which must be the same in every source."""
        first = bytes(self._read(tile, self.sources[0]))
        for source in self.sources[1:]:
            if self._read(tile, source) != first:
                raise CheckFailed(
                    f"tensor {tile.tensor} ({tile.dtype}) differs between "
                    f"{self.sources[0].checkpoint.path} and {source.checkpoint.path}",
                    mend="whole numbers have no mean; average checkpoints of one run only",
                )
        return memoryview(first)

    def _not_finite(self, tile: Tile) -> CheckFailed:
        """The sentence that names the member whose values are NaN or infinite."""
        for source in self.sources:
            values = decode(self._read(tile, source), tile.dtype)
            faults = np.flatnonzero(~np.isfinite(values))
            if faults.size:
                element = tile.offset_bytes // BYTES_PER_ELEMENT[tile.dtype] + int(faults[0])
                return CheckFailed(
                    f"tensor {tile.tensor} of {source.checkpoint.path} holds "
                    f"{values[faults[0]]} (element {element})",
                    mend="leave this checkpoint out",
                )
        return CheckFailed(f"the mean of tensor {tile.tensor} overflows {tile.dtype}")

    def _read(self, tile: Tile, source: Source) -> memoryview:
        descriptor, start, path = source.tensors[tile.tensor]
        view = self.bytes[: tile.size_bytes]
        done = 0
        while done < len(view):
            try:
                count = os.preadv(descriptor, [view[done:]], start + tile.offset_bytes + done)
            except OSError as error:
                raise unreadable(path, error) from error
            if count == 0:
                raise UserError(
                    f"{path} was cut short while it was read (tensor {tile.tensor})",
                    mend="is something still writing or copying it?",
                )
            done += count
        return view

    def _write(self, tile: Tile, data: memoryview) -> None:
        done = 0
        while done < len(data):
            done += os.pwrite(self.output, data[done:], tile.output_offset_bytes + done)
