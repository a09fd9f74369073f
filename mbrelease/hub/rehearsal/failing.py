"""The part of a rehearsal Hub that goes wrong on purpose; see ``faults``."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mbrelease.hub.rehearsal.connections import Connections
from mbrelease.hub.rehearsal.database import Past
from mbrelease.hub.rehearsal.faults import Fault, Schedule, call_of
from mbrelease.hub.rehearsal.hub import Hub

# After these a lagging replica shows what was before.
_CHANGING = {"create", "commit", "tag", "branch", "pr"}


class Failing:
    """Let the calls that ``faults`` name go wrong; the others pass.

    Args:
        of_past: makes the application for another state of the Hub.
        connections: the open ones, to cut them.
        log: is told of each fault as it happens.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hub: Hub,
        faults: Sequence[Fault],
        of_past: Callable[[Hub], ASGIApp],
        connections: Connections,
        log: Callable[[str], None] | None,
    ) -> None:
        self.app = app
        self.hub = hub
        self.schedule = Schedule(faults)
        self.remembers = any(fault.kind == "stale" for fault in faults)
        self.of_past = of_past
        self.past: ASGIApp = app
        self.connections = connections
        self.log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        call = call_of(scope["method"], scope["path"])
        fault = self.schedule.next_for(call)
        if self.remembers and call in _CHANGING and scope["method"] != "GET":
            self.past = self.of_past(replace(self.hub, database=Past(self.hub.database)))
        if fault is None:
            await self.app(scope, receive, send)
            return
        if self.log:
            self.log(f"fault: {fault}")
        await self._fail(fault, scope, receive, send)

    async def _fail(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.kind == "reset":
            await self._cut(scope, receive, abruptly=True)
            return
        if fault.kind == "stale":
            await self.past(scope, receive, send)
            return
        body = await _whole(receive)
        refused = _REFUSALS.get(fault.kind)
        if refused is not None:
            await refused(fault)(scope, receive, send)
            return
        if fault.kind == "late":
            await asyncio.sleep(fault.seconds)
        answer = await _answer(self.app, scope, body)
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        if fault.kind == "lost":
            await self._cut(scope, receive, abruptly=True)
        elif fault.kind == "truncated":
            await answer.part(len(answer.body) // 2).send(send, more=True)
            await self._cut(scope, receive, abruptly=False)
        elif fault.kind == "504":
            await Response("<html>504 Gateway Time-out</html>", 504)(scope, receive, send)
        elif fault.kind == "wrong-bytes":
            await answer.with_wrong_byte().send(send)
        else:
            await answer.send(send)

    async def _cut(self, scope: Scope, receive: Receive, *, abruptly: bool) -> None:
        """End the connection, at once or after what was written is sent, and see it gone."""
        self.connections.cut(scope["client"], abruptly=abruptly)
        while (await receive())["type"] != "http.disconnect":
            pass


@dataclass(frozen=True)
class _Answer:
    """An answer, kept until it is known what becomes of it."""

    start: Message
    body: bytes

    def part(self, size_bytes: int) -> _Answer:
        return replace(self, body=self.body[:size_bytes])

    def with_wrong_byte(self) -> _Answer:
        return replace(self, body=bytes([self.body[0] ^ 1]) + self.body[1:] if self.body else b"")

    async def send(self, send: Send, *, more: bool = False) -> None:
        await send(self.start)
        await send({"type": "http.response.body", "body": self.body, "more_body": more})


async def _answer(app: ASGIApp, scope: Scope, body: bytes) -> _Answer:
    """Let ``app`` answer the request with this ``body``, to nobody yet."""
    start: list[Message] = []
    parts: list[bytes] = []
    requests = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if requests:
            return requests.pop()
        await asyncio.Event().wait()  # the client stays until it has its answer
        raise AssertionError

    async def keep(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.append(message)
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, keep)
    return _Answer(start[0], b"".join(parts))


async def _whole(receive: Receive) -> bytes:
    """The body of a request."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _internal_error(_fault: Fault) -> Response:
    return JSONResponse({"error": "Internal Error - We're working hard to fix this"}, 500)


def _too_many(fault: Fault) -> Response:
    wait = math.ceil(fault.seconds)
    headers = {"Retry-After": str(wait), "RateLimit": f'"api";r=0;t={wait}'}
    return JSONResponse({"error": "Too many requests"}, 429, headers=headers)


def _full(_fault: Fault) -> Response:
    message = "Storage limit reached: free some space, or ask for more"
    return JSONResponse({"error": message}, 403, headers={"X-Error-Message": message})


def _absent(_fault: Fault) -> Response:
    return JSONResponse({"error": "Not Found"}, 404)


_REFUSALS: dict[str, Callable[[Fault], Response]] = {
    "500": _internal_error,
    "429": _too_many,
    "quota": _full,
    "absent": _absent,
}
