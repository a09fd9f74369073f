"""Find credentials in what is about to be published, or shown.

The patterns are our own: the scanners in common use miss the Hub's tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Pattern:
    """How a credential looks; each begins with what its issuer gives away.

    So hashes are not taken for keys, and a large file is searched in one quick pass.
    """

    kind: str
    begins: tuple[bytes, ...]
    goes_on: re.Pattern[bytes]
    """What must follow."""


def _pattern(kind: str, begins: tuple[str, ...], goes_on: str) -> Pattern:
    return Pattern(kind, tuple(b.encode() for b in begins), re.compile(goes_on.encode()))


PATTERNS = (
    _pattern("a Hugging Face token", ("hf_", "api_org_"), r"[A-Za-z0-9]{30,}"),
    _pattern("a Hugging Face token", ("hf_jwt_", "hf_oauth_"), r"[A-Za-z0-9_.-]{30,}"),
    _pattern("an AWS access key", ("AKIA", "ASIA"), r"[0-9A-Z]{16}\b"),
    _pattern(
        "an AWS secret key",
        ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
        r"""["']?\s*[=:]\s*["']?[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])""",
    ),
    _pattern(
        "a private key",
        ("-----BEGIN ",),
        # With what it holds, as far as its end is there: the first line alone gives nothing away.
        r"(?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
        r"(?:(?s:.{0,20000}?)-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----)?",
    ),
    _pattern("a GitHub token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"[A-Za-z0-9]{36}"),
    _pattern("a GitHub token", ("github_pat_",), r"[A-Za-z0-9_]{50,}"),
    _pattern("a GitLab token", ("glpat-",), r"[A-Za-z0-9_-]{20,}"),
    _pattern("a Google API key", ("AIza",), r"[0-9A-Za-z_-]{35}"),
    _pattern(
        "a Slack token", ("xoxa-", "xoxb-", "xoxe-", "xoxp-", "xoxr-", "xoxs-"), r"[\w-]{10,}"
    ),
    _pattern("an OpenAI or Anthropic key", ("sk-",), r"(?:ant-|proj-)?[A-Za-z0-9_-]{32,}"),
    _pattern("a JSON Web Token", ("eyJ",), r"[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
)
# One pass for all of them.
_BEGINS = re.compile(b"|".join(re.escape(b) for pattern in PATTERNS for b in pattern.begins))


REDACTED = "[a secret]"


def find_secrets(data: bytes, token: str | None = None) -> Iterator[tuple[int, str]]:
    """Yield (line, kind) of each secret in ``data``; the secret itself is never returned.

    ``token`` is the one in use, which is looked for whatever its form.
    """
    for start, _, kind in _found(data, token):
        yield _line(data, start), kind


def without_secrets(text: str, token: str | None = None) -> str:
    """``text`` as it may be shown: what looks like a credential is left out, its lines are not."""
    data = text.encode(errors="replace")
    pieces, end = [], 0
    for start, stop, _ in sorted(_found(data, token)):
        if stop > end:
            lines = b"\n" * data.count(b"\n", max(start, end), stop)
            pieces += [data[end : max(start, end)], REDACTED.encode() if start >= end else b""]
            pieces.append(lines)
            end = stop
    return b"".join([*pieces, data[end:]]).decode(errors="replace")


def _found(data: bytes, token: str | None) -> Iterator[tuple[int, int, str]]:
    """Where each secret begins and ends, and its kind; the token in use once."""
    if token and len(token) >= 8:
        start = data.find(token.encode())
        if start >= 0:
            yield start, start + len(token.encode()), "the token in use"
    for hit in _BEGINS.finditer(data):
        position = hit.start()
        if not _is_in_word(data, position):
            for kind, stop in _kinds(data, position):
                yield position, stop, kind


def _is_in_word(data: bytes, position: int) -> bool:
    before = data[position - 1 : position]
    return data[position : position + 1].isalpha() and (before.isalnum() or before == b"_")


def _kinds(data: bytes, position: int) -> Iterator[tuple[str, int]]:
    """What begins at ``position``, and where it ends."""
    for pattern in PATTERNS:
        for begins in pattern.begins:
            end = position + len(begins)
            if data.startswith(begins, position) and (rest := pattern.goes_on.match(data, end)):
                yield pattern.kind, rest.end()


def _line(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1
