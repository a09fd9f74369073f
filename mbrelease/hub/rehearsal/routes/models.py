"""Who one is, and which models there are: whoami, create, delete, list, info, validate-yaml."""

from __future__ import annotations

import sqlite3
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mbrelease.hub.rehearsal import history, repositories
from mbrelease.hub.rehearsal.call import Call, reads, timestamp, writes
from mbrelease.hub.rehearsal.facts import Facts, facts
from mbrelease.hub.rehearsal.hub import USER, Hub
from mbrelease.hub.rehearsal.metadata import validate
from mbrelease.hub.rehearsal.names import checked_repo_id
from mbrelease.hub.rehearsal.objects import File, lfs_pointer
from mbrelease.hub.rehearsal.paging import next_link, page
from mbrelease.hub.rehearsal.refusals import Refused

LISTED_AT_ONCE = 1000


def whoami(call: Call) -> Response:
    """The one user that every token stands for."""
    with call.hub.database.reading() as connection:
        known = repositories.every(connection, see_private=True)
    namespaces = sorted({repository.id.partition("/")[0] for repository in known} - {USER})
    return JSONResponse(
        {
            "type": "user",
            "id": "0" * 24,
            "name": USER,
            "fullname": "Rehearsal",
            "isPro": False,
            "avatarUrl": "",
            "orgs": [
                {"type": "org", "name": name, "fullname": name, "roleInOrg": "admin"}
                for name in namespaces
            ],
            "auth": {
                "type": "access_token",
                "accessToken": {"displayName": "rehearsal", "role": "write"},
            },
        }
    )


def create(call: Call) -> Response:
    """Make a model repository; 409 with its address if it exists."""
    wish = call.json()
    if wish.get("type", "model") != "model":
        raise Refused(400, f"A rehearsal Hub holds models only, not a {wish['type']}")
    repo_id = checked_repo_id(str(wish.get("organization") or USER), str(wish.get("name", "")))
    private = wish.get("visibility") == "private" or wish.get("private") is True
    address = {"url": f"{call.base_url}/{repo_id}", "name": repo_id, "id": repo_id}
    try:
        with call.hub.database.writing() as connection:
            repositories.create(connection, call.hub.blobs, repo_id, private=private)
    except Refused as error:
        return JSONResponse({"error": error.message, **address}, error.status)
    return JSONResponse(address)


def delete(call: Call) -> Response:
    """Remove a repository with its history."""
    wish = call.json()
    repo_id = f"{wish.get('organization') or USER}/{wish.get('name', '')}"
    with call.hub.database.writing() as connection:
        repositories.find(connection, repo_id, see_private=True)
        repositories.delete(connection, repo_id)
    return JSONResponse({})


def every(call: Call) -> Response:
    """List the models, the last changed first; ``author``, ``search`` and ``filter`` narrow it.

    ``filter`` is a tag, such as ``base_model:org/name``; of several each must be there. The list
    comes in pages of ``limit``.
    """
    author, search = call.option("author"), call.option("search").lower()
    wanted = {tag for value in call.query.get("filter", []) for tag in value.split(",") if tag}
    with call.hub.database.reading() as connection:
        found = [
            repository
            for repository in repositories.every(connection, see_private=call.has_token)
            if (not author or repository.id.partition("/")[0] == author)
            and search in repository.id.lower()
        ]
        answers = [
            _without_files(_info(call.hub, connection, repository, "main", blobs=False))
            for repository in found
        ]
    tagged = [answer for answer in answers if wanted <= set(answer["tags"])]
    shown, cursor = page(tagged, call, LISTED_AT_ONCE)
    return JSONResponse(list(shown), headers=next_link(call, cursor))


def info(call: Call) -> Response:
    """Describe a model at a revision."""
    with call.hub.database.reading() as connection:
        repository = call.repository(connection)
        described = _info(call.hub, connection, repository, call.revision, blobs=call.flag("blobs"))
    wanted = call.query.get("expand")
    if wanted is not None:
        described = {key: value for key, value in described.items() if key in {*wanted, "id"}}
    return JSONResponse(described)


def validate_yaml(call: Call) -> Response:
    """Check a model card's metadata before anything is uploaded."""
    errors, warnings = validate(str(call.json().get("content", "")))
    answer = {
        "errors": [{"message": message} for message in errors],
        "warnings": [{"message": message} for message in warnings],
    }
    return JSONResponse(answer, 400 if errors else 200)


def _info(
    hub: Hub,
    connection: sqlite3.Connection,
    repository: repositories.Repository,
    revision: str,
    *,
    blobs: bool,
) -> dict[str, Any]:
    commit = history.resolve(connection, repository.id, revision)
    files = history.listing(connection, commit)
    known = facts(hub.blobs, files)
    return {
        "_id": commit.id[:24],
        "id": repository.id,
        "modelId": repository.id,
        "author": repository.id.partition("/")[0],
        "sha": commit.id,
        "private": repository.private,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "createdAt": timestamp(repository.created_at),
        "lastModified": timestamp(commit.created_at),
        "usedStorage": sum(file.size_bytes for file in files.values()),
        "siblings": [_sibling(file, blobs=blobs) for file in files.values()],
        **_described(known),
    }


def _described(known: Facts) -> dict[str, Any]:
    described: dict[str, Any] = {"tags": list(known.tags)}
    if known.metadata:
        described["cardData"] = known.metadata
    for key, value in {"library_name": known.library, "pipeline_tag": known.pipeline}.items():
        if value is not None:
            described[key] = value
    if known.parameters:
        described["safetensors"] = {
            "parameters": dict(known.parameters),
            "total": sum(known.parameters.values()),
        }
    return described


def _sibling(file: File, *, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": file.path}
    sibling: dict[str, Any] = {
        "rfilename": file.path,
        "size": file.size_bytes,
        "blobId": file.git_oid,
    }
    if file.lfs:
        sibling["lfs"] = {
            "sha256": file.sha256,
            "size": file.size_bytes,
            "pointerSize": len(lfs_pointer(file.sha256, file.size_bytes)),
        }
    return sibling


def _without_files(described: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in described.items() if key != "siblings"}


ROUTES = [
    Route("/api/whoami-v2", writes(whoami)),
    Route("/api/repos/create", writes(create), methods=["POST"]),
    Route("/api/repos/delete", writes(delete), methods=["DELETE"]),
    Route("/api/validate-yaml", reads(validate_yaml), methods=["POST"]),
    Route("/api/models", reads(every)),
    Route("/api/models/{namespace}/{name}", reads(info)),
    Route("/api/models/{namespace}/{name}/revision/{revision}", reads(info)),
]
