"""``ETag`` and ``If-None-Match`` for the calls that describe models: 304 where nothing changed.

https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2
"""

from __future__ import annotations

import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_DESCRIBED = "/api/models"


class Conditional:
    """Name the state of what is answered, and answer 304 to who has it already."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        asked = scope["type"] == "http" and scope["method"] == "GET"
        if not asked or not scope["path"].startswith(_DESCRIBED):
            await self.app(scope, receive, send)
            return
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self.app(scope, receive, keep)
        start, *parts = messages
        if start["status"] == 200:
            body = b"".join(part.get("body", b"") for part in parts)
            etag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
            if Headers(scope=scope).get("if-none-match") == etag:
                await Response(status_code=304, headers={"ETag": etag})(scope, receive, send)
                return
            MutableHeaders(raw=start["headers"])["ETag"] = etag
        for message in messages:
            await send(message)
