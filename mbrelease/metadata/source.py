"""Where a result comes from: ``source`` of ``model-index`` and of ``.eval_results``."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from mbrelease.metadata.finding import Finding, shown
from mbrelease.metadata.kinds import has, is_mapping, texts_in
from mbrelease.metadata.spot import Spot


def check_source(parent: Spot, *more: str) -> Iterator[Finding]:
    """A source has a ``url``; its name (and what ``more`` names) is text."""
    spot = parent.get("source")
    if spot is None:
        return
    yield from is_mapping(spot, "a mapping with url and name")
    yield from has(spot, "url")
    yield from texts_in(spot, "url", "name", *more)
    url = spot.get("url")
    if url is not None and isinstance(url.value, str) and not is_url(url.value):
        yield url.error(f"{url.name} {shown(url.value)} is no address", "https://…")


def is_url(text: str) -> bool:
    """Whether ``text`` is the address of a page."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc) and " " not in text
