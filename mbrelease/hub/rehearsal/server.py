"""Serving a rehearsal Hub on loopback, in this process."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mbrelease.errors import MissingExtra, UserError
from mbrelease.hub.rehearsal.faults import Fault
from mbrelease.hub.rehearsal.hub import PART_BYTES, opened

if TYPE_CHECKING:
    import uvicorn

    from mbrelease.hub.rehearsal.hub import Hub

HOST = "127.0.0.1"
_EXTRA = ("starlette", "uvicorn", "markdown_it")
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


@contextlib.contextmanager
def running(
    root: Path,
    port: int = 0,
    *,
    faults: Sequence[Fault] = (),
    part_bytes: int = PART_BYTES,
    log: Callable[[str], None] | None = None,
) -> Iterator[str]:
    """Serve the Hub below ``root`` for the length of a block and yield its base URL.

    Port 0 takes a free one. The state stays in ``root``.

    Args:
        faults: what goes wrong, and when.
        part_bytes: LFS objects that are larger come in parts of this size.
        log: takes a line for each request.

    Raises:
        MissingExtra: the extra [rehearsal] is not installed.
        UserError: the port is busy, ``root`` cannot be written or is being served already.
    """
    with opened(root, part_bytes=part_bytes) as hub, bound_socket(port) as bound:
        server = _server(hub, log, faults)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        try:
            _wait_for(lambda: server.started or not thread.is_alive(), _START_SECONDS)
            if not server.started:
                raise UserError("the rehearsal Hub did not start")
            yield f"http://{HOST}:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(_STOP_SECONDS)


def serve(
    root: Path,
    port: int,
    *,
    faults: Sequence[Fault] = (),
    announce: Callable[[str], None],
    log: Callable[[str], None],
) -> None:
    """Serve the Hub below ``root`` until interrupted.

    Args:
        faults: what goes wrong, and when.
        announce: is told the base URL, once requests would be answered.
        log: takes a line for each request.

    Raises:
        MissingExtra: the extra [rehearsal] is not installed.
        UserError: the port is busy, ``root`` cannot be written or is being served already.
    """
    with opened(root) as hub, bound_socket(port) as bound:
        server = _server(hub, log, faults)
        # The socket listens already, so whoever reads the address can connect.
        announce(f"http://{HOST}:{bound.getsockname()[1]}")
        # uvicorn ends its work on Ctrl-C and then raises what it was sent.
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[bound])


@contextlib.contextmanager
def bound_socket(port: int) -> Iterator[socket.socket]:
    """A socket that listens on loopback.

    Raises:
        UserError: the port is busy or not allowed.
    """
    # With the protocol named, asyncio turns Nagle off: without it each answer waits 40 ms.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    with bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((HOST, port))
            bound.listen(128)
        except OSError as error:
            raise _unusable(port, error) from error
        yield bound


def _unusable(port: int, error: OSError) -> UserError:
    mend = "choose another with --port, or --port 0 for any free one"
    if error.errno == errno.EADDRINUSE:
        return UserError(f"port {port} is in use by another program", mend=mend)
    return UserError(f"cannot listen on port {port}: {error.strerror}", mend=mend)


def _server(hub: Hub, log: Callable[[str], None] | None, faults: Sequence[Fault]) -> uvicorn.Server:
    if any(importlib.util.find_spec(name) is None for name in _EXTRA):
        raise MissingExtra("rehearsal", "mbrelease rehearse")
    import uvicorn

    from mbrelease.hub.rehearsal.app import build
    from mbrelease.hub.rehearsal.connections import Connections

    connections = Connections() if faults else None
    return uvicorn.Server(
        uvicorn.Config(
            build(hub, log, faults=faults, connections=connections),
            http=connections.protocol() if connections else "auto",
            # A header of the request must not change whose connection it is.
            proxy_headers=False,
            access_log=False,
            log_level="error",
            log_config=None,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=3,
        )
    )


def _wait_for(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
