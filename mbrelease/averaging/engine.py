"""The streaming mean of checkpoints: tiles are read, averaged in float64, written in place.

For members x_i with weights w_i = a_i / D (whole a_i, D), each element is

    mean = (Σ a_i · x_i) / D        in float64, then rounded once to the dtype of the output

A float32 has 24 significant bits, so Σ is exact in float64 (53 bits), and the result the correctly
rounded mean, where

    D · max |x_i|  ≤  2^29 · min |x_i|        over the x_i that are not 0

(for 4 checkpoints, values up to 2^27 apart; for weights over D = 2^24, up to 2^5). Beyond that a
sum may be off in its last bit, before it is rounded. For float16 and bfloat16 it is 2^42 and 2^45.
Copies are always exact, as D ≤ 2^24, and their mean is the copy. float64 tensors have no room for
exact sums; theirs is taken as x_0 + Σ w_i · (x_i − x_0), which keeps copies exact.
"""

from __future__ import annotations

import contextlib
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
from mbrelease.averaging.hash_in_pass import Stopped, StreamHasher, plan_hashers
from mbrelease.averaging.journal import Journal
from mbrelease.averaging.reader import Reader
from mbrelease.averaging.tiles import TILE_ELEMENTS, OutputFile, Tile, cut, tensor_order
from mbrelease.checkpoints.source import Source
from mbrelease.errors import CheckFailed
from mbrelease.progress import SILENT, Progress

MOST_THREADS = 8


@dataclass(frozen=True)
class Member:
    """One checkpoint of an average, with its weight."""

    source: Source
    weight: Fraction


@dataclass(frozen=True)
class Work:
    """What to write where."""

    members: tuple[Member, ...]
    """In an order that is the content's own: sums of floats may depend on it in the last bit."""
    files: tuple[OutputFile, ...]
    folder: Path
    copied: frozenset[str] = frozenset()
    """Tensors that are taken from ``copied_from`` as they are."""
    copied_from: Source | None = None
    tile_elements: int = TILE_ELEMENTS

    def read_from(self, tensor: str) -> Sequence[int]:
        """The positions of the members that ``tensor`` is made of."""
        if tensor not in self.copied:
            return range(len(self.members))
        return [i for i, member in enumerate(self.members) if member.source is self.copied_from]


def write_tensors(
    work: Work,
    *,
    hashing: bool = True,
    journal: Path | None = None,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> None:
    """Write the weighted sum of the members' tensors to the files of ``work``, without headers.

    The members must have passed ``check_compatible``. The bytes written depend neither on the size
    of tiles nor on the number of threads. Space for each header is left free.

    Args:
        work: Inputs and outputs.
        hashing: Whether to take the sha256 of inputs where it is not known, and remember it.
        journal: A file that remembers finished tiles; those it knows are not made again.
        threads: How many workers; by default one for each processor.
        progress: Told the bytes that were read.

    Raises:
        UserError: an input cannot be read or has been cut short since its header was read.
        CheckFailed: a value is NaN or infinite, or an integer tensor differs between members.
        OSError: the output cannot be written.
    """
    stop = threading.Event()
    order = tensor_order(work.files)
    hashers: list[Mapping[str, StreamHasher]] = [{} for _ in work.members]
    if hashing:
        for position, member in enumerate(work.members):
            read = [name for name in order if position in work.read_from(name)]
            hashers[position] = plan_hashers(member.source, read, stop)
    with contextlib.ExitStack() as stack:
        outputs = [_create(work.folder / file.name, file, stack) for file in work.files]
        readers = [Reader(member.source, stack) for member in work.members]
        done = stack.enter_context(contextlib.closing(Journal(journal))) if journal else None
        progress.start("averaging", _bytes_to_read(work, readers), "bytes")
        workers = [
            Worker(work, readers, hashers, outputs, done)
            for _ in range(threads or min(MOST_THREADS, processors()))
        ]
        _run(cut(work.files, work.tile_elements), workers, stop, progress)
    for hasher in {id(h): h for found in hashers for h in found.values()}.values():
        hasher.finish()


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _create(path: Path, file: OutputFile, stack: contextlib.ExitStack) -> int:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    stack.callback(os.close, descriptor)
    os.ftruncate(descriptor, file.layout.size_bytes)
    return descriptor


def _bytes_to_read(work: Work, readers: Sequence[Reader]) -> int:
    return sum(
        readers[position].source.stored[name].size_bytes
        for file in work.files
        for name in file.tensors
        for position in work.read_from(name)
    )


def _run(
    tiles: Iterator[Tile], workers: Sequence[Worker], stop: threading.Event, progress: Progress
) -> None:
    """Let the workers take tiles until there are none, or one of them fails."""
    lock = threading.Lock()

    def take() -> Tile | None:
        with lock:
            return None if stop.is_set() else next(tiles, None)

    def work(worker: Worker) -> None:
        try:
            while (tile := take()) is not None:
                size = worker.make(tile)
                with lock:
                    progress.advance(size)
        except Stopped:
            pass
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(len(workers)) as pool:
        try:
            for future in [pool.submit(work, worker) for worker in workers]:
                future.result()
        finally:
            stop.set()


class Worker:
    """Makes one tile after another in buffers of its own."""

    def __init__(
        self,
        work: Work,
        readers: Sequence[Reader],
        hashers: Sequence[Mapping[str, StreamHasher]],
        outputs: Sequence[int],
        journal: Journal | None,
    ) -> None:
        self._work = work
        self._readers = readers
        self._hashers = hashers
        self._outputs = outputs
        self._journal = journal
        weights = [member.weight for member in work.members]
        denominator = lcm(*(weight.denominator for weight in weights))
        self._factors = [float(weight * denominator) for weight in weights]
        self._weights = [float(weight) for weight in weights]
        self._divisor = float(denominator)
        # A power of two divides exactly either way, and multiplying takes a third of the time.
        is_power_of_two = denominator & (denominator - 1) == 0
        self._reciprocal = 1.0 / self._divisor if is_power_of_two else None
        self._bytes = memoryview(bytearray(work.tile_elements * 8))
        self._sum = np.empty(work.tile_elements, dtype=np.float64)
        self._scratch = np.empty(work.tile_elements, dtype=np.float64)

    def make(self, tile: Tile) -> int:
        """Read ``tile`` from its members, average and write it; returns the bytes that it read."""
        members = self._work.read_from(tile.tensor)
        if self._journal is not None and self._journal.is_done(tile.number):
            # Made by an earlier run; only a hash may still need the bytes.
            for position in members:
                if tile.tensor in self._hashers[position]:
                    self._read(tile, position)
        else:
            self._write(tile, self._value(tile, members))
            if self._journal is not None:
                self._journal.mark(tile.number)
        return sum(self._width(tile, position) for position in members) * tile.elements

    def _value(self, tile: Tile, members: Sequence[int]) -> memoryview:
        """The bytes of ``tile`` in the output."""
        stored = {self._readers[position].dtype(tile.tensor) for position in members}
        if not stored <= FLOATING:
            return self._equal_bytes(tile, members)
        # NaN and Inf get a sentence of ours below, not NumPy's warnings.
        with np.errstate(all="ignore"):
            if tile.tensor in self._work.copied:
                mean = self._copy(tile, members[0])
            elif tile.dtype == "F64" and stored == {"F64"}:
                mean = self._anchored_mean(tile, members)
            else:
                mean = self._mean(tile, members)
            data = encode(mean, tile.dtype)
            # One sum finds NaN and Inf in any member; whose they are is asked only then.
            values = decode(data.data.cast("B"), tile.dtype)
            if not np.isfinite(values.sum()) and not np.isfinite(values).all():
                raise self._not_finite(tile, members)
        return data.data.cast("B")

    def _mean(self, tile: Tile, members: Sequence[int]) -> Float64s:
        total, scratch = self._sum[: tile.elements], self._scratch[: tile.elements]
        for index, position in enumerate(members):
            factor = self._factors[position]
            values = decode(self._read(tile, position), self._dtype(tile, position))
            # The first is taken as it is, not added to 0: that would turn −0.0 into 0.0.
            if index == 0 and factor == 1.0:
                np.copyto(total, values)
            elif index == 0:
                np.multiply(values, factor, out=total, dtype=np.float64)
            elif factor == 1.0:
                np.add(total, values, out=total)
            else:
                np.multiply(values, factor, out=scratch, dtype=np.float64)
                np.add(total, scratch, out=total)
        if self._reciprocal is not None:
            np.multiply(total, self._reciprocal, out=total)
        else:
            np.divide(total, self._divisor, out=total)
        return total

    def _anchored_mean(self, tile: Tile, members: Sequence[int]) -> Float64s:
        total, scratch = self._sum[: tile.elements], self._scratch[: tile.elements]
        anchor = decode(self._read(tile, members[0]), "F64").copy()
        total[:] = 0
        for position in members[1:]:
            np.subtract(decode(self._read(tile, position), "F64"), anchor, out=scratch)
            np.multiply(scratch, self._weights[position], out=scratch)
            np.add(total, scratch, out=total)
        # Where nothing moved the anchor stays as it is, −0.0 included.
        np.add(anchor, total, out=anchor, where=total != 0)
        return anchor

    def _copy(self, tile: Tile, position: int) -> Float64s:
        total = self._sum[: tile.elements]
        np.copyto(total, decode(self._read(tile, position), self._dtype(tile, position)))
        return total

    def _equal_bytes(self, tile: Tile, members: Sequence[int]) -> memoryview:
        """The bytes of an integer tile, which must be the same in every member."""
        first = bytes(self._read(tile, members[0]))
        for position in members[1:]:
            if self._read(tile, position) != first:
                paths = [self._readers[p].source.path for p in (members[0], position)]
                raise CheckFailed(
                    f"tensor {tile.tensor} ({tile.dtype}) differs between {paths[0]} and "
                    f"{paths[1]}",
                    mend="whole numbers have no mean; average checkpoints of one run only",
                )
        return memoryview(first)

    def _not_finite(self, tile: Tile, members: Sequence[int]) -> CheckFailed:
        """The sentence that names the member whose values are NaN or infinite."""
        for position in members:
            reader = self._readers[position]
            data = reader.read(tile.tensor, tile.first_element, tile.elements, self._bytes)
            values = decode(data, reader.dtype(tile.tensor))
            faults = np.flatnonzero(~np.isfinite(values))
            if faults.size:
                return CheckFailed(
                    f"tensor {tile.tensor} of {reader.source.path} holds "
                    f"{values[faults[0]]} (element {tile.first_element + int(faults[0])})",
                    mend="leave this checkpoint out",
                )
        return CheckFailed(
            f"the mean of tensor {tile.tensor} has values too large for {tile.dtype}",
            mend="choose a wider --dtype",
        )

    def _dtype(self, tile: Tile, position: int) -> str:
        return self._readers[position].dtype(tile.tensor)

    def _width(self, tile: Tile, position: int) -> int:
        tensor = self._readers[position].source.stored[tile.tensor]
        return tensor.size_bytes // tensor.elements

    def _read(self, tile: Tile, position: int) -> memoryview:
        reader = self._readers[position]
        data = reader.read(tile.tensor, tile.first_element, tile.elements, self._bytes)
        if hasher := self._hashers[position].get(tile.tensor):
            hasher.feed(tile.tensor, tile.first_element * self._width(tile, position), data)
        return data

    def _write(self, tile: Tile, data: memoryview) -> None:
        done = 0
        while done < len(data):
            place = tile.offset_bytes + done
            done += os.pwrite(self._outputs[tile.file], data[done:], place)
