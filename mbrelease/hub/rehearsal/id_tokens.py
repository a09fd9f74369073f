"""Identity tokens of CI jobs: JSON Web Tokens, signed by an issuer on this machine.

A job proves who it is with a token that its CI has signed (OpenID Connect). The keys are where
the issuer says (RFC 8414: ``/.well-known/openid-configuration``); the signature is RS256, RSA with
SHA-256 and the padding of PKCS #1 v1.5 (RFC 8017, 8.2.2), which is what GitHub uses.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from mbrelease.pages.loopback import is_loopback

# The DER encoding of "a SHA-256 follows" (RFC 8017, 9.2, note 1).
_SHA256_FOLLOWS = bytes.fromhex("3031300d060960864801650304020105000420")
_ANSWER_SECONDS = 10.0


class Unproven(Exception):
    """The token proves nothing; the message says why."""


def stated_claims(token: str) -> dict[str, Any]:
    """What ``token`` says of itself; nothing of it is proven.

    Raises:
        Unproven: it is no JSON Web Token.
    """
    return _json_part(_parts(token)[1])


def prove(token: str, *, audience: str) -> dict[str, Any]:
    """The claims of ``token``, whose signature, audience and time hold.

    Its issuer is asked for its keys; it must be on this machine.

    Raises:
        Unproven: they do not hold, or the issuer cannot be asked.
    """
    head, body, signature = _parts(token)
    header, claims = _json_part(head), _json_part(body)
    if header.get("alg") != "RS256":
        raise Unproven("the token is not signed with RS256")
    key = _key(str(claims.get("iss", "")), str(header.get("kid", "")))
    if not _is_signed(f"{head}.{body}".encode(), _bytes(signature), key):
        raise Unproven("the signature is not the issuer's")
    audiences = claims.get("aud")
    if audience not in (audiences if isinstance(audiences, list) else [audiences]):
        raise Unproven(f"the token is not for {audience}")
    now = time.time()
    if not _number(claims, "nbf", 0.0) - 60 <= now < _number(claims, "exp", 0.0):
        raise Unproven("the token is not of this hour")
    return claims


def _parts(token: str) -> tuple[str, str, str]:
    parts = token.split(".")
    if len(parts) != 3:
        raise Unproven("this is no JSON Web Token")
    return parts[0], parts[1], parts[2]


def _bytes(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unproven("this is no JSON Web Token") from error


def _json_part(part: str) -> dict[str, Any]:
    try:
        value = json.loads(_bytes(part))
    except ValueError as error:
        raise Unproven("this is no JSON Web Token") from error
    if not isinstance(value, dict):
        raise Unproven("this is no JSON Web Token")
    return value


def _number(claims: Mapping[str, Any], name: str, default: float) -> float:
    value = claims.get(name, default)
    return float(value) if isinstance(value, int | float) else default


def _key(issuer: str, name: str) -> tuple[int, int]:
    """Modulus and exponent of the issuer's key ``name``."""
    address = _ask(f"{issuer}/.well-known/openid-configuration").get("jwks_uri")
    keys = _ask(str(address)).get("keys")
    for key in keys if isinstance(keys, list) else []:
        if isinstance(key, dict) and key.get("kid") == name and key.get("kty") == "RSA":
            modulus, exponent = (_bytes(str(key.get(part, ""))) for part in ("n", "e"))
            return int.from_bytes(modulus), int.from_bytes(exponent)
    raise Unproven("the issuer does not know the key")


def _ask(address: str) -> dict[str, Any]:
    import httpx2

    try:
        parts = urlsplit(address)
        if parts.scheme != "http" or not is_loopback(parts.netloc):
            raise Unproven("a rehearsal Hub asks issuers on this machine only")
        answer = httpx2.get(address, timeout=_ANSWER_SECONDS, trust_env=False)
        value = answer.json() if answer.status_code == 200 else None
    except (httpx2.HTTPError, ValueError) as error:
        raise Unproven("the issuer does not answer") from error
    if not isinstance(value, dict):
        raise Unproven("the issuer does not answer")
    return value


def _is_signed(message: bytes, signature: bytes, key: tuple[int, int]) -> bool:
    modulus, exponent = key
    size_bytes = (modulus.bit_length() + 7) // 8
    digest = _SHA256_FOLLOWS + hashlib.sha256(message).digest()
    padding = size_bytes - len(digest) - 3
    number = int.from_bytes(signature)
    if padding < 8 or len(signature) != size_bytes or number >= modulus:
        return False
    expected = b"\x00\x01" + b"\xff" * padding + b"\x00" + digest
    return hmac.compare_digest(pow(number, exponent, modulus).to_bytes(size_bytes), expected)
