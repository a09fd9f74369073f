"""The pictures of a card as parts of its page, so that the page asks for nothing."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from urllib.parse import unquote

from mbrelease.pages.addresses import NoPicture

MAX_PICTURE_BYTES = 20_000_000
"""Of one file; more is no picture for a page."""

_KINDS = {
    ".png": ("image/png", b"\x89PNG\r\n\x1a\n"),
    ".jpg": ("image/jpeg", b"\xff\xd8\xff"),
    ".jpeg": ("image/jpeg", b"\xff\xd8\xff"),
    ".gif": ("image/gif", b"GIF8"),
    ".webp": ("image/webp", b"RIFF"),
}
# A browser runs nothing in a picture; whoever saves it and opens it has no such protection.
_ACTIVE = re.compile(
    r"<\s*(?:[\w-]+:)?(?:script|foreignObject|iframe|handler)\b|\son\w+\s*="
    r"|javascript:|<!ENTITY|<\?xml-stylesheet|@import",
    re.IGNORECASE,
)
_OUTSIDE = re.compile(
    r"(?:href\s*=\s*[\"']?|url\(\s*[\"']?)\s*(?!#|data:image/(?:png|jpeg))[^\s\"')]",
    re.IGNORECASE,
)


def inlined(folder: Path, path: str) -> str:
    """The picture at ``path`` (quoted, from ``folder``) as a ``data:`` address.

    Raises:
        NoPicture: there is none, it lies outside, or it is not what its name says.
    """
    file = inside(folder, path)
    if file.suffix.lower() == ".svg":
        return _data("image/svg+xml", _drawing(file).encode())
    if file.suffix.lower() not in _KINDS:
        raise NoPicture(f"{path} is no picture that can be shown")
    kind, begins = _KINDS[file.suffix.lower()]
    data = _read(file)
    if not data.startswith(begins):
        raise NoPicture(f"{path} is not what its name says")
    return _data(kind, data)


def inside(folder: Path, path: str) -> Path:
    """The file at ``path`` (quoted) in ``folder``.

    Raises:
        NoPicture: there is none, or it lies outside, also by way of a link.
    """
    try:
        file = (folder / unquote(path)).resolve()
        if not file.is_relative_to(folder.resolve()):
            raise NoPicture(f"{path} is outside the folder of the card")
        if not file.is_file():
            raise NoPicture(f"{path} is missing")
    except (OSError, ValueError, RuntimeError) as error:
        raise NoPicture(f"{path[:100]} is no path") from error
    return file


def _drawing(file: Path) -> str:
    try:
        text = _read(file).decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoPicture(f"{file.name} is not UTF-8 text") from error
    if "<svg" not in text:
        raise NoPicture(f"{file.name} is not what its name says")
    if _ACTIVE.search(text):
        raise NoPicture(f"{file.name} holds a script")
    if _OUTSIDE.search(text):
        raise NoPicture(f"{file.name} asks for something from elsewhere")
    return text


def _read(file: Path) -> bytes:
    try:
        if file.stat().st_size > MAX_PICTURE_BYTES:
            raise NoPicture(f"{file.name} is larger than {MAX_PICTURE_BYTES // 10**6} MB")
        return file.read_bytes()
    except OSError as error:
        raise NoPicture(f"{file.name} cannot be read") from error


def _data(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
