"""Read runs of elements of one checkpoint's tensors, at their offsets in its files."""

from __future__ import annotations

import bisect
import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from mbrelease.checkpoints.safetensors_header import BYTES_PER_ELEMENT
from mbrelease.checkpoints.source import Source, StoredTensor
from mbrelease.errors import UserError
from mbrelease.files import unreadable


@dataclass(frozen=True)
class _Pieces:
    """Where a tensor's bytes lie: ``begins[i]`` is the first byte of the tensor in piece i."""

    tensor: StoredTensor
    begins: tuple[int, ...]


class Reader:
    """The open files of one checkpoint. Safe for several threads: every read names its offset."""

    def __init__(self, source: Source, stack: contextlib.ExitStack) -> None:
        self.source = source
        self._pieces: dict[str, _Pieces] = {}
        self._descriptors: dict[Path, int] = {}
        for name, tensor in source.stored.items():
            begins, position = [], 0
            for segment in tensor.segments:
                begins.append(position)
                position += segment.size_bytes
                if segment.path not in self._descriptors:
                    self._descriptors[segment.path] = _open(segment.path, stack)
            self._pieces[name] = _Pieces(tensor, tuple(begins))

    def dtype(self, name: str) -> str:
        """How the tensor is stored."""
        return self._pieces[name].tensor.dtype

    def read(self, name: str, first_element: int, elements: int, into: memoryview) -> memoryview:
        """The bytes of a run of elements, in the first part of ``into``.

        Raises:
            UserError: a file cannot be read, or was cut short since it was opened.
        """
        pieces = self._pieces[name]
        width = BYTES_PER_ELEMENT[pieces.tensor.dtype]
        view = into[: elements * width]
        offset = first_element * width
        piece = bisect.bisect_right(pieces.begins, offset) - 1
        done = 0
        while done < len(view):
            segment = pieces.tensor.segments[piece]
            inside = offset + done - pieces.begins[piece]
            count = min(len(view) - done, segment.size_bytes - inside)
            self._fill(segment.path, segment.start + inside, view[done : done + count], name)
            done += count
            piece += 1
        return view

    def _fill(self, path: Path, start: int, view: memoryview, name: str) -> None:
        done = 0
        while done < len(view):
            try:
                count = os.preadv(self._descriptors[path], [view[done:]], start + done)
            except OSError as error:
                raise unreadable(path, error) from error
            if count == 0:
                raise UserError(
                    f"{path} was cut short while it was read (tensor {name})",
                    mend="is something still writing or copying it?",
                )
            done += count


def _open(path: Path, stack: contextlib.ExitStack) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise unreadable(path, error) from error
    stack.callback(os.close, descriptor)
    return descriptor
