"""A stand-in for the runner's issuer of identity tokens: the addresses that a GitHub job is given.

The tokens are real: RS256, with a key that is made here and served as GitHub serves its own.
"""

import base64
import hashlib
import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

SHA256_FOLLOWS = bytes.fromhex("3031300d060960864801650304020105000420")
EXPONENT = 65537
# Handed to the job by the runner; asked for a token with it.
REQUEST_TOKEN = "of-this-run"


def is_prime(number: int, draw: random.Random) -> bool:
    """Miller-Rabin, 20 rounds."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(20):
        power = pow(draw.randrange(2, number - 1), odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = pow(power, 2, number)
            if power == number - 1:
                break
        else:
            return False
    return True


@dataclass(frozen=True)
class Key:
    """An RSA key of 1024 bits: small, for it lives as long as a test."""

    modulus: int
    secret: int

    @classmethod
    def make(cls, seed: int) -> "Key":
        draw = random.Random(seed)
        primes: list[int] = []
        while len(primes) < 2:
            number = draw.getrandbits(512) | (3 << 510) | 1
            if (number - 1) % EXPONENT and is_prime(number, draw):
                primes.append(number)
        p, q = primes
        return cls(p * q, pow(EXPONENT, -1, (p - 1) * (q - 1)))

    def sign(self, message: bytes) -> bytes:
        digest = SHA256_FOLLOWS + hashlib.sha256(message).digest()
        padded = b"\x00\x01" + b"\xff" * (128 - len(digest) - 3) + b"\x00" + digest
        return pow(int.from_bytes(padded), self.secret, self.modulus).to_bytes(128)


def part(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


@dataclass
class Issuer:
    """Where it is, and what it says of the job that asks."""

    url: str
    key: Key
    claims: dict[str, Any] = field(default_factory=dict)
    audiences: list[str] = field(default_factory=list)
    """Of the tokens that were asked for."""

    @property
    def request_url(self) -> str:
        return f"{self.url}/token?api-version=2.0"

    def token(self, audience: str, *, key: Key | None = None, **changes: Any) -> str:
        now = int(time.time())
        times = {"iat": now, "nbf": now - 5, "exp": now + 300}
        claims = {"iss": self.url, "aud": audience, **times, **self.claims, **changes}
        header = {"alg": "RS256", "typ": "JWT", "kid": "one"}
        signed = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims).encode())}"
        return f"{signed}.{part((key or self.key).sign(signed.encode()))}"


@contextmanager
def issuing(key: Key) -> Iterator[Issuer]:
    """An issuer on loopback for the length of a block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            if address.path == "/token":
                scheme, _, token = self.headers.get("authorization", "").partition(" ")
                if (scheme.lower(), token) != ("bearer", REQUEST_TOKEN):
                    self.send_error(401)
                    return
                (audience,) = parse_qs(address.query)["audience"]
                issuer.audiences.append(audience)
                self.answer({"value": issuer.token(audience)})
            elif address.path == "/.well-known/openid-configuration":
                self.answer({"issuer": issuer.url, "jwks_uri": f"{issuer.url}/jwks"})
            elif address.path == "/jwks":
                size = (key.modulus.bit_length() + 7) // 8
                modulus = part(key.modulus.to_bytes(size))
                known = {"kty": "RSA", "kid": "one", "alg": "RS256", "use": "sig"}
                self.answer({"keys": [{**known, "n": modulus, "e": part(b"\x01\x00\x01")}]})
            else:
                self.send_error(404)

        def answer(self, value: Any) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = Issuer(f"http://127.0.0.1:{server.server_address[1]}", key)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
