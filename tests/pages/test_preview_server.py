"""``mbrelease card --preview`` without a file: one page on loopback, asked for over HTTP."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_reading import Page, write_card

from mbrelease.cards.preview import preview_html
from mbrelease.errors import UserError
from mbrelease.pages.serve import page_server


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    return write_card(tmp_path / "owl")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def port(readme: Path, said: list[str]) -> Iterator[int]:
    with page_server(lambda: preview_html(readme).html, 0, log=said.append) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def ask(port: int, path: str = "/", method: str = "GET", host: str | None = None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", host or f"127.0.0.1:{port}")
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def test_the_page_is_made_anew_for_each_request(port: int, readme: Path) -> None:
    status, headers, text = ask(port)
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["X-Frame-Options"] == "DENY" and headers["Cache-Control"] == "no-store"
    assert "Every seed" in Page(text).text
    readme.write_text("# Changed\n")
    assert "Changed" in Page(ask(port)[2]).text
    assert ask(port, method="HEAD")[2] == ""


@pytest.mark.parametrize(
    "path",
    ["/README.md", "/figures/owl.png", "/../owl/README.md", "/%2e%2e/", "/etc/passwd",
     "/figures/", "*", "http://127.0.0.1/"],
)  # fmt: skip
def test_nothing_but_the_page_is_served(port: int, path: str) -> None:
    status, _, text = ask(port, path)
    assert status == 404
    assert text == "There is one page here, at /\n"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "10.0.0.1", "localhost.evil"])
def test_other_names_for_this_machine_are_refused(port: int, host: str) -> None:
    assert ask(port, host=host)[0] == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]:80"])
def test_names_of_loopback_are_served(port: int, host: str) -> None:
    assert ask(port, host=host)[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_only_reading_is_served(port: int, method: str) -> None:
    assert ask(port, method=method)[0] == 501


def test_a_card_that_went_away_is_said(port: int, readme: Path, said: list[str]) -> None:
    readme.unlink()
    status, _, text = ask(port)
    assert status == 500
    assert "README.md" in text and "Traceback" not in text
    assert said == [text.strip()]


def test_a_visitor_that_goes_away_ends_nothing(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as visitor:
        visitor.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    with socket.create_connection(("127.0.0.1", port)) as visitor:
        visitor.sendall(b"\0\xff\r\n\r\n")
    assert ask(port)[0] == 200


def test_a_port_in_use_is_said() -> None:
    refused = pytest.raises(UserError, match="is in use by another program")
    with socket.create_server(("127.0.0.1", 0)) as busy, refused:
        page_server(str, busy.getsockname()[1], log=print)


def test_ctrl_c_ends_it_well(readme: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mbrelease.cli.card_preview import preview;"
        "preview(Path(sys.argv[1]), output=None, port=None)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(readme)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:") and url.endswith("/")
        assert ask(int(url.rstrip("/").rpartition(":")[2]))[0] == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
        assert process.stdout.read() == ""
        assert process.stderr.read().endswith("Ctrl-C ends it.\nstopped\n")
