"""Requests to one Hub by several threads, no faster than it asks for.

The Hub counts requests over five minutes, those to its API and those for files each by
themselves, and tells in every answer what is left: https://huggingface.co/docs/hub/rate-limits
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping

from mbrelease.hub.client import seconds_to_wait
from mbrelease.hub.patience import LONGEST_SECONDS, UNTOLD_SECONDS
from mbrelease.progress import Progress

_LEFT = re.compile(r"\br\s*=\s*(\d+)")


class Stopped(Exception):
    """The work was given up while a request waited for its turn."""


class Pace:
    """When the next request may be sent; one for all threads and each kind of request."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._free_at: dict[str, float] = {}

    def turn(self, kind: str) -> None:
        """Wait until a request of this kind may be sent.

        Raises:
            Stopped: the work was given up.
        """
        while True:
            if self.stopped.is_set():
                raise Stopped
            with self._lock:
                seconds = self._free_at.get(kind, 0.0) - time.monotonic()
            if seconds <= 0:
                return
            self.stopped.wait(seconds)

    def hear(self, kind: str, status: int, headers: Mapping[str, str]) -> bool:
        """Take note of what an answer says of the pace; whether the request is to be sent again.

        A pause longer than a quarter of an hour is not waited for.
        """
        refused = status == 429
        left = _LEFT.search(headers.get("ratelimit", ""))
        if not refused and (left is None or int(left[1]) > 0):
            return False
        told = seconds_to_wait(headers)
        seconds = UNTOLD_SECONDS if told is None else told
        if seconds > LONGEST_SECONDS:
            return False
        self._hold(kind, seconds)
        return refused

    def stop(self) -> None:
        """Let nobody wait any longer."""
        self.stopped.set()

    def _hold(self, kind: str, seconds: float) -> None:
        """Let no request of this kind be sent for so long; said once for all threads."""
        until = time.monotonic() + seconds
        with self._lock:
            before = self._free_at.get(kind, 0.0)
            self._free_at[kind] = max(before, until)
            is_new = until > before + 1
        if is_new and seconds >= 1:
            self.progress.note(f"the Hub asks for fewer requests: waiting {seconds:.0f} seconds")
