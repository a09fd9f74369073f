"""The open connections of a rehearsal Hub, so that one of them can be cut."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import cast

from uvicorn.protocols.http.h11_impl import H11Protocol

Address = tuple[str, int]


class Connections:
    """The open connections by the client's address."""

    def __init__(self) -> None:
        self._open: dict[Address, asyncio.Transport] = {}

    def protocol(self) -> type[asyncio.Protocol]:
        """What uvicorn is to speak, so that its connections are known here."""
        known = self._open

        class Known(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                known[transport.get_extra_info("peername")[:2]] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                known.pop(self.transport.get_extra_info("peername")[:2], None)
                super().connection_lost(exc)

        return cast("type[asyncio.Protocol]", Known)

    def cut(self, client: Address, *, abruptly: bool) -> None:
        """End a connection: by a reset, or as if the other side had finished early."""
        transport = self._open[client]
        if not abruptly:
            transport.close()
            return
        # To linger for zero seconds is to reset, also where nothing was left unread.
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
