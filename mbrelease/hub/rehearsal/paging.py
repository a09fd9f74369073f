"""Long lists in pages, chained by the ``Link`` header."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from urllib.parse import urlencode

from mbrelease.hub.rehearsal.call import Call

Item = TypeVar("Item")


def page(items: Sequence[Item], call: Call, default_size: int) -> tuple[Sequence[Item], int | None]:
    """The items from the cursor on, and the next cursor (``None`` at the end)."""
    limit = call.option("limit")
    size = min(int(limit), default_size) if limit.isdecimal() and int(limit) > 0 else default_size
    cursor = call.option("cursor", "0")
    start = int(cursor) if cursor.isdecimal() else 0
    following = start + size
    return items[start:following], following if following < len(items) else None


def next_link(call: Call, cursor: int | None) -> dict[str, str]:
    """The header that leads to the next page, if there is one."""
    if cursor is None:
        return {}
    query = {**call.query, "cursor": [str(cursor)]}
    return {"Link": f'<{call.base_url}{call.path}?{urlencode(query, doseq=True)}>; rel="next"'}
