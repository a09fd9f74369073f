"""``card.lock.json``: the record behind each number of a card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbrelease.cards.told import as_json, from_json
from mbrelease.cards.trace import Number
from mbrelease.errors import UserError
from mbrelease.files import read_json, sha256_bytes, write_json

LOCK_NAME = "card.lock.json"
FORMAT = 1


@dataclass(frozen=True)
class PictureLock:
    """What a picture was drawn from, and the bytes of its files by suffix."""

    data_sha256: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class Lock:
    """What stood behind a card when it was written."""

    variant: str
    mbrelease_version: str
    front_matter_sha256: str
    regions: Mapping[str, str]
    """The sha256 of each generated region."""
    pictures: Mapping[str, PictureLock]
    """By stem."""
    results: Mapping[str, str]
    """The sha256 of each file of results on benchmarks, by path."""
    numbers: tuple[Number, ...]


def text_sha256(text: str) -> str:
    """The sha256 of a region's text."""
    return sha256_bytes(text.encode())


def lock_path(readme: Path) -> Path:
    """The lock of the card at ``readme``: beside it."""
    return readme.parent / LOCK_NAME


def write_lock(path: Path, lock: Lock) -> bool:
    """Write ``lock`` unless it stands there already; returns whether it was written."""
    content = _content(lock)
    try:
        if read_json(path) == content:
            return False
    except UserError:
        pass  # not there, or not readable: it is written anew
    write_json(path, content)
    return True


def read_lock(path: Path) -> Lock:
    """Read a lock.

    Raises:
        UserError: there is none, or it is malformed.
    """
    if not path.exists():
        raise UserError(
            f"{path} is missing, which says what record is behind each number",
            mend="write the card again with mbrelease card -o",
        )
    content = read_json(path)
    try:
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']}")
        return Lock(
            variant=content["variant"],
            mbrelease_version=content["mbrelease_version"],
            front_matter_sha256=content["front_matter_sha256"],
            regions=dict(content["regions"]),
            pictures={
                stem: PictureLock(one["data_sha256"], dict(one["files"]))
                for stem, one in content["pictures"].items()
            },
            results=dict(content["results"]),
            numbers=tuple(map(_number, content["numbers"])),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path}: malformed lock: {error!r}", mend="write the card again with mbrelease card -o"
        ) from error


def _content(lock: Lock) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "variant": lock.variant,
        "mbrelease_version": lock.mbrelease_version,
        "front_matter_sha256": lock.front_matter_sha256,
        "regions": dict(lock.regions),
        "pictures": {
            stem: {"data_sha256": one.data_sha256, "files": dict(one.files)}
            for stem, one in lock.pictures.items()
        },
        "results": dict(lock.results),
        "numbers": [_entry(number) for number in lock.numbers],
    }


def _entry(number: Number) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "region": number.region, "line": number.line, "text": number.text,
    }  # fmt: skip
    if number.origin is not None:
        return entry | as_json(number.origin)
    return entry | {"template": number.template}


def _number(entry: Mapping[str, Any]) -> Number:
    told = "record" in entry or "how" in entry
    return Number(
        region=entry["region"],
        line=entry["line"],
        text=entry["text"],
        origin=from_json(dict(entry)) if told else None,
        template=entry.get("template"),
    )
