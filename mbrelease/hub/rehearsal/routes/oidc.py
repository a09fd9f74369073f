"""Keyless publishing: the exchange of a job's identity for a token, and what that token may do.

The exchange is RFC 8693 as the Hub documents it for Trusted Publishers. How a repository comes to
trust a job is a page of its settings there; here it is a call.
"""

from __future__ import annotations

import re
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mbrelease.hub.rehearsal import publishers
from mbrelease.hub.rehearsal.call import Call, reads, refusal, writes
from mbrelease.hub.rehearsal.hub import Hub
from mbrelease.hub.rehearsal.id_tokens import Unproven, prove, stated_claims
from mbrelease.hub.rehearsal.publishers import Publisher
from mbrelease.hub.rehearsal.refusals import Refused

_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
# Nothing is written by asking these.
_QUESTIONS = re.compile(r"/api/validate-yaml|.*/paths-info/[^/]+")
_REPOSITORY = re.compile(r"/(?:api/models/)?([^/]+/[^/]+?)(?:\.git)?(?:/.*)?")


def exchange(call: Call) -> Response:
    """Give a job that a repository trusts a token for that repository."""
    wish = call.json()
    if wish.get("grant_type") != _EXCHANGE:
        return _no("unsupported_grant_type", "only the exchange of tokens is served here")
    resource, token = wish.get("resource"), wish.get("subject_token")
    if not isinstance(resource, str) or not re.fullmatch(r"[^/]+/[^/]+", resource):
        return _no("invalid_request", "the resource is no model repository")
    if not isinstance(token, str) or wish.get("subject_token_type") != _ID_TOKEN:
        return _no("invalid_request", "the subject is no identity token")
    with call.hub.database.reading() as connection:
        trusted = publishers.every(connection, resource)
    try:
        stated = stated_claims(token)
        matching = [publisher for publisher in trusted if publisher.matches(stated)]
        if not matching:
            raise Unproven("no publisher matches")
        prove(token, audience=call.base_url)
    except Unproven:
        # As the public Hub: who asks is not told which of the checks failed.
        return _no("invalid_grant", "no publisher of this repository trusts the token")
    may_write = any(not publisher.read_only for publisher in matching)
    return JSONResponse(
        {
            "access_token": publishers.issue(
                resource, may_write=may_write, key=call.hub.upload_key
            ),
            "token_type": "bearer",
            "expires_in": publishers.TOKEN_SECONDS,
            "issued_token_type": _ACCESS_TOKEN,
        }
    )


def trust(call: Call) -> Response:
    """Add a publisher to a repository: ``{issuer, claims, readOnly?}``."""
    wish = call.json()
    issuer, claims = wish.get("issuer"), wish.get("claims")
    if not isinstance(issuer, str) or not isinstance(claims, dict) or not claims:
        raise Refused(400, "A publisher has an issuer and claims")
    named = {str(name): str(value) for name, value in claims.items()}
    with call.hub.database.writing() as connection:
        repository = call.repository(connection)
        publisher = Publisher(issuer, named, wish.get("readOnly") is True)
        publishers.add(connection, repository.id, publisher)
    return JSONResponse({"success": True})


class BoundTokens:
    """Hold the tokens that were exchanged to their one repository.

    Elsewhere they are as no token for reading, and refused for writing. Any other token passes:
    in a rehearsal it may do everything.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        token = Headers(scope=scope).get("authorization", "").partition(" ")[2].strip()
        if not token.startswith(publishers.TOKEN_PREFIX):
            await self.app(scope, receive, send)
            return
        try:
            await self.app(_bound(scope, token, scope["app"].state.hub), receive, send)
        except Refused as error:
            await refusal(error)(scope, receive, send)


def _bound(scope: Scope, token: str, hub: Hub) -> Scope:
    """``scope`` with the token where it is good, and without it where it is not.

    Raises:
        Refused: 401, the token is none of this Hub or has expired; 403, it may not write there.
    """
    grant = publishers.read(token, key=hub.upload_key)
    if grant is None:
        raise Refused(401, "Invalid username or password.")
    path = scope["path"]
    found = _REPOSITORY.fullmatch(path)
    is_own = found is not None and found[1] == grant.repo_id
    is_reading = scope["method"] in {"GET", "HEAD"} or _QUESTIONS.fullmatch(path) is not None
    if not is_reading and not (is_own and grant.may_write):
        raise Refused(403, f"This token may not write there: it is for {grant.repo_id} only")
    if is_own:
        return scope
    without: dict[str, Any] = {**scope, "headers": list(scope["headers"])}
    del MutableHeaders(scope=without)["authorization"]
    return without


def _no(error: str, description: str) -> Response:
    return JSONResponse({"error": error, "error_description": description}, 400)


ROUTES = [
    Route("/oauth/token", reads(exchange), methods=["POST"]),
    Route(
        "/api/models/{namespace}/{name}/settings/trusted-publishers",
        writes(trust),
        methods=["POST"],
    ),
]
