"""One page, served on loopback to whoever sits at this machine."""

from __future__ import annotations

import errno
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mbrelease.errors import UserError
from mbrelease.pages.loopback import is_loopback

HOST = "127.0.0.1"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_PATIENCE_SECONDS = 10


def page_server(
    page: Callable[[], str], port: int, *, log: Callable[[str], None]
) -> ThreadingHTTPServer:
    """A server of one page at ``/``; the caller runs it, and closes it.

    Nothing else is served, so no path leads to a file.

    Args:
        page: the HTML, made anew for each request.
        port: on 127.0.0.1; 0 takes a free one.
        log: is told why a page could not be made.

    Raises:
        UserError: the port is busy or not allowed.
    """
    handler = type("Handler", (_Handler,), {"page": staticmethod(page), "log": staticmethod(log)})
    try:
        return _Server((HOST, port), handler)
    except OSError as error:
        busy = error.errno == errno.EADDRINUSE
        what = "is in use by another program" if busy else f"cannot be used: {error.strerror}"
        mend = "choose another, or 0 for any free one"
        raise UserError(f"port {port} {what}", mend=mend) from error


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away amid an answer is no fault."""


class _Handler(BaseHTTPRequestHandler):
    page: Callable[[], str]
    log: Callable[[str], None]
    timeout = _PATIENCE_SECONDS
    server_version, sys_version = "mbrelease", ""

    def do_GET(self) -> None:
        """Answer with the page."""
        if not is_loopback(self.headers.get("Host", "")):
            self._answer(403, "text/plain", "This page is for loopback addresses only\n")
        elif self.path.partition("?")[0] != "/":
            self._answer(404, "text/plain", "There is one page here, at /\n")
        else:
            self._show()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a person looks at one page."""

    def _show(self) -> None:
        try:
            html = self.page()
        except UserError as error:
            self.log(str(error))
            self._answer(500, "text/plain", f"{error}\n")
        else:
            self._answer(200, "text/html", html)

    def _answer(self, status: int, kind: str, text: str) -> None:
        data = text.encode("utf-8", errors="replace")
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
