"""The files themselves: ``/namespace/name/resolve/revision/path``."""

from __future__ import annotations

import mimetypes

from starlette.responses import FileResponse, Response
from starlette.routing import Route

from mbrelease.hub.rehearsal import history
from mbrelease.hub.rehearsal.call import Call, reads
from mbrelease.hub.rehearsal.refusals import entry_not_found

_SHOWN_AS_IMAGE = {"image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"}


def resolve(call: Call) -> Response:
    """Send a file, or the asked-for range of it (``HEAD``: the headers only)."""
    path = call.values["path"]
    with call.hub.database.reading() as connection:
        commit = history.resolve(connection, call.repository(connection).id, call.revision)
        file = history.listing(connection, commit).get(path)
    if file is None:
        raise entry_not_found(path, commit.id)
    headers = {
        "X-Repo-Commit": commit.id,
        "ETag": f'"{file.content_oid}"',
        # What was uploaded is shown, and never run as a page of this Hub.
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",
    }
    if file.lfs:
        headers["X-Linked-Etag"] = f'"{file.sha256}"'
        headers["X-Linked-Size"] = str(file.size_bytes)
    return FileResponse(
        call.hub.blobs.path(file.sha256), headers=headers, media_type=_media_type(path, file.lfs)
    )


def _media_type(path: str, is_lfs: bool) -> str:
    guessed, _ = mimetypes.guess_type(path)
    if guessed in _SHOWN_AS_IMAGE:
        return str(guessed)
    return "application/octet-stream" if is_lfs else "text/plain; charset=utf-8"


ROUTES = [
    Route(
        "/{namespace}/{name}/resolve/{revision}/{path:path}",
        reads(resolve),
        methods=["GET", "HEAD"],
    )
]
