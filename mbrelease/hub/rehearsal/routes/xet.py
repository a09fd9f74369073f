"""Where a client with hf_xet is to leave large files."""

from __future__ import annotations

import time

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mbrelease.hub.rehearsal.call import Call, writes
from mbrelease.hub.rehearsal.xet import TOKEN_SECONDS, new_upload_folder


def write_token(call: Call) -> Response:
    """Give out a folder for one upload."""
    with call.hub.database.reading() as connection:
        call.repository(connection)
    folder = new_upload_folder(call.hub.xet_folder)
    return JSONResponse(
        {
            "accessToken": "rehearsal",
            "exp": int(time.time()) + TOKEN_SECONDS,
            "casUrl": f"local://{folder}",
        }
    )


ROUTES = [
    Route("/api/models/{namespace}/{name}/xet-write-token/{revision}", writes(write_token)),
]
