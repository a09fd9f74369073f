"""A request as the routes see it, and the answers they give."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mbrelease.errors import UserError
from mbrelease.hub.rehearsal import repositories
from mbrelease.hub.rehearsal.hub import Hub
from mbrelease.hub.rehearsal.refusals import Refused


@dataclass(frozen=True)
class Call:
    """A request, read whole.

    Fields:
        values: the variable parts of the path, unquoted.
        query: the parameters after ``?``; of a repeated one, all values.
        has_token: whether any token came along; which one is nobody's business.
        base_url: how the client addressed the Hub, without a final slash.
    """

    hub: Hub
    values: Mapping[str, str]
    query: Mapping[str, list[str]]
    body: bytes
    content_type: str
    has_token: bool
    base_url: str
    path: str

    @property
    def repo_id(self) -> str:
        """The repository that the path names."""
        return f"{self.values['namespace']}/{self.values['name']}"

    @property
    def revision(self) -> str:
        """The revision that the path names, ``main`` if none."""
        return self.values.get("revision", "main")

    def option(self, name: str, default: str = "") -> str:
        """The last value of a parameter after ``?``."""
        return self.query.get(name, [default])[-1]

    def flag(self, name: str) -> bool:
        """Whether a parameter after ``?`` is set."""
        return self.option(name).lower() in {"1", "true"}

    def repository(self, connection: sqlite3.Connection) -> repositories.Repository:
        """The repository that the path names.

        Raises:
            Refused: 404, it does not exist or is not for this caller.
        """
        return repositories.find(connection, self.repo_id, see_private=self.has_token)

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; an empty body is an empty one.

        Raises:
            Refused: 400, it is something else.
        """
        try:
            value = json.loads(self.body or b"{}")
        except ValueError as error:
            raise Refused(400, "The request is not JSON") from error
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise Refused(400, "The request is not a JSON object")
        return value


Answer = Callable[[Call], Response]
Endpoint = Callable[[Request], Awaitable[Response]]


def reads(answer: Answer) -> Endpoint:
    """An endpoint that anyone may call."""
    return _endpoint(answer, needs_token=False)


def writes(answer: Answer) -> Endpoint:
    """An endpoint that needs a token, whichever."""
    return _endpoint(answer, needs_token=True)


def has_token(request: Request) -> bool:
    """Whether the request carries a token. It is looked at here and never kept."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and bool(token.strip())


def base_url(request: Request) -> str:
    """How the client addressed the Hub: links in answers use the same name and port."""
    return f"http://{request.headers['host']}"


def refusal(error: Refused) -> Response:
    """The answer for a refusal, as the Hub's clients understand it."""
    headers = dict(error.headers)
    # A header holds one line of latin-1.
    headers["X-Error-Message"] = " ".join(error.message.split()).encode("ascii", "replace").decode()
    if error.code is not None:
        headers["X-Error-Code"] = error.code
    return JSONResponse({"error": error.message}, error.status, headers=headers)


def timestamp(at: datetime) -> str:
    """A time as the Hub writes it: ``2025-01-31T12:00:00.000Z``."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _endpoint(answer: Answer, *, needs_token: bool) -> Endpoint:
    async def serve(request: Request) -> Response:
        if needs_token and not has_token(request):
            return refusal(
                Refused(
                    401,
                    "Writing needs a token (any will do: export HF_TOKEN=hf_rehearsal)",
                    headers={"WWW-Authenticate": 'Bearer realm="rehearsal"'},
                )
            )
        call = await _read(request)
        try:
            return await run_in_threadpool(answer, call)
        except Refused as error:
            return refusal(error)
        except UserError as error:
            return refusal(Refused(507, str(error)))

    return serve


async def _read(request: Request) -> Call:
    return Call(
        hub=request.app.state.hub,
        values={name: unquote(str(value)) for name, value in request.path_params.items()},
        query=parse_qs(request.url.query, keep_blank_values=True),
        body=await request.body(),
        content_type=request.headers.get("content-type", ""),
        has_token=has_token(request),
        base_url=base_url(request),
        path=request.url.path,
    )
