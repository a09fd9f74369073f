"""Signing with a job's identity, as far as it goes without Sigstore, which is on the network."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from signing_keys import write_keys

from mbrelease.cli.main import main
from mbrelease.errors import CheckFailed, UserError
from mbrelease.hub.signed_files import SIGNATURE
from mbrelease.hub.signing import sign_release, verify_signature
from mbrelease.hub.signing_keys import (
    GITHUB_ISSUER,
    Identity,
    Keyless,
    read_keyless,
    read_private_key,
)

WORKFLOW = "owls/owl-science/.github/workflows/release.yml@refs/tags/v1.0"


def token(**claims: object) -> str:
    """A token as GitHub issues it; its signature is nobody's, and only Sigstore would look."""
    now = int(time.time())
    stated = {
        "iss": GITHUB_ISSUER,
        "aud": "sigstore",
        "sub": "repo:owls/owl-science:ref:refs/tags/v1.0",
        "job_workflow_ref": WORKFLOW,
        "iat": now,
        "nbf": now - 5,
        "exp": now + 300,
        **claims,
    }
    stated = {name: value for name, value in stated.items() if value is not None}
    parts = ({"alg": "RS256", "typ": "JWT"}, stated, "secret-of-the-job")
    return ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts
    )


@pytest.fixture(autouse=True)
def sigstore_writes_nothing_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "sigstore"))


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, str], None]]:
    """The environment of a job of GitHub Actions with ``id-token: write``.

    Call it to set the status and the token that its issuer answers.
    """
    answer = [200, token()]

    class Issuer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.headers["Authorization"] == "bearer request-token"
            assert self.path.endswith("audience=sigstore")
            body = json.dumps({"value": answer[1]}).encode()
            self.send_response(int(answer[0]))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Issuer)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "request-token")
    monkeypatch.setenv(
        "ACTIONS_ID_TOKEN_REQUEST_URL", f"http://127.0.0.1:{server.server_port}/token?v=1"
    )
    try:
        yield lambda status, value: answer.__setitem__(slice(None), [status, value])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_identity_is_the_workflow_with_its_ref(job) -> None:
    assert read_keyless() == Keyless(Identity(f"https://github.com/{WORKFLOW}", GITHUB_ISSUER))


@pytest.mark.parametrize(
    ("status", "value"),
    [
        (403, "forbidden"),
        (200, "malformed"),
        (200, token(aud="another")),
        (200, token(exp=1)),
        (200, token(job_workflow_ref=None)),
    ],
)
def test_a_token_that_is_no_good_is_told_and_not_shown(job, status: int, value: str) -> None:
    job(status, value)
    with pytest.raises(UserError, match="cannot sign without a key") as failure:
        read_keyless()
    assert failure.value.mend and "id-token: write" in failure.value.mend
    assert value not in str(failure.value)


def test_a_job_without_the_permission_is_told_which(
    release: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", raising=False)
    assert main(["push", str(release), "--to", "owls/owl-science", "--sign-keyless"]) == 2
    assert "give the job 'id-token: write'" in capsys.readouterr().err


def test_without_a_network_nothing_is_signed(job, release: Path) -> None:
    with pytest.raises(CheckFailed, match="Sigstore"):
        sign_release(release, read_keyless())
    assert not (release / SIGNATURE).exists()


def test_a_certificate_and_a_key_are_told_apart(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    private, public = write_keys(tmp_path / "keys")
    place = sign_release(release, read_private_key(private))
    bundle = json.loads(place.read_text())
    bundle["verificationMaterial"] = {"certificate": {"rawBytes": "AA=="}, "tlogEntries": []}
    place.write_text(json.dumps(bundle))
    call = ["verify", str(release), "--signature"]
    assert main([*call, "--public-key", str(public)]) == 1
    assert "was signed without a key, by Sigstore" in capsys.readouterr().err
    # Whether the certificate is good, only Sigstore's own keys can tell.
    assert main([*call, "--identity", "x", "--issuer", "y"]) == 1
    assert "Sigstore could not be asked" in capsys.readouterr().err


@pytest.mark.skip(reason="needs Sigstore (sigstore.dev) and the identity of a job")
def test_what_a_job_signs_verifies_by_its_identity(release: Path) -> None:
    keyless = read_keyless()
    sign_release(release, keyless)
    verify_signature(release, keyless.identity)
