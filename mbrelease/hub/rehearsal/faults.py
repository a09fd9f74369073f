"""What a rehearsal Hub does wrong when it is asked to: which call, what, and how often.

A release is rehearsed for the day on which the network or the Hub fails, so each fault is one
that happens: a proxy that gives up on a commit which lands all the same (504), a connection that
is reset, a replica that lags behind, a disk quota.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from mbrelease.errors import UserError, did_you_mean

_MODEL = r"/api/models/[^/]+/[^/]+"
# call → its method (or methods) and its path, as the client quotes it.
_CALLS = {
    "oidc": ("POST", r"/oauth/token"),
    "whoami": ("GET", r"/api/whoami-v2"),
    "create": ("POST", r"/api/repos/create"),
    "validate-yaml": ("POST", r"/api/validate-yaml"),
    "info": ("GET", rf"{_MODEL}(/revision/[^/]+)?"),
    "refs": ("GET", rf"{_MODEL}/refs"),
    "tree": ("GET", rf"{_MODEL}/tree/.+"),
    "paths-info": ("POST", rf"{_MODEL}/paths-info/[^/]+"),
    "commits": ("GET", rf"{_MODEL}/commits/[^/]+"),
    "preupload": ("POST", rf"{_MODEL}/preupload/[^/]+"),
    "xet": ("GET", rf"{_MODEL}/xet-write-token/[^/]+"),
    "lfs-batch": ("POST", r"/[^/]+/[^/]+\.git/info/lfs/objects/batch"),
    "object-put": ("PUT", r"/-/lfs/[^/]+/\d+"),
    "multipart-part": ("PUT", r"/-/lfs/[^/]+/\d+/parts/\d+"),
    "multipart-complete": ("POST", r"/-/lfs/[^/]+/\d+/parts"),
    "verify": ("POST", r"/[^/]+/[^/]+\.git/info/lfs/objects/verify"),
    "commit": ("POST", rf"{_MODEL}/commit/[^/]+"),
    "resolve": ("GET|HEAD", r"/[^/]+/[^/]+/resolve/.+"),
    "tag": ("POST", rf"{_MODEL}/tag/[^/]+"),
    "branch": ("POST", rf"{_MODEL}/branch/[^/]+"),
    "pr": ("GET|POST", rf"{_MODEL}/discussions(/.+)?"),
}

CALLS = tuple(_CALLS)
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "500": "an error; the call is not carried out",
        "504": "a proxy gives up; the call is carried out",
        "429": "too many requests; wait, says Retry-After (SECONDS)",
        "quota": "403, the storage is full; the call is not carried out",
        "absent": "404, as a server answers that lacks the call",
        "reset": "the connection is reset; the call is not carried out",
        "lost": "the call is carried out, and the connection reset instead of an answer",
        "truncated": "the call is carried out, and half of the answer's body comes",
        "wrong-bytes": "the first byte of the answer's body is another",
        "slow": "the call is carried out, and the answer held back for SECONDS",
        "late": "the call is carried out after SECONDS, also for a client that has gone",
        "stale": "the answer is from before the last change, as a lagging replica gives it",
    }
)
_WRITTEN = re.compile(
    r"(?P<call>[a-z-]+)=(?P<kind>[a-z0-9-]+?)(@(?P<seconds>\d+(\.\d+)?))?"
    r"(:(?P<times>\d+|always))?(\+(?P<after>\d+))?"
)
_READING = ("info", "refs", "tree", "paths-info", "commits", "resolve", "pr", "preupload", "whoami")


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Fields:
        call: one of ``CALLS``.
        kind: one of ``KINDS``.
        times: how many calls it befalls, ``None`` for all.
        after: how many calls go well first.
        seconds: how long ``slow`` and ``late`` take, and what ``429`` asks to wait.
    """

    call: str
    kind: str
    times: int | None = 1
    after: int = 0
    seconds: float = 1.0

    def __post_init__(self) -> None:
        _known(self.call, CALLS, "call of the Hub")
        _known(self.kind, tuple(KINDS), "kind of fault")
        if self.kind == "stale" and self.call not in _READING:
            raise UserError(f"'{self.call}' reads nothing that could be stale")

    def __str__(self) -> str:
        seconds = "" if self.seconds == 1 else f"@{self.seconds:g}"
        times = ":always" if self.times is None else "" if self.times == 1 else f":{self.times}"
        return f"{self.call}={self.kind}{seconds}{times}" + (f"+{self.after}" if self.after else "")


def parse_fault(text: str) -> Fault:
    """Read ``CALL=KIND[@SECONDS][:TIMES|:always][+AFTER]``, such as ``commit=504:2+1``.

    Raises:
        UserError: it is not of that form, or there is no such call or kind.
    """
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise UserError(
            f"'{text}' is no fault", mend="write CALL=KIND[@SECONDS][:TIMES][+AFTER]: commit=504:2"
        )
    times = found["times"] or "1"
    return Fault(
        call=found["call"],
        kind=found["kind"],
        times=None if times == "always" else int(times),
        after=int(found["after"] or 0),
        seconds=float(found["seconds"] or 1),
    )


def call_of(method: str, path: str) -> str | None:
    """Which of ``CALLS`` a request is."""
    for call, (methods, pattern) in _CALLS.items():
        if method in methods.split("|") and re.fullmatch(pattern, path):
            return call
    return None


class Schedule:
    """Which call is to go wrong; it counts those that have been made."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._left = {index: fault.times for index, fault in enumerate(faults)}
        self._well = {index: fault.after for index, fault in enumerate(faults)}
        self.faults = tuple(faults)

    def next_for(self, call: str | None) -> Fault | None:
        """The fault that befalls this call, and counts it: the first that is due."""
        due = []
        for index, fault in enumerate(self.faults):
            if fault.call != call:
                continue
            if self._well[index] > 0:
                self._well[index] -= 1
            elif self._left[index] != 0:
                due.append(index)
        if not due:
            return None
        left = self._left[due[0]]
        self._left[due[0]] = None if left is None else left - 1
        return self.faults[due[0]]


def _known(name: str, names: Sequence[str], what: str) -> None:
    if name not in names:
        mend = did_you_mean(name, names) or f"there are: {', '.join(names)}"
        raise UserError(f"'{name}' is no {what}", mend=mend)
