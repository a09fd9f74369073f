"""Ask a Hub again that asks for fewer requests, or whose answer was lost on the way.

The client itself asks again for large files and lists alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from mbrelease.hub.client import is_ambiguous, seconds_to_wait, status_code
from mbrelease.progress import SILENT, Progress

WAITS = 6
# The windows of the Hub's limits are five minutes; a server that asks for hours is not waited for.
LONGEST_SECONDS = 900
UNTOLD_SECONDS = 10
PAUSES_SECONDS = (0.5, 2.0)

Answer = TypeVar("Answer")
_listener: ContextVar[Progress] = ContextVar("listener", default=SILENT)


@contextmanager
def waits_told_to(progress: Progress) -> Iterator[None]:
    """Let ``progress`` know of every wait within the block."""
    token = _listener.set(progress)
    try:
        yield
    finally:
        _listener.reset(token)


def patiently(ask: Callable[[], Answer]) -> Answer:
    """What ``ask`` returns; after a 429 it is asked again when the Hub says so.

    A request that was refused so was not carried out, so this is safe for writes too.
    """
    for _ in range(WAITS):
        try:
            return ask()
        except Exception as error:
            seconds = _asked_to_wait(error)
            if seconds is None or seconds > LONGEST_SECONDS:
                raise
            _listener.get().note(f"the Hub asks for fewer requests: waiting {seconds} seconds")
            time.sleep(seconds)
    return ask()


def read_patiently(ask: Callable[[], Answer]) -> Answer:
    """As ``patiently``, and asked again too where the answer was lost: for reads alone."""
    for pause in PAUSES_SECONDS:
        try:
            return patiently(ask)
        except Exception as error:
            if not is_ambiguous(error):
                raise
            time.sleep(pause)
    return patiently(ask)


def attempts() -> Iterator[None]:
    """One round for each time that something is tried, with a pause before each but the first.

    For what does no harm when it is done twice: to make what may be there, to send the same bytes.
    """
    yield
    for pause in PAUSES_SECONDS:
        time.sleep(pause)
        yield


def _asked_to_wait(error: Exception) -> int | None:
    """Seconds, or ``None`` where the Hub did not ask for a pause."""
    while isinstance(error.__cause__, Exception) and status_code(error) is None:
        error = error.__cause__
    if status_code(error) != 429:
        return None
    response: Any = getattr(error, "response", None)
    told = seconds_to_wait(response.headers)
    return UNTOLD_SECONDS if told is None else told
