"""Branches and tags."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mbrelease.hub.rehearsal import history, references
from mbrelease.hub.rehearsal.call import Call, reads, writes
from mbrelease.hub.rehearsal.names import checked_reference


def every(call: Call) -> Response:
    """List branches and tags, and pull requests if asked for."""
    with call.hub.database.reading() as connection:
        found = references.every(connection, call.repository(connection).id)
    answer = {
        "branches": _described(found, references.HEADS),
        "tags": _described(found, references.TAGS),
        "converts": [],
    }
    if call.flag("include_prs"):
        answer["pullRequests"] = _described(found, references.PULLS)
    return JSONResponse(answer)


def create_branch(call: Call) -> Response:
    """Make a branch at a revision, ``main`` if none is given."""
    name = references.HEADS + checked_reference(call.values["reference"])
    start = str(call.json().get("startingPoint") or "main")
    with call.hub.database.writing() as connection:
        commit = history.resolve(connection, call.repository(connection).id, start)
        references.create(connection, call.repo_id, name, commit.id)
    return JSONResponse({})


def create_tag(call: Call) -> Response:
    """Make a tag at the revision in the path."""
    wish = call.json()
    name = references.TAGS + checked_reference(str(wish.get("tag", "")))
    with call.hub.database.writing() as connection:
        commit = history.resolve(connection, call.repository(connection).id, call.revision)
        message = str(wish.get("message") or "")
        references.create(connection, call.repo_id, name, commit.id, message=message)
    return JSONResponse({})


def delete_branch(call: Call) -> Response:
    """Remove a branch; its commits stay reachable by id."""
    return _delete(call, references.HEADS)


def delete_tag(call: Call) -> Response:
    """Remove a tag."""
    return _delete(call, references.TAGS)


def _delete(call: Call, kind: str) -> Response:
    with call.hub.database.writing() as connection:
        repository = call.repository(connection).id
        references.delete(connection, repository, kind + call.values["reference"])
    return JSONResponse({})


def _described(found: Iterable[references.Reference], kind: str) -> list[dict[str, str]]:
    return [
        {
            "name": reference.short_name,
            "ref": reference.name,
            "targetCommit": reference.commit_id,
        }
        for reference in found
        if reference.name.startswith(kind)
    ]


_MODEL = "/api/models/{namespace}/{name}"
ROUTES = [
    Route(_MODEL + "/refs", reads(every)),
    Route(_MODEL + "/branch/{reference}", writes(create_branch), methods=["POST"]),
    Route(_MODEL + "/branch/{reference}", writes(delete_branch), methods=["DELETE"]),
    Route(_MODEL + "/tag/{revision}", writes(create_tag), methods=["POST"]),
    Route(_MODEL + "/tag/{reference}", writes(delete_tag), methods=["DELETE"]),
]
