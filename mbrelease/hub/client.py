"""The one place that makes a Hub client, and where its exceptions become sentences."""

from __future__ import annotations

import json
import math
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from logging import ERROR
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from mbrelease import __version__
from mbrelease.errors import CheckFailed, UserError
from mbrelease.hub import trusted_publisher

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub import HfApi

# The client waits for ever by default; a night job must not. A large commit takes a server minutes.
CONNECT_SECONDS = 20.0
ANSWER_SECONDS = 300.0
ANSWER_VARIABLE = "MBRELEASE_ANSWER_SECONDS"


def connect(endpoint: str | None = None, token: str | bool | None = None) -> HfApi:
    """A client for ``endpoint``, or for what ``HF_ENDPOINT`` says, or for the public Hub.

    Without ``token``, it is taken where the Hub's own tools look: the identity of a CI job
    (``HF_OIDC_RESOURCE``), ``HF_TOKEN``, ``hf auth login``. With ``False`` none is sent.

    Raises:
        UserError: the endpoint is no http(s) URL.
    """
    from huggingface_hub import HfApi

    # The client reads HF_ENDPOINT when it is imported, which may have been long ago.
    api = HfApi(
        endpoint=endpoint or os.environ.get("HF_ENDPOINT") or None,
        token=token,
        library_name="mbrelease",
        library_version=__version__,
    )
    api.endpoint = api.endpoint.rstrip("/")
    if not _is_address(api.endpoint):
        shown = api.endpoint.rpartition("@")[2]  # before it may stand a user and password
        raise UserError(
            f"'{shown}' is not the address of a Hub", mend="set HF_ENDPOINT to http(s)://…"
        )
    return api


def _is_address(endpoint: str) -> bool:
    try:
        return urlsplit(endpoint).scheme in {"http", "https"}
    except ValueError:  # such as a bracket of IPv6 that is not closed
        return False


def token_of(api: HfApi) -> str | None:
    """The token that ``api`` sends, if any.

    Raises:
        CheckFailed: a CI job was to get one for its identity, and did not.
    """
    from huggingface_hub import get_token

    if isinstance(api.token, str):
        return api.token
    if api.token is False:
        return None
    try:
        return get_token()
    except Exception as error:
        if not trusted_publisher.is_wanted():
            raise
        raise trusted_publisher.refused(error) from error


def headers_of(api: HfApi) -> dict[str, str]:
    """The headers of a request that the client has no method for, the token among them."""
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    headers: dict[str, str] = build_hf_headers(
        token=token_of(api) or False, library_name="mbrelease", library_version=__version__
    )
    return headers


def raise_for_status(response: Any) -> None:
    """Raise the client's own exception for a failed ``response``."""
    from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]

    hf_raise_for_status(response)


def shown_endpoint(api: HfApi) -> str:
    """The endpoint without a user and password that its URL may carry."""
    parts = urlsplit(api.endpoint)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def patience() -> httpx2.Timeout:
    """How long a connection and an answer are waited for.

    Raises:
        UserError: the variable that tells it holds no positive number.
    """
    import httpx2

    told = os.environ.get(ANSWER_VARIABLE) or str(ANSWER_SECONDS)
    try:
        seconds = float(told)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise UserError(f"{ANSWER_VARIABLE} is {told!r}", mend="give a number of seconds")
    return httpx2.Timeout(seconds, connect=CONNECT_SECONDS)


@contextmanager
def quiet_client() -> Iterator[None]:
    """Without the client's own bars and warnings, and with a limit to its patience."""
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    session, verbosity = get_session(), logging.get_verbosity()
    # Where the environment decides on bars, a change would only make the client warn.
    hides_bars = constants.HF_HUB_DISABLE_PROGRESS_BARS is None and not are_progress_bars_disabled()
    timeout_before = session.timeout
    logging.set_verbosity(ERROR)
    if hides_bars:
        disable_progress_bars()
    session.timeout = patience()
    try:
        with warnings.catch_warnings():
            # Its deprecations, and remarks on the metadata that the plan has shown.
            warnings.simplefilter("ignore")
            yield
    finally:
        session.timeout = timeout_before
        if hides_bars:
            enable_progress_bars()
        logging.set_verbosity(verbosity)


@contextmanager
def transport(api: HfApi, repo_id: str, *, create_pr: bool) -> Iterator[None]:
    """Let the client send large files in a way that the server takes.

    The client (2.4) takes for granted that every server speaks Xet, and fails where one does not;
    there, they go up as plain LFS objects.
    """
    from huggingface_hub import constants

    from mbrelease.hub.patience import read_patiently

    before = constants.HF_HUB_DISABLE_XET
    if not before:
        speaks_xet = read_patiently(lambda: _speaks_xet(api, repo_id, create_pr=create_pr))
        constants.HF_HUB_DISABLE_XET = not speaks_xet
    try:
        with _token_stays_with(api):
            yield
    finally:
        constants.HF_HUB_DISABLE_XET = before


def _speaks_xet(api: HfApi, repo_id: str, *, create_pr: bool) -> bool:
    from huggingface_hub import get_session

    answer = get_session().get(
        f"{api.endpoint}/api/models/{repo_id}/xet-write-token/main",
        params={"create_pr": "1"} if create_pr else {},
        headers=headers_of(api),
    )
    if answer.status_code == 429:
        raise_for_status(answer)
    return answer.status_code == 200


@contextmanager
def _token_stays_with(api: HfApi) -> Iterator[None]:
    """Let no other host have the token that an answer sends the client to.

    The client drops it where a redirect leads elsewhere. But it sends it along wherever an answer
    of the LFS protocol says that the arrival of an object is to be confirmed.
    """
    from huggingface_hub import get_session

    home = urlsplit(api.endpoint).netloc.rpartition("@")[2]

    def drop_elsewhere(request: httpx2.Request) -> None:
        if request.url.netloc.decode("ascii") != home and _confirms_an_object(request):
            request.headers.pop("Authorization", None)

    session = get_session()
    before = session.event_hooks
    session.event_hooks = {**before, "request": [*before["request"], drop_elsewhere]}
    try:
        yield
    finally:
        session.event_hooks = before


def _confirms_an_object(request: httpx2.Request) -> bool:
    """Whether it is the last call for an LFS object; others that use the client are let be."""
    if request.method != "POST" or request.headers.get("Content-Type") != "application/json":
        return False
    told = json.loads(request.read())
    return isinstance(told, dict) and set(told) == {"oid", "size"}


@contextmanager
def sentences(api: HfApi, repo_id: str) -> Iterator[None]:
    """Turn what the client raises inside the block into a ``UserError``."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        told = sentence(error, api, repo_id)
        if told is None:
            raise
        raise told from error


def sentence(error: Exception, api: HfApi, repo_id: str) -> UserError | None:
    """The sentence for an exception of the client; ``None`` for one that is not the client's."""
    import httpx2
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
        OIDCError,
    )

    if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
        # The client wraps what befell one large file.
        told = sentence(error.__cause__, api, repo_id)
        if told is not None:
            return told
    if isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        # The client wraps what befell a download; it looked for the file on disk after that.
        return sentence(error.__cause__, api, repo_id)
    if isinstance(error, OfflineModeIsEnabled):
        return CheckFailed("the Hub client is offline: HF_HUB_OFFLINE is set", mend="unset it")
    if isinstance(error, LocalTokenNotFoundError):
        return no_token()
    if isinstance(error, OIDCError):
        return CheckFailed(f"no token for this job: {_first_line(error, api)}")
    if isinstance(error, HFValidationError):
        return UserError(f"'{repo_id}' is no repository id", mend="give ORG/NAME")
    if isinstance(error, HfHubHTTPError):
        return _told_by_status(error, api, repo_id)
    if isinstance(error, httpx2.UnsupportedProtocol | httpx2.InvalidURL):
        return CheckFailed(f"'{shown_endpoint(api)}' is not a URL", mend="is HF_ENDPOINT right?")
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return CheckFailed(
            f"cannot reach {shown_endpoint(api)}: {_first_line(error, api) or 'no answer'}",
            mend="is HF_ENDPOINT right, and the server up?",
        )
    if isinstance(error, httpx2.TimeoutException):
        return CheckFailed(f"{shown_endpoint(api)} did not answer in time", mend=_AGAIN)
    if isinstance(error, httpx2.HTTPError):
        what = _first_line(error, api) or type(error).__name__
        return CheckFailed(f"the connection to {shown_endpoint(api)} broke: {what}", mend=_AGAIN)
    if isinstance(error, json.JSONDecodeError | KeyError):
        return CheckFailed(
            f"{shown_endpoint(api)} answered what no Hub answers", mend="is HF_ENDPOINT right?"
        )
    if isinstance(error, ValueError | RuntimeError | OSError):
        return CheckFailed(f"the Hub client stopped: {_first_line(error, api)}", mend=_AGAIN)
    return None


def is_ambiguous(error: Exception) -> bool:
    """Whether what was asked may have been done although ``error`` was the answer.

    A definite no is an HTTP status of the 4xx kind; a timeout, a cut connection, a 5xx of a proxy
    and a garbled answer say nothing about what the server did.
    """
    import httpx2
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    if isinstance(error, LocalEntryNotFoundError):
        return isinstance(error.__cause__, Exception) and is_ambiguous(error.__cause__)
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code >= 500 or error.response.status_code == 408
    if isinstance(error, OfflineModeIsEnabled | httpx2.UnsupportedProtocol | httpx2.ConnectError):
        return False
    return isinstance(error, httpx2.HTTPError | json.JSONDecodeError | KeyError)


def status_code(error: Exception) -> int | None:
    """The HTTP status behind ``error``, if there was one."""
    response = getattr(error, "response", None)
    code = getattr(response, "status_code", None)
    return code if isinstance(code, int) else None


def no_token() -> CheckFailed:
    """The sentence for a missing token."""
    return CheckFailed(
        "no token for the Hub was found", mend="run 'hf auth login', or set HF_TOKEN"
    )


def unseen(api: HfApi, repo_id: str) -> CheckFailed:
    """The sentence for a repository that is not there, or that is hidden from who asks."""
    where = shown_endpoint(api)
    if token_of(api) is None:
        return CheckFailed(
            f"{where} knows no repository {repo_id}, or it is private",
            mend="check the name; for a private one set HF_TOKEN, or run 'hf auth login'",
        )
    return CheckFailed(
        f"{where} knows no repository {repo_id}, or the token may not see it",
        mend="check the name, and the rights of the token",
    )


_OF_ROOM = re.compile(r"\b(storage|quota|billing|payment|limit)\b", re.IGNORECASE)
_AGAIN = "run the same command again; what has arrived is not sent twice"


def _told_by_status(error: Any, api: HfApi, repo_id: str) -> UserError:
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    where, code = shown_endpoint(api), error.response.status_code
    said = _first_line(error.server_message or "", api)
    if isinstance(error, GatedRepoError):
        return CheckFailed(
            f"{repo_id} is gated, and the token (or having none) does not open it",
            mend=f"ask for access at {where}/{repo_id}, then set HF_TOKEN, or run 'hf auth login'",
        )
    if isinstance(error, RepositoryNotFoundError):
        return unseen(api, repo_id)
    if isinstance(error, RevisionNotFoundError):
        return CheckFailed(f"{repo_id} has no such revision: {said}")
    if code == 401:
        return CheckFailed(
            f"{where} does not accept the token", mend="run 'hf auth login', or set HF_TOKEN"
        )
    if code == 403:
        return _forbidden(said, where, repo_id)
    if code == 404:
        path = error.response.request.url.path
        return CheckFailed(f"{where} does not know {path}", mend="is HF_ENDPOINT a Hub?")
    if code == 412:
        return CheckFailed(
            f"{repo_id} has moved on since the plan", mend="look at it, and plan anew"
        )
    if code == 429:
        seconds = seconds_to_wait(error.response.headers)
        wait = f"in {seconds} seconds" if seconds else "later"
        return CheckFailed(f"{where} asks for fewer requests", mend=f"run the same command {wait}")
    detail = f": {said}" if said else ""
    return CheckFailed(f"{where} answered {code}{detail}", mend=_AGAIN if code >= 500 else None)


def _forbidden(said: str, where: str, repo_id: str) -> CheckFailed:
    """A no in the Hub's own words, which may be about rights, or about room."""
    mend = "use a token with write access to it, or propose the change with --pr"
    if _OF_ROOM.search(said):
        mend = "make room in the account's storage, then run the same command again"
    told = f"{where} refuses to write to {repo_id}: {said}"
    return CheckFailed(told if said else f"no right to write to {repo_id}", mend=mend)


def seconds_to_wait(headers: Mapping[str, str]) -> int | None:
    """The pause that a 429 asks for, in either of the two headers that tell it.

    ``RateLimit: "api";r=0;t=55``, or ``Retry-After`` with seconds or a date.
    """
    if match := re.search(r"\bt\s*=\s*(\d+)", headers.get("ratelimit", "")):
        return int(match.group(1))
    told = headers.get("retry-after", "").strip()
    if told.isdecimal():
        return int(told)
    try:
        until = parsedate_to_datetime(told)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0, math.ceil((until - datetime.now(UTC)).total_seconds()))


def _first_line(error: object, api: HfApi) -> str:
    """The first line of ``error``, without a token and without the signed part of a URL."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    token = token_of(api)
    if token:
        line = line.replace(token, "***")
    line = re.sub(r"(https?://)[^\s/@]+@", r"\1", line)
    line = re.sub(r"^\[Errno -?\d+\] ", "", line)
    line = re.sub(r"\bhf_[A-Za-z0-9]{8,}", "hf_***", line)
    return re.sub(r"(https?://[^\s?]+)\?\S+", r"\1?…", line)
