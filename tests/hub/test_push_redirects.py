"""The token is for one host: to another, to which that one redirects, it is not sent."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from outcome import write_release

from mbrelease.cli.main import main

REPO = "lab/tiny"
TOKEN = "hf_" + "Rehearsal" * 4
OTHER_TOKEN = "of-the-other-host"


@dataclass
class Host:
    """A host before the rehearsal Hub, and the requests that came to it.

    Fields:
        redirects_to: where requests are sent on to, instead of being handed to the Hub.
        own_token: with which they are handed on, where none came along.
    """

    hub_url: str
    redirects_to: str | None = None
    own_token: str | None = None
    requests: list[tuple[str, str]] = field(default_factory=list)
    """(method and path, all headers as text)"""

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append((f"{handler.command} {handler.path}", str(handler.headers)))
        length = int(handler.headers.get("Content-Length", 0))
        body = handler.rfile.read(length)
        # The bodies of large files are streams, which clients cannot send a second time.
        if self.redirects_to is not None and handler.command != "PUT":
            handler.send_response(307)
            handler.send_header("Location", self.redirects_to + handler.path)
            handler.send_header("Content-Length", "0")
            if "/resolve/" in handler.path:  # as the public Hub does, which keeps files elsewhere
                _, about, _ = self._ask("HEAD", handler, b"")
                handler.send_header("X-Repo-Commit", about["X-Repo-Commit"])
                handler.send_header("X-Linked-Etag", about["ETag"])
                handler.send_header("X-Linked-Size", about["Content-Length"])
            handler.end_headers()
            return
        status, headers, content = self._ask(handler.command, handler, body)
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    def _ask(
        self, method: str, handler: BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, Message, bytes]:
        hub = http.client.HTTPConnection(urlsplit(self.hub_url).netloc, timeout=30)
        headers = {name: value for name, value in handler.headers.items() if name != "Connection"}
        if self.own_token is not None:
            headers["Authorization"] = f"Bearer {self.own_token}"
        try:
            hub.request(method, handler.path, body, headers)
            answer = hub.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            hub.close()


@contextmanager
def serving(host: Host) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            host.serve(self)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_push_that_is_redirected_takes_no_token_along(
    hub_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    write_release(tmp_path / "release")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    other = Host(hub_url, own_token=OTHER_TOKEN)
    with serving(other) as other_url:
        front = Host(hub_url, redirects_to=other_url)
        with serving(front) as url:
            monkeypatch.setenv("HF_ENDPOINT", url)
            assert main(["push", "release", "--to", REPO, "--tag", "v1"]) == 0
    calls = [call.partition("?")[0].split("/") for call, _ in other.requests]
    for part in ("whoami-v2", "validate-yaml", "create", "preupload", "batch", "commit", "tag",
                 "refs", "tree", "resolve"):  # fmt: skip
        assert any(part in call for call in calls), part
    assert any(TOKEN in headers for _, headers in front.requests)
    for call, headers in other.requests:
        assert TOKEN not in headers, call
        assert TOKEN not in call
