"""Committing: what is LFS, the commit itself, and the list of commits."""

from __future__ import annotations

import base64
import binascii
import sqlite3
from collections.abc import Mapping
from html import escape
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mbrelease.hub.rehearsal import committing, discussions, history, references
from mbrelease.hub.rehearsal.attributes import ATTRIBUTES_PATH, goes_to_lfs
from mbrelease.hub.rehearsal.call import Call, reads, timestamp, writes
from mbrelease.hub.rehearsal.gitignore import IGNORE_PATH, is_ignored
from mbrelease.hub.rehearsal.hub import USER, Hub
from mbrelease.hub.rehearsal.objects import File
from mbrelease.hub.rehearsal.paging import next_link, page
from mbrelease.hub.rehearsal.refusals import Refused
from mbrelease.hub.rehearsal.xet import fetch_uploaded

COMMITS_A_PAGE = 100


def preupload(call: Call) -> Response:
    """Say of each file how it is to be uploaded, and what stands in its place now."""
    wish = call.json()
    with call.hub.database.reading() as connection:
        commit = history.resolve(connection, call.repository(connection).id, call.revision)
        files = history.listing(connection, commit)
    attributes = _text(call.hub, files, ATTRIBUTES_PATH)
    rules = str(wish.get("gitIgnore") or _text(call.hub, files, IGNORE_PATH))
    announced = wish.get("files")
    if not isinstance(announced, list) or not all(isinstance(item, dict) for item in announced):
        raise Refused(400, "preupload needs a list of files")
    return JSONResponse(
        {
            "files": [_upload(item, files, attributes, rules) for item in announced],
            "commitOid": commit.id,
        }
    )


def commit(call: Call) -> Response:
    """Apply a commit whole, or not at all."""
    hub = call.hub
    change = committing.parse_change(call.body)
    with hub.database.reading() as connection:
        call.repository(connection)
    fetch_uploaded(hub, [item for item in change.operations if isinstance(item, committing.Put)])
    new_files = committing.store_contents(change, hub.blobs)
    number = None
    with hub.database.writing() as connection:
        if call.flag("create_pr"):
            parent, number = _open_pull_request(call, connection, change)
        else:
            parent = _head(call, connection, change.parent_commit)
        before = history.listing(connection, parent)
        commit_id = history.record(
            connection,
            call.repo_id,
            committing.apply(change, before, new_files, hub.blobs),
            (parent.id,),
            title=change.title,
            description=change.description,
            author=USER,
        )
        target = f"{references.PULLS}{number}" if number else _target(call, connection)
        references.move(connection, call.repo_id, target, commit_id)
        discussions.note_commit(connection, call.repo_id, target, change.title, commit_id, USER)
    address = f"{call.base_url}/{call.repo_id}"
    answer = {
        "success": True,
        "commitOid": commit_id,
        "commitUrl": f"{address}/commit/{commit_id}",
        "hookOutput": "",
    }
    if number is not None:
        answer["pullRequestUrl"] = f"{address}/discussions/{number}"
    return JSONResponse(answer)


def every(call: Call) -> Response:
    """List the commits of a revision, the last first."""
    formatted = "formatted" in call.query.get("expand[]", [])
    with call.hub.database.reading() as connection:
        head = history.resolve(connection, call.repository(connection).id, call.revision)
        found = list(history.ancestors(connection, head))
    shown, following = page(found, call, COMMITS_A_PAGE)
    return JSONResponse(
        [_described(each, formatted=formatted) for each in shown],
        headers={**next_link(call, following), "X-Total-Count": str(len(found))},
    )


def _described(commit: history.Commit, *, formatted: bool) -> dict[str, Any]:
    described: dict[str, Any] = {
        "id": commit.id,
        "title": commit.title,
        "message": commit.description,
        "authors": [{"user": commit.author}],
        "date": timestamp(commit.created_at),
    }
    if formatted:
        described["formatted"] = {
            "title": escape(commit.title),
            "message": escape(commit.description),
        }
    return described


def _upload(
    item: Mapping[str, Any], files: Mapping[str, File], attributes: str, rules: str
) -> dict[str, Any]:
    path, size_bytes = str(item.get("path", "")), item.get("size")
    try:
        sample = base64.b64decode(str(item.get("sample", "")), validate=True)
    except binascii.Error as error:
        raise Refused(400, f"{path}: the sample is not base64") from error
    if not isinstance(size_bytes, int):
        raise Refused(400, f"{path}: the size is not a number")
    is_lfs = goes_to_lfs(path, size_bytes, sample, attributes)
    answer: dict[str, Any] = {
        "path": path,
        "uploadMode": "lfs" if is_lfs else "regular",
        "shouldIgnore": bool(rules) and is_ignored(path, rules),
    }
    if path in files:
        answer["oid"] = files[path].content_oid
    return answer


def _target(call: Call, connection: sqlite3.Connection) -> str:
    return references.writable(connection, call.repo_id, call.revision).name


def _head(call: Call, connection: sqlite3.Connection, expected: str | None) -> history.Commit:
    reference = references.writable(connection, call.repo_id, call.revision)
    head = history.find(connection, call.repo_id, reference.commit_id)
    assert head is not None
    if expected is not None and not _is_same(head.id, expected):
        raise Refused(412, "A commit has happened since. Please refresh and try again.")
    return head


def _is_same(commit_id: str, given: str) -> bool:
    return len(given) >= 5 and commit_id.startswith(given.lower())


def _open_pull_request(
    call: Call, connection: sqlite3.Connection, change: committing.Change
) -> tuple[history.Commit, int]:
    # A pull request may begin at an older commit: then merging it is what can conflict.
    base = history.resolve(connection, call.repo_id, change.parent_commit or call.revision)
    number = discussions.open_new(
        connection,
        call.repo_id,
        title=change.title,
        description=change.description,
        author=USER,
        status="open",
        pull_request_from=base.id,
    )
    return base, number


def _text(hub: Hub, files: Mapping[str, File], path: str) -> str:
    file = files.get(path)
    return hub.blobs.read(file.sha256).decode(errors="replace") if file else ""


_MODEL = "/api/models/{namespace}/{name}"
ROUTES = [
    Route(_MODEL + "/preupload/{revision}", writes(preupload), methods=["POST"]),
    Route(_MODEL + "/commit/{revision}", writes(commit), methods=["POST"]),
    Route(_MODEL + "/commits/{revision}", reads(every)),
]
