"""Large files: the LFS batch call, and the upload itself (basic transfer)."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mbrelease.errors import UserError
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
    if "basic" not in wish.get("transfers", ["basic"]):
        raise Refused(400, "LFS batch serves the basic transfer only")
    objects = wish.get("objects")
    if not isinstance(objects, list):
        raise Refused(400, "LFS batch needs a list of objects")
    return JSONResponse(
        {
            "transfer": "basic",
            "hash_algo": "sha256",
            "objects": [_instruction(call, item) for item in objects],
        },
        media_type="application/vnd.git-lfs+json",
    )


async def upload(request: Request) -> Response:
    """Receive an object as it comes, and keep it if it is what its name says."""
    hub: Hub = request.app.state.hub
    sha256, size_bytes = request.path_params["sha256"], int(request.path_params["size"])
    # Upload links are called without a token: the signature is the permission.
    given = request.query_params.get("signature", "")
    if not hmac.compare_digest(given.encode(), _signature(hub, sha256, size_bytes).encode()):
        return refusal(Refused(403, "This upload link was not issued by this Hub"))
    try:
        if hub.blobs.size(sha256) is None:
            with hub.blobs.receive(sha256, size_bytes) as arriving:
                async for piece in request.stream():
                    arriving.write(piece)
    except ClientDisconnect:
        return Response(status_code=400)
    except Refused as error:
        return refusal(error)
    except UserError as error:
        return refusal(Refused(507, str(error)))
    return Response(headers={"ETag": f'"{sha256}"'})


def verify(call: Call) -> Response:
    """Confirm that an object arrived."""
    wish = call.json()
    if call.hub.blobs.size(str(wish.get("oid", ""))) != wish.get("size"):
        raise Refused(404, f"The LFS object {wish.get('oid')} is not here, or has another size")
    return JSONResponse({})


def _instruction(call: Call, item: Any) -> dict[str, Any]:
    sha256, size_bytes = str(item.get("oid", "")), item.get("size")
    if SHA256.fullmatch(sha256) is None or not isinstance(size_bytes, int) or size_bytes < 0:
        message = "an LFS object is named by its sha256 and has a size"
        return {"oid": sha256, "size": 0, "error": {"code": 422, "message": message}}
    if call.hub.blobs.size(sha256) == size_bytes:
        return {"oid": sha256, "size": size_bytes}
    signature = _signature(call.hub, sha256, size_bytes)
    href = f"{call.base_url}/-/lfs/{sha256}/{size_bytes}?signature={signature}"
    verify_href = f"{call.base_url}/{call.repo_id}.git/info/lfs/objects/verify"
    return {
        "oid": sha256,
        "size": size_bytes,
        "authenticated": True,
        "actions": {"upload": {"href": href}, "verify": {"href": verify_href}},
    }


def _signature(hub: Hub, sha256: str, size_bytes: int) -> str:
    message = f"{sha256}/{size_bytes}".encode()
    return hmac.new(hub.upload_key, message, hashlib.sha256).hexdigest()


_LFS = "/{namespace}/{name}.git/info/lfs/objects"
ROUTES = [
    Route(_LFS + "/batch", writes(batch), methods=["POST"]),
    Route(_LFS + "/verify", writes(verify), methods=["POST"]),
    Route("/-/lfs/{sha256}/{size:int}", upload, methods=["PUT"]),
]
