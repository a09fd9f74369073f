"""Refuses the network to the code of a card, and to the Python processes that it starts.

Python imports this file by itself when it starts, under the name ``sitecustomize``. It guards
against mistakes, such as an example that downloads; it is no sandbox. What opens a connection
without Python's sockets is not seen here: a library in C or Rust, or another program.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from typing import Any

REFUSES_NETWORK = True


class NetworkRefused(ConnectionError):
    """The code of a card is run without a network."""


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not event.startswith("socket."):
        return
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        connection, address = arguments
        if connection.family in (socket.AF_INET, socket.AF_INET6) and address:
            _refuse_unless_here(address[0])
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        _refuse_unless_here(arguments[0])


def _refuse_unless_here(host: Any) -> None:
    name = host.decode(errors="replace") if isinstance(host, bytes | bytearray) else host
    if name in (None, "", "localhost"):
        return
    try:
        address = ipaddress.ip_address(str(name).partition("%")[0])
    except ValueError:
        address = None
    if address is None or not (address.is_loopback or address.is_unspecified):
        raise NetworkRefused(f"no network while the code of a card is run: {name}")


sys.addaudithook(_watch)
