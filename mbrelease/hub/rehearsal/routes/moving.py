"""A repository under a new name: ``/api/repos/move``, and 307 for who asks for the old one."""

from __future__ import annotations

import re
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mbrelease.hub.rehearsal.call import Call, writes
from mbrelease.hub.rehearsal.hub import Hub
from mbrelease.hub.rehearsal.moving import move, moved_to
from mbrelease.hub.rehearsal.names import checked_repo_id

_REPOSITORY = re.compile(r"(?P<before>/(?:api/models/)?)(?P<id>[^/]+/[^/]+)(?P<after>(?:/.*)?)")


def moving(call: Call) -> Response:
    """Move a repository: ``{fromRepo, toRepo}``."""
    wish = call.json()
    namespace, _, name = str(wish.get("toRepo", "")).partition("/")
    new = checked_repo_id(namespace, name)
    with call.hub.database.writing() as connection:
        move(connection, str(wish.get("fromRepo", "")), new)
    return JSONResponse({})


class SentOn:
    """Answer 307 where a repository is not found that was moved, as the public Hub does."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
            await self.app(scope, receive, send)
            return
        redirect: list[Response] = []

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_lost(message):
                place = _new_place(scope, scope["app"].state.hub)
                redirect.extend([RedirectResponse(place, 307)] if place else [])
            if not redirect:
                await send(message)

        await self.app(scope, receive, answer)
        if redirect:
            await redirect[0](scope, receive, send)


def _is_lost(message: Message) -> bool:
    return Headers(raw=message["headers"]).get("x-error-code") == "RepoNotFound"


def _new_place(scope: Scope, hub: Hub) -> str | None:
    found = _REPOSITORY.fullmatch(scope["path"])
    if found is None:
        return None
    with hub.database.reading() as connection:
        new = moved_to(connection, found["id"])
    query: Any = scope["query_string"].decode("latin-1")
    after = found["after"] + (f"?{query}" if query else "")
    return None if new is None else f"{found['before']}{new}{after}"


ROUTES = [Route("/api/repos/move", writes(moving), methods=["POST"])]
