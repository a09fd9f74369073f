"""Pages for a browser: models, a model's card, files, commits and pull requests."""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from mbrelease.hub.rehearsal import browse
from mbrelease.hub.rehearsal.call import Call, reads
from mbrelease.hub.rehearsal.refusals import Refused
from mbrelease.pages.addresses import Addresses
from mbrelease.pages.markdown import render
from mbrelease.pages.results import result_sets
from mbrelease.pages.templates import environment, quoted, style_sheet

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def models(call: Call) -> Response:
    """All models on this Hub."""
    with call.hub.database.reading() as connection:
        found = browse.models(call.hub, connection, see_private=call.has_token)
    return _page("models", 200, models=found, base_url=call.base_url)


def model(call: Call) -> Response:
    """A model's card."""
    with call.hub.database.reading() as connection:
        subject = browse.subject(call.hub, connection, call.repository(connection), call.revision)
        family = browse.family(call.hub, connection, subject)
    text = browse.card(call.hub, subject)
    body = None if text is None else Markup(render(text, _addresses(subject)))  # noqa: S704
    return _page(
        "model",
        200,
        tab="card",
        subject=subject,
        family=family,
        body=body,
        results=result_sets(subject.facts.metadata),
    )


def files(call: Call) -> Response:
    """The files of a model, one folder at a time."""
    with call.hub.database.reading() as connection:
        subject = browse.subject(call.hub, connection, call.repository(connection), call.revision)
        folder = call.values.get("path", "").strip("/")
        entries = browse.folder(connection, subject, folder)
    return _page("files", 200, tab="files", subject=subject, folder=folder, entries=entries)


def commits(call: Call) -> Response:
    """The commits of a model."""
    with call.hub.database.reading() as connection:
        subject = browse.subject(call.hub, connection, call.repository(connection), call.revision)
        found = browse.commits(connection, subject)
    return _page("commits", 200, tab="commits", subject=subject, commits=found)


def commit(call: Call) -> Response:
    """What a commit changed."""
    with call.hub.database.reading() as connection:
        subject = browse.subject(call.hub, connection, call.repository(connection), call.revision)
        changes = browse.changes(connection, subject.commit)
    return _page("commit", 200, tab="commits", subject=subject, changes=changes)


def pulls(call: Call) -> Response:
    """The pull requests and discussions of a model."""
    with call.hub.database.reading() as connection:
        subject = browse.subject(call.hub, connection, call.repository(connection), "main")
        found = browse.pulls(connection, subject)
    return _page("pulls", 200, tab="pulls", subject=subject, pulls=found)


def pull(call: Call) -> Response:
    """A pull request or discussion."""
    with call.hub.database.reading() as connection:
        subject = browse.subject(call.hub, connection, call.repository(connection), "main")
        found = browse.pull(connection, subject, int(call.values["number"]))
    return _page("pull", 200, tab="pulls", subject=subject, pull=found)


def style(_call: Call) -> Response:
    """The style sheet of all pages."""
    headers = {"Cache-Control": "no-cache"}
    return Response(style_sheet(), media_type="text/css", headers=headers)


def _shown(answer: Callable[[Call], Response]) -> Callable[[Call], Response]:
    """``answer``, saying no with a page instead of JSON."""

    @functools.wraps(answer)
    def show(call: Call) -> Response:
        try:
            return answer(call)
        except Refused as error:
            return _page("refused", error.status, message=error.message, code=error.status)

    return show


def _page(name: str, status: int, **values: Any) -> Response:
    html = _templates().get_template(f"{name}.html.j2").render({"tab": "", **values})
    return HTMLResponse(html, status, headers=_HEADERS)


@functools.cache
def _templates() -> Environment:
    made = environment(PackageLoader("mbrelease.hub.rehearsal", "pages"))
    made.filters["day"] = _day
    return made


def _day(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")


def _addresses(subject: browse.Subject) -> Addresses:
    def address(path: str) -> str:
        inside = posixpath.normpath("/" + unquote(path)).lstrip("/")
        return f"/{subject.repository.id}/resolve/{quoted(subject.revision)}/{quote(inside)}"

    return Addresses(link=address, picture=address, hub="")


_MODEL = "/{namespace}/{name}"
ROUTES = [
    Route(path, reads(_shown(answer)))
    for path, answer in {
        "/": models,
        "/-/style.css": style,
        _MODEL: model,
        _MODEL + "/tree/{revision}": files,
        _MODEL + "/tree/{revision}/{path:path}": files,
        _MODEL + "/commits/{revision}": commits,
        _MODEL + "/commit/{revision}": commit,
        _MODEL + "/discussions": pulls,
        _MODEL + "/discussions/{number:int}": pull,
    }.items()
]
