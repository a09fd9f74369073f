"""Whether a request is addressed to this machine by its loopback name.

A web page can point a name of its own at 127.0.0.1 and then read here through the visitor's
browser (DNS rebinding); such a request bears the page's name in its Host header.
"""

from __future__ import annotations

import ipaddress
import re

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::\d+)?")


def is_loopback(host: str) -> bool:
    """Whether a Host header names the loopback interface."""
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = found[1].strip("[]").rstrip(".").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
