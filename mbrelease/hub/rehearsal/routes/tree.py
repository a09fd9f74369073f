"""Which files a revision holds: the tree, and single paths of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mbrelease.hub.rehearsal import history
from mbrelease.hub.rehearsal.call import Call, reads, timestamp
from mbrelease.hub.rehearsal.objects import File, folder_oids, lfs_pointer
from mbrelease.hub.rehearsal.paging import next_link, page
from mbrelease.hub.rehearsal.refusals import entry_not_found

ENTRIES_A_PAGE = 1000
EXPANDED_ENTRIES_A_PAGE = 50


def tree(call: Call) -> Response:
    """List a folder, with what is below it if ``recursive``, in pages."""
    expand = call.flag("expand")
    with call.hub.database.reading() as connection:
        commit = history.resolve(connection, call.repository(connection).id, call.revision)
        files = history.listing(connection, commit)
        changes = history.last_changes(connection, commit) if expand else {}
    entries = _entries(files, changes)
    folder = call.values.get("path", "").strip("/")
    if folder and entries.get(folder, {}).get("type") != "directory":
        raise entry_not_found(folder, commit.id)
    prefix = f"{folder}/" if folder else ""
    inside = [
        entry
        for path, entry in entries.items()
        if path.startswith(prefix)
        and path != folder
        and (call.flag("recursive") or "/" not in path[len(prefix) :])
    ]
    shown, following = page(inside, call, EXPANDED_ENTRIES_A_PAGE if expand else ENTRIES_A_PAGE)
    return JSONResponse(list(shown), headers=next_link(call, following))


def paths_info(call: Call) -> Response:
    """Describe the given paths; those that are not there are left out."""
    paths, expand = _wanted(call)
    with call.hub.database.reading() as connection:
        commit = history.resolve(connection, call.repository(connection).id, call.revision)
        files = history.listing(connection, commit)
        changes = history.last_changes(connection, commit) if expand else {}
    entries = _entries(files, changes)
    return JSONResponse([entries[path] for path in paths if path in entries])


def _wanted(call: Call) -> tuple[list[str], bool]:
    if "json" in call.content_type:
        wish = call.json()
        paths = wish.get("paths") or []
        return [str(path).strip("/") for path in paths], wish.get("expand") is True
    # The client sends a form here.
    form = parse_qs(call.body.decode(errors="replace"))
    expand = form.get("expand", ["false"])[-1].lower() == "true"
    return [path.strip("/") for path in form.get("paths", [])], expand


def _entries(
    files: Mapping[str, File], changes: Mapping[str, history.Commit]
) -> dict[str, dict[str, Any]]:
    """Every file and folder by path, in the order of the paths."""
    entries: dict[str, dict[str, Any]] = {
        path: {"type": "directory", "oid": oid, "size": 0, "path": path}
        for path, oid in folder_oids(files.values()).items()
        if path
    }
    entries |= {path: _file_entry(file) for path, file in files.items()}
    for path, commit in changes.items():
        entries[path]["lastCommit"] = {
            "id": commit.id,
            "title": commit.title,
            "date": timestamp(commit.created_at),
        }
    return dict(sorted(entries.items()))


def _file_entry(file: File) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": "file",
        "oid": file.git_oid,
        "size": file.size_bytes,
        "path": file.path,
    }
    if file.lfs:
        entry["lfs"] = {
            "oid": file.sha256,
            "size": file.size_bytes,
            "pointerSize": len(lfs_pointer(file.sha256, file.size_bytes)),
        }
    return entry


_MODEL = "/api/models/{namespace}/{name}"
ROUTES = [
    Route(_MODEL + "/tree/{revision}", reads(tree)),
    Route(_MODEL + "/tree/{revision}/{path:path}", reads(tree)),
    Route(_MODEL + "/paths-info/{revision}", reads(paths_info), methods=["POST"]),
]
