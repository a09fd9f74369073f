"""Requests are served only if they are addressed to this machine by its loopback name.

A web page can point a name of its own at 127.0.0.1 and then read and write here through the
visitor's browser (DNS rebinding); such a request bears the page's name in its Host header.
"""

from __future__ import annotations

import ipaddress
import re

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::\d+)?")


def is_loopback(host: str) -> bool:
    """Whether a Host header names the loopback interface."""
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = found[1].strip("[]").rstrip(".").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


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
