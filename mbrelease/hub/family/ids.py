"""What people give for a model: its id, or the address of its page."""

from __future__ import annotations

from urllib.parse import urlsplit

from mbrelease.errors import UserError
from mbrelease.metadata.finding import shown
from mbrelease.metadata.repo_ids import fault_of_repo_id

PUBLIC_HUBS = ("https://huggingface.co", "https://hf.co")
_KINDS = frozenset({"datasets", "spaces", "buckets", "collections", "papers", "docs", "api"})
_MEND = "give ORG/NAME, as on the Hub"


def model_id(text: str, endpoint: str) -> str:
    """The id of the model that ``text`` names.

    Args:
        text: an id, or a URL of ``endpoint`` or of the public Hub: of a model's page, or of
            anything below it.
        endpoint: of the Hub that will be asked.

    Raises:
        UserError: it is neither.
    """
    if "://" in text:
        return _of_page(text, endpoint)
    fault = fault_of_repo_id(text)
    if fault is not None and text.count("/") > 1 and not text.startswith((".", "/", "~")):
        fault = "is no id of a model: it has more than one '/'"
    if fault is not None:
        raise UserError(f"{shown(text)} {fault}", mend=_MEND)
    return text


def _of_page(text: str, endpoint: str) -> str:
    plain = text.partition("?")[0].partition("#")[0]
    for hub in (endpoint, *PUBLIC_HUBS):
        home = f"{_without_scheme(hub)}/"
        if _without_scheme(plain).startswith(home):
            parts = _without_scheme(plain).removeprefix(home).strip("/").split("/")
            break
    else:
        raise UserError(f"{shown(text)} is no page of {endpoint}", mend=_MEND)
    # Of models of the early days the name is all; below it stand tree, blob, resolve and the like.
    named = parts[:1] if parts[1:2] in (["tree"], ["blob"], ["resolve"]) else parts[:2]
    repo_id = "/".join(named)
    if parts[0] in _KINDS or fault_of_repo_id(repo_id) is not None:
        raise UserError(f"{shown(text)} is no page of a model", mend=_MEND)
    return repo_id


def _without_scheme(url: str) -> str:
    """Host, port and path: people write http for https, and hosts in capitals."""
    try:
        parts = urlsplit(url)
    except ValueError:  # such as a bracket of IPv6 that is not closed
        return url
    return f"{parts.netloc.lower()}{parts.path.rstrip('/')}"
