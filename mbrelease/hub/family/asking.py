"""Ask a Hub about models: bounded answers, asked again where one was lost."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mbrelease.errors import CheckFailed
from mbrelease.hub.client import headers_of, is_ambiguous, sentence, shown_endpoint
from mbrelease.hub.family.pace import Pace
from mbrelease.hub.patience import PAUSES_SECONDS, WAITS
from mbrelease.metadata.finding import shown
from mbrelease.metadata.repo_ids import fault_of_repo_id
from mbrelease.progress import SILENT, Progress

if TYPE_CHECKING:
    from huggingface_hub import HfApi

INFO_BYTES = 20_000_000
FILE_BYTES = 2_000_000
"""Of a card or a config. The metadata stand at the head of a card; more is not read."""
LISTED_AT_ONCE = 100
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_NOT_MODIFIED = 304
_ERROR_BYTES = 10_000


class NotReadable(Exception):
    """A model, or a file of it, that the Hub does not show; says why."""

    def __init__(self, why: str, *, is_gone: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.is_gone = is_gone
        """Whether it does not exist, or is hidden as if it did not."""


@dataclass(frozen=True)
class Answer:
    """What came: the body is cut where it is longer than was asked for."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_whole: bool


class Asker:
    """The requests to one Hub. Threads may share it."""

    def __init__(self, api: HfApi, progress: Progress = SILENT) -> None:
        self.api = api
        self.endpoint = shown_endpoint(api)
        self.pace = Pace(progress)
        self.requests = 0
        self._headers = headers_of(api)
        self._lock = threading.Lock()

    def info(self, repo_id: str, etag: str | None) -> tuple[dict[str, Any], str | None] | None:
        """What the Hub says of a model, and how it names that state; ``None`` if it is still so.

        Raises:
            NotReadable: it does not exist, is hidden, or the answer is none.
            CheckFailed: the Hub cannot be asked.
        """
        known = {"If-None-Match": etag} if etag else {}
        path = f"/api/models/{quote(repo_id)}?blobs=true"
        answer = self._ask("api", path, repo_id, INFO_BYTES, known)
        if answer.status == _NOT_MODIFIED and etag:
            return None
        described = _object(answer)
        now, commit = described.get("id"), described.get("sha")
        is_model = isinstance(now, str) and fault_of_repo_id(now) is None
        if not is_model or not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
            raise NotReadable("the Hub's answer does not describe a model")
        return described, answer.headers.get("etag")

    def file(self, repo_id: str, commit: str, path: str) -> Answer:
        """The beginning of a file, at most ``FILE_BYTES``.

        Raises:
            NotReadable: there is none, or it is not for this reader.
            CheckFailed: the Hub cannot be asked.
        """
        place = f"/{quote(repo_id)}/resolve/{quote(commit, safe='')}/{quote(path)}"
        return self._ask("resolvers", place, repo_id, FILE_BYTES, {})

    def descendants(self, repo_id: str, limit: int) -> list[str]:
        """The models whose cards name this one as a base model; the most downloaded first.

        Raises:
            NotReadable: the Hub does not list models by their base model.
            CheckFailed: the Hub cannot be asked.
        """
        wanted = quote(f"base_model:{repo_id}", safe="")
        count = min(limit, LISTED_AT_ONCE)
        path: str | None = f"/api/models?filter={wanted}&sort=downloads&direction=-1&limit={count}"
        found: list[str] = []
        while path is not None and len(found) < limit:
            answer = self._ask("api", path, repo_id, INFO_BYTES, {})
            listed = _json(answer)
            if not isinstance(listed, list):
                raise NotReadable("the Hub's answer is no list of models")
            found += [each["id"] for each in listed if isinstance(each, dict) and _is_id(each)]
            path = self._next(answer.headers.get("link", ""))
        return found[:limit]

    def _next(self, link: str) -> str | None:
        """The path of the next page; a link to another server is not followed."""
        from huggingface_hub import get_session

        address, _, rest = link.partition(">")
        address = address.removeprefix("<")
        ours = get_session().build_request("GET", self.api.endpoint).url
        if 'rel="next"' not in rest or not address:
            return None
        there = ours.join(address)
        return there.raw_path.decode() if there.netloc == ours.netloc else None

    def _ask(
        self, kind: str, path: str, repo_id: str, most_bytes: int, headers: Mapping[str, str]
    ) -> Answer:
        waits, pauses = WAITS, list(PAUSES_SECONDS)
        while True:
            self.pace.turn(kind)
            try:
                answer = self._send(path, most_bytes, headers)
            except Exception as error:
                if is_ambiguous(error) and pauses:
                    time.sleep(pauses.pop(0))
                    continue
                told = sentence(error, self.api, repo_id)
                if told is None:
                    raise
                raise told from error
            if self.pace.hear(kind, answer.status, answer.headers) and waits:
                waits -= 1
            elif answer.status >= 500 and pauses:
                time.sleep(pauses.pop(0))
            else:
                return self._read(answer)

    def _send(self, path: str, most_bytes: int, headers: Mapping[str, str]) -> Answer:
        from huggingface_hub import get_session

        with self._lock:
            self.requests += 1
        # As it is: a small answer must not unpack into a large one.
        all_headers = {**self._headers, "Accept-Encoding": "identity", **headers}
        url = self.api.endpoint + path
        with get_session().stream("GET", url, headers=all_headers) as response:
            most = most_bytes if response.status_code < 400 else _ERROR_BYTES
            body, whole = bytearray(), True
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > most:
                    whole = False
                    break
            lower = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status_code, lower, bytes(body[:most]), whole)

    def _read(self, answer: Answer) -> Answer:
        """The answer if it is one to go by.

        Raises:
            NotReadable: it is a no that concerns this model alone.
            CheckFailed: it is a no to everything.
        """
        status, code = answer.status, answer.headers.get("x-error-code", "")
        if status < 400:
            return answer
        said = answer.headers.get("x-error-message", "")
        if code == "GatedRepo" or status == 403:
            raise NotReadable("gated: shown only to accounts that were granted access")
        if status == 401 and "Invalid credentials" in said:
            raise CheckFailed(
                f"{self.endpoint} does not accept the token",
                mend="run 'hf auth login', or set HF_TOKEN",
            )
        if code == "EntryNotFound":
            raise NotReadable("there is no such file", is_gone=True)
        if status in (401, 404, 410, 451):
            raise NotReadable("it does not exist, or is private", is_gone=True)
        if status == 429:
            raise CheckFailed(
                f"{self.endpoint} asks for fewer requests",
                mend="run the same command later; what was read is kept",
            )
        raise NotReadable(f"the Hub answered {status}" + (f": {shown(said)}" if said else ""))


def _object(answer: Answer) -> dict[str, Any]:
    value = _json(answer)
    if not isinstance(value, dict):
        raise NotReadable("the Hub's answer does not describe a model")
    return value


def _json(answer: Answer) -> Any:
    if not answer.is_whole:
        raise NotReadable(f"the Hub's answer is longer than {INFO_BYTES:,} bytes")
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise NotReadable("the Hub's answer is no JSON") from error


def _is_id(described: dict[str, Any]) -> bool:
    return isinstance(described.get("id"), str)
