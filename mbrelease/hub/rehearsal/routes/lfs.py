"""Large files: the LFS batch call, and the upload itself, whole (basic) or in parts (multipart)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mbrelease.errors import UserError
from mbrelease.hub.rehearsal import parts
from mbrelease.hub.rehearsal.call import Call, refusal, writes
from mbrelease.hub.rehearsal.hub import Hub
from mbrelease.hub.rehearsal.names import SHA256
from mbrelease.hub.rehearsal.refusals import Refused


def batch(call: Call) -> Response:
    """Say where each object is to be put; nothing for those that are stored already."""
    wish = call.json()
    with call.hub.database.reading() as connection:
        call.repository(connection)
    if wish.get("operation") != "upload" or wish.get("hash_algo", "sha256") != "sha256":
        raise Refused(400, "LFS batch serves uploads named by sha256 only")
    transfers = wish.get("transfers", ["basic"])
    if "basic" not in transfers:
        raise Refused(400, "LFS batch serves the transfers basic and multipart only")
    objects = wish.get("objects")
    if not isinstance(objects, list):
        raise Refused(400, "LFS batch needs a list of objects")
    in_parts = "multipart" in transfers
    return JSONResponse(
        {
            "transfer": "multipart" if in_parts else "basic",
            "hash_algo": "sha256",
            "objects": [_instruction(call, item, in_parts=in_parts) for item in objects],
        },
        media_type="application/vnd.git-lfs+json",
    )


Take = Callable[[Hub, Request], Awaitable[Response]]


def _signed(take: Take) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint for a link of this Hub: it is called without a token, signed instead."""

    async def serve(request: Request) -> Response:
        hub: Hub = request.app.state.hub
        given = request.query_params.get("signature", "")
        if not hmac.compare_digest(given.encode(), _signature(hub, request.url.path).encode()):
            return refusal(Refused(403, "This upload link was not issued by this Hub"))
        try:
            return await take(hub, request)
        except ClientDisconnect:
            return Response(status_code=400)
        except Refused as error:
            return refusal(error)
        except UserError as error:
            return refusal(Refused(507, str(error)))

    return serve


async def upload(hub: Hub, request: Request) -> Response:
    """Receive an object as it comes, and keep it if it is what its name says."""
    sha256, size_bytes = _object(request)
    if hub.blobs.size(sha256) is None:
        with hub.blobs.receive(sha256, size_bytes) as arriving:
            async for piece in request.stream():
                arriving.write(piece)
    return Response(headers={"ETag": f'"{sha256}"'})


async def upload_part(hub: Hub, request: Request) -> Response:
    """Receive a part of an object."""
    number = request.path_params["number"]
    etag = await parts.receive(hub, *_object(request), number, request.stream())
    return Response(headers={"ETag": f'"{etag}"'})


async def complete(hub: Hub, request: Request) -> Response:
    """Put an object together, and keep it if it is what its name says."""
    try:
        wish = await request.json()
        named = sorted((int(part["partNumber"]), str(part["etag"])) for part in wish["parts"])
    except (ValueError, TypeError, KeyError) as error:
        raise Refused(400, "A completion needs a list of parts") from error
    etags = [etag for _, etag in named]
    await run_in_threadpool(parts.assemble, hub, *_object(request), etags)
    return JSONResponse({"success": True})


def _object(request: Request) -> tuple[str, int]:
    return request.path_params["sha256"], int(request.path_params["size"])


def verify(call: Call) -> Response:
    """Confirm that an object arrived."""
    wish = call.json()
    if call.hub.blobs.size(str(wish.get("oid", ""))) != wish.get("size"):
        raise Refused(404, f"The LFS object {wish.get('oid')} is not here, or has another size")
    return JSONResponse({})


def _instruction(call: Call, item: Any, *, in_parts: bool) -> dict[str, Any]:
    sha256, size_bytes = str(item.get("oid", "")), item.get("size")
    if SHA256.fullmatch(sha256) is None or not isinstance(size_bytes, int) or size_bytes < 0:
        message = "an LFS object is named by its sha256 and has a size"
        return {"oid": sha256, "size": 0, "error": {"code": 422, "message": message}}
    if call.hub.blobs.size(sha256) == size_bytes:
        return {"oid": sha256, "size": size_bytes}
    address = f"/-/lfs/{sha256}/{size_bytes}"
    numbers = range(1, parts.count(call.hub, size_bytes) + 1) if in_parts else ()
    if numbers:
        header = {str(number): _link(call, f"{address}/parts/{number}") for number in numbers}
        header["chunk_size"] = str(call.hub.part_bytes)
        action: dict[str, Any] = {"href": _link(call, f"{address}/parts"), "header": header}
    else:
        action = {"href": _link(call, address)}
    verify_href = f"{call.base_url}/{call.repo_id}.git/info/lfs/objects/verify"
    return {
        "oid": sha256,
        "size": size_bytes,
        "authenticated": True,
        "actions": {"upload": action, "verify": {"href": verify_href}},
    }


def _link(call: Call, path: str) -> str:
    return f"{call.base_url}{path}?signature={_signature(call.hub, path)}"


def _signature(hub: Hub, path: str) -> str:
    return hmac.new(hub.upload_key, path.encode(), hashlib.sha256).hexdigest()


_LFS = "/{namespace}/{name}.git/info/lfs/objects"
_OBJECT = "/-/lfs/{sha256}/{size:int}"
ROUTES = [
    Route(_LFS + "/batch", writes(batch), methods=["POST"]),
    Route(_LFS + "/verify", writes(verify), methods=["POST"]),
    Route(_OBJECT, _signed(upload), methods=["PUT"]),
    Route(_OBJECT + "/parts", _signed(complete), methods=["POST"]),
    Route(_OBJECT + "/parts/{number:int}", _signed(upload_part), methods=["PUT"]),
]
