"""A commit on the Hub as a folder to be checked: small files fetched, weights only if they must be.

The headers of weights that were not fetched are read with range requests: a hundred kilobytes of a
file of any size.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mbrelease import __version__
from mbrelease.checkpoints.checkpoint import SHARD_INDEX, SINGLE_FILE, Checkpoint, weight_map
from mbrelease.checkpoints.hub_bars import bar_of_file
from mbrelease.checkpoints.hub_source import (
    SHARD_NAME,
    HubCheckpoint,
    HubId,
    client,
    fetch,
    open_hub,
    sentences,
    shown,
)
from mbrelease.checkpoints.pytorch_bin import BIN_FILE, BIN_INDEX
from mbrelease.checkpoints.safetensors_header import (
    MAX_HEADER_BYTES,
    SafetensorsHeader,
    parse_header,
    read_header,
)
from mbrelease.errors import CheckFailed, UserError
from mbrelease.progress import SILENT, Progress

TEXT_SUFFIXES = frozenset({".json", ".md", ".txt", ".yaml", ".yml", ".toml", ".jinja", ".py"})
MAX_TEXT_BYTES = 1_000_000
LARGE_TEXTS = frozenset({"tokenizer.json", "vocab.json", "merges.txt", SHARD_INDEX})
FIRST_BYTES = 100_000
"""Holds the header of nearly every model; ModernBERT-large's has 18,000."""
SHA256 = re.compile(r"[0-9a-f]{64}")

# sentence-transformers: one folder a module, such as 1_Pooling.
_MODULE = re.compile(r"\d+_[A-Za-z]+")


@dataclass(frozen=True)
class HubFile:
    """A file at a commit, as the Hub lists it; ``sha256`` is known of large ones alone."""

    path: str
    size_bytes: int
    sha256: str | None


@dataclass(frozen=True, eq=False)
class HubFolder(Checkpoint):
    """A commit of a model on the Hub. ``path`` is its folder in the Hub's ordinary cache.

    The small files are there; ``weight_files`` are there if they were asked for.
    """

    pinned: HubId
    """The model at its commit, 40 hex digits."""
    endpoint: str
    """The URL of the Hub."""
    listing: Mapping[str, HubFile]
    """Every file at the commit, by path; without a network, those in the cache."""

    @property
    def name(self) -> str:
        """Such as ``org/name@1a2b3c4``."""
        return str(self.pinned)

    @property
    def hub_commit(self) -> str:
        """The commit, 40 hex digits."""
        return self.pinned.revision

    @functools.cached_property
    def headers(self) -> tuple[SafetensorsHeader, ...]:
        """The header of each weight file, from the file or else from the Hub."""
        return tuple(
            read_header(file)
            if file.is_file()
            else fetch_header(self.pinned, file.name, self.endpoint, file)
            for file in self.weight_files
        )


def open_hub_folder(
    wanted: HubId,
    *,
    weights: bool,
    whole: bool = True,
    endpoint: str | None = None,
    progress: Progress = SILENT,
) -> HubFolder:
    """Bring a model's small files into the Hub's cache, and its weights if need be.

    Args:
        wanted: The model.
        weights: Fetch the weights too.
        whole: Fetch every text, and the headers of the weights; otherwise JSON alone, which is
            what a model is compared by.
        endpoint: The URL of the Hub; that of ``HF_ENDPOINT`` or the public one by default.
        progress: Told the bytes that are fetched; the client's own bars are not shown.

    Raises:
        CheckFailed: there is no such model or revision, or the Hub cannot be asked.
        UserError: the commit has no config.json, or no safetensors.
    """
    source, pinned, listing, complete = _opened(wanted, endpoint)
    suffixes = TEXT_SUFFIXES if whole else frozenset({".json"})
    small = [file.path for file in listing.values() if _is_small(file, suffixes)]
    _fetch_all(source, pinned, small, listing, progress)
    names = _weight_names(source, listing, complete=complete)
    if weights:
        modules = [name for name in listing if _is_module(name, SINGLE_FILE)]
        _fetch_all(source, pinned, [*names, *modules], listing, progress)
    folder = HubFolder(
        path=source.path,
        step=source.step,
        weight_files=tuple(source.path / name for name in names),
        pinned=pinned,
        endpoint=source.endpoint,
        listing=listing,
    )
    if whole:
        try:
            _ = folder.headers
        except CheckFailed:  # the Hub cannot be asked
            raise
        except UserError:
            pass  # a header that is wrong is for a check to tell
    return folder


def fetch_whole(
    wanted: HubId, *, endpoint: str | None = None, progress: Progress = SILENT
) -> HubCheckpoint:
    """Bring every file of a commit into the Hub's cache; the folder is the ``path`` of the answer.

    Raises:
        CheckFailed: there is no such model or revision, or the Hub cannot be asked.
        UserError: the commit has no config.json.
    """
    source, pinned, listing, _complete = _opened(wanted, endpoint)
    _fetch_all(source, pinned, list(listing), listing, progress)
    return source


def fetch_header(pinned: HubId, name: str, endpoint: str, place: Path) -> SafetensorsHeader:
    """The header of a safetensors file on the Hub, by range requests.

    Args:
        pinned: The model at a commit.
        name: The file.
        endpoint: The URL of the Hub.
        place: What the file is called in what is said of it.

    Raises:
        CheckFailed: it cannot be asked for.
        UserError: it breaks a rule of the format, or is not as long as its header says.
    """
    with sentences(pinned, endpoint):
        data, size = _first_bytes(pinned, name, endpoint, FIRST_BYTES)
        length = 8 + int.from_bytes(data[:8], "little")
        if len(data) < length <= min(8 + MAX_HEADER_BYTES, size):
            data, size = _first_bytes(pinned, name, endpoint, length)
    return parse_header(place, size, io.BytesIO(data))


def _first_bytes(pinned: HubId, name: str, endpoint: str, count: int) -> tuple[bytes, int]:
    """The first ``count`` bytes of a file, or all if it is shorter, and its size."""
    from huggingface_hub import get_session, hf_hub_url
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        build_hf_headers,
        hf_raise_for_status,
    )

    url = hf_hub_url(pinned.repo_id, name, revision=pinned.revision, endpoint=endpoint)
    headers = build_hf_headers(library_name="mbrelease", library_version=__version__)
    # A compressed answer has other bytes; a server that does not know ranges sends the whole file.
    headers |= {"Range": f"bytes=0-{count - 1}", "Accept-Encoding": "identity"}
    data = b""
    with get_session().stream("GET", url, headers=headers) as response:
        hf_raise_for_status(response)
        if response.status_code == 206:
            size = int(response.headers["Content-Range"].rpartition("/")[2])
        else:
            size = int(response.headers["Content-Length"])
        for chunk in response.iter_bytes():
            data += chunk
            if len(data) >= count:
                break
    return data[:count], size


def _opened(
    wanted: HubId, endpoint: str | None
) -> tuple[HubCheckpoint, HubId, dict[str, HubFile], bool]:
    """The commit, its name, its files by path, and whether these are all."""
    with bar_of_file(SILENT, 0) as bar:
        source = open_hub(wanted, endpoint, bar)
    pinned = HubId(source.repo_id, source.revision)
    return source, pinned, *_listing(source, pinned)


def _listing(source: HubCheckpoint, pinned: HubId) -> tuple[dict[str, HubFile], bool]:
    """The files by path, and whether they are all; without a network, what is in the cache."""
    # Not the tree's own route, on which the client insists for half a minute without a network.
    try:
        with sentences(pinned, source.endpoint):
            api = client(source.endpoint)
            info = api.model_info(pinned.repo_id, revision=pinned.revision, files_metadata=True)
    except CheckFailed as error:
        if not _is_unreachable(error.__cause__):
            raise
        return {file.path: file for file in _cached(source.path)}, False
    files = [
        HubFile(entry.rfilename, entry.size or 0, entry.lfs.sha256 if entry.lfs else None)
        for entry in info.siblings or []
    ]
    return {file.path: file for file in files}, True


def _is_unreachable(error: BaseException | None) -> bool:
    import httpx2
    from huggingface_hub.errors import OfflineModeIsEnabled

    return isinstance(error, OfflineModeIsEnabled | httpx2.ConnectError | httpx2.ConnectTimeout)


def _cached(folder: Path) -> list[HubFile]:
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            blob = path.resolve().name
            digest = blob if SHA256.fullmatch(blob) else None
            relative = path.relative_to(folder).as_posix()
            found.append(HubFile(relative, path.stat().st_size, digest))
    return found


def _fetch_all(
    source: HubCheckpoint,
    pinned: HubId,
    names: Sequence[str],
    listing: Mapping[str, HubFile],
    progress: Progress,
) -> None:
    # Without a network, what is asked for may be in no list.
    sizes = [listing[name].size_bytes if name in listing else 0 for name in names]
    progress.start("fetching", sum(sizes), "bytes")
    for name, size_bytes in zip(names, sizes, strict=True):
        with bar_of_file(progress, size_bytes) as bar:
            found = fetch(pinned, name, source.endpoint, bar)
        if found is None:
            raise CheckFailed(f"{shown(source.endpoint)} lists {name} of {pinned} and has it not")


def _is_small(file: HubFile, suffixes: frozenset[str]) -> bool:
    """Whether it is a text that says something of the model itself, and not of a subfolder."""
    path = PurePosixPath(file.path)
    if path.name == file.path:
        small = file.size_bytes <= MAX_TEXT_BYTES or file.path in LARGE_TEXTS
        return path.suffix in suffixes and small
    return _is_module(file.path, "config.json") and file.size_bytes <= MAX_TEXT_BYTES


def _is_module(name: str, file: str) -> bool:
    folder, _, last = name.partition("/")
    return last == file and _MODULE.fullmatch(folder) is not None


def _weight_names(
    source: HubCheckpoint, listing: Mapping[str, HubFile], *, complete: bool
) -> list[str]:
    if SINGLE_FILE in listing:
        return [SINGLE_FILE]
    if SHARD_INDEX in listing:
        names = sorted(set(weight_map(source.path / SHARD_INDEX).values()))
        strange = [name for name in names if not SHARD_NAME.fullmatch(name)]
        absent = [name for name in names if complete and name not in listing]
        if strange or absent:
            raise UserError(
                f"{SHARD_INDEX} of {source.name} lists {(strange + absent)[0]}, which is missing"
            )
        return names
    if not complete:
        return [SINGLE_FILE]  # whoever asks for it is told that there is no network
    place = f"{source.repo_id}@{source.revision}"
    if BIN_FILE in listing or BIN_INDEX in listing:
        mend = f"mbrelease convert {place} -o FOLDER"
    else:
        mend = f"see {shown(source.endpoint)}/{source.repo_id}/tree/{source.revision}"
    raise UserError(f"{source.name} holds no safetensors", mend=mend)
