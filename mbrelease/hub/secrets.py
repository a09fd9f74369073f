"""Find credentials in what is about to be published.

The patterns are our own: the scanners in common use miss the Hub's tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# Each is anchored by a prefix that its issuer gives away, so that hashes are not taken for keys.
PATTERNS = {
    "a Hugging Face token": rb"\b(?:hf|api_org)_[A-Za-z0-9]{30,}",
    "an AWS access key": rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a private key": rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
    "a GitHub token": rb"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{50,})",
    "a GitLab token": rb"\bglpat-[A-Za-z0-9_-]{20,}",
    "a Google API key": rb"\bAIza[0-9A-Za-z_-]{35}",
    "a Slack token": rb"\bxox[abeprs]-[A-Za-z0-9-]{10,}",
    "an OpenAI or Anthropic key": rb"\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,}",
}
_COMPILED = {kind: re.compile(pattern) for kind, pattern in PATTERNS.items()}


def find_secrets(data: bytes, token: str | None = None) -> Iterator[tuple[int, str]]:
    """Yield (line, kind) of each secret in ``data``; the secret itself is never returned.

    ``token`` is the one in use, which is looked for whatever its form.
    """
    if token and len(token) >= 8:
        start = data.find(token.encode())
        if start >= 0:
            yield _line(data, start), "the token in use"
    for kind, pattern in _COMPILED.items():
        for match in pattern.finditer(data):
            yield _line(data, match.start()), kind


def _line(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1
