"""The application: all routes, and what surrounds them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mbrelease.hub.rehearsal.conditional import Conditional
from mbrelease.hub.rehearsal.connections import Connections
from mbrelease.hub.rehearsal.failing import Failing
from mbrelease.hub.rehearsal.faults import Fault
from mbrelease.hub.rehearsal.hub import Hub
from mbrelease.hub.rehearsal.loopback import LoopbackOnly
from mbrelease.hub.rehearsal.routes import (
    commits,
    discussions,
    files,
    lfs,
    models,
    moving,
    oidc,
    pages,
    refs,
    tree,
    xet,
)

Log = Callable[[str], None]


class RequestLog:
    """Say one line for each request: method, path, status, milliseconds.

    Neither headers nor what follows ``?`` are said: tokens and signatures stand there.
    """

    def __init__(self, app: ASGIApp, log: Log) -> None:
        self.app = app
        self.log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, note)
        finally:
            elapsed_ms = 1000 * (time.perf_counter() - begun)
            path = ascii(scope["raw_path"].decode("latin-1"))[1:-1]
            self.log(f"{scope['method']:6} {path} {status} {elapsed_ms:.0f} ms")


def build(
    hub: Hub,
    log: Log | None = None,
    *,
    faults: Sequence[Fault] = (),
    connections: Connections | None = None,
) -> Starlette:
    """The application for ``hub``; ``log`` takes a line for each request.

    ``faults`` need the ``connections`` of the server, to cut them.
    """
    middleware = [Middleware(LoopbackOnly), Middleware(oidc.BoundTokens)]
    if log is not None:
        middleware.insert(0, Middleware(RequestLog, log=log))
    if connections is not None:
        failing = Middleware(
            Failing, hub=hub, faults=faults, of_past=build, connections=connections, log=log
        )
        middleware.append(failing)
    middleware += [Middleware(Conditional), Middleware(moving.SentOn)]
    app = Starlette(
        routes=[
            *models.ROUTES,
            *moving.ROUTES,
            *oidc.ROUTES,
            *commits.ROUTES,
            *refs.ROUTES,
            *tree.ROUTES,
            *discussions.ROUTES,
            *xet.ROUTES,
            *lfs.ROUTES,
            *files.ROUTES,
            *pages.ROUTES,
        ],
        middleware=middleware,
        exception_handlers={HTTPException: _unknown, Exception: _fault},
    )
    app.state.hub = hub
    return app


def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse(
        {"error": f"This rehearsal Hub does not know {request.method} {request.url.path}"},
        error.status_code,
        headers=error.headers,
    )


def _fault(_request: Request, error: Exception) -> Response:
    return JSONResponse({"error": f"{type(error).__name__}: a fault in the rehearsal Hub"}, 500)
