"""One process with a limit of time and of output, ended with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

_LOOK_SECONDS = 0.02
_PIECE_BYTES = 1 << 16
_KEPT_ERRORS_BYTES = 1 << 16


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int
    """Below zero: the signal that killed it."""
    output: str
    """What it printed, up to the limit."""
    errors: str
    """The end of what it wrote to stderr."""
    stopped: Literal["time", "output"] | None
    """Which limit ended it."""


def run_process(
    command: Sequence[str],
    *,
    work: Path,
    environment: Mapping[str, str],
    seconds: float,
    output_bytes: int,
) -> Ended:
    """Run ``command`` in ``work`` until it ends or reaches a limit.

    Its whole process group is killed then, so that nothing it started runs on.

    Raises:
        OSError: the command cannot be started.
    """
    process = subprocess.Popen(  # noqa: S603
        list(command),
        cwd=work,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None and process.stderr is not None
    output, errors = _Reader(process.stdout, output_bytes), _Reader(process.stderr, None)
    stopped: Literal["time", "output"] | None = None
    deadline = time.monotonic() + seconds
    try:
        while stopped is None and not _has_ended(process.pid):
            if output.is_full:
                stopped = "output"
            elif time.monotonic() > deadline:
                stopped = "time"
            else:
                time.sleep(_LOOK_SECONDS)
    finally:
        # Before it is waited for: until then nobody else can have its number.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    said, complained = output.text(), errors.text()
    if stopped is None and output.is_full:
        stopped = "output"
    return Ended(process.returncode, said, complained, stopped)


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


class _Reader:
    """Reads a pipe, so that its writer need not wait, and keeps its beginning or its end."""

    def __init__(self, pipe: IO[bytes], limit: int | None) -> None:
        self.pipe, self.limit = pipe, limit
        self.kept = bytearray()
        self.is_full = False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def text(self) -> str:
        """What was kept, when the writer has ended."""
        # One that left the process group may hold the pipe open.
        self.thread.join(timeout=1)
        if not self.thread.is_alive():
            self.pipe.close()
        return bytes(self.kept).decode(errors="replace")

    def _read(self) -> None:
        while piece := os.read(self.pipe.fileno(), _PIECE_BYTES):
            if self.limit is None:
                self.kept = (self.kept + piece)[-_KEPT_ERRORS_BYTES:]
            elif len(self.kept) + len(piece) > self.limit:
                self.kept += piece[: self.limit - len(self.kept)]
                self.is_full = True
            else:
                self.kept += piece
