"""A checkpoint on the Hub: pinned to a commit, and fetched no sooner than somebody reads it."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from mbrelease import __version__
from mbrelease.checkpoints.checkpoint import SHARD_INDEX, SINGLE_FILE, open_checkpoint
from mbrelease.checkpoints.pytorch_bin import BIN_FILE, BIN_INDEX, open_bin
from mbrelease.checkpoints.source import HashStream, Source, StoredTensor
from mbrelease.checkpoints.trainer_state import TrainerState
from mbrelease.errors import CheckFailed, UserError
from mbrelease.files import read_json, unreadable

if TYPE_CHECKING:
    from huggingface_hub import HfApi

SCHEME = "hf://"
SHOWN_DIGITS = 7
SHARD_NAME = re.compile(r"\w[\w.-]*\.safetensors|pytorch_model[\w.-]*\.bin")
"""What an index may send us for; it may not send us for an optimizer or out of the folder."""

# The client waits for ever by default; a night job must not.
CONNECT_SECONDS = 20.0
ANSWER_SECONDS = 60.0

_REPO = r"[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*"
_HUB_ID = re.compile(rf"(?:hf://)?(?P<repo>{_REPO})@(?P<revision>.*)|hf://(?P<bare>{_REPO})")
_STEP = re.compile(r"(?:^|[/_-])(?:step|checkpoint)[_-]?(\d+)(?=$|[/_-])")
_SHORT_COMMIT = re.compile(r"[0-9a-f]{7,39}")
_NOT_PARSED = LookupError | ValueError | TypeError | AttributeError | AssertionError
"""What the client raises over an answer that is not a Hub's."""
_AGAIN = "run the same command again; what has arrived is not fetched twice"


@dataclass(frozen=True)
class HubId:
    """A model on the Hub: ``org/name`` at a branch, tag or commit."""

    repo_id: str
    revision: str

    def __str__(self) -> str:
        is_commit = re.fullmatch(r"[0-9a-f]{40}", self.revision)
        return f"{self.repo_id}@{self.revision[:SHOWN_DIGITS] if is_commit else self.revision}"


@dataclass(frozen=True, eq=False)
class HubCheckpoint(Source):
    """A commit of a model on the Hub; ``path`` is its folder in the Hub's ordinary cache.

    Companions are fetched when they are asked for, weights when a tensor or their hash is.
    """

    repo_id: str
    revision: str
    """The commit, 40 hex digits."""
    endpoint: str
    """The URL of the Hub."""

    @property
    def hub_commit(self) -> str:
        """The commit, 40 hex digits."""
        return self.revision

    @property
    def name(self) -> str:
        """Such as ``org/name@1a2b3c4``."""
        return str(HubId(self.repo_id, self.revision))

    @property
    def stored(self) -> Mapping[str, StoredTensor]:
        """All tensors; the weights are fetched for it."""
        return self._weights.stored

    @property
    def hash_streams(self) -> tuple[HashStream, ...]:
        """Those of the weights, which are fetched for it."""
        return self._weights.hash_streams

    @property
    def weights_sha256(self) -> str:
        """That of the weights, which are fetched for it."""
        return self._weights.weights_sha256

    def companion(self, name: str) -> bytes | None:
        """A file at the commit, from the cache or the Hub."""
        path = self._fetch(name)
        try:
            return None if path is None else path.read_bytes()
        except OSError as error:
            raise unreadable(path or self.path, error) from error

    @functools.cached_property
    def trainer_state(self) -> TrainerState | None:
        """What the Trainer logged, if it was uploaded."""
        return None if self._fetch("trainer_state.json") is None else super().trainer_state

    @functools.cached_property
    def _weights(self) -> Source:
        """The same commit as a folder that holds its weights."""
        if self._fetch(SINGLE_FILE) or self._fetch_shards(SHARD_INDEX):
            return open_checkpoint(self.path)
        if self._fetch(BIN_FILE) or self._fetch_shards(BIN_INDEX):
            return open_bin(self.path, self.step)
        raise UserError(
            f"{self.name} holds no weights; looked for {SINGLE_FILE}, {BIN_FILE} and their shards",
            mend=f"see {shown(self.endpoint)}/{self.repo_id}/tree/{self.revision}",
        )

    def _fetch_shards(self, index_name: str) -> bool:
        """Whether there is an index; what it lists is fetched, and judged by who opens it."""
        index = self._fetch(index_name)
        if index is None:
            return False
        content = read_json(index)
        listed = content.get("weight_map") if isinstance(content, dict) else None
        names = set(map(str, listed.values())) if isinstance(listed, dict) else set()
        for name in sorted(filter(SHARD_NAME.fullmatch, names)):
            self._fetch(name)
        return True

    def _fetch(self, name: str) -> Path | None:
        return fetch(HubId(self.repo_id, self.revision), name, self.endpoint)

    def _required(self, name: str) -> bytes:
        data = self.companion(name)
        if data is None:
            raise UserError(f"{self.name} has no {name}")
        return data


def parse_hub_id(target: str) -> HubId | None:
    """The model that ``target`` names, if it is written as ``org/name@revision`` or ``hf://…``.

    Raises:
        UserError: it begins with ``hf://`` and names no model, or its revision is no revision.
    """
    match = _HUB_ID.fullmatch(target)
    if match is None:
        if target.startswith(SCHEME):
            raise UserError(
                f"{target} names no model on the Hub", mend="write hf://org/name@revision"
            )
        return None
    revision = "main" if match["bare"] else match["revision"]
    if not re.fullmatch(r"[\w.+/-]+", revision) or ".." in revision or revision.startswith("/"):
        raise UserError(
            f"{target}: '{revision}' is no revision",
            mend=f"give a branch, tag or commit: {match['repo']}@main",
        )
    return HubId(match["bare"] or match["repo"], revision)


def open_hub(wanted: HubId, endpoint: str | None = None, bar: type | None = None) -> HubCheckpoint:
    """Find the commit and fetch its config.json, and nothing more.

    A full commit that is in the cache is opened without a network. For a branch or tag the Hub is
    asked; where it cannot be reached, its client takes (and says so) what it knew last.

    Args:
        wanted: The model.
        endpoint: The URL of the Hub; that of ``HF_ENDPOINT`` or the public one by default.
        bar: Stands in for the client's own bars.

    Raises:
        CheckFailed: there is no such model or revision, or the Hub cannot be asked.
        UserError: the commit has no config.json.
    """
    # The client reads HF_ENDPOINT when it is imported, which may have been long ago.
    api = client(endpoint or os.environ.get("HF_ENDPOINT") or None)
    commit = _commit(api, wanted)
    pinned = HubId(wanted.repo_id, commit)
    config = fetch(pinned, "config.json", api.endpoint, bar)
    if config is None:
        raise UserError(
            f"{wanted} has no config.json (commit {commit[:SHOWN_DIGITS]})",
            mend="give a model that transformers can load",
        )
    return HubCheckpoint(
        path=config.parent,
        step=_step(wanted.revision),
        repo_id=wanted.repo_id,
        revision=commit,
        endpoint=api.endpoint,
    )


def fetch(pinned: HubId, name: str, endpoint: str, bar: type | None = None) -> Path | None:
    """The file ``name`` of a commit in the Hub's cache, fetched if need be; ``None`` for no file.

    ``bar`` stands in for the client's own bars, see ``bar_of_file``.

    Raises:
        CheckFailed: it cannot be fetched.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import RemoteEntryNotFoundError

    cached = try_to_load_from_cache(pinned.repo_id, name, revision=pinned.revision)
    if cached is not None:
        # Anything but a path is the client's mark for what is known not to exist.
        return Path(cached) if isinstance(cached, str) else None
    if _is_known_absent(pinned, name):
        return None
    with sentences(pinned, endpoint):
        try:
            return Path(
                hf_hub_download(
                    pinned.repo_id,
                    name,
                    revision=pinned.revision,
                    endpoint=endpoint,
                    library_name="mbrelease",
                    library_version=__version__,
                    tqdm_class=bar,
                )
            )
        except RemoteEntryNotFoundError:
            return None


def _is_known_absent(pinned: HubId, name: str) -> bool:
    """Whether a list of the commit's files, such as ``hf download`` leaves, is without it."""
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        files = get_cached_repo_tree(pinned.repo_id, revision=pinned.revision)
    except CachedRepoTreeNotFoundError:
        return False
    return all(file.path != name for file in files)


def shown(endpoint: str) -> str:
    """The endpoint without a user and password that its URL may carry."""
    parts = urlsplit(endpoint)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def client(endpoint: str | None) -> HfApi:
    """The Hub's client for ``endpoint``; for its own default without one.

    Raises:
        UserError: it is no http(s) address.
    """
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint, library_name="mbrelease", library_version=__version__)
    api.endpoint = api.endpoint.rstrip("/")
    if not api.endpoint.startswith(("http://", "https://")):
        raise UserError(
            f"'{api.endpoint.rpartition('@')[2]}' is not the address of a Hub",
            mend="set HF_ENDPOINT to http(s)://…",
        )
    return api


def _commit(api: HfApi, wanted: HubId) -> str:
    """The full commit that the revision stands for."""
    from huggingface_hub.errors import RevisionNotFoundError

    with sentences(wanted, api.endpoint):
        try:
            return api.resolve_revision(wanted.repo_id, revision=wanted.revision).resolved
        except RevisionNotFoundError:
            if not _SHORT_COMMIT.fullmatch(wanted.revision):
                raise
            # The Hub promises to know a commit by all its digits only.
            commits = {commit.commit_id for commit in api.list_repo_commits(wanted.repo_id)}
            found = [commit for commit in commits if commit.startswith(wanted.revision)]
            if len(found) != 1:
                raise
            return found[0]


def _step(revision: str) -> int | None:
    """The step that a revision such as ``step1000`` or ``stage1-step1000-tokens4B`` names."""
    match = _STEP.search(revision)
    return int(match[1]) if match else None


@contextmanager
def sentences(wanted: HubId, endpoint: str) -> Iterator[None]:
    """Give the client a limit to its patience, and turn what it raises into a sentence."""
    import httpx2
    from huggingface_hub import get_session

    session = get_session()
    patience = session.timeout
    session.timeout = httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    try:
        yield
    except Exception as error:
        told = _sentence(error, wanted, shown(endpoint))
        if told is None:
            raise
        raise told from error
    finally:
        session.timeout = patience


def _sentence(error: BaseException, wanted: HubId, where: str) -> UserError | None:
    """What the client's exception means; ``None`` if it is not the client's.

    Nothing is repeated of what the server said: there may be signed addresses in it.
    """
    import httpx2
    from huggingface_hub.errors import (
        FileMetadataError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RevisionResolutionError,
        XetDownloadError,
    )

    if isinstance(error, LocalEntryNotFoundError | RevisionResolutionError) and error.__cause__:
        return _sentence(error.__cause__, wanted, where)
    if isinstance(error, OfflineModeIsEnabled):
        return CheckFailed(
            f"HF_HUB_OFFLINE is set, and the cache does not hold all that is needed of {wanted}",
            mend=f"unset it, or fetch it before: hf download {wanted.repo_id} "
            f"--revision {wanted.revision}",
        )
    if isinstance(error, HFValidationError):
        return UserError(f"'{wanted.repo_id}' is no repository id", mend="give org/name@revision")
    if isinstance(error, HfHubHTTPError):
        return _told_by_status(error, wanted, where)
    if isinstance(error, httpx2.UnsupportedProtocol | httpx2.InvalidURL):
        return UserError(f"'{where}' is not a URL", mend="is HF_ENDPOINT right?")
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return CheckFailed(
            f"cannot reach {where}, and the cache does not hold all that is needed of {wanted}",
            mend="is the network up, and HF_ENDPOINT right?",
        )
    if isinstance(error, httpx2.TimeoutException):
        return CheckFailed(f"{where} did not answer in time for {wanted}", mend=_AGAIN)
    if isinstance(error, httpx2.HTTPError | XetDownloadError):
        return CheckFailed(f"the connection to {where} broke while fetching {wanted}", mend=_AGAIN)
    if isinstance(error, FileMetadataError | _NOT_PARSED):
        return CheckFailed(f"{where} answered what no Hub answers", mend="is HF_ENDPOINT right?")
    if isinstance(error, OSError | RuntimeError):
        why = error.strerror if isinstance(error, OSError) else None
        return CheckFailed(
            f"{wanted} could not be brought into the Hub's cache" + (f": {why}" if why else ""),
            mend="is there space, and may the cache (HF_HOME) be written?" if why else _AGAIN,
        )
    return None


def _told_by_status(error: Any, wanted: HubId, where: str) -> UserError:
    from huggingface_hub import get_token
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    code = error.response.status_code
    if isinstance(error, GatedRepoError):
        return CheckFailed(
            f"{wanted.repo_id} is gated, and the token (or having none) does not open it",
            mend=f"ask for access at {where}/{wanted.repo_id}, then run 'hf auth login'",
        )
    if isinstance(error, RepositoryNotFoundError):
        if get_token() is None:
            return CheckFailed(
                f"{where} knows no repository {wanted.repo_id}, or it is private",
                mend="check the name; for a private one set HF_TOKEN, or run 'hf auth login'",
            )
        return CheckFailed(
            f"{where} knows no repository {wanted.repo_id}, or the token may not see it",
            mend="check the name, and whose token it is: hf auth whoami",
        )
    if isinstance(error, RevisionNotFoundError):
        return CheckFailed(
            f"{wanted.repo_id} has no revision '{wanted.revision}'",
            mend=f"see {where}/{wanted.repo_id}/commits/main",
        )
    if code == 401:
        return CheckFailed(
            f"{where} does not accept the token", mend="run 'hf auth login', or set HF_TOKEN"
        )
    if code == 403:
        return CheckFailed(
            f"no right to read {wanted.repo_id}", mend="use a token that may read it"
        )
    if code == 429:
        return CheckFailed(f"{where} asks for fewer requests", mend="run the same command later")
    return CheckFailed(
        f"{where} answered {code} for {wanted}", mend=_AGAIN if code >= 500 else None
    )
