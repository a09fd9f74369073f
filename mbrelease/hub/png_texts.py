"""The texts in a PNG that cannot be seen in its bytes, because they are compressed.

The format is that of the PNG specification (third edition, 11.3.3): a chunk ``zTXt`` is a keyword,
a zero, a zero for deflate and the compressed text; ``iTXt`` has a flag for it, and two more names.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_TEXT_BYTES = 10_000_000


def compressed_texts(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield (keyword, text) of each compressed text in ``data``; of no PNG, nothing.

    A text that cannot be read is left out, and of a very long one the rest.
    """
    for kind, body in _chunks(data):
        keyword, _, rest = body.partition(b"\0")
        if kind == b"iTXt" and rest[:1] == b"\1":
            rest = rest[1:2] + rest[2:].split(b"\0", 2)[-1]
        elif kind != b"zTXt":
            continue
        try:
            text = zlib.decompressobj().decompress(rest[1:], MAX_TEXT_BYTES)
        except zlib.error:
            continue
        yield keyword.decode("latin-1"), text


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The type and the data of each chunk that is there whole."""
    if not data.startswith(_SIGNATURE):
        return
    position = len(_SIGNATURE)
    while position + 12 <= len(data):
        size = int.from_bytes(data[position : position + 4])
        yield data[position + 4 : position + 8], data[position + 8 : position + 8 + size]
        position += 12 + size
