"""Where the links and pictures of a card lead."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

PUBLIC_HUB = "https://huggingface.co"

_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_LINKED = frozenset({"http:", "https:", "mailto:"})
_INLINE_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+")
# A browser drops these wherever they stand in an address: "java\nscript:" is a script to it.
_DROPPED = re.compile(r"[\x00-\x1f\x7f]")


class NoPicture(Exception):
    """A picture is not shown; the message is why, in a few words."""


@dataclass(frozen=True)
class Addresses:
    """How a page turns the addresses of a card into its own.

    Fields:
        link: a path in the repository, as it is written (quoted), to an address; ``None`` where
            the page cannot lead there.
        picture: a path in the repository to the address of a picture; raises ``NoPicture``.
        hub: what stands before an address that begins with a slash.
    """

    link: Callable[[str], str | None]
    picture: Callable[[str], str]
    hub: str = PUBLIC_HUB


def link_target(written: str, addresses: Addresses) -> str | None:
    """The address of a link, or ``None`` if it must not lead anywhere."""
    target = _DROPPED.sub("", written).strip()
    scheme = _SCHEME.match(target)
    if scheme is not None:
        return target if scheme[0].lower() in _LINKED else None
    if target.startswith(("//", "\\", "/\\")):
        return "https://" + target.lstrip("/\\")
    if target.startswith("/"):
        return addresses.hub + target
    path, mark, fragment = target.partition("#")
    if not path:
        return target or None
    found = addresses.link(path.partition("?")[0])
    return None if found is None else found + mark + fragment


def picture_source(written: str, addresses: Addresses) -> str:
    """The address of a picture of the repository, or the picture itself.

    Raises:
        NoPicture: it lies elsewhere, for a page asks nobody, or it cannot be shown.
    """
    target = _DROPPED.sub("", written).strip()
    if _INLINE_PICTURE.fullmatch(target):
        return target
    if not target:
        raise NoPicture("has no address")
    if _SCHEME.match(target) or target.startswith(("/", "\\")):
        raise NoPicture(f"at {_host(target)}, not fetched")
    return addresses.picture(re.split("[?#]", target, maxsplit=1)[0])


def is_elsewhere(target: str) -> bool:
    """Whether a link leaves the page and the Hub that shows it."""
    return _SCHEME.match(target) is not None


def _host(target: str) -> str:
    try:
        parts = urlsplit(target)
    except ValueError:
        return target[:60]
    return parts.netloc or (f"{parts.scheme}: address" if parts.scheme else target[:60])
