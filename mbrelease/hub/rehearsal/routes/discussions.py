"""Pull requests and discussions."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from html import escape
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mbrelease.hub.rehearsal import discussions, history
from mbrelease.hub.rehearsal.call import Call, reads, timestamp, writes
from mbrelease.hub.rehearsal.hub import USER
from mbrelease.hub.rehearsal.refusals import Refused

DISCUSSIONS_A_PAGE = 50


def every(call: Call) -> Response:
    """List discussions, the last first; ``type``, ``status`` and ``author`` narrow it."""
    with call.hub.database.reading() as connection:
        found = discussions.every(connection, call.repository(connection).id)
    wanted = [each for each in found if _is_wanted(call, each)]
    start = (int(call.option("p")) if call.option("p").isdecimal() else 0) * DISCUSSIONS_A_PAGE
    shown = wanted[start : start + DISCUSSIONS_A_PAGE]
    return JSONResponse(
        {
            "discussions": [_described(each) for each in shown],
            "count": len(wanted),
            "start": start,
        }
    )


def create(call: Call) -> Response:
    """Open a discussion, or a draft pull request at the head of ``main``."""
    wish = call.json()
    title = str(wish.get("title", "")).strip()
    if len(title) < 3:
        raise Refused(400, "A title has at least 3 characters")
    with call.hub.database.writing() as connection:
        repository = call.repository(connection).id
        is_pull_request = wish.get("pullRequest") is True
        main = history.resolve(connection, repository, "main").id
        number = discussions.open_new(
            connection,
            repository,
            title=title,
            description=str(wish.get("description") or ""),
            author=USER,
            status="draft" if is_pull_request else "open",
            pull_request_from=main if is_pull_request else None,
        )
    return JSONResponse({"num": number, "pullRequest": is_pull_request})


def details(call: Call) -> Response:
    """Tell all of a discussion."""
    with call.hub.database.reading() as connection:
        discussion = _discussion(call, connection)
        answer: dict[str, Any] = {
            **_described(discussion),
            "events": [_event(each) for each in discussions.events(connection, discussion)],
        }
        if discussion.is_pull_request:
            answer |= _changes(connection, discussion)
    return JSONResponse(answer)


def comment(call: Call) -> Response:
    """Say something."""
    text = str(call.json().get("comment", ""))
    return _change(
        call, lambda connection, each: discussions.comment(connection, each, USER, text), "Message"
    )


def rename(call: Call) -> Response:
    """Give it another title."""
    title = str(call.json().get("title", ""))
    return _change(
        call, lambda connection, each: discussions.rename(connection, each, USER, title), "Title"
    )


def set_status(call: Call) -> Response:
    """Open or close it."""
    wish = call.json()

    def change(connection: sqlite3.Connection, discussion: discussions.Discussion) -> None:
        if wish.get("comment"):
            discussions.comment(connection, discussion, USER, str(wish["comment"]))
        discussions.set_status(connection, discussion, USER, str(wish.get("status", "")))

    return _change(call, change, "Status")


def merge(call: Call) -> Response:
    """Merge a pull request into ``main``."""
    wish = call.json()
    with call.hub.database.writing() as connection:
        discussion = _discussion(call, connection)
        if wish.get("comment"):
            discussions.comment(connection, discussion, USER, str(wish["comment"]))
        commit_id = discussions.merge(connection, discussion, USER)
    return JSONResponse({"mergeCommitId": commit_id})


def _change(
    call: Call,
    change: Callable[[sqlite3.Connection, discussions.Discussion], None],
    name: str,
) -> Response:
    with call.hub.database.writing() as connection:
        discussion = _discussion(call, connection)
        change(connection, discussion)
        last = discussions.events(connection, discussion)[-1]
    return JSONResponse({f"new{name}": _event(last)})


def _discussion(call: Call, connection: sqlite3.Connection) -> discussions.Discussion:
    return discussions.find(connection, call.repository(connection).id, int(call.values["number"]))


def _is_wanted(call: Call, discussion: discussions.Discussion) -> bool:
    kind = "pull_request" if discussion.is_pull_request else "discussion"
    status = "open" if discussion.status in {"open", "draft"} else "closed"
    return (
        call.option("type", "all") in {"all", kind}
        and call.option("status", "all") in {"all", status}
        and call.option("author", discussion.author) == discussion.author
    )


def _described(discussion: discussions.Discussion) -> dict[str, Any]:
    return {
        "num": discussion.number,
        "title": discussion.title,
        "status": discussion.status,
        "isPullRequest": discussion.is_pull_request,
        "author": {"name": discussion.author, "type": "user"},
        "createdAt": timestamp(discussion.created_at),
        "repo": {"name": discussion.repository, "type": "model"},
        "repoOwner": {"name": discussion.repository.partition("/")[0], "type": "org"},
    }


def _changes(connection: sqlite3.Connection, discussion: discussions.Discussion) -> dict[str, Any]:
    changes: dict[str, Any] = {"base": "refs/heads/main"}
    if discussion.merge_commit is not None:
        changes["mergeCommitId"] = discussion.merge_commit
    is_open = discussion.status in {"open", "draft"}
    conflicting = discussions.conflicts(connection, discussion) if is_open else []
    return {"changes": changes, "filesWithConflicts": conflicting, "diff": ""}


def _event(event: discussions.Event) -> dict[str, Any]:
    data: dict[str, Any] = dict(event.data)
    at = timestamp(event.created_at)
    if event.type == "comment":
        latest = {
            "raw": data["text"],
            "html": f"<p>{escape(data['text'])}</p>",
            "updatedAt": at,
            "author": {"name": event.author},
        }
        data = {
            "edited": False,
            "hidden": False,
            "latest": latest,
            "history": [latest],
            "numEdits": 0,
        }
    return {
        "id": f"{event.number:024x}",
        "type": event.type,
        "createdAt": at,
        "author": {"name": event.author, "type": "user"},
        "data": data,
    }


_ALL = "/api/models/{namespace}/{name}/discussions"
_ONE = _ALL + "/{number:int}"
ROUTES = [
    Route(_ALL, reads(every), methods=["GET"]),
    Route(_ALL, writes(create), methods=["POST"]),
    Route(_ONE, reads(details), methods=["GET"]),
    Route(_ONE + "/comment", writes(comment), methods=["POST"]),
    Route(_ONE + "/title", writes(rename), methods=["POST"]),
    Route(_ONE + "/status", writes(set_status), methods=["POST"]),
    Route(_ONE + "/merge", writes(merge), methods=["POST"]),
]
