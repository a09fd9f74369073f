"""A release folder, a rehearsal Hub, the real client, and a proxy that loses answers."""

from __future__ import annotations

import http.client
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from mbrelease.hub import download, patience, reconcile, tagging

# Not a token of anyone; long enough for the patterns that look for one.
TOKEN = "hf_" + "Rehearsal" * 4

README = """---
license: apache-2.0
language: [en]
---

# Tiny

A tiny model.
"""

RESULT = "- dataset:\n    id: org/papers\n    task_id: retrieval\n  value: 20.9\n"


@pytest.fixture(autouse=True)
def client_talks_to_nobody_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The client asks the public Hub for a list of harnesses, and looks for a token at home."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)


@pytest.fixture(autouse=True)
def nobody_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """It pauses for half a minute before it gives a download up."""
    from huggingface_hub import file_download
    from huggingface_hub.utils import _http

    awake = SimpleNamespace(sleep=lambda seconds: None, time=time.time, monotonic=time.monotonic)
    monkeypatch.setattr(_http, "time", awake)
    monkeypatch.setattr(file_download, "time", awake)
    # Nor do we, but where a Hub tells for how long.
    monkeypatch.setattr(download, "PAUSES_SECONDS", (0.01, 0.01))
    monkeypatch.setattr(patience, "PAUSES_SECONDS", (0.01, 0.01))
    monkeypatch.setattr(reconcile, "LOOKS_SECONDS", (0.0, 0.01))
    monkeypatch.setattr(tagging, "LOOKS_SECONDS", (0.0, 0.01))


@pytest.fixture
def release(released: Path, tmp_path: Path) -> Path:
    """A folder as `mbrelease release` makes it: a tiny ModernBERT that loads, with its card."""
    folder = Path(shutil.copytree(released, tmp_path / "release"))
    (folder / "figures").mkdir()
    (folder / ".eval_results").mkdir()
    (folder / "README.md").write_text(README)
    (folder / "LICENSE").write_text("Apache License\n")
    (folder / "averaging.json").write_text(json.dumps({"recipe": "uniform"}))
    (folder / "figures" / "curve.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    (folder / ".eval_results" / "dev.yaml").write_text(RESULT)
    return folder


@pytest.fixture
def hub_url(tmp_path: Path) -> Iterator[str]:
    """A rehearsal Hub of one's own on loopback."""
    from mbrelease.hub.rehearsal.server import running

    with running(tmp_path / "hub") as url:
        yield url


@pytest.fixture
def api(hub_url: str):
    """The real client."""
    from huggingface_hub import HfApi

    return HfApi(endpoint=hub_url, token=TOKEN)


Tamper = Callable[[str, str, int, bytes], tuple[int, bytes] | None]


@dataclass
class Proxy:
    """A Hub behind a proxy that may lose or change an answer after the Hub has given it.

    ``tamper(method, path, status, body)`` returns what the client gets, or ``None`` for a cut
    connection; ``refuse(method, path)`` says which requests never reach the Hub.
    """

    url: str
    upstream: str
    log: list[tuple[str, str, int]] = field(default_factory=list)
    """(method, path, bytes of the request's body)"""
    tamper: Tamper = lambda method, path, status, body: (status, body)
    refuse: Callable[[str, str], bool] = lambda method, path: False
    answers: Callable[[str, str], tuple[int, list[tuple[str, str]], bytes] | None] = (
        lambda method, path: None
    )
    """(status, headers, body) that the proxy itself gives; the Hub does not hear of the request."""

    headers: Callable[[str, str], dict[str, str]] = lambda method, path: {}
    """What stands in the place of the Hub's own headers."""
    cut: Callable[[str, str], int | None] = lambda method, path: None
    """After how many bytes of the body the connection breaks."""
    token: str | None = None
    """What the Hub gets in the place of the client's token."""
    ranges: list[str] = field(default_factory=list)
    """What parts of files were asked for."""

    def count(self, method: str, part: str) -> int:
        """How many requests had ``part`` in their path."""
        return sum(1 for m, path, _ in self.log if m == method and part in path)

    def bytes_sent(self, method: str, part: str) -> int:
        """The bytes that the client sent in them."""
        return sum(size for m, path, size in self.log if m == method and part in path)


@pytest.fixture
def proxy(hub_url: str) -> Iterator[Proxy]:
    """A proxy in front of the rehearsal Hub, over real TCP."""
    state = Proxy("", hub_url)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.read_body()
            state.log.append((self.command, self.path, len(body)))
            state.ranges += [wanted] if (wanted := self.headers.get("Range")) else []
            self.close_connection = True
            if state.refuse(self.command, self.path):
                return
            status, headers, content = state.answers(self.command, self.path) or self.forward(body)
            answer = state.tamper(self.command, self.path, status, content)
            if answer is None:
                return
            self.send_response(answer[0])
            for name, value in (dict(headers) | state.headers(self.command, self.path)).items():
                lengths = {"content-length", "transfer-encoding", "connection"}
                if name.lower() not in lengths:
                    self.send_header(name, value)
            length = {k.lower(): v for k, v in headers}.get("content-length")
            is_head = self.command == "HEAD"
            self.send_header("Content-Length", str(length if is_head else len(answer[1])))
            self.end_headers()
            if not is_head:
                self.wfile.write(answer[1][: state.cut(self.command, self.path)])

        do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = answer

        def read_body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            address = urlsplit(state.upstream)
            assert address.hostname
            connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in {"transfer-encoding", "connection", "content-length"}
            }
            headers["Content-Length"] = str(len(body))
            if state.token is not None and "authorization" in headers:
                headers["authorization"] = f"Bearer {state.token}"
            try:
                connection.request(self.command, self.path, body, headers)
                response = connection.getresponse()
                return response.status, response.getheaders(), response.read()
            finally:
                connection.close()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def cut_api(proxy: Proxy):
    """The real client behind the proxy."""
    from huggingface_hub import HfApi

    return HfApi(endpoint=proxy.url, token=TOKEN)
