"""Sha256 of the inputs, taken while their tiles are averaged, so that each byte is read once.

A hash wants its bytes in order, and several threads read tiles at once. Every thread visits the
members in the same order, so the thread with the later tile arrives at each member just after the
one with the earlier tile has left it: they follow each other like a wave and seldom wait.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence

from mbrelease.checkpoints.source import HashStream, Source, stream_sha256
from mbrelease.file_hashes import recall, remember


class Stopped(Exception):
    """Another thread failed; what it raised is what counts."""


class StreamHasher:
    """The running hash of one stream of one source."""

    def __init__(self, source: Source, stream: HashStream, stop: threading.Event) -> None:
        self._stream = stream
        self._key = stream.key
        self._stop = stop
        self._digest = hashlib.sha256(stream.head)
        self._starts: dict[str, int] = {}
        position = 0
        for name in stream.tensors:
            self._starts[name] = position
            position += source.stored[name].size_bytes
        self._size_bytes = position
        self._position = 0
        self._turn = threading.Condition()

    def feed(self, tensor: str, offset_bytes: int, data: memoryview) -> None:
        """Hash ``data``, the bytes of ``tensor`` from ``offset_bytes`` on, when it is their turn.

        Raises:
            Stopped: it never will be.
        """
        start = self._starts[tensor] + offset_bytes
        with self._turn:
            while self._position != start:
                if self._stop.is_set():
                    raise Stopped
                self._turn.wait(timeout=0.1)
        # Only the thread whose turn it is gets here; hashing lets the others run.
        self._digest.update(data)
        with self._turn:
            self._position = start + len(data)
            self._turn.notify_all()

    def finish(self) -> None:
        """Remember the digest; all tiles have been fed."""
        assert self._position == self._size_bytes
        remember(self._key, self._digest.hexdigest(), self._stream.files)


def plan_hashers(
    source: Source, read: Sequence[str], stop: threading.Event
) -> Mapping[str, StreamHasher]:
    """The hasher of each tensor of ``source``, where its hash is not known yet.

    A stream whose bytes do not come in the order of the tiles, as other writers lay files out, is
    hashed here and now instead.

    Args:
        source: A member of the average.
        read: The tensors that will be read from it, in the order of the tiles.
        stop: Set when there is no use in waiting.

    Raises:
        UserError: a file cannot be read.
    """
    hashers: dict[str, StreamHasher] = {}
    for stream in source.hash_streams:
        if recall(stream.key) is not None:
            continue
        wanted = set(stream.tensors)
        if tuple(name for name in read if name in wanted) == stream.tensors:
            hashers.update(dict.fromkeys(stream.tensors, StreamHasher(source, stream, stop)))
        else:
            stream_sha256(stream, source.stored)
    return hashers
