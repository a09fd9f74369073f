"""Requests are served only if they are addressed to this machine by its loopback name."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mbrelease.pages.loopback import is_loopback


class LoopbackOnly:
    """Refuse requests for other hosts, and hand on paths as they were sent.

    The client quotes the slashes within a branch's name (``refs%2Fpr%2F1``), so routes are
    matched against the quoted path and each part is unquoted by itself.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if not is_loopback(Headers(scope=scope).get("host", "")):
            refused = PlainTextResponse("This Hub serves loopback addresses only\n", 403)
            await refused(scope, receive, send)
            return
        quoted = scope["raw_path"].decode("ascii", "replace").partition("?")[0]
        await self.app({**scope, "path": quoted}, receive, send)
